//! Clicks, submits and keys on buttons, as root spans of the requests they cause. An action without children is not
//! recorded.

use throughline_context::keys;
use wasm_bindgen::JsValue;

use super::{
    Tracer,
    action::two_words,
    active::ActiveKind,
    js::{self, Name, Tag},
};
use crate::context;

/// The selector of elements whose use is an action.
const ACTIONABLE: &str = "button,a,summary,form,input,select,[role],[data-action]";
/// The maximum length of a label that is used as a name, bytes.
const LABEL_LIMIT_BYTES: usize = 40;

impl Tracer {
    /// Handles a click or submit.
    pub(super) fn on_action(&mut self, event: &JsValue) {
        // A click made by a program is not a user action.
        if !js::is(event, Name::IsTrusted) || context::attached().is_some() {
            return;
        }
        let element = js::call(&js::get(event, Name::Target), Name::Closest, &[&ACTIONABLE.into()]);
        if !element.is_object() {
            return;
        }
        let is_submit = js::get(event, Name::Type) == "submit";
        if is_submit && let Some(scope) = self.ambient_of(ActiveKind::Action) {
            // A form is submitted by a click on its button, which has the better name.
            // default: the action has no name, so the submit has none
            let name = scope.span.attributes.get_text(keys::ACTION_NAME).unwrap_or_default();
            scope.span.name = two_words("submit", &name);
            scope.span.attributes.set(keys::ACTION_KIND, "submit");
            return;
        }
        let kind = match () {
            () if is_submit => "submit",
            // A click without a pointer comes from the keyboard.
            () if js::number(event, Name::Detail) > 0.0 => "click",
            () => "key",
        };
        let span = self.action_span(None, kind, &self.stable_name(&element));
        let number = self.begin_scope(ActiveKind::Action, span, 0);
        js::after(0.0, Tag::ActionOver, number);
    }

    /// Handles the end of an action's task: the previous parent is restored.
    pub(super) fn action_over(&mut self, number: u32) {
        if self.ambient == number {
            self.ambient = self.find(number).map_or(0, |scope| scope.before);
        }
        self.release(number);
    }

    /// Returns a name that is the same for all users and contains no text typed by them: `data-action`, else
    /// `aria-label`, else the id, the name, the text of a button, the route template of a link's target, or the kind of
    /// element.
    fn stable_name(&self, element: &JsValue) -> String {
        for attribute in ["data-action", "aria-label", "id", "name"] {
            let value = js::call(element, Name::GetAttribute, &[&attribute.into()]);
            if let Some(value) = value.as_string().filter(|value| !value.is_empty()) {
                return value;
            }
        }
        // default: a target that is not an element has no kind
        let kind = js::text(element, Name::LocalName).unwrap_or_default();
        // The text of a link or a summary may come from a user; that of a button comes from the application.
        if kind == "button"
            && let Some(label) = js::text(element, Name::TextContent)
            && label.len() <= LABEL_LIMIT_BYTES
            && !label.trim_ascii().is_empty()
        {
            return label.trim_ascii().to_owned();
        }
        // The application has templates only for links within its own site.
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
