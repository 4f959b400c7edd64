//! Web vitals and long frames, from the performance timeline.

use std::rc::Rc;

use wasm_bindgen::JsValue;

use super::{
    Tracer, document,
    js::{self, Name},
    observer::Entry,
    platform,
};
use crate::{
    attributes::Attributes,
    record::{Event, Severity},
    vitals::{Interactions, LayoutShift, rating},
};

/// Interactions that are shorter are not told, milliseconds.
pub(super) const EVENT_THRESHOLD_MS: f64 = 40.0;

/// At most so many long frames are told of one page.
const MAX_FRAMES: u32 = 50;
/// At most so many scripts of a frame.
const MAX_SCRIPTS: usize = 5;

/// What is known of an interaction.
struct Interaction {
    kind: String,
    target: Option<String>,
    start_ms: f64,
    processing_start_ms: f64,
    processing_end_ms: f64,
}

/// What is known of the page so far.
pub(super) struct Vitals {
    shifts: LayoutShift,
    shift_target: Option<String>,
    shift_ms: f64,
    interactions: Interactions<Interaction>,
    /// Interactions before this page was shown again.
    interactions_before: u32,
    largest_paint: JsValue,
    first_paint_ms: f64,
    /// No paint counts after somebody has acted, or has looked away.
    paints_are_over: bool,
    /// What was told last, by name.
    told: Vec<(&'static str, f64)>,
    frames: u32,
    restored: bool,
}

impl Default for Vitals {
    fn default() -> Self {
        Self {
            shifts: LayoutShift::default(),
            shift_target: None,
            shift_ms: 0.0,
            interactions: Interactions::new(),
            interactions_before: 0,
            largest_paint: JsValue::UNDEFINED,
            first_paint_ms: 0.0,
            paints_are_over: false,
            told: Vec::new(),
            frames: 0,
            restored: false,
        }
    }
}

/// The page is shown again, from the back/forward cache: a new life, without a first paint.
pub(super) fn begin_again(tracer: &Tracer) {
    let interactions_before = js::number(&tracer.performance, Name::InteractionCount) as u32;
    tracer.vitals.replace(Vitals { interactions_before, paints_are_over: true, restored: true, ..Vitals::default() });
}

/// How the page came to be shown, as web vitals name it.
pub(super) fn navigation_type(entry: &Entry, activation_ms: f64) -> String {
    if activation_ms > 0.0 {
        return "prerender".to_owned();
    }
    js::text(&entry.timing, Name::Type).unwrap_or_default().replace('_', "-")
}

/// The timeline tells of something other than a request.
pub(super) fn seen(tracer: &Rc<Tracer>, kind: &str, entry: &JsValue) {
    let start_ms = js::number(entry, Name::StartTime);
    let is_first_input = kind == "first-input";
    match kind {
        "layout-shift" => {
            if js::get(entry, Name::HadRecentInput).is_truthy() {
                return;
            }
            let mut vitals = tracer.vitals.borrow_mut();
            if vitals.shifts.shift(js::number(entry, Name::Value), start_ms) {
                let source = js::items(&js::get(entry, Name::Sources)).next().unwrap_or_default();
                vitals.shift_target = platform::selector(&js::get(&source, Name::Node));
                vitals.shift_ms = start_ms;
            }
        }
        "largest-contentful-paint" => {
            let mut vitals = tracer.vitals.borrow_mut();
            if !vitals.paints_are_over {
                vitals.largest_paint = entry.clone();
            }
        }
        "paint" => {
            let mut vitals = tracer.vitals.borrow_mut();
            if !vitals.paints_are_over && js::get(entry, Name::NameOf) == "first-contentful-paint" {
                vitals.first_paint_ms = start_ms;
            }
        }
        "event" | "first-input" => {
            let id = js::number(entry, Name::InteractionId) as u32;
            if id == 0 && !is_first_input {
                return;
            }
            let mut vitals = tracer.vitals.borrow_mut();
            vitals.paints_are_over = true;
            let interaction = Interaction {
                kind: js::text(entry, Name::NameOf).unwrap_or_default(),
                target: platform::selector(&js::get(entry, Name::Target)),
                start_ms,
                processing_start_ms: js::number(entry, Name::ProcessingStart),
                processing_end_ms: js::number(entry, Name::ProcessingEnd),
            };
            vitals.interactions.event(id, js::number(entry, Name::Duration), interaction);
        }
        "long-animation-frame" | "longtask" => long_frame(tracer, kind, entry, start_ms),
        _ => {}
    }
}

fn long_frame(tracer: &Rc<Tracer>, kind: &str, entry: &JsValue, start_ms: f64) {
    let duration_ms = js::number(entry, Name::Duration);
    {
        let mut vitals = tracer.vitals.borrow_mut();
        if duration_ms < tracer.config.long_frame_ms || vitals.frames >= MAX_FRAMES {
            return;
        }
        vitals.frames += 1;
    }
    let mut attributes = Attributes::default();
    let name = if kind == "longtask" {
        attributes.double("browser.long_task.duration", duration_ms);
        if let Some(culprit) = js::text(entry, Name::NameOf) {
            attributes.text("browser.long_task.name", &culprit);
        }
        "browser.long_task"
    } else {
        attributes.double("browser.long_animation_frame.duration", duration_ms);
        let blocking_ms = js::number(entry, Name::BlockingDuration);
        attributes.double("browser.long_animation_frame.blocking_duration", blocking_ms);
        let scripts: Vec<String> = js::items(&js::get(entry, Name::Scripts))
            .take(MAX_SCRIPTS)
            .map(|script| script_words(tracer, &script))
            .collect();
        attributes.set("browser.long_animation_frame.scripts", scripts);
        "browser.long_animation_frame"
    };
    let time_ns = tracer.timeline.unix_ns(start_ms);
    tracer.tell(Event { name: name.into(), time_ns, attributes, severity: Severity::Info, span: tracer.page.get() });
}

/// `120 ms BUTTON#send.onclick send https://…/app.js`.
fn script_words(tracer: &Tracer, script: &JsValue) -> String {
    let mut words = String::new();
    crate::session::decimal(&mut words, js::number(script, Name::Duration) as u64);
    words.push_str(" ms");
    for name in [Name::Invoker, Name::SourceFunctionName, Name::SourceUrl] {
        if let Some(word) = js::text(script, name) {
            words.push(' ');
            words.push_str(&tracer.redacted(&word));
        }
    }
    words
}

const PREFIX: &str = "browser.web_vital.";
const ATTRIBUTION: &str = "attribution.";

/// Attributes of a vital, by the ends of their keys.
struct Told {
    attributes: Attributes,
}

impl Told {
    fn key(end: &str, attribution: bool) -> String {
        let mut key = PREFIX.to_owned();
        if attribution {
            key.push_str(ATTRIBUTION);
        }
        key.push_str(end);
        key
    }

