//! A layer for `tracing`: spans from `#[instrument]` and `info_span!` become spans of the page.
//!
//! ```rust,no_run
//! use tracing_subscriber::layer::SubscriberExt as _;
//!
//! throughline_browser::init(throughline_browser::Config::new());
//! let subscriber = tracing_subscriber::registry().with(throughline_browser::tracing::layer());
//! tracing::subscriber::set_global_default(subscriber).expect("no other subscriber is set");
//! ```
//!
//! A span begins when it is created. Its parent is the `tracing` span in which it is created, or else the span of the
//! [current](crate::current) context. Requests that begin while the span is entered are its children. Its fields become
//! attributes. Events in it become span events, and an event of level `ERROR` sets the status of the span to error.

use std::{cell::RefCell, fmt};

use ::tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    layer::{Context as LayerContext, Layer},
    registry::LookupSpan,
};

use crate::{
    attributes::{Attributes, Value},
    context::{self, Context},
    web::action::{SpanGuard, begin, with_open},
};

/// Creates the layer. It records nothing until [`init`](crate::init) is called.
#[must_use]
pub const fn layer() -> BrowserLayer {
    BrowserLayer { level: Level::INFO }
}

/// A [`Layer`] that records `tracing` spans as spans of the page. Created by [`layer`].
#[derive(Clone, Debug)]
pub struct BrowserLayer {
    level: Level,
}

impl BrowserLayer {
    /// Sets the most verbose level that is recorded. Default: `INFO`.
    #[must_use]
    pub const fn max_level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    fn is_enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }
}

/// The span of the page that belongs to a `tracing` span.
struct PageSpan {
    context: Context,
    guard: SpanGuard,
}

thread_local! {
    /// Spans by their `tracing` id. A page has one thread.
    static PAGE_SPANS: RefCell<Vec<(u64, PageSpan)>> = const { RefCell::new(Vec::new()) };
    /// Spans that are entered, each with the context that was attached before.
    static ENTERED: RefCell<Vec<(u64, Option<Context>)>> = const { RefCell::new(Vec::new()) };
}

fn with_page_span<T>(id: &span::Id, f: impl FnOnce(&PageSpan) -> T) -> Option<T> {
    PAGE_SPANS.with_borrow(|all| all.iter().find(|(known, _)| *known == id.into_u64()).map(|(_, span)| f(span)))
}

impl<S> Layer<S> for BrowserLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, ctx: LayerContext<'_, S>) {
        if !self.is_enabled(attributes.metadata()) {
            return;
        }
        let outer = ctx.span(id).and_then(|span| {
            let mut parent = span.parent();
            while let Some(span) = parent {
                if let Some(context) = with_page_span(&span.id(), |page_span| page_span.context) {
                    return Some(context);
                }
                parent = span.parent();
            }
            None
        });
        let Some((context, guard)) = begin(outer, attributes.metadata().name()) else { return };
        with_open(&guard, |span| attributes.record(&mut Fields(&mut span.attributes)));
        PAGE_SPANS.with_borrow_mut(|all| all.push((id.into_u64(), PageSpan { context, guard })));
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, _: LayerContext<'_, S>) {
        with_page_span(id, |page_span| {
            with_open(&page_span.guard, |span| values.record(&mut Fields(&mut span.attributes)));
        });
    }

    fn on_event(&self, event: &Event<'_>, ctx: LayerContext<'_, S>) {
        if !self.is_enabled(event.metadata()) {
            return;
        }
        let Some(span) = ctx.event_span(event) else { return };
        let mut message = Message(event.metadata().name().to_owned());
        event.record(&mut message);
        let failed = *event.metadata().level() == Level::ERROR;
        // Read first: `with_open` has the tracer, and it cannot be taken twice.
        let now_ns = crate::web::now_ns();
        with_page_span(&span.id(), |page_span| {
            with_open(&page_span.guard, |span| {
                span.event(now_ns, &message.0);
                if failed && !span.error {
                    span.fail("error");
                }
            });
        });
    }

    fn on_enter(&self, id: &span::Id, _: LayerContext<'_, S>) {
        if let Some(context) = with_page_span(id, |page_span| page_span.context) {
            let before = context::replace(Some(context));
            ENTERED.with_borrow_mut(|entered| entered.push((id.into_u64(), before)));
        }
    }

    fn on_exit(&self, id: &span::Id, _: LayerContext<'_, S>) {
        let number = id.into_u64();
        let outermost = ENTERED.with_borrow_mut(|entered| {
            let index = entered.iter().rposition(|(entered, _)| *entered == number)?;
            let (_, before) = entered.remove(index);
            match entered.get_mut(index) {
                // Exited before the span that was entered in it: the exit of that one restores the context before both.
                Some((_, inner)) => {
                    *inner = before;
                    None
                }
                None => Some(before),
            }
        });
        if let Some(before) = outermost {
            context::replace(before);
        }
    }

    fn on_close(&self, id: span::Id, _: LayerContext<'_, S>) {
        let closed = PAGE_SPANS.with_borrow_mut(|all| {
            let index = all.iter().position(|(known, _)| *known == id.into_u64())?;
            Some(all.swap_remove(index))
        });
        // Outside of the borrow, because the end of a span may end others.
        drop(closed);
    }
}

/// Records fields as attributes.
struct Fields<'a>(&'a mut Attributes);

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.set(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.set(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.0.set(field.name(), value),
            Err(_) => self.0.set(field.name(), value.to_string()),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.set(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.set(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.set(field.name(), Value::from(format!("{value:?}")));
    }
}

/// Collects the message of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
