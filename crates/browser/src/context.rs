//! The context in which code runs. It is attached at each poll of a wrapped future, so it is preserved across `.await`.

use std::{
    cell::Cell,
    pin::Pin,
    task::{self, Poll},
};

use crate::record::SpanContext;

/// A captured context: the span that is the parent of spans and requests begun in it, or none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    pub(crate) span: Option<SpanContext>,
    /// The number of the scope that must not end before spans begun in this context; 0 is none.
    pub(crate) scope: u32,
}

thread_local! {
    static ATTACHED: Cell<Option<Context>> = const { Cell::new(None) };
}

/// Returns the context attached by [`Context::wrap`] or [`Context::run`], if any.
pub(crate) fn attached() -> Option<Context> {
    ATTACHED.get()
}

/// Attaches a context without a future or closure around the code, and returns the one attached before.
#[cfg(feature = "tracing")]
pub(crate) fn replace(context: Option<Context>) -> Option<Context> {
    ATTACHED.replace(context)
}

impl Context {
    /// Returns the span that is the parent of spans and requests begun in this context.
    #[must_use]
    pub const fn span(&self) -> Option<SpanContext> {
        self.span
    }

    /// Runs `f` in this context.
    pub fn run<T>(&self, f: impl FnOnce() -> T) -> T {
        let _attached = Attached::new(*self);
        f()
    }

    /// Wraps `f` so that each call runs in this context: for handlers of events and timers.
    pub fn bind<A, T>(self, mut f: impl FnMut(A) -> T) -> impl FnMut(A) -> T {
        move |argument| self.run(|| f(argument))
    }

    /// Wraps `future` so that each poll runs in this context.
    pub const fn wrap<F: Future>(self, future: F) -> InContext<F> {
        InContext { context: self, future }
    }
}

/// A guard that restores the previous context when it is dropped, also on unwinding.
struct Attached {
    before: Option<Context>,
}

impl Attached {
    fn new(context: Context) -> Self {
        Self { before: ATTACHED.replace(Some(context)) }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        ATTACHED.replace(self.before);
    }
}

pin_project_lite::pin_project! {
    /// A future that runs in a [`Context`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct InContext<F> {
        context: Context,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let future = this.future;
        this.context.run(|| future.poll(cx))
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, task::Waker};

    use throughline_context::{SpanId, TraceFlags, TraceId};

    use super::*;

    fn context(n: u8) -> Context {
        Context {
            span: Some(SpanContext {
                trace_id: TraceId::from_bytes([n; 16]).unwrap(),
                span_id: SpanId::from_bytes([n; 8]).unwrap(),
                flags: TraceFlags::SAMPLED,
            }),
            scope: 0,
        }
    }

    fn here() -> Option<u8> {
        attached().and_then(|context| context.span).map(|span| span.span_id.to_bytes()[0])
    }

    /// Returns pending once, then ready, so that another task can run.
    async fn step() {
        let first = Cell::new(true);
        std::future::poll_fn(|_| if first.replace(false) { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    #[test]
    fn two_interleaved_tasks_keep_their_own_parents() {
        async fn task(seen: &RefCell<Vec<Option<u8>>>) {
            for _ in 0..3 {
                seen.borrow_mut().push(here());
                step().await;
            }
            seen.borrow_mut().push(here());
        }
        let (seen_a, seen_b) = (RefCell::default(), RefCell::default());
        let mut a = Box::pin(context(1).wrap(task(&seen_a)));
        let mut b = Box::pin(context(2).wrap(task(&seen_b)));
        let mut cx = task::Context::from_waker(Waker::noop());
        let (mut a_done, mut b_done) = (false, false);
        while !(a_done && b_done) {
            a_done = a_done || a.as_mut().poll(&mut cx).is_ready();
            assert_eq!(here(), None);
            b_done = b_done || b.as_mut().poll(&mut cx).is_ready();
            assert_eq!(here(), None);
        }
        assert_eq!(seen_a.take(), [Some(1); 4]);
        assert_eq!(seen_b.take(), [Some(2); 4]);
    }

    #[test]
    fn contexts_can_be_nested() {
        context(1).run(|| {
            assert_eq!(here(), Some(1));
            context(2).run(|| assert_eq!(here(), Some(2)));
            assert_eq!(here(), Some(1));
        });
        assert_eq!(here(), None);
    }

    #[test]
    fn a_bound_closure_runs_in_its_context() {
        let mut seen = context(3).bind(|add: u8| here().map(|n| n + add));
        assert_eq!((seen(1), seen(2)), (Some(4), Some(5)));
        assert_eq!(here(), None);
    }

    #[test]
    fn a_nested_future_has_its_own_context_and_restores_the_outer_one() {
        let seen = RefCell::new(Vec::new());
        let inner = async {
            seen.borrow_mut().push(here());
            step().await;
            seen.borrow_mut().push(here());
        };
        let mut outer = Box::pin(context(1).wrap(async {
            context(2).wrap(inner).await;
            seen.borrow_mut().push(here());
        }));
        let mut cx = task::Context::from_waker(Waker::noop());
        while outer.as_mut().poll(&mut cx).is_pending() {
            assert_eq!(here(), None);
        }
        drop(outer);
        assert_eq!(seen.take(), [Some(2), Some(2), Some(1)]);
    }

    #[test]
    fn a_panic_leaves_no_context_behind() {
        let result = std::panic::catch_unwind(|| context(1).run(|| panic!("boom")));
        assert!(result.is_err());
        assert_eq!(here(), None);
    }
}
