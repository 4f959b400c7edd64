//! Tests of the crate in a browser.
//!
//! All requests go through a `fetch` that is installed before the tracer starts. It records its arguments, responds in
//! place of the telemetry receivers, and passes other requests on.

#![cfg(target_arch = "wasm32")]
#![allow(missing_docs)]

#[allow(dead_code, reason = "shared with other tests")]
mod page;

use std::{cell::RefCell, rc::Rc};

use gloo_net::http::{Method, Request, RequestBuilder};
use page::{all_of, eval, eval_async, is_sent, own, sent, start, task, until};
use throughline_browser::{
    RequestSummary, Status, action, current, event, http, navigation, on_request, on_status, session_id, set_attribute,
    set_baggage, span,
};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

fn summaries() -> Rc<RefCell<Vec<RequestSummary>>> {
    let summaries = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&summaries);
    on_request(move |summary| into.borrow_mut().push(summary.clone()));
    summaries
}

async fn summary_of(summaries: &Rc<RefCell<Vec<RequestSummary>>>, path: &str) -> RequestSummary {
    until(|| summaries.borrow().iter().any(|summary| summary.path == path)).await;
    summaries.borrow().iter().find(|summary| summary.path == path).cloned().unwrap()
}

#[wasm_bindgen_test]
async fn the_phases_of_a_request_sum_to_its_duration() {
    start();
    let summaries = summaries();
    let response = http::send(Request::get("/timed").build().unwrap(), Some("/timed")).await.unwrap();
    response.text().await.unwrap();
    let summary = summary_of(&summaries, "/timed").await;
    assert_eq!(summary.method, "GET");
    // This server does not send its times: the wait is one segment, and there are no network figures.
    assert_eq!(summary.quality, "unsynced");
    assert!(summary.network.is_none());
    let sum: f64 = summary.segments.iter().map(|(_, length)| length).sum();
    assert!((sum - summary.total_ms).abs() < 1e-3, "{sum} and {}", summary.total_ms);
    assert!(summary.segments.iter().all(|(_, length)| *length >= 0.0));
}

#[wasm_bindgen_test]
async fn every_fetch_is_traced_once() {
    start();
    let summaries = summaries();
    let text = eval_async("fetch('/plain').then(r => r.text())").await.unwrap();
    assert!(text.is_string());
    let summary = summary_of(&summaries, "/plain").await;
    assert!(summary.status.is_some());
    task().await;
    assert_eq!(summaries.borrow().iter().filter(|summary| summary.path == "/plain").count(), 1);
    // A request through the wrapper too, although the wrapper calls `fetch`.
    http::send(Request::get("/wrapped").build().unwrap(), None).await.unwrap().text().await.unwrap();
    summary_of(&summaries, "/wrapped").await;
    task().await;
    assert_eq!(summaries.borrow().iter().filter(|summary| summary.path == "/wrapped").count(), 1);
}

fn method_of(call: &str) -> &'static str {
    ["POST", "DELETE"].into_iter().find(|method| call.contains(method)).unwrap_or("GET")
}

#[wasm_bindgen_test]
async fn every_form_of_fetch_carries_a_context_and_keeps_its_arguments() {
    start();
    for call in [
        "fetch('/a')",
        "fetch(new URL('/a', location.href))",
        "fetch('/a', { headers: { 'x-own': '1' } })",
        "fetch('/a', { headers: [['x-own', '1']] })",
        "fetch('/a', { headers: new Headers({ 'x-own': '1' }), method: 'POST', body: 'b' })",
        "fetch(new Request('/a', { headers: { 'x-own': '1' } }))",
        "fetch(new Request('/a', { headers: { 'x-other': '2' } }), { headers: { 'x-own': '1' } })",
        "fetch('/a', new Request('/x', { method: 'DELETE', headers: { 'x-own': '1' } }))",
    ] {
        eval("window.calls.length = 0");
        eval_async(call).await.unwrap();
        let headers = eval("(h => h.get('traceparent') + '|' + h.get('x-own'))(window.calls.at(-1).headers)");
        let headers = headers.as_string().unwrap();
        let (parent, own) = headers.split_once('|').unwrap();
        assert_eq!(parent.len(), 55, "{call}: {headers}");
        assert!(parent.starts_with("00-") && parent.ends_with("-03"), "{call}: {headers}");
        assert_eq!(own == "1", call.contains("x-own"), "{call}: {headers}");
        assert_eq!(eval("window.calls.at(-1).method"), method_of(call), "{call}");
    }
    assert_eq!(
        eval("(i => { fetch('/a', i); return JSON.stringify(i) })({ headers: { a: '1' } })"),
        r#"{"headers":{"a":"1"}}"#
    );
    assert_eq!(eval("fetch.name"), "fetch", "the proxy has the original name");
}

