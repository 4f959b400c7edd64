//! Route changes within the page.

use super::{
    Tracer,
    action::two_words,
    active::{Active, ActiveKind},
    platform, with,
};
use crate::{context, record::Kind};

#[cfg(feature = "navigation")]
/// Watches the page's URL with the Navigation API, or with the History API if the browser lacks it.
pub(super) fn start(window: &wasm_bindgen::JsValue) {
    use super::js::{self, Name, Tag};

    let navigation = js::get(window, Name::Navigation);
    if navigation.is_object() {
        js::listen(&navigation, "currententrychange", Tag::Navigated);
    } else {
        let history = js::get(window, Name::History);
        js::intercept(&history, "pushState", Tag::HistoryCalled);
        js::intercept(&history, "replaceState", Tag::HistoryCalled);
        js::listen(window, "popstate", Tag::Navigated);
    }
}

/// Records a route change within the page to `route`, a template such as `/{handle}`.
///
/// Requests that begin before it has settled, which is when all of its requests have ended, are children of the span
/// `navigate {route}`. If the tracer also detects the change of the URL, before or after this call, both become one
/// span.
pub fn navigation(route: &str) {
    with(|tracer| {
        if tracer.ambient_of(ActiveKind::Route).is_none_or(|scope| scope.is_named) {
            tracer.begin_route();
        }
        if let Some(scope) = tracer.ambient_of(ActiveKind::Route) {
            scope.is_named = true;
            name(scope, route);
        }
    });
}

fn name(scope: &mut Active, route: &str) {
    scope.span.name = two_words("navigate", route);
    scope.span.attributes.set("url.template", route.to_owned());
}

impl Tracer {
    #[cfg(feature = "navigation")]
    /// Handles a possible change of the page's URL.
    pub(super) fn navigated(&mut self) {
        let path = platform::path();
        // The query and the fragment are a state of the same page.
        if self.path == path {
            return;
        }
        self.path = path;
        if self.ignores_page() {
            return;
        }
        if self.ambient_of(ActiveKind::Route).is_none_or(|scope| !scope.is_named || scope.url_changed) {
            self.begin_route();
        }
        let route = self.config.route.and_then(|route| route(&self.path));
        if let Some(scope) = self.ambient_of(ActiveKind::Route) {
            scope.url_changed = true;
            if let Some(route) = route.filter(|_| !scope.is_named) {
                name(scope, &route);
            }
        }
    }

    pub(super) fn ignores_page(&self) -> bool {
        self.config.ignore_page.is_some_and(|ignores| ignores(&self.path))
    }

    /// Begins the span of a route change, a child of the action that caused it, if that is known.
    fn begin_route(&mut self) {
        let parent = context::attached().unwrap_or_else(|| match self.ambient_of(ActiveKind::Action) {
            Some(_) => self.ambient_context(),
            None => context::Context::default(),
        });
        let mut span = self.start(parent.span, "navigate".to_owned(), Kind::Internal);
        platform::describe_network(&mut span.attributes);
        let number = self.begin_scope(ActiveKind::Route, span, parent.scope);
        self.release(number);
    }
}
