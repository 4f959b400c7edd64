//! The page of the test runner, and what the tests see of it.

use std::pin::Pin;

use throughline_browser::Config;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

/// Keeps every call in `window.calls`, with the headers that a request made of it would have, and the bodies that went to the
/// telemetry doors in `window.bodies`, as texts of one character a byte.
const RECORDER: &str = r"
window.calls = [];
window.bodies = { '/v1/traces': '', '/v1/logs': '' };
window.doorSays = 200;
window.fetch = (real => function fetch(input, init) {
    const path = typeof input === 'string' ? input : '';
    if (path in window.bodies) {
        for (const byte of init.body) window.bodies[path] += String.fromCharCode(byte);
        return Promise.resolve(new Response('', { status: window.doorSays }));
    }
    const url = typeof input === 'object' && input.url || input;
    const headers = new (window.realHeaders ?? Headers)(init?.headers ?? (input.url ? input.headers : {}));
    window.calls.push({ url: String(url), headers, method: init?.method ?? input.method ?? 'GET' });
    return real.call(window, input, init);
})(window.fetch);
";

thread_local! {
    static STARTED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Starts the tracer, once for all tests of the page.
pub fn start() {
    if !STARTED.replace(true) {
        eval(RECORDER);
        throughline_browser::init(
            Config::new().flush_interval_ms(50).page_load(false).long_frames(100.0).console_errors(true),
        );
    }
}

/// The value of a script.
pub fn eval(script: &str) -> JsValue {
    js_sys::eval(script).unwrap_or_else(|error| panic!("{script}: {error:?}"))
}

/// What a script's promise comes to.
pub async fn eval_async(script: &str) -> Result<JsValue, JsValue> {
    JsFuture::from(js_sys::Promise::resolve(&eval(script))).await
}

/// An address of the page's own origin.
pub fn own(path: &str) -> String {
    format!("{}{path}", eval("location.origin").as_string().unwrap())
}

/// Waits for a task of its own, in which observers have run.
pub async fn task() {
    eval_async("new Promise(done => (window.realSet ?? setTimeout).call(window, done, 5))").await.unwrap();
}

/// Waits until it comes true.
pub async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        task().await;
    }
    panic!("it never comes true");
}

/// Whether a text has gone to a door.
pub fn is_sent(path: &str, text: &str) -> bool {
    eval(&format!("window.bodies['{path}'].includes({text:?})")).is_truthy()
}

/// Waits until a text has gone to a door.
pub async fn sent(path: &str, text: &str) -> bool {
    for _ in 0..1000 {
        if is_sent(path, text) {
            return true;
        }
        task().await;
    }
    false
}

/// Polls all until all are ready.
pub async fn all_of<F: Future<Output = ()>>(futures: impl IntoIterator<Item = F>) {
    let mut futures: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(move |cx| {
        futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
