//! Clicks, submits and keys on buttons, as the roots of what follows from them. Where nothing follows, nothing is told.

use std::rc::Rc;

use throughline_context::keys;
use wasm_bindgen::JsValue;

use super::{
    Tracer,
    action::{self, action_name},
    js::{self, Name, Tag},
    platform,
    scope::{Root, RootScope},
};
use crate::context::{self, Context};

/// What can be acted upon.
const ACTIONABLE: &str = "button,a,summary,form,input[type=submit],input[type=button],input[type=checkbox],input[type=radio],select,[role=button],\
     [role=link],[role=menuitem],[role=tab],[data-action]";
/// A longer label is no label.
const LABEL_LIMIT_CHARS: usize = 40;

pub(super) fn start(tracer: &Tracer) {
    js::listen(&tracer.document, "click", Tag::Acted);
    js::listen(&tracer.document, "submit", Tag::Acted);
}

/// Somebody acts.
pub(super) fn acted(tracer: &Rc<Tracer>, event: &JsValue) {
    // A program that clicks is no person.
    if !js::get(event, Name::IsTrusted).is_truthy() || context::attached().is_some() {
        return;
    }
    let Some(element) = platform::closest(&js::get(event, Name::Target), ACTIONABLE) else { return };
    let is_submit = js::get(event, Name::Type) == "submit";
    let kind = match () {
        () if is_submit => "submit",
        // A click without a pointer is made by a key.
        () if js::number(event, Name::Detail) > 0.0 => "click",
        () => "key",
    };
    // A form is submitted by a click on its button, which says better what it is.
    let earlier = tracer.ambient.borrow().clone().filter(|scope| scope.root() == Root::Action);
    if is_submit && let Some(scope) = earlier {
        scope.with_span(|span| {
            let name = span.attributes.get_text(keys::ACTION_NAME).unwrap_or_default();
            span.name = action_name(kind, &name).into();
            span.attributes.set(keys::ACTION_KIND, kind);
        });
        return;
    }
    let span = action::start(tracer, &Context::default(), kind, &stable_name(&element));
    let scope = RootScope::start(tracer, span, Root::Action, None);
    scope.release_soon(tracer);
    let number = tracer.number();
    tracer.acting.replace(Some((number, scope)));
    js::after(0.0, Tag::ActedOver, number);
}

/// The task of an action is over: what was the parent before is it again.
pub(super) fn over(tracer: &Rc<Tracer>, number: u32) {
    let scope = {
        let mut acting = tracer.acting.borrow_mut();
        match acting.take() {
            Some((known, scope)) if known == number => scope,
            other => {
                *acting = other;
                return;
            }
        }
    };
    let is_ambient = tracer.ambient.borrow().as_ref().is_some_and(|ambient| Rc::ptr_eq(ambient, &scope));
    if is_ambient {
        let before = scope.before.take();
        tracer.ambient.replace(before);
    }
    super::scope::settle_soon(tracer, None);
}

/// A name that is the same tomorrow and for everybody, and that nobody typed: what the application says, else the label that
/// it gave for those who cannot see, else the id, the name, the words on a button, or what it is.
fn stable_name(element: &JsValue) -> String {
    let attribute = |name: &str| {
        let value = js::call(element, Name::GetAttribute, &[&name.into()]).ok()?.as_string()?;
        (!value.is_empty()).then_some(value)
    };
    let label = || {
        // Words in a link or a summary may be somebody's; those on a button are the application's.
        let is_button = js::get(element, Name::LocalName) == "button";
        let text = if is_button { js::text(element, Name::TextContent)? } else { return None };
        let text = text.trim();
        (!text.is_empty() && text.chars().count() <= LABEL_LIMIT_CHARS).then(|| text.to_owned())
    };
    ["data-action", "aria-label", "id", "name"]
        .into_iter()
        .find_map(attribute)
        .or_else(label)
        .or_else(|| js::text(element, Name::LocalName))
        .unwrap_or_default()
}
