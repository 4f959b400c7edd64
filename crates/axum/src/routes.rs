//! Route templates, each stored once, so that spans and metrics use them without a copy for each request.

use std::{borrow::Cow, fmt, sync::OnceLock};

use crate::{
    methods::{COUNT, name_of},
    metrics::AllSeries,
    slots::Slots,
};

/// The maximum number of templates stored and used as metric labels. A router has fewer; only templates built from
/// client input exceed it.
const MAX_ROUTES: usize = 1_000;

/// Longer templates are not stored, because stored ones are never freed, and each has a span name for each method.
const MAX_TEMPLATE_BYTES: usize = 256;
/// The number of cells: twice the number of templates, so that searches are short.
const CELLS: usize = 2_048;

/// The templates seen so far.
///
/// Stored templates are leaked: their number is bounded, they are needed as long as requests arrive, which is usually
/// the life of the process, and the SDK accepts only `'static` text without a copy.
#[derive(Debug)]
pub(crate) struct Routes(Slots<&'static str, &'static Kept>);

pub(crate) struct Kept {
    template: &'static str,
    /// The span names, by method.
    names: [OnceLock<&'static str>; COUNT],
    #[cfg_attr(not(feature = "bound-instruments"), expect(dead_code, reason = "only bound instruments store series"))]
    series: AllSeries,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kept").field(&self.template).finish()
    }
}

/// The template of a request.
#[derive(Clone, Debug)]
pub(crate) enum KnownRoute {
    /// A stored template.
    Kept(Template),
    /// A template that is not stored, because of its length or because the store is full.
    Other(String),
}

/// A stored template.
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

    /// Returns the span name: the method, given as an index into [`KNOWN`](crate::methods::KNOWN), and the template.
    pub(crate) fn span_name(&self, method: usize) -> Cow<'static, str> {
        let name = |template: &str| [name_of(method), " ", template].concat();
        match self {
            Self::Kept(Template(kept)) => match kept.names.get(method) {
                Some(cell) => (*cell.get_or_init(|| name(kept.template).leak())).into(),
                None => name(kept.template).into(),
            },
            Self::Other(template) => name(template).into(),
        }
    }
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self(Slots::new(MAX_ROUTES, CELLS))
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

/// Returns the FNV-1a hash. Templates are short and come from the application, so it need not resist collisions.
fn hash(text: &str) -> usize {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_stored_once_and_their_number_is_bounded() {
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
    fn a_long_template_is_not_stored() {
        let [longest, longer] = [MAX_TEMPLATE_BYTES, MAX_TEMPLATE_BYTES + 1].map(|bytes| "/".repeat(bytes));
        let routes = Routes::new();
        assert!(matches!(routes.get(&longest), KnownRoute::Kept(_)));
        assert!(matches!(routes.get(&longer), KnownRoute::Other(text) if text == longer));
    }

    #[test]
    fn span_names_have_method_and_template() {
        let routes = Routes::new();
        for _ in 0..2 {
            assert_eq!(routes.get("/a/{id}").span_name(0), "GET /a/{id}");
            assert_eq!(routes.get("/a/{id}").span_name(1), "POST /a/{id}");
            assert_eq!(routes.get("/a/{id}").span_name(COUNT - 1), "HTTP /a/{id}");
        }
        assert_eq!(KnownRoute::Other("/b".to_owned()).span_name(0), "GET /b");
    }
}
