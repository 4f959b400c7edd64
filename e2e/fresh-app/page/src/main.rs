//! The page of the notes application: a button that requests a note.

use gloo_net::http::Request;
use leptos::{mount::mount_to_body, prelude::*, task::spawn_local};

fn main() {
    throughline_browser::start();
    mount_to_body(App);
}

#[component]
fn App() -> impl IntoView {
    let note = RwSignal::new(String::new());
    let read = move |_| {
        spawn_local(async move {
            note.set(read_note(1).await.unwrap_or_else(|error| error.to_string()));
        });
    };
    view! {
        <button on:click=read>"Read"</button>
        <output>{note}</output>
    }
}

async fn read_note(id: u32) -> Result<String, gloo_net::Error> {
    Request::get(&format!("/notes/{id}")).send().await?.json().await
}
