//! Changes of route inside the page.

use super::{
    Tracer,
    action::two_words,
    active::{Active, What},
    platform, with,
};
use crate::{context, record::Kind};

#[cfg(feature = "navigation")]
/// Watches the address: by the Navigation API, or, where the browser has none, by the History API.
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

/// Says that the route changed inside the page, to `route` (a template such as `/{handle}`). What is fetched until that
/// settles becomes a child of the span `navigate {route}`.
///
/// Where the change of the address is seen too, before or after, both are one.
pub fn navigation(route: &str) {
    with(|tracer| {
        if tracer.ambient_of(What::Route).is_none_or(|scope| scope.is_named) {
            tracer.begin_route();
        }
        if let Some(scope) = tracer.ambient_of(What::Route) {
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
    /// The address may have changed.
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
        if self.ambient_of(What::Route).is_none_or(|scope| !scope.is_named || scope.is_there) {
            self.begin_route();
        }
        let route = self.config.route.and_then(|route| route(&self.path));
        if let Some(scope) = self.ambient_of(What::Route) {
            scope.is_there = true;
            if let Some(route) = route.filter(|_| !scope.is_named) {
                name(scope, &route);
            }
        }
    }

    pub(super) fn ignores_page(&self) -> bool {
        self.config.ignore_page.is_some_and(|ignores| ignores(&self.path))
    }

    /// Begins the span of a route change: a child of the action that led to it, if that is known.
    fn begin_route(&mut self) {
        let parent = context::attached().unwrap_or_else(|| match self.ambient_of(What::Action) {
            Some(_) => self.ambient_context(),
            None => context::Context::default(),
        });
        let mut span = self.start(parent.span, "navigate".to_owned(), Kind::Internal);
        platform::describe_network(&mut span.attributes);
        let number = self.begin_scope(What::Route, span, parent.scope);
        self.release(number);
    }
}
