//! The display of a request: a coloured band for each kind of waiting, and its numbers as text.

use crate::Phase;

/// A kind of waiting in the display of a request. Several [phases](Phase) can share a band.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Band {
    /// Waiting in the browser's queue.
    Stall,
    /// Redirects, name resolution, TCP and TLS.
    Setup,
    /// From the browser to the server; an estimate.
    Uplink,
    /// In the server, by its own clock.
    Server,
    /// From the server to the browser; an estimate.
    Downlink,
    /// Network and server together, if they cannot be separated.
    Wait,
    /// The body of the response; measured.
    Download,
    /// Within the browser.
    Browser,
}

impl Band {
    /// Returns the band that displays a phase.
    #[must_use]
    pub const fn of(phase: Phase) -> Self {
        match phase {
            Phase::Stall => Self::Stall,
            Phase::Redirect | Phase::Dns | Phase::Connect | Phase::Tls => Self::Setup,
            Phase::Uplink => Self::Uplink,
            Phase::Server => Self::Server,
            Phase::Downlink => Self::Downlink,
            Phase::Wait => Self::Wait,
            Phase::Download => Self::Download,
            Phase::Delivery => Self::Browser,
        }
    }

    /// Returns the name in lower case, as in the classes of the style sheet.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::Setup => "setup",
            Self::Uplink => "uplink",
            Self::Server => "server",
            Self::Downlink => "downlink",
            Self::Wait => "wait",
            Self::Download => "download",
            Self::Browser => "browser",
        }
    }

    /// Returns the label inside the band, such as `up`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Stall => "queue",
            Self::Setup => "connect",
            Self::Uplink => "up",
            Self::Server => "server",
            Self::Downlink => "down",
            Self::Wait => "wait",
            Self::Download => "load",
            Self::Browser => "browser",
        }
    }

    /// Returns the letter inside a band that is too narrow for its label.
    #[must_use]
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Stall => "q",
            Self::Setup => "c",
            Self::Uplink => "u",
            Self::Server => "s",
            Self::Downlink => "d",
            Self::Wait => "w",
            Self::Download => "l",
            Self::Browser => "b",
        }
    }

    /// Returns whether its duration is an estimate rather than a measurement.
    #[must_use]
    pub const fn is_estimate(self) -> bool {
        matches!(self, Self::Uplink | Self::Downlink)
    }
}

/// Formats milliseconds without the unit: one decimal below 10, none above; `?` for a value that is not finite.
#[must_use]
pub fn format_ms(ms: f64) -> String {
    if !ms.is_finite() {
        "?".to_owned()
    } else if ms.abs() < 9.95 {
        trim(&format!("{ms:.1}"))
    } else {
        trim(&format!("{ms:.0}"))
    }
}

/// Formats an estimate with its error, both in milliseconds and without the unit: `21±2`, `0.4±0.3`. The error is
/// rounded up, so that an estimate never looks more exact than it is.
#[must_use]
pub fn format_estimate(estimate_ms: f64, error_ms: f64) -> String {
    if !estimate_ms.is_finite() || !error_ms.is_finite() {
        return format!("{}±?", format_ms(estimate_ms));
    }
    let error_ms = error_ms.abs();
    if error_ms <= 0.95 && estimate_ms.abs() < 99.95 {
        let error = trim(&format!("{:.1}", (error_ms * 10.0 - 1e-6).ceil().max(0.0) / 10.0));
        format!("{}±{error}", trim(&format!("{estimate_ms:.1}")))
    } else {
        let error = trim(&format!("{:.0}", (error_ms - 1e-6).ceil().max(0.0)));
        format!("{}±{error}", trim(&format!("{estimate_ms:.0}")))
    }
}

/// Removes trailing zeros of the fraction, and the minus sign of zero.
fn trim(text: &str) -> String {
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bands_differ_in_name_label_and_letter() {
        let bands: HashSet<Band> = Phase::ALL.into_iter().map(Band::of).collect();
        assert_eq!(bands.len(), 8);
        for text in [Band::as_str, Band::label, Band::letter] {
            let texts: HashSet<&str> = bands.iter().map(|band| text(*band)).collect();
            assert_eq!(texts.len(), bands.len());
        }
    }

    #[test]
    fn milliseconds_have_a_decimal_only_below_ten() {
        assert_eq!(format_ms(0.04), "0");
        assert_eq!(format_ms(-0.04), "0");
        assert_eq!(format_ms(9.94), "9.9");
        assert_eq!(format_ms(9.96), "10");
        assert_eq!(format_ms(100.4), "100");
        assert_eq!(format_ms(f64::INFINITY), "?");
    }

    #[test]
    fn estimates_never_look_more_exact_than_they_are() {
        assert_eq!(format_estimate(21.4, 1.6), "21±2");
        assert_eq!(format_estimate(21.4, 2.0), "21±2");
        assert_eq!(format_estimate(21.4, 2.1), "21±3");
        assert_eq!(format_estimate(0.42, 0.21), "0.4±0.3");
        assert_eq!(format_estimate(0.0, 0.0), "0±0");
        assert_eq!(format_estimate(-0.01, 0.3), "0±0.3");
        assert_eq!(format_estimate(5.0, f64::NAN), "5±?");
    }

    proptest! {
        #[test]
        fn the_error_is_rounded_up(estimate in 0.0_f64..1e6, error in 0.0_f64..1e5) {
            let text = format_estimate(estimate, error);
            let shown: f64 = text.split('±').nth(1).unwrap().parse().unwrap();
            prop_assert!(shown >= error - 1e-5, "{text} for {error}");
            prop_assert!(shown <= error + 1.0, "{text} for {error}");
        }
    }
}
