//! The empty list, which shows how to create a trace.

use js_sys::Math;
use leptos::{prelude::*, task::spawn_local};
use throughline_inspector::{address::Filter, example};
use throughline_inspector_api::Receiver;

use super::{api, clock, copy::CopyButton};

/// The code that an application adds to its server.
const LAYER: &str = "let telemetry = throughline::init()?;\nlet app = Router::new()\n    .route(\"/notes/{id}\", put(save))\n    .layer(telemetry.layer());";

/// Returns a command that sends a span ending now.
fn command(receiver: &str) -> String {
    let now_ns = (clock::now_ms() * 1e6) as i64;
    // Random enough for an example: each half of an id is below 2^53.
    let word = || (Math::random() * 9_007_199_254_740_992.0) as u64;
    example::command(receiver, now_ns, [word(), word(), word()])
}

/// The list without traces: none is stored, or none matches the filter.
#[component]
pub(crate) fn Empty(filter: Memo<Filter>) -> impl IntoView {
    let is_filtered = Memo::new(move |_| filter.with(|filter| !filter.is_empty()));
    move || {
        if is_filtered.get() {
            view! {
                <div class="empty">
                    <h2>"No matching traces"</h2>
                    <p>"No stored trace matches this filter."</p>
                    <p>
                        <a class="button" href=api::url("/traces")>"Clear filter"</a>
                    </p>
                </div>
            }
            .into_any()
        } else {
            view! { <NoTraces/> }.into_any()
        }
    }
}

#[component]
fn NoTraces() -> impl IntoView {
    // The default address until the server returns its own.
    let receiver = RwSignal::new(example::RECEIVER.to_owned());
    spawn_local(async move {
        if let Ok(Receiver { otlp_http: Some(known) }) = api::get::<Receiver>("/api/traces/receiver").await {
            receiver.try_set(known);
        }
    });
    view! {
        <div class="empty">
            <h2>"No traces yet"</h2>
            <p>"A trace appears here as soon as its first span arrives. There are three ways to create one."</p>
            <ul class="ways">
                <li>
                    <h3>"Send one span from a terminal"</h3>
                    <p>"Run the command on the machine of this server. It needs only curl."</p>
                    <div class="way-code">
                        <code>"curl " {receiver} "/v1/traces …"</code>
                        <CopyButton text=move |()| receiver.with_untracked(|receiver| command(receiver)) label="Copy command"/>
                    </div>
                </li>
                <li>
                    <h3>"Point an OpenTelemetry program at this server"</h3>
                    <p>"Any OTLP exporter works, in any language."</p>
                    <div class="way-code">
                        <code>"OTEL_EXPORTER_OTLP_ENDPOINT=" {receiver}</code>
                        <CopyButton
                            text=move |()| format!("OTEL_EXPORTER_OTLP_ENDPOINT={}", receiver.get_untracked())
                            label="Copy variable"
                        />
                    </div>
                </li>
                <li>
                    <h3>"Add the layer to an axum application"</h3>
                    <p>"Every request that it serves becomes a trace."</p>
                    <div class="way-code">
                        <pre><code>{LAYER}</code></pre>
                        <CopyButton text=move |()| LAYER.to_owned() label="Copy code"/>
                    </div>
                </li>
            </ul>
        </div>
    }
}
