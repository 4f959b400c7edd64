//! Route templates, each kept once: spans and metrics take them without a copy for each request.

use std::{borrow::Cow, fmt, sync::OnceLock};

use crate::{
    methods::{COUNT, name_of},
    metrics::AllSeries,
    slots::Slots,
};

/// How many templates are kept, and become labels of metrics. A router has fewer; a template made of what clients send has not.
const MAX_ROUTES: usize = 1_000;

/// Longer templates are not kept: what is kept stays, with a name for each method.
const MAX_TEMPLATE_BYTES: usize = 256;
/// Places for them: twice as many, so that few have to be looked at.
const PLACES: usize = 2_048;

/// The templates that were seen so far.
///
/// What is kept is never given back: it is bounded, it is needed as long as requests come, which is as long as the process runs as
/// a rule, and only a text that lives so long is taken by the SDK without a copy.
#[derive(Debug)]
pub(crate) struct Routes(Slots<&'static str, &'static Kept>);

pub(crate) struct Kept {
    template: &'static str,
    /// Names of spans, by method.
    names: [OnceLock<&'static str>; COUNT],
    #[cfg_attr(
        not(feature = "bound-instruments"),
        expect(dead_code, reason = "only bound instruments keep something")
    )]
    series: AllSeries,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kept").field(&self.template).finish()
    }
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

    #[cfg(feature = "bound-instruments")]
    pub(crate) fn series(self) -> &'static AllSeries {
        &self.0.series
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
    pub(crate) fn new() -> Self {
        Self(Slots::new(MAX_ROUTES, PLACES))
    }

    pub(crate) fn get(&self, template: &str) -> KnownRoute {
        if template.len() > MAX_TEMPLATE_BYTES {
            return KnownRoute::Other(template.to_owned());
        }
        let keep = || {
            let template: &'static str = template.to_owned().leak();
            let kept: &'static Kept =
                Box::leak(Box::new(Kept { template, names: Default::default(), series: AllSeries::new() }));
            (template, kept)
        };
        match self.0.get_or_insert_with(hash(template), |known| *known == template, keep) {
            Some(kept) => KnownRoute::Kept(Template(kept)),
            None => KnownRoute::Other(template.to_owned()),
        }
    }
}

/// FNV-1a: templates are short, and the application's own.
fn hash(text: &str) -> usize {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_kept_once_and_the_kept_are_bounded() {
        let routes = Routes::new();
        let kept = |route: KnownRoute| match route {
            KnownRoute::Kept(template) => Some(template.as_str()),
            KnownRoute::Other(_) => None,
        };
        for number in 0..2 * MAX_ROUTES {
            let template = format!("/{number}");
            let route = routes.get(&template);
            assert_eq!(route.text(), template);
            assert_eq!(kept(route).is_some(), number < MAX_ROUTES);
        }
        let first = || kept(routes.get("/0")).map(str::as_ptr);
        assert!(first().is_some());
        assert_eq!(first(), first());
    }

    #[test]
    fn a_long_template_is_not_kept() {
        let [longest, longer] = [MAX_TEMPLATE_BYTES, MAX_TEMPLATE_BYTES + 1].map(|bytes| "/".repeat(bytes));
        let routes = Routes::new();
        assert!(matches!(routes.get(&longest), KnownRoute::Kept(_)));
        assert!(matches!(routes.get(&longer), KnownRoute::Other(text) if text == longer));
    }

    #[test]
    fn names_have_method_and_template() {
        let routes = Routes::new();
        for _ in 0..2 {
            assert_eq!(routes.get("/a/{id}").span_name(0), "GET /a/{id}");
            assert_eq!(routes.get("/a/{id}").span_name(1), "POST /a/{id}");
            assert_eq!(routes.get("/a/{id}").span_name(COUNT - 1), "HTTP /a/{id}");
        }
        assert_eq!(KnownRoute::Other("/b".to_owned()).span_name(0), "GET /b");
    }
}
