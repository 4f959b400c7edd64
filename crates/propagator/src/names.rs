//! Parsing of the names in `OTEL_PROPAGATORS`.

use std::env;

use thiserror::Error;

use crate::propagator::{Format, Propagator};

/// The variable's name in the OpenTelemetry specification.
const VARIABLE: &str = "OTEL_PROPAGATORS";
const NONE: &str = "none";

/// The reason why a list of propagators is invalid.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PropagatorsError {
    /// No propagator has this name.
    #[error("OTEL_PROPAGATORS: unknown propagator `{0}`; expected tracecontext, baggage, b3, b3multi, xray or none")]
    Unknown(String),
    /// The Cargo feature of the propagator is off.
    #[error(
        "OTEL_PROPAGATORS: `{name}` is not compiled into this program; enable the feature `{feature}` of throughline-propagator"
    )]
    NotCompiled {
        /// The name in the list.
        name: String,
        /// The Cargo feature that adds it.
        feature: &'static str,
    },
    /// `none` is combined with other names.
    #[error("OTEL_PROPAGATORS: `none` must be the only entry")]
    NoneWithOthers,
    /// The variable's value is not UTF-8.
    #[error("OTEL_PROPAGATORS is not valid UTF-8")]
    NotUnicode,
}

impl Propagator {
    /// Creates the propagator that the environment variable `OTEL_PROPAGATORS` lists, in the format of
    /// [`from_names`](Self::from_names), or [`Propagator::new`] if the variable is unset or empty.
    ///
    /// # Errors
    /// Returns a [`PropagatorsError`] if the value is invalid.
    pub fn from_env() -> Result<Self, PropagatorsError> {
        match env::var(VARIABLE) {
            Ok(names) if !names.trim().is_empty() => Self::from_names(&names),
            Ok(_) | Err(env::VarError::NotPresent) => Ok(Self::new()),
            Err(env::VarError::NotUnicode(_)) => Err(PropagatorsError::NotUnicode),
        }
    }

    /// Creates the propagator for a comma-separated list of names: `tracecontext`, `baggage`, `b3` (single header),
    /// `b3multi`, `xray`, or only `none`, which propagates nothing. The order is kept: if a request has two valid
    /// contexts, that of the later name becomes the parent. Duplicates, whitespace and case are ignored.
    ///
    /// # Errors
    /// Returns [`PropagatorsError::Unknown`] for a name that is not in this list, [`PropagatorsError::NotCompiled`] for
    /// one whose Cargo feature is off, and [`PropagatorsError::NoneWithOthers`] for `none` with another name.
    ///
    /// ```
    /// use opentelemetry::propagation::TextMapPropagator;
    /// use throughline_propagator::Propagator;
    ///
    /// let propagator = Propagator::from_names("baggage, tracecontext")?;
    /// assert_eq!(propagator.fields().collect::<Vec<_>>(), ["baggage", "traceparent", "tracestate"]);
    /// # Ok::<(), throughline_propagator::PropagatorsError>(())
    /// ```
    pub fn from_names(names: &str) -> Result<Self, PropagatorsError> {
        let mut formats = Vec::new();
        let mut has_none = false;
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if name.eq_ignore_ascii_case(NONE) {
                has_none = true;
                continue;
            }
            let format = format(name)?;
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
        if has_none && !formats.is_empty() {
            return Err(PropagatorsError::NoneWithOthers);
        }
        Ok(Self::of(formats))
    }
}

fn format(name: &str) -> Result<Format, PropagatorsError> {
    match name.to_ascii_lowercase().as_str() {
        "tracecontext" => Ok(Format::TraceContext),
        "baggage" => Ok(Format::Baggage),
        #[cfg(feature = "b3")]
        "b3" => Ok(Format::B3),
        #[cfg(feature = "b3")]
        "b3multi" => Ok(Format::B3Multi),
        #[cfg(not(feature = "b3"))]
        "b3" | "b3multi" => Err(not_compiled(name, "b3")),
        #[cfg(feature = "xray")]
        "xray" => Ok(Format::XRay),
        #[cfg(not(feature = "xray"))]
        "xray" => Err(not_compiled(name, "xray")),
        _ => Err(PropagatorsError::Unknown(name.to_owned())),
    }
}

#[cfg(not(all(feature = "b3", feature = "xray")))]
fn not_compiled(name: &str, feature: &'static str) -> PropagatorsError {
    PropagatorsError::NotCompiled { name: name.to_owned(), feature }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        for name in ["jaeger", "tracecontext,ottrace", "b 3"] {
            let error = Propagator::from_names(name).unwrap_err().to_string();
            for known in ["tracecontext", "baggage", "b3", "b3multi", "xray", "none"] {
                assert!(error.contains(known), "{error}");
            }
        }
    }

    #[test]
    fn none_must_be_the_only_name() {
        assert_eq!(Propagator::from_names("none, none").unwrap().formats(), []);
        for names in ["none,tracecontext", "baggage,none"] {
            assert_eq!(Propagator::from_names(names).unwrap_err(), PropagatorsError::NoneWithOthers);
        }
    }

    #[test]
    fn order_is_kept_and_duplicates_are_ignored() {
        let formats = |names| Propagator::from_names(names).unwrap().formats().to_vec();
        assert_eq!(formats("baggage,TraceContext, baggage,,"), [Format::Baggage, Format::TraceContext]);
        assert_eq!(Propagator::new().formats(), [Format::TraceContext, Format::Baggage]);
    }

    #[cfg(not(feature = "b3"))]
    #[test]
    fn a_format_that_is_not_compiled_in_is_an_error_that_names_the_feature() {
        let error = Propagator::from_names("tracecontext,b3multi").unwrap_err();
        assert_eq!(error, PropagatorsError::NotCompiled { name: "b3multi".to_owned(), feature: "b3" });
        assert!(error.to_string().contains("feature `b3`"), "{error}");
    }
}
