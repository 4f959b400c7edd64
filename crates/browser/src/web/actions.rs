//! Clicks, submits and keys on buttons, as the roots of what follows from them. Where nothing follows, nothing is told.

use throughline_context::keys;
use wasm_bindgen::JsValue;

use super::{
    Tracer,
    action::two_words,
    active::What,
    js::{self, Name, Tag},
};
use crate::context;

/// What can be acted upon.
const ACTIONABLE: &str = "button,a,summary,form,input,select,[role],[data-action]";
/// A longer label is no label, bytes.
const LABEL_LIMIT_BYTES: usize = 40;

impl Tracer {
    /// Somebody acts.
    pub(super) fn acted(&mut self, event: &JsValue) {
        // A program that clicks is no person.
        if !js::is(event, Name::IsTrusted) || context::attached().is_some() {
            return;
        }
        let element = js::call(&js::get(event, Name::Target), Name::Closest, &[&ACTIONABLE.into()]);
        if !element.is_object() {
            return;
        }
        let is_submit = js::get(event, Name::Type) == "submit";
        if is_submit && let Some(scope) = self.ambient_of(What::Action) {
            // A form is submitted by a click on its button, which says better what it is.
            // default: an action without a name gives the submit none
            let name = scope.span.attributes.get_text(keys::ACTION_NAME).unwrap_or_default();
            scope.span.name = two_words("submit", &name);
            scope.span.attributes.set(keys::ACTION_KIND, "submit");
            return;
        }
        let kind = match () {
            () if is_submit => "submit",
            // A click without a pointer is made by a key.
            () if js::number(event, Name::Detail) > 0.0 => "click",
            () => "key",
        };
        let span = self.action_span(None, kind, &self.stable_name(&element));
        let number = self.begin_scope(What::Action, span, 0);
        js::after(0.0, Tag::ActedOver, number);
    }

    /// The task of an action is over: what was the parent before is it again.
    pub(super) fn action_over(&mut self, number: u32) {
        if self.ambient == number {
            self.ambient = self.find(number).map_or(0, |scope| scope.before);
        }
        self.release(number);
    }

    /// A name that is the same tomorrow and for everybody, and that nobody typed: what the application says, else the label that
    /// it gave for those who cannot see, else the id, the name, the words on a button, the template of where a link leads, or
    /// what it is.
    fn stable_name(&self, element: &JsValue) -> String {
        for attribute in ["data-action", "aria-label", "id", "name"] {
            let value = js::call(element, Name::GetAttribute, &[&attribute.into()]);
            if let Some(value) = value.as_string().filter(|value| !value.is_empty()) {
                return value;
            }
        }
        // default: what is no element has no kind
        let kind = js::text(element, Name::LocalName).unwrap_or_default();
        // Words in a link or a summary may be somebody's; those on a button are the application's.
        if kind == "button"
            && let Some(label) = js::text(element, Name::TextContent)
            && label.len() <= LABEL_LIMIT_BYTES
            && !label.trim_ascii().is_empty()
        {
            return label.trim_ascii().to_owned();
        }
        // Only a link of this site leads where a template of the application's is.
        let template = self
            .config
            .route
            .filter(|_| js::text(element, Name::Origin).is_some_and(|origin| origin == self.page_origin));
        match template.and_then(|template_of| template_of(&js::text(element, Name::Pathname)?)) {
            Some(template) => two_words(&kind, &template),
            None => kind,
        }
    }
}
