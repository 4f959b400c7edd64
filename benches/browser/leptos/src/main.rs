//! A small page in Leptos: a counter, a list, and a button that fetches JSON and shows it.

// `#[component]` generates `pub` items for private ones.
#![allow(unreachable_pub)]

use gloo_net::Error;
use leptos::{prelude::*, task::spawn_local};
use serde::Deserialize;
#[cfg(feature = "traced")]
use throughline_bench_tracer::get;

#[cfg(not(feature = "traced"))]
async fn get(url: &str) -> Result<gloo_net::http::Response, Error> {
    gloo_net::http::Request::get(url).send().await
}

#[derive(Clone, Deserialize)]
struct Item {
    id: u32,
    name: String,
}

fn main() {
    #[cfg(feature = "traced")]
    throughline_bench_tracer::start();
    mount_to_body(App);
    #[cfg(feature = "traced")]
    throughline_bench_tracer::app_ready();
}

#[component]
fn App() -> impl IntoView {
    view! {
        <Counter/>
        <List/>
    }
}

#[component]
fn Counter() -> impl IntoView {
    let count = RwSignal::new(0);
    view! {
        <output>{move || count.get()}</output>
        <button on:click=move |_| count.update(|count| *count += 1)>"Count"</button>
    }
}

#[component]
fn List() -> impl IntoView {
    let items = RwSignal::new(Vec::<Item>::new());
    let problem = RwSignal::new(None::<String>);
    let add = move |_| {
        items.update(|items| {
            let id = items.iter().map(|item| item.id).max().unwrap_or_default() + 1;
            items.push(Item { id, name: format!("Item {id}") });
        });
    };
    let fetch = move |_| {
        spawn_local(async move {
            match fetched().await {
                Ok(fetched) => items.set(fetched),
                Err(error) => problem.set(Some(error.to_string())),
            }
        });
    };
    view! {
        <button on:click=add>"Add"</button>
        <button on:click=fetch>"Fetch"</button>
        <Show when=move || problem.read().is_some()>
            <p role="alert">{move || problem.get()}</p>
        </Show>
        <ul>
            <For each=move || items.get() key=|item| item.id let:item>
                <li>{item.name}</li>
            </For>
        </ul>
    }
}

async fn fetched() -> Result<Vec<Item>, Error> {
    get("/data").await?.json().await
}
