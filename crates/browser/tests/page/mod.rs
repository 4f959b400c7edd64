//! Helpers for tests in the page of the test runner.

use std::pin::Pin;

use throughline_browser::Config;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

/// Records every call of `fetch` in `window.calls`, with the headers of the resulting request, and the bodies sent to
/// the telemetry receivers in `window.bodies`, as strings of one character per byte.
const RECORDER: &str = r"
window.calls = [];
window.bodies = { '/v1/traces': '', '/v1/logs': '' };
window.receiverStatus = 200;
window.fetch = (real => function fetch(input, init) {
    const path = typeof input === 'string' ? input : '';
    if (path in window.bodies) {
        for (const byte of init.body) window.bodies[path] += String.fromCharCode(byte);
        return Promise.resolve(new Response('', { status: window.receiverStatus }));
    }
    const url = typeof input === 'object' && input.url || input;
    const headers = new (window.realHeaders ?? Headers)(init?.headers ?? (input.url ? input.headers : {}));
    window.calls.push({ url: String(url), headers, method: init?.method ?? input.method ?? 'GET' });
    if (path.startsWith('/endless')) return Promise.resolve(new Response(new ReadableStream()));
    return real.call(window, input, init);
})(window.fetch);
";

thread_local! {
    static STARTED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Records the requests of the page from now on.
pub(crate) fn record() {
    eval(RECORDER);
}

/// Starts the tracer, once for all tests of the page.
pub(crate) fn start() {
    start_with(|config| config.long_frames(100.0).console_errors(true).redact(|url| url.replace("secret", "REDACTED")));
}

/// Starts the tracer with further settings, once for all tests of the page.
pub(crate) fn start_with(settings: fn(Config) -> Config) {
    if !STARTED.replace(true) {
        record();
        throughline_browser::init(settings(Config::new().flush_interval_ms(50).page_load(false)));
    }
}

/// Evaluates a script.
pub(crate) fn eval(script: &str) -> JsValue {
    js_sys::eval(script).unwrap_or_else(|error| panic!("{script}: {error:?}"))
}

/// Evaluates a script and awaits its promise.
pub(crate) async fn eval_async(script: &str) -> Result<JsValue, JsValue> {
    JsFuture::from(js_sys::Promise::resolve(&eval(script))).await
}

/// Returns a URL of the page's own origin.
pub(crate) fn own(path: &str) -> String {
    format!("{}{path}", eval("location.origin").as_string().unwrap())
}

/// Waits 5 ms in a new task, before which observers have run.
pub(crate) async fn task() {
    eval_async("new Promise(done => (window.realSet ?? setTimeout).call(window, done, 5))").await.unwrap();
}

/// Waits until a condition is true; panics if it never is.
pub(crate) async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        task().await;
    }
    panic!("the condition is never true");
}

/// Returns whether a text was sent to a receiver.
pub(crate) fn is_sent(path: &str, text: &str) -> bool {
    eval(&format!("window.bodies['{path}'].includes({text:?})")).is_truthy()
}

/// Returns the bytes sent to a receiver.
fn body(path: &str) -> Vec<u8> {
    eval(&format!("window.bodies['{path}']")).as_string().unwrap().chars().map(|byte| byte as u8).collect()
}

/// Returns the ids of trace and span in the `traceparent` of the last request for a path.
pub(crate) fn carried(path: &str) -> (Vec<u8>, Vec<u8>) {
    let header =
        eval(&format!("window.calls.findLast(call => call.url.endsWith({path:?})).headers.get('traceparent')"));
    let header = header.as_string().unwrap();
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    (bytes(&header[3..35]), bytes(&header[36..52]))
}

/// Returns the value of a field of an encoded span: after `tag` and a length of one byte.
fn field_of(span_id: &[u8], tag: u8) -> Option<Vec<u8>> {
    let all = body("/v1/traces");
    let own = [&[0x12, 8], span_id].concat();
    let mut rest = &all[all.windows(own.len()).position(|bytes| bytes == own)? + own.len()..];
    while rest[0] != tag {
        rest = &rest[2 + usize::from(rest[1])..];
    }
    Some(rest[2..2 + usize::from(rest[1])].to_vec())
}

/// Waits until the request for a path and its parent have been sent, and returns the name of the parent span.
pub(crate) async fn parent_of(path: &str) -> String {
    let (_, span_id) = carried(path);
    for _ in 0..1000 {
        if let Some(name) = field_of(&span_id, 0x22).and_then(|parent| field_of(&parent, 0x2a)) {
            return String::from_utf8(name).unwrap();
        }
        task().await;
    }
    panic!("{path} has no parent");
}

/// Waits until a text was sent to a receiver; returns false if it never is.
pub(crate) async fn sent(path: &str, text: &str) -> bool {
    for _ in 0..1000 {
        if is_sent(path, text) {
            return true;
        }
        task().await;
    }
    false
}

/// Polls all futures until all are ready.
pub(crate) async fn all_of<F: Future<Output = ()>>(futures: impl IntoIterator<Item = F>) {
    let mut futures: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(move |cx| {
        futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
