//! The longest durations of a trace's requests, kept in the trace's row for tail sampling.

use throughline_otlp::Span;

use crate::{
    terms::Term,
    varint::{Broken, Reader, put, put_signed},
};

/// The maximum number of routes of one trace that are kept with their longest duration: the slowest ones.
pub const MAX_ROUTES: usize = 64;

/// The longest durations among the spans of a trace, in nanoseconds. The result does not depend on the order in which spans
/// arrive.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Slowest {
    /// The longest duration of a span without a parent, if there is such a span.
    pub(crate) root_ns: Option<u64>,
    /// The longest duration of each route, the longest first; at most [`MAX_ROUTES`].
    pub(crate) routes: Vec<(u64, Term)>,
    /// Whether there were more routes. None of them took longer than the last one that is kept.
    pub(crate) has_more_routes: bool,
}

impl Slowest {
    /// Adds a span.
    pub(crate) fn add(&mut self, span: &Span, route: Option<Term>) {
        let duration_ns = span.duration_ns();
        if span.parent_span_id.is_none() {
            self.root_ns = Some(self.root_ns.map_or(duration_ns, |known_ns| known_ns.max(duration_ns)));
        }
        if let Some(route) = route {
            self.add_route(duration_ns, route);
        }
    }

    /// Adds the duration of a route. The longest duration of a route only grows, so a dropped route was not slower than any
    /// kept one, and it is added again only with a longer duration: the result does not depend on the order.
    fn add_route(&mut self, duration_ns: u64, route: Term) {
        if let Some(at) = self.routes.iter().position(|(_, known)| *known == route) {
            if self.routes[at].0 >= duration_ns {
                return;
            }
            self.routes.remove(at);
        }
        let order = |(duration_ns, route): (u64, Term)| (std::cmp::Reverse(duration_ns), route);
        let entry = (duration_ns, route);
        let at = self.routes.partition_point(|known| order(*known) < order(entry));
        self.routes.insert(at, entry);
        self.has_more_routes |= self.routes.len() > MAX_ROUTES;
        self.routes.truncate(MAX_ROUTES);
    }

    /// Appends the durations to a row.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self.root_ns.is_some()) | (u8::from(self.has_more_routes) << 1));
        if let Some(root_ns) = self.root_ns {
            put(bytes, root_ns);
        }
        put(bytes, self.routes.len() as u64);
        for (duration_ns, route) in &self.routes {
            put(bytes, *duration_ns);
            put_signed(bytes, *route);
        }
    }

    /// Reads the bytes that [`Slowest::write`] wrote.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Broken> {
        let bits = reader.byte()?;
        let root_ns = if bits & 1 == 0 { None } else { Some(reader.number()?) };
        let count = reader.count()?;
        let mut route = || Ok((reader.number()?, reader.signed()?));
        let routes = (0..count).map(|_| route()).collect::<Result<_, _>>()?;
        Ok(Self { root_ns, routes, has_more_routes: bits & 2 != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use std::collections::BTreeMap;

    fn of(requests: &[(u64, Term)]) -> Slowest {
        let mut slowest = Slowest::default();
        requests.iter().for_each(|(duration_ns, route)| slowest.add_route(*duration_ns, *route));
        slowest
    }

    proptest! {
        /// There are more routes than are kept, with few different durations.
        #[test]
        fn the_slowest_routes_are_kept_in_any_order(
            requests in vec((0..40_u64, 0..100_i64), 0..400).prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        ) {
            let (requests, shuffled) = requests;
            let slowest = of(&requests);
            prop_assert_eq!(&of(&shuffled), &slowest);
            let mut longest = BTreeMap::new();
            for (duration_ns, route) in requests {
                let known = longest.entry(route).or_insert(duration_ns);
                *known = duration_ns.max(*known);
            }
            let mut expected: Vec<(u64, Term)> = longest.into_iter().map(|(route, ns)| (ns, route)).collect();
            expected.sort_by_key(|(ns, route)| (std::cmp::Reverse(*ns), *route));
            prop_assert_eq!(slowest.has_more_routes, expected.len() > MAX_ROUTES);
            expected.truncate(MAX_ROUTES);
            prop_assert_eq!(&slowest.routes, &expected);
            let mut bytes = Vec::new();
            slowest.write(&mut bytes);
            prop_assert_eq!(Slowest::read(&mut Reader(&bytes)).unwrap(), slowest);
        }
    }
}
