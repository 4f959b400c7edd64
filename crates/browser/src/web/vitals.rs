//! Web vitals and long frames from the performance timeline.

use wasm_bindgen::JsValue;

use super::{
    Tracer, document,
    js::{self, Name},
    platform,
};
use crate::{
    attributes::Attributes,
    record::{Event, Severity},
    session::{decimal, push_hex},
    vitals::{Interactions, LayoutShift, rating},
};

/// The minimum duration of an interaction that is observed, milliseconds.
pub(super) const EVENT_THRESHOLD_MS: f64 = 40.0;

/// The maximum number of long frames that are reported for one page.
const MAX_FRAMES: u32 = 50;
/// The maximum number of scripts that are reported for one frame.
const MAX_SCRIPTS: usize = 5;

/// The state of the web vitals of the page.
#[derive(Default)]
pub(super) struct Vitals {
    shifts: LayoutShift,
    shift_target: Option<String>,
    shift_ms: f64,
    interactions: Interactions<JsValue>,
    /// The number of interactions before the page was restored from the back/forward cache.
    interactions_before: f64,
    /// The entry of the largest contentful paint.
    largest_paint: JsValue,
    first_paint_ms: f64,
    /// Whether later paints are ignored: after an interaction, or after the page was hidden.
    pub(super) paints_are_over: bool,
    /// The value last reported of each metric.
    reported: [Option<f64>; 5],
    frames: u32,
    /// Whether the page came from the back/forward cache.
    restored: bool,
}

const PREFIX: &str = "browser.web_vital.";
const ATTRIBUTION: &str = "browser.web_vital.attribution.";
const FRAME: &str = "browser.long_animation_frame.";

fn key(prefix: &str, end: &str) -> String {
    let mut key = prefix.to_owned();
    key.push_str(end);
    key
}

/// The attribution of a value: attributes that explain it.
#[derive(Default)]
struct Attribution(Attributes);

impl Attribution {
    /// Sets a duration; a negative one becomes 0.
    fn duration(&mut self, end: &str, ms: f64) {
        self.0.double(&key(ATTRIBUTION, end), ms.max(0.0));
    }

    /// Sets durations between two times of an entry.
    fn durations(&mut self, entry: &JsValue, parts: &[(&str, Name, Name)]) {
        for (end, from, to) in parts {
            self.duration(end, js::number(entry, *to) - js::number(entry, *from));
        }
    }

    /// Sets a text, if it is `Some`.
    fn text(&mut self, end: &str, text: Option<&str>) {
        self.0.text_opt(&key(ATTRIBUTION, end), text);
    }
}

impl Tracer {
    /// Resets the web vitals for a page from the back/forward cache, which has no first paint.
    pub(super) fn begin_vitals_again(&mut self) {
        let interactions_before = js::number(&self.performance, Name::InteractionCount);
        self.vitals = Vitals { interactions_before, paints_are_over: true, restored: true, ..Vitals::default() };
    }

    /// Handles an entry that is not a request.
    pub(super) fn on_entry(&mut self, kind: &str, entry: JsValue) {
        let start_ms = js::number(&entry, Name::StartTime);
        let vitals = &mut self.vitals;
        match kind {
            "layout-shift"
                if !js::is(&entry, Name::HadRecentInput)
                    && vitals.shifts.shift(js::number(&entry, Name::Value), start_ms) =>
            {
                // default: undefined, whose properties are undefined too
                let source = js::items(js::get(&entry, Name::Sources)).next().unwrap_or_default();
                vitals.shift_target = platform::selector(&js::get(&source, Name::Node));
                vitals.shift_ms = start_ms;
            }
            "largest-contentful-paint" if !vitals.paints_are_over => vitals.largest_paint = entry,
            "paint" if !vitals.paints_are_over && js::get(&entry, Name::NameOf) == "first-contentful-paint" => {
                vitals.first_paint_ms = start_ms;
            }
            "event" | "first-input" => {
                let id = js::number(&entry, Name::InteractionId);
                if id > 0.0 || kind == "first-input" {
                    vitals.paints_are_over = true;
                    vitals.interactions.event(id as u32, js::number(&entry, Name::Duration), entry);
                }
            }
            "long-animation-frame" | "longtask" => self.long_frame(kind, &entry, start_ms),
            _ => {}
        }
    }

    fn long_frame(&mut self, kind: &str, entry: &JsValue, start_ms: f64) {
        let duration_ms = js::number(entry, Name::Duration);
        if duration_ms < self.config.long_frame_ms || self.vitals.frames >= MAX_FRAMES {
            return;
        }
        self.vitals.frames += 1;
        let mut attributes = Attributes::default();
        let mut name = "browser.long_task";
        if kind == "longtask" {
            attributes.double("browser.long_task.duration", duration_ms);
        } else {
            name = "browser.long_animation_frame";
            attributes.double(&key(FRAME, "duration"), duration_ms);
            attributes.double(&key(FRAME, "blocking_duration"), js::number(entry, Name::BlockingDuration));
            let mut scripts = js::items(js::get(entry, Name::Scripts)).take(MAX_SCRIPTS).map(|script| {
                // `120 ms BUTTON#send.onclick send https://…/app.js`.
                let mut words = String::new();
                decimal(&mut words, js::number(&script, Name::Duration) as u64);
                words.push_str(" ms");
                for name in [Name::Invoker, Name::SourceFunctionName, Name::SourceUrl] {
                    let word = js::word(&script, name);
                    words.push(' ');
                    // An invoker is a URL, or an element as `BUTTON#send.onclick`.
                    words.push_str(&if word.starts_with("http") { self.redacted(&word) } else { word });
                }
                words
            });
            attributes.texts(&key(FRAME, "scripts"), &mut scripts);
        }
        let time_ns = self.timeline.unix_ns(start_ms);
        self.emit(Event { name, time_ns, attributes, severity: Severity::Info, span: self.page });
    }