#[wasm_bindgen_test]
async fn no_header_is_added_to_requests_to_other_origins() {
    start();
    eval("window.calls.length = 0");
    assert!(eval_async("fetch('http://127.0.0.1:1/elsewhere', { headers: { accept: 'a/b' } })").await.is_err());
    let headers = eval("[...window.calls.at(-1).headers.keys()].join()");
    assert_eq!(headers, "accept");
}

#[wasm_bindgen_test]
async fn a_rejection_is_passed_to_the_program_unchanged() {
    start();
    let summaries = summaries();
    let error = eval_async("fetch('http://127.0.0.1:1/failing')").await.unwrap_err();
    assert_eq!(js_sys::Error::from(error).name(), "TypeError");
    let summary = summary_of(&summaries, "/failing").await;
    assert_eq!((summary.status, summary.error.as_deref()), (None, Some("TypeError")));
    // An unhandled rejection is reported by the browser, as without the tracer.
    eval("window.unhandled = 0; addEventListener('unhandledrejection', () => window.unhandled++)");
    eval("void fetch('http://127.0.0.1:1/unhandled')");
    until(|| eval("window.unhandled") == 1).await;
    eval("void fetch('http://127.0.0.1:1/handled').catch(() => window.caught = true)");
    until(|| eval("window.caught === true").is_truthy()).await;
    task().await;
    assert_eq!(eval("window.unhandled"), 1);
}

#[wasm_bindgen_test]
async fn an_abort_is_not_an_error_and_a_timeout_is_one() {
    start();
    let summaries = summaries();
    let controller = web_sys::AbortController::new().unwrap();
    controller.abort();
    let request =
        RequestBuilder::new("/aborted").method(Method::GET).abort_signal(Some(&controller.signal())).build().unwrap();
    assert!(http::send(request, None).await.is_err());
    let summary = summary_of(&summaries, "/aborted").await;
    assert_eq!((summary.status, summary.error), (None, None));
    for (reason, path, expected) in [
        ("AbortSignal.abort()", "/a1", None),
        ("AbortSignal.abort(new Error('mine'))", "/a2", None),
        ("AbortSignal.abort('a word')", "/a3", None),
        ("AbortSignal.abort(new DOMException('late', 'TimeoutError'))", "/a4", Some("TimeoutError")),
    ] {
        assert!(eval_async(&format!("fetch('{path}', {{ signal: {reason} }})")).await.is_err());
        assert_eq!(summary_of(&summaries, path).await.error.as_deref(), expected, "{reason}");
    }
}

#[wasm_bindgen_test]
async fn concurrent_requests_to_one_url_have_their_own_timing() {
    start();
    let summaries = summaries();
    let one = || async {
        http::send(Request::get("/many").build().unwrap(), None).await.unwrap().text().await.unwrap();
    };
    all_of((0..8).map(|_| one())).await;
    until(|| summaries.borrow().iter().filter(|summary| summary.path == "/many").count() == 8).await;
    let summaries = summaries.borrow();
    let ids: std::collections::HashSet<_> = summaries.iter().map(|summary| summary.span_id.clone()).collect();
    assert!(ids.len() >= 8);
    for summary in summaries.iter().filter(|summary| summary.path == "/many") {
        // The timing of another request would not fit.
        assert_eq!(summary.quality, "unsynced");
        let sum: f64 = summary.segments.iter().map(|(_, length)| length).sum();
        assert!((sum - summary.total_ms).abs() < 1e-3);
    }
}

