//! The data of a page: loading, ready, or failed.

use std::{future::Future, pin::Pin, rc::Rc};

use leptos::{prelude::*, task::spawn_local};
use throughline_browser::Context;

use crate::{
    page::Opened,
    problem::{Problem, ProblemView},
    session::Session,
};

type Running = Pin<Box<dyn Future<Output = ()>>>;

/// A function that loads data again.
pub(crate) type Reload = Rc<dyn Fn() -> Running>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Loading,
    Ready,
    Failed(Problem),
}

/// The data that a page loads.
pub(crate) struct Load<T: 'static> {
    pub(crate) data: RwSignal<Option<T>>,
    phase: RwSignal<Phase>,
    reload: StoredValue<Reload, LocalStorage>,
}

impl<T> Clone for Load<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Load<T> {}

/// Loads data with `fetch`: immediately, in the page's context, and again when another user is chosen.
pub(crate) fn use_load<T, F>(opened: Opened, fetch: impl Fn() -> F + 'static) -> Load<T>
where
    T: Send + Sync + 'static,
    F: Future<Output = Result<T, Problem>> + 'static,
{
    let data = RwSignal::new(None);
    let phase = RwSignal::new(Phase::Loading);
    let generation = StoredValue::new(0_u64);
    let reload: Reload = Rc::new(move || {
        let mine = generation.try_update_value(|n| {
            *n += 1;
            *n
        });
        let fetched = fetch();
        Box::pin(async move {
            let result = fetched.await;
            // Only the response to the latest request is used, and only while the page is open.
            if mine.is_none() || generation.try_get_value() != mine {
                return;
            }
            match result {
                Ok(value) => {
                    data.set(Some(value));
                    phase.set(Phase::Ready);
                }
                Err(problem) => phase.set(Phase::Failed(problem)),
            }
        })
    });
    let Opened { context, hand_over } = opened;
    let first = context.run(|| reload());
    spawn_local(context.wrap(async move {
        first.await;
        drop(hand_over);
    }));
    Session::current().reload_with(&reload);
    Load { data, phase, reload: StoredValue::new_local(reload) }
}

impl<T: Send + Sync + 'static> Load<T> {
    /// Renders `ready` once the data is loaded; until then a placeholder, or the problem.
    pub(crate) fn show<V: IntoView + 'static>(self, ready: impl Fn() -> V + Send + 'static) -> impl IntoView {
        let phase = Memo::new(move |_| self.phase.get());
        move || match phase.get() {
            Phase::Loading => view! { <FeedSkeleton/> }.into_any(),
            Phase::Ready => ready().into_any(),
            Phase::Failed(problem) if problem.is_missing() => view! {
                <ProblemView problem/>
                <p>
                    <a class="button" href="/">"Go home"</a>
                    " "
                    <a href="/search">"or search"</a>
                </p>
            }
            .into_any(),
            Phase::Failed(problem) => {
                view! { <ProblemView problem retry=Callback::new(move |()| self.retry())/> }.into_any()
            }
        }
    }

    /// Loads again, and also the session if that failed.
    fn retry(self) {
        let session = Session::current();
        self.phase.set(Phase::Loading);
        spawn_local(throughline_browser::action("click", "Retry", async move {
            let Some(reload) = self.reload.try_get_value() else { return };
            // Both requests start before either is awaited.
            let page = reload();
            session.load_if_missing().await;
            page.await;
        }));
    }
}

/// Spawns `future` in `context`, without waiting for it.
pub(crate) fn spawn_in_context(context: Context, future: impl Future<Output = ()> + 'static) {
    spawn_local(context.wrap(future));
}

/// The placeholder for the first cruds, visible only if loading takes a while.
#[component]
fn FeedSkeleton() -> impl IntoView {
    view! {
        <div class="skeleton feed-skeleton" role="status">
            <span class="sr-only">"Loading"</span>
            {(0..4).map(|_| view! { <div class="skeleton-card"></div> }).collect_view()}
        </div>
    }
}