    /// Reports the current values, because the page may be closed without a further event. Values that have not changed
    /// since the last report are omitted.
    pub(super) fn report_vitals(&mut self) {
        if !self.config.vitals || self.page.is_none() {
            return;
        }
        let page = document::navigation_entry(&self.performance).timing;
        let activation_ms = js::number(&page, Name::ActivationStart);
        let since = |page_ms: f64| (page_ms - activation_ms).max(0.0);
        let first_byte_ms = since(js::number(&page, Name::ResponseStart));
        let vitals = &mut self.vitals;
        vitals.paints_are_over = true;
        let mut all = Vec::new();
        if !vitals.restored {
            let mut attribution = Attribution::default();
            attribution.duration("waiting_duration", since(js::number(&page, Name::FetchStart)));
            attribution.durations(
                &page,
                &[
                    ("dns_duration", Name::DomainLookupStart, Name::DomainLookupEnd),
                    ("connection_duration", Name::ConnectStart, Name::ConnectEnd),
                    ("request_duration", Name::RequestStart, Name::ResponseStart),
                ],
            );
            all.push((0, "ttfb", first_byte_ms, attribution));
        }
        if vitals.first_paint_ms > 0.0 {
            let value = since(vitals.first_paint_ms);
            let mut attribution = Attribution::default();
            attribution.duration("time_to_first_byte", first_byte_ms);
            attribution.duration("first_byte_to_fcp", value - first_byte_ms);
            all.push((1, "fcp", value, attribution));
        }
        let mut attribution = Attribution::default();
        attribution.duration("largest_shift_value", vitals.shifts.largest);
        attribution.duration("largest_shift_time", vitals.shift_ms);
        attribution.text("largest_shift_target", vitals.shift_target.as_deref());
        all.push((2, "cls", vitals.shifts.value, attribution));
        let count = js::number(&self.performance, Name::InteractionCount) - vitals.interactions_before;
        if let Some((duration_ms, entry)) = vitals.interactions.counting(count as u32) {
            let mut attribution = Attribution::default();
            attribution.text("interaction_type", js::text(entry, Name::NameOf).as_deref());
            attribution.text("interaction_target", platform::selector(&js::get(entry, Name::Target)).as_deref());
            attribution.durations(
                entry,
                &[
                    ("input_delay", Name::StartTime, Name::ProcessingStart),
                    ("processing_duration", Name::ProcessingStart, Name::ProcessingEnd),
                ],
            );
            let ends_ms = js::number(entry, Name::StartTime) + duration_ms;
            attribution.duration("presentation_delay", ends_ms - js::number(entry, Name::ProcessingEnd));
            all.push((3, "inp", duration_ms, attribution));
        }
        let paint = vitals.largest_paint.clone();
        if paint.is_object() {
            let value = since(js::number(&paint, Name::StartTime));
            let mut attribution = Attribution::default();
            attribution.text("target", platform::selector(&js::get(&paint, Name::Element)).as_deref());
            attribution.duration("time_to_first_byte", first_byte_ms);
            let (mut asked_ms, mut loaded_ms) = (first_byte_ms, first_byte_ms);
            if let Some(url) = js::text(&paint, Name::Url) {
                let entries = js::call(&self.performance, Name::GetEntriesByName, &[&(*url).into()]);
                if let Some(entry) = js::items(entries).next() {
                    asked_ms = since(js::number(&entry, Name::StartTime)).max(first_byte_ms);
                    loaded_ms = since(js::number(&entry, Name::ResponseEnd)).min(value).max(asked_ms);
                }
                attribution.text("url", Some(&self.redacted(&url)));
            }
            attribution.duration("resource_load_delay", asked_ms - first_byte_ms);
            attribution.duration("resource_load_duration", loaded_ms - asked_ms);
            attribution.duration("element_render_delay", value - loaded_ms);
            all.push((4, "lcp", value, attribution));
        }
        let kind = match () {
            () if self.vitals.restored => "back_forward_cache".to_owned(),
            () if activation_ms > 0.0 => "prerender".to_owned(),
            () => js::word(&page, Name::Type),
        };
        for (index, name, value, attribution) in all {
            self.report_vital(index, name, value, attribution.0, &kind);
        }
    }

    fn report_vital(&mut self, index: usize, name: &str, value: f64, mut attributes: Attributes, kind: &str) {
        let before = self.vitals.reported.get_mut(index).and_then(|reported| reported.replace(value));
        let delta = value - before.unwrap_or(0.0);
        if before.is_some() && delta.abs() < f64::EPSILON {
            return;
        }
        // The id of the metric instance: one for each page view, which is identified by its span.
        let mut id = String::new();
        if let Some(page) = self.page {
            push_hex(&mut id, &page.span_id.to_hex());
        }
        for (end, value) in [("value", value), ("delta", delta)] {
            attributes.double(&key(PREFIX, end), value);
        }
        for (end, text) in [("name", name), ("rating", rating(name, value)), ("navigation_type", kind), ("id", &*id)] {
            attributes.text(&key(PREFIX, end), text);
        }
        let (time_ns, span) = (self.timeline.now_ns(), self.page);
        self.emit(Event { name: "browser.web_vital", time_ns, attributes, severity: Severity::Info, span });
    }
}
