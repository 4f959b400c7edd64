//! The network timing of a fetch span, read from its attributes and drawn as bands inside it.

use throughline_context::keys;
use throughline_inspector_api::{Attribute, AttributeValue};
use throughline_timing::{Band, Method, Phase, format_estimate, format_ms};

/// Returns the CSS classes that give a band its colour and pattern.
#[must_use]
pub fn class(band: Band) -> String {
    format!("band band-{}", band.as_str())
}

/// Describes how the network time was split. The name of an unknown method is returned unchanged.
#[must_use]
pub fn method_description(name: &str) -> &str {
    match Method::parse(name) {
        Some(method) => method.description(),
        None => name,
    }
}

/// One phase of a request, with its position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// The phase.
    pub phase: Phase,
    /// Its offset from the start of the span, in milliseconds.
    pub start_ms: f64,
    /// Its length, in milliseconds.
    pub ms: f64,
}

/// The network figures of a fetch span, in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Uplink and downlink together; measured.
    pub total_ms: f64,
    /// Uplink; an estimate.
    pub uplink_ms: f64,
    /// Downlink; an estimate.
    pub downlink_ms: f64,
    /// Half the width of the interval in which the uplink lies.
    pub error_ms: f64,
    /// Time in the server, if the server reported it.
    pub server_ms: Option<f64>,
    /// The name of the method that split the total.
    pub method: String,
}

impl Figures {
    /// Formats the label beside the bar: `up 21±2 · 34 · down 20±2`.
    #[must_use]
    pub fn line(&self) -> String {
        let up = format_estimate(self.uplink_ms, self.error_ms);
        let down = format_estimate(self.downlink_ms, self.error_ms);
        match self.server_ms {
            Some(server) => format!("up {up} · {} · down {down}", format_ms(server)),
            None => format!("up {up} · down {down}"),
        }
    }
}

/// Reads the phases from a span's attributes, in order; empty if the span has none.
#[must_use]
pub fn segments(attributes: &[Attribute]) -> Vec<Segment> {
    let mut at = 0.0;
    let mut segments = Vec::new();
    for phase in Phase::ALL {
        let length = attributes
            .iter()
            .find(|attribute| {
                attribute
                    .key
                    .strip_prefix(keys::PHASE_PREFIX)
                    .and_then(|rest| rest.strip_suffix("_ms"))
                    .is_some_and(|name| name == phase.as_str())
            })
            .and_then(number)
            .filter(|ms| *ms > 0.0);
        if let Some(ms) = length {
            segments.push(Segment { phase, start_ms: at, ms });
            at += ms;
        }
    }
    segments
}

/// Reads the network figures from a span's attributes; `None` if one is missing.
#[must_use]
pub fn figures(attributes: &[Attribute]) -> Option<Figures> {
    let get = |key: &str| attributes.iter().find(|attribute| attribute.key == key);
    let ms = |key: &str| get(key).and_then(number);
    Some(Figures {
        total_ms: ms(keys::NETWORK_TOTAL_MS)?,
        uplink_ms: ms(keys::NETWORK_UPLINK_MS)?,
        downlink_ms: ms(keys::NETWORK_DOWNLINK_MS)?,
        error_ms: ms(keys::NETWORK_ERROR_MS)?,
        server_ms: ms(keys::SERVER_DURATION_MS),
        method: match get(keys::NETWORK_METHOD).map(|attribute| &attribute.value) {
            Some(AttributeValue::String(method)) => method.clone(),
            _ => String::new(),
        },
    })
}

fn number(attribute: &Attribute) -> Option<f64> {
    match attribute.value {
        AttributeValue::Double(value) if value.is_finite() => Some(value),
        AttributeValue::Int(value) => Some(value as f64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(key: impl Into<String>, value: f64) -> Attribute {
        Attribute { key: key.into(), value: AttributeValue::Double(value) }
    }

    fn phase(phase: Phase, ms: f64) -> Attribute {
        double(format!("{}{}_ms", keys::PHASE_PREFIX, phase.as_str()), ms)
    }

    #[test]
    fn segments_are_contiguous_and_in_phase_order() {
        let segments = segments(&[
            phase(Phase::Download, 3.0),
            phase(Phase::Server, 34.0),
            phase(Phase::Downlink, 20.0),
            phase(Phase::Uplink, 21.0),
            phase(Phase::Stall, 6.0),
            phase(Phase::Dns, 0.0),
            phase(Phase::Tls, f64::NAN),
        ]);
        let seen: Vec<_> = segments.iter().map(|s| (s.phase, s.start_ms)).collect();
        assert_eq!(
            seen,
            [
                (Phase::Stall, 0.0),
                (Phase::Uplink, 6.0),
                (Phase::Server, 27.0),
                (Phase::Downlink, 61.0),
                (Phase::Download, 81.0)
            ]
        );
    }

    #[test]
    fn every_phase_becomes_a_segment() {
        for known in Phase::ALL {
            let drawn = segments(&[phase(known, 1.0)]);
            assert_eq!(drawn, [Segment { phase: known, start_ms: 0.0, ms: 1.0 }]);
        }
    }

    #[test]
    fn network_figures_are_formatted_for_the_label() {
        let mut attributes = vec![
            double(keys::NETWORK_TOTAL_MS, 41.0),
            double(keys::NETWORK_UPLINK_MS, 21.2),
            double(keys::NETWORK_DOWNLINK_MS, 19.8),
            double(keys::NETWORK_ERROR_MS, 1.7),
            double(keys::SERVER_DURATION_MS, 34.0),
        ];
        assert_eq!(figures(&attributes).unwrap().line(), "up 21±2 · 34 · down 20±2");
        attributes.remove(0);
        assert_eq!(figures(&attributes), None);
    }
}
