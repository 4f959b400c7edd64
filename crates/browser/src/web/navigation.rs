//! Changes of route inside the page.

use std::rc::Rc;

use super::{
    Tracer,
    js::{self, Name, Tag},
    platform,
    scope::{Root, RootScope},
    tracer,
};
use crate::{context, record::Kind};

/// Watches the address: by the Navigation API, or, where the browser has none, by the History API.
pub(super) fn start() {
    let navigation = js::get(&js::window(), Name::Navigation);
    if navigation.is_object() {
        js::listen(&navigation, "currententrychange", Tag::Navigated);
    } else {
        js::intercept(&js::get(&js::window(), Name::History), "pushState", Tag::HistoryCalled);
        js::listen(&js::window(), "popstate", Tag::Navigated);
    }
}

/// Says that the route changed inside the page, to `route` (a template such as `/{handle}`). What is fetched until that
/// settles becomes a child of the span `navigate {route}`.
///
/// Where the change of the address is seen too, before or after, both are one.
pub fn navigation(route: &str) {
    let Some(tracer) = tracer() else { return };
    let present = tracer.ambient.borrow().clone();
    let scope = match present {
        Some(scope) if scope.root() == Root::Route && !scope.is_named.get() => scope,
        _ => begin(&tracer),
    };
    name(&scope, route);
}

fn name(scope: &RootScope, route: &str) {
    scope.is_named.set(true);
    scope.with_span(|span| {
        let mut name = String::from("navigate ");
        name.push_str(route);
        span.name = name.into();
        span.attributes.set("url.template", route.to_owned());
    });
}

/// The address may have changed.
pub(super) fn navigated(tracer: &Rc<Tracer>) {
    let path = platform::path();
    // The query and the fragment are a state of the same page.
    if *tracer.address.borrow() == path {
        return;
    }
    tracer.address.replace(path.clone());
    if tracer.config.ignore_page.is_some_and(|ignores| ignores(&path)) {
        return;
    }
    let present = tracer.ambient.borrow().clone();
    if let Some(scope) =
        present.filter(|scope| scope.root() == Root::Route && scope.is_named.get() && !scope.is_there.get())
    {
        scope.is_there.set(true);
        return;
    }
    let scope = begin(tracer);
    scope.is_there.set(true);
    if let Some(route) = tracer.config.route.and_then(|route| route(&path)) {
        name(&scope, &route);
    }
}

/// Begins the span of a route change: a child of the action that led to it, if that is known.
fn begin(tracer: &Rc<Tracer>) -> Rc<RootScope> {
    let acting = tracer.ambient.borrow().clone().filter(|scope| scope.root() == Root::Action);
    let parent = context::attached().or_else(|| acting.map(|scope| scope.context())).unwrap_or_default();
    let mut span = tracer.start(&parent, "navigate", Kind::Internal);
    platform::describe_network(&mut span.attributes);
    let scope = RootScope::start(tracer, span, Root::Route, parent.scope);
    scope.release_soon(tracer);
    scope
}