#[wasm_bindgen_test]
async fn xhr_is_traced_on_success_abort_and_failure() {
    start();
    let summaries = summaries();
    let send = |path: &str, more: &str| {
        format!(
            "new Promise(done => {{ const x = new XMLHttpRequest(); x.open('get', '{path}'); x.onloadend = () => done(x.status); \
             x.send(); {more} }})"
        )
    };
    eval_async(&send("/xhr", "")).await.unwrap();
    let summary = summary_of(&summaries, "/xhr").await;
    assert_eq!((summary.method.as_str(), summary.status.is_some()), ("GET", true));
    eval_async(&send("/xhr-aborted", "x.abort()")).await.unwrap();
    assert_eq!(summary_of(&summaries, "/xhr-aborted").await.error, None);
    eval_async(&send("http://127.0.0.1:1/xhr-failed", "")).await.unwrap();
    assert_eq!(summary_of(&summaries, "/xhr-failed").await.error.as_deref(), Some("NetworkError"));
}

#[wasm_bindgen_test]
async fn an_xhr_can_be_reused() {
    start();
    let summaries = summaries();
    eval(
        "window.again = new XMLHttpRequest(); window.listening = 0;
        again.addEventListener = function (...all) { listening += 1; XMLHttpRequest.prototype.addEventListener.apply(this, all); };
        window.ask = path => new Promise(done => { again.open('GET', path); again.onloadend = done; again.send(); });",
    );
    for path in ["/again-1", "/again-2"] {
        eval_async(&format!("ask('{path}')")).await.unwrap();
        assert!(summary_of(&summaries, path).await.status.is_some());
    }
    // `open` cancels the request in flight without an event.
    eval_async("(again.open('GET', '/again-given-up'), again.send(), ask('/again-3'))").await.unwrap();
    assert!(summary_of(&summaries, "/again-3").await.status.is_some());
    let given_up = summary_of(&summaries, "/again-given-up").await;
    assert_eq!((given_up.status, given_up.error), (None, None));
    let count = |path: &str| summaries.borrow().iter().filter(|summary| summary.path == path).count();
    assert_eq!((count("/again-1"), count("/again-2"), count("/again-3")), (1, 1, 1));
    assert_eq!(eval("window.listening").as_f64(), Some(4.0), "the listeners are added once");
}

#[wasm_bindgen_test]
async fn an_xhr_with_its_own_context_keeps_it() {
    start();
    let summaries = summaries();
    let ask = |path: &str, own: &str| {
        format!(
            "new Promise(done => {{ const x = new XMLHttpRequest(); window.set = [];
            x.setRequestHeader = function (name, value) {{ set.push(name.toLowerCase());              XMLHttpRequest.prototype.setRequestHeader.call(this, name, value); }};
            x.open('GET', '{path}'); x.onloadend = done; {own} x.send(); }})"
        )
    };
    let own = "x.setRequestHeader('TraceParent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');";
    eval_async(&ask("/xhr-own", own)).await.unwrap();
    summary_of(&summaries, "/xhr-own").await;
    let contexts = || eval("window.set.filter(name => name === 'traceparent').length").as_f64();
    assert_eq!(contexts(), Some(1.0), "a second value would make it invalid");
    eval_async(&ask("/xhr-not-own", "")).await.unwrap();
    summary_of(&summaries, "/xhr-not-own").await;
    assert_eq!(contexts(), Some(1.0));
}

#[wasm_bindgen_test]
async fn requests_of_an_action_are_its_children_across_awaits() {
    start();
    let parent_of = |path: &'static str| async move {
        eval("window.calls.length = 0");
        http::send(Request::get(&own(path)).build().unwrap(), None).await.unwrap().text().await.unwrap();
        eval("window.calls.at(-1).headers.get('traceparent')").as_string().unwrap()
    };
    let (first, second) = action("click", "Both", async {
        task().await;
        let first = parent_of("/first").await;
        task().await;
        (first, parent_of("/second").await)
    })
    .await;
    assert_eq!(first[..35], second[..35], "one trace");
    assert_ne!(first[36..52], second[36..52], "two spans");
    assert!(current().span().is_none());
}

