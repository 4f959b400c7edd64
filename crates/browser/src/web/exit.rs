//! Handling of pages that are hidden or closed.

use throughline_context::keys;

use super::{
    Tracer,
    active::ActiveKind,
    js::{self, Name},
};

impl Tracer {
    /// Sends everything when the page is hidden: it may be closed without a further event, or be shown again.
    pub(super) fn visibility_changed(&mut self) {
        if js::get(&self.document, Name::Visibility) == "hidden" {
            self.leave(false);
        }
    }

    /// Ends all active spans and sends everything when the page is closed.
    pub(super) fn page_hides(&mut self) {
        self.drain();
        let now_ms = self.timeline.page_ms();
        // Requests and spans of the application first, then scopes: their children are still counted when they end.
        for waits in [false, true] {
            let is_meant = |kind: ActiveKind| waits != matches!(kind, ActiveKind::Request | ActiveKind::Span);
            while let Some(number) = self.active.iter().find(|one| is_meant(one.kind)).map(|one| one.number) {
                let Some(active) = self.find(number) else { break };
                match active.kind {
                    ActiveKind::Request => {
                        if active.ended_ms <= 0.0 {
                            active.ended_ms = now_ms;
                            active.span.attributes.bool(keys::UNFINISHED, true);
                        }
                        self.complete(number);
                    }
                    ActiveKind::Span => {
                        active.span.attributes.bool(keys::UNFINISHED, true);
                        self.end_span(number);
                    }
                    _ => self.end_scope(number),
                }
            }
        }
        self.leave(true);
    }

    fn leave(&mut self, gone: bool) {
        self.drain();
        self.give_up(f64::INFINITY);
        if let Some(number) = self.ambient_of(ActiveKind::PageLoad).map(|page| page.number) {
            self.end_scope(number);
        }
        #[cfg(feature = "vitals")]
        self.report_vitals();
        self.send_all(gone);
    }
}