    fn why(&mut self, end: &str, value: f64) {
        self.attributes.double(&Self::key(end, true), value.max(0.0));
    }

    fn who(&mut self, end: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.attributes.text(&Self::key(end, true), value);
        }
    }
}

/// Tells what is known now: the page may never be heard of again. What has not changed since it was told is not told again.
pub(super) fn report(tracer: &Rc<Tracer>) {
    if !tracer.config.vitals || (tracer.page.get().is_none() && !tracer.vitals.borrow().restored) {
        return;
    }
    let Some(entry) = document::navigation_entry() else { return };
    let activation_ms = entry.number(Name::ActivationStart);
    let since = |page_ms: f64| (page_ms - activation_ms).max(0.0);
    let first_byte_ms = entry.number(Name::ResponseStart);
    let mut all: Vec<(&'static str, f64, Told)> = Vec::new();
    let told = || Told { attributes: Attributes::default() };
    let restored;
    {
        let mut vitals = tracer.vitals.borrow_mut();
        vitals.paints_are_over = true;
        restored = vitals.restored;
        if !restored && first_byte_ms > 0.0 {
            let mut why = told();
            why.why("waiting_duration", since(entry.number(Name::FetchStart)));
            why.why("dns_duration", entry.number(Name::DomainLookupEnd) - entry.number(Name::DomainLookupStart));
            why.why("connection_duration", entry.number(Name::ConnectEnd) - entry.number(Name::ConnectStart));
            why.why("request_duration", first_byte_ms - entry.number(Name::RequestStart));
            all.push(("ttfb", since(first_byte_ms), why));
        }
        if vitals.first_paint_ms > 0.0 {
            let mut why = told();
            why.why("time_to_first_byte", since(first_byte_ms));
            why.why("first_byte_to_fcp", vitals.first_paint_ms - first_byte_ms.max(activation_ms));
            all.push(("fcp", since(vitals.first_paint_ms), why));
        }
        if vitals.largest_paint.is_object() {
            all.push(largest_paint(tracer, &vitals.largest_paint, since(first_byte_ms), activation_ms, told()));
        }
        let mut why = told();
        why.why("largest_shift_value", vitals.shifts.largest());
        why.why("largest_shift_time", vitals.shift_ms);
        why.who("largest_shift_target", vitals.shift_target.as_deref());
        all.push(("cls", vitals.shifts.value, why));
        let count = js::number(&tracer.performance, Name::InteractionCount) as u32;
        if let Some((duration_ms, interaction)) =
            vitals.interactions.counting(count.saturating_sub(vitals.interactions_before))
        {
            let mut why = told();
            why.who("interaction_type", Some(&interaction.kind));
            why.who("interaction_target", interaction.target.as_deref());
            why.why("input_delay", interaction.processing_start_ms - interaction.start_ms);
            why.why("processing_duration", interaction.processing_end_ms - interaction.processing_start_ms);
            why.why("presentation_delay", interaction.start_ms + duration_ms - interaction.processing_end_ms);
            all.push(("inp", duration_ms, why));
        }
    }
    let kind = if restored { "back-forward-cache".to_owned() } else { navigation_type(&entry, activation_ms) };
    for (name, value, told) in all {
        tell(tracer, name, value, told.attributes, &kind);
    }
}

fn largest_paint(
    tracer: &Tracer,
    paint: &JsValue,
    first_byte_ms: f64,
    activation_ms: f64,
    mut told: Told,
) -> (&'static str, f64, Told) {
    let value = (js::number(paint, Name::StartTime) - activation_ms).max(0.0);
    told.who("target", platform::selector(&js::get(paint, Name::Element)).as_deref());
    told.why("time_to_first_byte", first_byte_ms);
    let (mut asked_ms, mut loaded_ms) = (first_byte_ms, first_byte_ms);
    if let Some(url) = js::text(paint, Name::Url) {
        told.who("url", Some(&tracer.redacted(&url)));
        let entries = js::call(&tracer.performance, Name::GetEntriesByName, &[&url.into()]).unwrap_or_default();
        if let Some(entry) = js::items(&entries).next() {
            let asked = Some(js::number(&entry, Name::RequestStart)).filter(|ms| *ms > 0.0);
            asked_ms =
                (asked.unwrap_or_else(|| js::number(&entry, Name::StartTime)) - activation_ms).max(first_byte_ms);
            loaded_ms = (js::number(&entry, Name::ResponseEnd) - activation_ms).clamp(asked_ms, value.max(asked_ms));
        }
    }
    told.why("resource_load_delay", asked_ms - first_byte_ms);
    told.why("resource_load_duration", loaded_ms - asked_ms);
    told.why("element_render_delay", value - loaded_ms);
    ("lcp", value, told)
}

fn tell(tracer: &Rc<Tracer>, name: &'static str, value: f64, mut attributes: Attributes, kind: &str) {
    let before = {
        let mut vitals = tracer.vitals.borrow_mut();
        let told = vitals.told.iter_mut().find(|(known, _)| *known == name);
        match told {
            Some((_, told)) => Some(std::mem::replace(told, value)),
            None => {
                vitals.told.push((name, value));
                None
            }
        }
    };
    let delta = value - before.unwrap_or_default();
    if before.is_some() && delta.abs() < f64::EPSILON {
        return;
    }
    let key = |end| Told::key(end, false);
    attributes.word(&key("name"), name);
    attributes.double(&key("value"), value);
    attributes.double(&key("delta"), delta);
    attributes.word(&key("rating"), rating(name, value));
    attributes.text(&key("navigation_type"), kind);
    if let Some(page) = tracer.page.get() {
        // One instance of the metric for each page view, and the view is known by its span.
        let id: String = page.span_id.to_hex().into_iter().map(char::from).collect();
        attributes.text(&key("id"), &id);
    }
    let time_ns = tracer.timeline.now_ns();
    tracer.tell(Event {
        name: "browser.web_vital".into(),
        time_ns,
        attributes,
        severity: Severity::Info,
        span: tracer.page.get(),
    });
}