#[wasm_bindgen_test]
async fn two_interleaved_tasks_keep_their_own_parents() {
    start();
    let seen = RefCell::new(Vec::new());
    let one = |name: &'static str| {
        let seen = &seen;
        action("click", name, async move {
            let own = current().span().unwrap();
            for _ in 0..5 {
                task().await;
                // With the page's `fetch`, which is independent of futures.
                eval("void fetch('/interleaved')");
                let header = eval("window.calls.at(-1).headers.get('traceparent')").as_string().unwrap();
                seen.borrow_mut().push((own.trace_id.to_string(), header));
                assert_eq!(current().span(), Some(own));
            }
        })
    };
    all_of([one("A"), one("B"), one("C")]).await;
    let seen = seen.take();
    assert_eq!(seen.len(), 15);
    assert!(seen.iter().all(|(trace, header)| header[3..35] == **trace), "{seen:?}");
}

#[wasm_bindgen_test]
async fn a_context_can_be_bound_to_an_event_handler() {
    start();
    let mut handler = None;
    let outer = span("outer", async {
        handler = Some(current().bind(|()| current().span()));
        current().span()
    })
    .await;
    assert!(current().span().is_none());
    assert_eq!(handler.unwrap()(()), outer);
}

#[wasm_bindgen_test]
async fn a_route_change_is_the_parent_until_it_settles() {
    start();
    navigation("/{handle}");
    let parent = current().span().expect("the route change");
    eval("window.calls.length = 0");
    http::send(Request::get("/routed").build().unwrap(), None).await.unwrap().text().await.unwrap();
    let header = eval("window.calls.at(-1).headers.get('traceparent')").as_string().unwrap();
    assert_eq!(header[3..35], parent.trace_id.to_string());
    until(|| current().span().is_none()).await;
    assert!(sent("/v1/traces", "navigate /{handle}").await);
}

#[wasm_bindgen_test]
async fn a_body_that_never_ends_does_not_delay_the_route_change() {
    start();
    navigation("/endless-page");
    eval("window.stops = new AbortController(); void fetch('/endless/stopped', { signal: window.stops.signal })");
    eval("void fetch('/endless/open')");
    // A response that streams, or that is not read, does not keep the scope open.
    assert!(sent("/v1/traces", "navigate /endless-page").await);
    assert!(!is_sent("/v1/traces", "/endless/stopped"));
    eval("window.stops.abort()");
    assert!(sent("/v1/traces", "/endless/stopped").await);
    assert!(!is_sent("/v1/traces", "/endless/open"));
}

#[wasm_bindgen_test]
async fn a_change_of_the_path_is_a_span_and_one_of_the_query_is_not() {
    start();
    eval("history.pushState(null, '', '/pushed')");
    let pushed = current().span().expect("the route change");
    eval("history.pushState(null, '', '/pushed?page=2')");
    assert_eq!(current().span(), Some(pushed), "the same page");
    // The call of the router and the change of the URL become one span.
    navigation("/{page}");
    assert_eq!(current().span(), Some(pushed));
    until(|| current().span().is_none()).await;
    assert!(sent("/v1/traces", "navigate /{page}").await);
}

#[wasm_bindgen_test]
async fn urls_and_paths_are_redacted_by_the_application() {
    start();
    eval("history.pushState(null, '', '/invited/secret-of-a-path')");
    eval_async("fetch('/data?key=secret-of-a-query')").await.unwrap();
    action("open", "invitation", async {}).await;
    event("invited", throughline_browser::Attributes::default());
    for (receiver, text) in [("/v1/traces", "?key=REDACTED-of-a-query"), ("/v1/traces", "/invited/REDACTED-of-a-path")]
    {
        assert!(sent(receiver, text).await, "{text}");
    }
    assert!(sent("/v1/traces", "open invitation").await);
    until(|| current().span().is_none()).await;
    task().await;
    for receiver in ["/v1/traces", "/v1/logs"] {
        assert!(!is_sent(receiver, "secret-of"), "{receiver}");
    }
    eval("history.replaceState(null, '', '/')");
}

