//! Route templates, each kept once: spans and metrics take them without a copy for each request.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{OnceLock, PoisonError, RwLock},
};

use crate::methods::{COUNT, name_of};

/// How many templates are kept, and become labels of metrics. A router has fewer; a template made of what clients send has not.
const MAX_ROUTES: usize = 1_000;

/// The templates that were seen so far.
///
/// What is kept is never given back: it is bounded, it is needed as long as requests come, which is as long as the process runs as
/// a rule, and only a text that lives so long is taken by the SDK without a copy.
#[derive(Debug, Default)]
pub(crate) struct Routes(RwLock<BTreeMap<&'static str, &'static Kept>>);

#[derive(Debug)]
struct Kept {
    template: &'static str,
    number: u16,
    /// Names of spans, by method.
    names: [OnceLock<&'static str>; COUNT],
}

/// A request's template.
#[derive(Clone, Debug)]
pub(crate) enum KnownRoute {
    /// One that is kept.
    Kept(Template),
    /// One more than are kept.
    Other(String),
}

/// A template that is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Template(&'static Kept);

impl Template {
    pub(crate) fn as_str(self) -> &'static str {
        self.0.template
    }

    /// From 1 on.
    pub(crate) fn number(self) -> u16 {
        self.0.number
    }
}

impl KnownRoute {
    pub(crate) fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Kept(template) => template.as_str().into(),
            Self::Other(template) => template.clone().into(),
        }
    }

    /// The name of a span: the method, given as an index into [`KNOWN`](crate::methods::KNOWN), and the template.
    pub(crate) fn span_name(&self, method: usize) -> Cow<'static, str> {
        let name = |template: &str| [name_of(method), " ", template].concat();
        match self {
            Self::Kept(Template(kept)) => match kept.names.get(method) {
                Some(place) => (*place.get_or_init(|| name(kept.template).leak())).into(),
                None => name(kept.template).into(),
            },
            Self::Other(template) => name(template).into(),
        }
    }
}

impl Routes {
    pub(crate) fn get(&self, template: &str) -> KnownRoute {
        // The map is whole at any time, also after a panic elsewhere.
        if let Some(kept) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(template) {
            return KnownRoute::Kept(Template(kept));
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another request may have been here in the meantime.
        if let Some(kept) = all.get(template) {
            return KnownRoute::Kept(Template(kept));
        }
        match u16::try_from(all.len() + 1) {
            Ok(number) if all.len() < MAX_ROUTES => {
                let template: &'static str = template.to_owned().leak();
                let kept: &'static Kept = Box::leak(Box::new(Kept { template, number, names: Default::default() }));
                all.insert(template, kept);
                KnownRoute::Kept(Template(kept))
            }
            _ => KnownRoute::Other(template.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(route: &KnownRoute) -> Option<u16> {
        match route {
            KnownRoute::Kept(template) => Some(template.number()),
            KnownRoute::Other(_) => None,
        }
    }

    #[test]
    fn a_template_is_kept_once_and_the_kept_are_bounded() {
        let routes = Routes::default();
        for number in 0..2 * MAX_ROUTES {
            routes.get(&format!("/{number}"));
        }
        assert_eq!(routes.0.read().unwrap().len(), MAX_ROUTES);
        assert_eq!(number(&routes.get("/0")), Some(1));
        assert_eq!(number(&routes.get("/999")), Some(1_000));
        let another = routes.get("/another");
        assert_eq!(number(&another), None);
        assert_eq!(another.text(), "/another");
    }

    #[test]
    fn names_have_method_and_template() {
        let routes = Routes::default();
        for _ in 0..2 {
            assert_eq!(routes.get("/a/{id}").span_name(0), "GET /a/{id}");
            assert_eq!(routes.get("/a/{id}").span_name(1), "POST /a/{id}");
            assert_eq!(routes.get("/a/{id}").span_name(COUNT - 1), "HTTP /a/{id}");
        }
        assert_eq!(KnownRoute::Other("/b".to_owned()).span_name(0), "GET /b");
    }
}
