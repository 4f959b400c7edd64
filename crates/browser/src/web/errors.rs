//! Whatever goes wrong in the page, as `exception` events in the span in which it did.

use std::{
    cell::Cell,
    panic::{self, PanicHookInfo},
    rc::Rc,
};

use throughline_context::keys;
use wasm_bindgen::JsValue;

use super::{
    Tracer,
    js::{self, Name, Tag},
    platform, sender, tracer,
};
use crate::{
    record::{Event, Severity},
    repeat::hash,
    session::decimal,
};

thread_local! {
    /// A panic becomes an error of the WebAssembly machine right after: the same thing, told again and worse.
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

pub(super) fn start(tracer: &Tracer) {
    let window = js::window();
    js::listen(&window, "error", Tag::Failed);
    js::listen(&window, "unhandledrejection", Tag::Rejected);
    js::listen(&tracer.document, "securitypolicyviolation", Tag::PolicyViolated);
    if tracer.config.console_errors {
        js::intercept(&js::get(&window, Name::Console), "error", Tag::ConsoleCalled);
    }
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        panicked(info);
        before(info);
    }));
}

/// What went wrong.
struct Exception<'a> {
    source: &'static str,
    kind: &'a str,
    message: &'a str,
    stack: Option<&'a str>,
    severity: Severity,
}

fn tell(tracer: &Rc<Tracer>, exception: &Exception<'_>) {
    let Exception { source, kind, message, stack, severity } = exception;
    // The head of a stack tells where; its foot is the same for all.
    let place = stack.map(|stack| stack.get(..200).unwrap_or(stack)).unwrap_or_default();
    let told = tracer.repeats.borrow_mut().tell(hash(&[source, kind, message, place]));
    let Some(count) = told else { return };
    let mut event = Event { name: "exception".into(), severity: *severity, ..tracer.event() };
    event.attributes.text("exception.type", kind);
    event.attributes.text("exception.message", message);
    if let Some(stack) = stack {
        event.attributes.text("exception.stacktrace", stack);
    }
    event.attributes.word(keys::ERROR_SOURCE, source);
    if count > 1 {
        event.attributes.int(keys::ERROR_COUNT, i64::from(count));
    }
    event.attributes.text("url.path", &platform::path());
    tracer.tell(event);
}

/// Rust code panicked: after this nothing of it may run any more, so it is sent at once.
fn panicked(info: &PanicHookInfo<'_>) {
    let Some(tracer) = tracer() else { return };
    PANICKED.set(true);
    let mut place = String::new();
    if let Some(location) = info.location() {
        place.push_str(location.file());
        for number in [location.line(), location.column()] {
            place.push(':');
            decimal(&mut place, u64::from(number));
        }
    }
    let error = js::new(Name::ErrorClass, &[]).unwrap_or_default();
    if let Some(stack) = js::text(&error, Name::Stack) {
        place.push('\n');
        place.push_str(&stack);
    }
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    tell(
        &tracer,
        &Exception { source: "panic", kind: "panic", message, stack: Some(&place), severity: Severity::Error },
    );
    sender::send_all(&tracer, false);
}

/// An uncaught error, or a resource that cannot be loaded: the same kind of event.
pub(super) fn failed(tracer: &Rc<Tracer>, event: &JsValue) {
    let target = js::get(event, Name::Target);
    if let Some(element) = js::text(&target, Name::LocalName) {
        let url = js::text(&target, Name::Src).or_else(|| js::text(&target, Name::Href)).unwrap_or_default();
        let message = tracer.redacted(&url);
        let kind = super::action::action_name("resource", &element);
        tell(
            tracer,
            &Exception { source: "resource", kind: &kind, message: &message, stack: None, severity: Severity::Error },
        );
        return;
    }
    let error = js::get(event, Name::Error);
    let message = js::text(event, Name::Message).unwrap_or_else(|| platform::as_text(&error));
    thrown(tracer, "error", &error, &message);
}

/// A promise was rejected, and nobody cared.
pub(super) fn rejected(tracer: &Rc<Tracer>, event: &JsValue) {
    let reason = js::get(event, Name::Reason);
    let message = platform::as_text(&reason);
    thrown(tracer, "unhandledrejection", &reason, &message);
}

fn thrown(tracer: &Rc<Tracer>, source: &'static str, error: &JsValue, message: &str) {
    let kind = platform::error_name(error).unwrap_or_else(|| "Error".to_owned());
    if kind == "RuntimeError" && PANICKED.replace(false) {
        return;
    }
    let stack = if error.is_object() { js::text(error, Name::Stack) } else { None };
    let exception = Exception { source, kind: &kind, message, stack: stack.as_deref(), severity: Severity::Error };
    tell(tracer, &exception);
}

/// Something was not loaded, or not run, because the page's content security policy forbids it.
pub(super) fn policy_violated(tracer: &Rc<Tracer>, event: &JsValue) {
    let directive = js::text(event, Name::EffectiveDirective).unwrap_or_default();
    let mut message = directive;
    message.push_str(" forbids ");
    message.push_str(&tracer.redacted(&js::text(event, Name::BlockedUri).unwrap_or_default()));
    // A policy that only reports has broken nothing.
    let severity = if js::get(event, Name::Disposition) == "report" { Severity::Warn } else { Severity::Error };
    tell(
        tracer,
        &Exception { source: "csp", kind: "SecurityPolicyViolation", message: &message, stack: None, severity },
    );
}

/// `console.error` was called.
pub(super) fn console_called(tracer: &Rc<Tracer>, arguments: &JsValue) {
    let mut message = String::new();
    let mut stack = None;
    for argument in js::items(arguments) {
        if !message.is_empty() {
            message.push(' ');
        }
        message.push_str(&platform::as_text(&argument));
        if argument.is_object() {
            stack = stack.or_else(|| js::text(&argument, Name::Stack));
        }
    }
    tell(
        tracer,
        &Exception {
            source: "console",
            kind: "console.error",
            message: &message,
            stack: stack.as_deref(),
            severity: Severity::Error,
        },
    );
}

/// Tells of an error that the application has dealt with: an `exception` event in the span that is current.
///
/// `kind` is the class of the error, such as `ParseError`; `message` must not hold what somebody typed.
pub fn record_error(kind: &str, message: &str) {
    if let Some(tracer) = tracer() {
        tell(&tracer, &Exception { source: "application", kind, message, stack: None, severity: Severity::Error });
    }
}