#[wasm_bindgen_test]
async fn baggage_attributes_and_events_are_sent() {
    start();
    set_baggage("plan", Some("a b"));
    set_baggage("not a token", Some("x"));
    eval_async("fetch('/with-baggage')").await.unwrap();
    assert_eq!(eval("window.calls.at(-1).headers.get('baggage')"), "plan=a%20b");
    set_baggage("plan", None);
    eval_async("fetch('/without')").await.unwrap();
    assert!(eval("window.calls.at(-1).headers.get('baggage')").is_null());
    set_attribute("app.build", "of-the-test");
    event("cart.filled", throughline_browser::Attributes::default());
    assert!(sent("/v1/logs", "cart.filled").await);
    assert!(sent("/v1/logs", "of-the-test").await);
    assert!(sent("/v1/logs", &session_id().unwrap()).await);
    assert!(sent("/v1/logs", "session.start").await);
}

#[wasm_bindgen_test]
async fn errors_are_reported() {
    start();
    for (script, expected) in [
        ("setTimeout(() => { throw new RangeError('thrown in a task') })", "thrown in a task"),
        ("void Promise.reject(new Error('not handled'))", "not handled"),
        ("void Promise.reject('a word')", "a word"),
        (
            "document.body.append(Object.assign(new Image(), { src: '/no/such/image.png?sig=secret' }))",
            "image.png?sig=REDACTED",
        ),
        ("console.error('logged', new TypeError('in the console'))", "in the console"),
    ] {
        eval(script);
        assert!(sent("/v1/logs", expected).await, "{script}");
    }
    throughline_browser::record_error("ParseError", "by the application");
    assert!(sent("/v1/logs", "by the application").await);
    assert!(!is_sent("/v1/logs", "secret"));
}

#[wasm_bindgen_test]
async fn a_long_frame_is_reported() {
    start();
    eval("requestAnimationFrame(() => { const end = performance.now() + 180; while (performance.now() < end); })");
    assert!(sent("/v1/logs", "browser.long_animation_frame").await);
}

#[wasm_bindgen_test]
async fn a_rejection_by_the_receiver_is_reported_and_affects_no_requests() {
    start();
    let statuses = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&statuses);
    on_status(move |status| into.borrow_mut().push(*status));
    eval("window.receiverStatus = 403");
    let dropped = throughline_browser::dropped();
    action("click", "Nothing", async {}).await;
    until(|| statuses.borrow().contains(&Status::Rejected(403))).await;
    assert!(Status::Rejected(403).to_string().contains("returned 403"));
    assert!(throughline_browser::dropped() > dropped);
    eval("window.receiverStatus = 200");
    assert!(http::send(Request::get("/still").build().unwrap(), None).await.is_ok());
}

#[wasm_bindgen_test]
async fn missing_or_broken_browser_functions_do_not_break_the_page() {
    start();
    // Each function is broken, used, and restored.
    for (broken, repaired) in [
        ("crypto.getRandomValues = () => { throw new Error('broken') }", "delete crypto.getRandomValues"),
        ("performance.now = () => { throw new Error('broken') }", "delete performance.now"),
        ("performance.now = () => NaN", "delete performance.now"),
        ("Date.real = Date.now; Date.now = () => NaN", "Date.now = Date.real"),
        ("window.realUrl = URL; window.URL = undefined", "window.URL = window.realUrl"),
        ("Storage.prototype.setItem = () => { throw new Error('full') }", "delete Storage.prototype.setItem"),
        ("window.realHeaders = Headers; window.Headers = undefined", "window.Headers = window.realHeaders"),
        ("window.realSet = setTimeout; window.setTimeout = undefined", "window.setTimeout = window.realSet"),
    ] {
        eval("window.savedItem ??= Storage.prototype.setItem");
        let request = Request::get("/broken").build().unwrap();
        eval(broken);
        let text = eval_async("fetch('/broken', { headers: { a: '1' } }).then(r => r.text())").await;
        let wrapped = http::send(request, None).await;
        let acted = action("click", "Broken", async { 7 }).await;
        eval(repaired);
        eval("if (!Storage.prototype.setItem) Storage.prototype.setItem = window.savedItem");
        assert!(text.is_ok() && wrapped.is_ok() && acted == 7, "{broken}");
    }
    let before = throughline_browser::dropped();
    eval_async("fetch('/repaired').then(r => r.text())").await.unwrap();
    throughline_browser::flush();
    assert!(sent("/v1/traces", "/repaired").await);
    assert_eq!(throughline_browser::dropped(), before);
}
