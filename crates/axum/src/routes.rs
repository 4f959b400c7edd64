//! KnownRoute templates, each kept once: spans and metrics share them without a copy for each request.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};

/// How many templates become labels of metrics. A router has fewer; a template made of what clients send has not.
const MAX_ROUTES: usize = 1_000;

/// The templates that were seen so far.
#[derive(Debug, Default)]
pub(crate) struct Routes(RwLock<HashSet<Arc<str>>>);

/// A template, and whether it may be a label.
#[derive(Clone, Debug)]
pub(crate) struct KnownRoute {
    pub(crate) template: Arc<str>,
    pub(crate) is_label: bool,
}

impl Routes {
    pub(crate) fn get(&self, template: &str) -> KnownRoute {
        // The set is whole at any time, also after a panic elsewhere.
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(template) {
            return KnownRoute { template: Arc::clone(known), is_label: true };
        }
        let is_label = known.len() < MAX_ROUTES;
        drop(known);
        let template: Arc<str> = template.into();
        if is_label {
            self.0.write().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(&template));
        }
        KnownRoute { template, is_label }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_kept_once_and_labels_are_bounded() {
        let routes = Routes::default();
        assert!(Arc::ptr_eq(&routes.get("/a/{id}").template, &routes.get("/a/{id}").template));
        for number in 0..2 * MAX_ROUTES {
            routes.get(&format!("/{number}"));
        }
        assert_eq!(routes.0.read().unwrap().len(), MAX_ROUTES);
        assert!(!routes.get("/another").is_label);
        assert!(routes.get("/a/{id}").is_label);
    }
}
