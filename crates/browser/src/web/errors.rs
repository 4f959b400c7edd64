//! Errors of the page, as `exception` events in the span in which they occurred.

use std::panic::{self, PanicHookInfo};

use js_sys::Array;
use throughline_context::keys;
use wasm_bindgen::JsValue;

use super::{
    Tracer,
    action::two_words,
    js::{self, Name},
    platform, with,
};
use crate::{attributes::Attributes, record::Severity, repeat::hash, session::decimal};

/// The length of the part of a stack trace that identifies an error, bytes: the rest is the same for many errors.
const STACK_HEAD_BYTES: usize = 200;

/// The maximum number of stack frames of a panic.
const PANIC_FRAMES: u32 = 40;

/// Installs a panic hook that calls the previous one afterwards.
pub(super) fn hook() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        panicked(info);
        before(info);
    }));
}

/// Records a panic and sends it at once, because the WASM may not run after it.
fn panicked(info: &PanicHookInfo<'_>) {
    let mut place = String::new();
    if let Some(location) = info.location() {
        place.push_str(location.file());
        for number in [location.line(), location.column()] {
            place.push(':');
            decimal(&mut place, u64::from(number));
        }
        place.push('\n');
    }
    // By default the browser keeps only the first frames, which are those of the panic handler.
    js::set_named(&js::get(&js::window(), Name::ErrorClass), "stackTraceLimit", &PANIC_FRAMES.into());
    place.push_str(&js::word(&js::new(Name::ErrorClass, &[]), Name::Stack));
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    with(|tracer| {
        tracer.panicked = true;
        tracer.exception("panic", "panic", message, Some(&place), Severity::Error);
        tracer.send_all(false);
    });
}

impl Tracer {
    /// Queues an `exception` event. A repeated error is reported only at each doubling.
    fn exception(&mut self, source: &str, kind: &str, message: &str, stack: Option<&str>, severity: Severity) {
        let stack_bytes = stack.map_or(&[][..], str::as_bytes);
        let place = stack_bytes.get(..STACK_HEAD_BYTES).unwrap_or(stack_bytes);
        let hash = hash(&[source.as_bytes(), kind.as_bytes(), message.as_bytes(), place]);
        let Some(count) = self.repeats.count(hash) else { return };
        let mut attributes = Attributes::default();
        attributes.text("exception.type", kind);
        attributes.text("exception.message", message);
        attributes.text_opt("exception.stacktrace", stack);
        attributes.text(keys::ERROR_SOURCE, source);
        if count > 1 {
            attributes.int(keys::ERROR_COUNT, i64::from(count));
        }
        attributes.text("url.path", &self.path());
        self.emit_now("exception", severity, attributes);
    }

    /// Handles `error` events: uncaught errors, and resources that failed to load.
    pub(super) fn error_event(&mut self, event: &JsValue) {
        let target = js::get(event, Name::Target);
        if let Some(element) = js::text(&target, Name::LocalName) {
            // default: an element without a URL is reported without one
            let url = js::text(&target, Name::Src).or_else(|| js::text(&target, Name::Href)).unwrap_or_default();
            let message = self.redacted(&url);
            self.exception("resource", &two_words("resource", &element), &message, None, Severity::Error);
        } else {
            self.thrown("error", &js::get(event, Name::Error), js::text(event, Name::Message));
        }
    }

    /// Handles an unhandled rejection of a promise.
    pub(super) fn rejection(&mut self, event: &JsValue) {
        self.thrown("unhandledrejection", &js::get(event, Name::Reason), None);
    }

    fn thrown(&mut self, source: &str, error: &JsValue, message: Option<String>) {
        let kind = platform::error_name(error);
        let kind = kind.as_deref().unwrap_or("Error");
        // A panic is followed by a `RuntimeError` of the browser, which has less information.
        if kind == "RuntimeError" && std::mem::take(&mut self.panicked) {
            return;
        }
        let stack = if error.is_object() { js::text(error, Name::Stack) } else { None };
        let message = message.unwrap_or_else(|| platform::as_text(error));
        self.exception(source, kind, &message, stack.as_deref(), Severity::Error);
    }

    /// Handles a violation of the page's content security policy.
    pub(super) fn policy_violated(&mut self, event: &JsValue) {
        let blocked = self.redacted(&js::word(event, Name::BlockedUri));
        let message = two_words(&js::word(event, Name::EffectiveDirective), &blocked);
        // A report-only policy has no effect on the page.
        let is_report = js::get(event, Name::Disposition) == "report";
        let severity = if is_report { Severity::Warn } else { Severity::Error };
        self.exception("csp", "SecurityPolicyViolation", &message, None, severity);
    }

    /// Handles a call of `console.error`.
    pub(super) fn console_called(&mut self, arguments: &Array) {
        let mut message = String::new();
        let mut stack = None;
        for argument in js::items(arguments.into()) {
            if !message.is_empty() {
                message.push(' ');
            }
            message.push_str(&platform::as_text(&argument));
            if argument.is_object() && stack.is_none() {
                stack = js::text(&argument, Name::Stack);
            }
        }
        self.exception("console", "console.error", &message, stack.as_deref(), Severity::Error);
    }
}

/// Records an error that the application has handled, as an `exception` event in the current span.
///
/// `kind` is the class of the error, such as `ParseError`. `message` must not contain text that a user typed.
pub fn record_error(kind: &str, message: &str) {
    with(|tracer| tracer.exception("application", kind, message, None, Severity::Error));
}
