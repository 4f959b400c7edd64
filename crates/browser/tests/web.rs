//! The adapters, in a real browser.
//!
//! What leaves the page goes through a `fetch` of the test's, which stands there before the tracer starts: it keeps what it was
//! given, answers for the telemetry receivers, and hands everything else on.

#![cfg(target_arch = "wasm32")]
#![allow(missing_docs)]

#[allow(dead_code, reason = "the other pages' tests use the rest")]
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

fn heard() -> Rc<RefCell<Vec<RequestSummary>>> {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&heard);
    on_request(move |summary| into.borrow_mut().push(summary.clone()));
    heard
}

async fn summary_of(heard: &Rc<RefCell<Vec<RequestSummary>>>, path: &str) -> RequestSummary {
    until(|| heard.borrow().iter().any(|summary| summary.path == path)).await;
    heard.borrow().iter().find(|summary| summary.path == path).cloned().unwrap()
}

#[wasm_bindgen_test]
async fn a_request_is_timed_and_its_phases_sum_to_it() {
    start();
    let heard = heard();
    let response = http::send(Request::get("/timed").build().unwrap(), Some("/timed")).await.unwrap();
    response.text().await.unwrap();
    let summary = summary_of(&heard, "/timed").await;
    assert_eq!(summary.method, "GET");
    // This server sends no times of its own: the wait is one piece, and no network is claimed.
    assert_eq!(summary.quality, "unsynced");
    assert!(summary.network.is_none());
    let sum: f64 = summary.segments.iter().map(|(_, length)| length).sum();
    assert!((sum - summary.total_ms).abs() < 1e-3, "{sum} and {}", summary.total_ms);
    assert!(summary.segments.iter().all(|(_, length)| *length >= 0.0));
}

#[wasm_bindgen_test]
async fn whoever_fetches_is_traced_once_and_undisturbed() {
    start();
    let heard = heard();
    let text = eval_async("fetch('/plain').then(r => r.text())").await.unwrap();
    assert!(text.is_string());
    let summary = summary_of(&heard, "/plain").await;
    assert!(summary.status.is_some());
    task().await;
    assert_eq!(heard.borrow().iter().filter(|summary| summary.path == "/plain").count(), 1);
    // Through the wrapper too, although it sends by `fetch`.
    http::send(Request::get("/wrapped").build().unwrap(), None).await.unwrap().text().await.unwrap();
    summary_of(&heard, "/wrapped").await;
    task().await;
    assert_eq!(heard.borrow().iter().filter(|summary| summary.path == "/wrapped").count(), 1);
}

fn method_of(call: &str) -> &'static str {
    ["POST", "DELETE"].into_iter().find(|method| call.contains(method)).unwrap_or("GET")
}

#[wasm_bindgen_test]
async fn every_way_to_call_fetch_carries_a_context_and_keeps_what_was_given() {
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
    assert_eq!(eval("fetch.name"), "fetch", "it looks like the browser's own");
}

#[wasm_bindgen_test]
async fn nothing_is_added_to_what_goes_elsewhere() {
    start();
    eval("window.calls.length = 0");
    assert!(eval_async("fetch('http://127.0.0.1:1/elsewhere', { headers: { accept: 'a/b' } })").await.is_err());
    let headers = eval("[...window.calls.at(-1).headers.keys()].join()");
    assert_eq!(headers, "accept");
}

#[wasm_bindgen_test]
async fn a_rejection_is_the_programs_as_it_was() {
    start();
    let heard = heard();
    let error = eval_async("fetch('http://127.0.0.1:1/failing')").await.unwrap_err();
    assert_eq!(js_sys::Error::from(error).name(), "TypeError");
    let summary = summary_of(&heard, "/failing").await;
    assert_eq!((summary.status, summary.error.as_deref()), (None, Some("TypeError")));
    // What nobody handles is reported by the browser, as without us.
    eval("window.unhandled = 0; addEventListener('unhandledrejection', () => window.unhandled++)");
    eval("void fetch('http://127.0.0.1:1/unhandled')");
    until(|| eval("window.unhandled") == 1).await;
    eval("void fetch('http://127.0.0.1:1/handled').catch(() => window.caught = true)");
    until(|| eval("window.caught === true").is_truthy()).await;
    task().await;
    assert_eq!(eval("window.unhandled"), 1);
}

#[wasm_bindgen_test]
async fn an_intentional_abort_is_no_error_and_a_time_limit_is_one() {
    start();
    let heard = heard();
    let controller = web_sys::AbortController::new().unwrap();
    controller.abort();
    let request =
        RequestBuilder::new("/aborted").method(Method::GET).abort_signal(Some(&controller.signal())).build().unwrap();
    assert!(http::send(request, None).await.is_err());
    let summary = summary_of(&heard, "/aborted").await;
    assert_eq!((summary.status, summary.error), (None, None));
    for (reason, path, expected) in [
        ("AbortSignal.abort()", "/a1", None),
        ("AbortSignal.abort(new Error('mine'))", "/a2", None),
        ("AbortSignal.abort('a word')", "/a3", None),
        ("AbortSignal.abort(new DOMException('late', 'TimeoutError'))", "/a4", Some("TimeoutError")),
    ] {
        assert!(eval_async(&format!("fetch('{path}', {{ signal: {reason} }})")).await.is_err());
        assert_eq!(summary_of(&heard, path).await.error.as_deref(), expected, "{reason}");
    }
}

#[wasm_bindgen_test]
async fn many_requests_to_one_url_each_find_their_own_timing() {
    start();
    let heard = heard();
    let one = || async {
        http::send(Request::get("/many").build().unwrap(), None).await.unwrap().text().await.unwrap();
    };
    all_of((0..8).map(|_| one())).await;
    until(|| heard.borrow().iter().filter(|summary| summary.path == "/many").count() == 8).await;
    let heard = heard.borrow();
    let ids: std::collections::HashSet<_> = heard.iter().map(|summary| summary.span_id.clone()).collect();
    assert!(ids.len() >= 8);
    for summary in heard.iter().filter(|summary| summary.path == "/many") {
        // A timing that belongs to another request would not fit.
        assert_eq!(summary.quality, "unsynced");
        let sum: f64 = summary.segments.iter().map(|(_, length)| length).sum();
        assert!((sum - summary.total_ms).abs() < 1e-3);
    }
}

#[wasm_bindgen_test]
async fn xhr_is_traced_and_ends_in_each_way() {
    start();
    let heard = heard();
    let send = |path: &str, more: &str| {
        format!(
            "new Promise(done => {{ const x = new XMLHttpRequest(); x.open('get', '{path}'); x.onloadend = () => done(x.status); \
             x.send(); {more} }})"
        )
    };
    eval_async(&send("/xhr", "")).await.unwrap();
    let summary = summary_of(&heard, "/xhr").await;
    assert_eq!((summary.method.as_str(), summary.status.is_some()), ("GET", true));
    eval_async(&send("/xhr-aborted", "x.abort()")).await.unwrap();
    assert_eq!(summary_of(&heard, "/xhr-aborted").await.error, None);
    eval_async(&send("http://127.0.0.1:1/xhr-failed", "")).await.unwrap();
    assert_eq!(summary_of(&heard, "/xhr-failed").await.error.as_deref(), Some("NetworkError"));
}

#[wasm_bindgen_test]
async fn an_xhr_can_be_used_again() {
    start();
    let heard = heard();
    eval(
        "window.again = new XMLHttpRequest(); window.listening = 0;
        again.addEventListener = function (...all) { listening += 1; XMLHttpRequest.prototype.addEventListener.apply(this, all); };
        window.ask = path => new Promise(done => { again.open('GET', path); again.onloadend = done; again.send(); });",
    );
    for path in ["/again-1", "/again-2"] {
        eval_async(&format!("ask('{path}')")).await.unwrap();
        assert!(summary_of(&heard, path).await.status.is_some());
    }
    // One that is opened anew gives up what was under way, and no event says so.
    eval_async("(again.open('GET', '/again-given-up'), again.send(), ask('/again-3'))").await.unwrap();
    assert!(summary_of(&heard, "/again-3").await.status.is_some());
    let given_up = summary_of(&heard, "/again-given-up").await;
    assert_eq!((given_up.status, given_up.error), (None, None));
    let count = |path: &str| heard.borrow().iter().filter(|summary| summary.path == path).count();
    assert_eq!((count("/again-1"), count("/again-2"), count("/again-3")), (1, 1, 1));
    assert_eq!(eval("window.listening").as_f64(), Some(4.0), "each time the same listeners");
}

#[wasm_bindgen_test]
async fn an_xhr_that_has_a_context_of_its_own_keeps_it() {
    start();
    let heard = heard();
    let ask = |path: &str, own: &str| {
        format!(
            "new Promise(done => {{ const x = new XMLHttpRequest(); window.set = [];
            x.setRequestHeader = function (name, value) {{ set.push(name.toLowerCase());              XMLHttpRequest.prototype.setRequestHeader.call(this, name, value); }};
            x.open('GET', '{path}'); x.onloadend = done; {own} x.send(); }})"
        )
    };
    let own = "x.setRequestHeader('TraceParent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');";
    eval_async(&ask("/xhr-own", own)).await.unwrap();
    summary_of(&heard, "/xhr-own").await;
    let contexts = || eval("window.set.filter(name => name === 'traceparent').length").as_f64();
    assert_eq!(contexts(), Some(1.0), "two would be none");
    eval_async(&ask("/xhr-not-own", "")).await.unwrap();
    summary_of(&heard, "/xhr-not-own").await;
    assert_eq!(contexts(), Some(1.0));
}

#[wasm_bindgen_test]
async fn what_an_action_sends_is_its_child_across_awaits() {
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
                // By the page's own fetch, which knows nothing of futures.
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
async fn a_context_goes_into_the_handler_of_an_event() {
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
async fn a_body_that_never_ends_holds_nothing_up() {
    start();
    navigation("/endless-page");
    eval("window.stops = new AbortController(); void fetch('/endless/stopped', { signal: window.stops.signal })");
    eval("void fetch('/endless/open')");
    // Its place is not held by a response that streams on, or that nobody reads.
    assert!(sent("/v1/traces", "navigate /endless-page").await);
    assert!(!is_sent("/v1/traces", "/endless/stopped"));
    eval("window.stops.abort()");
    assert!(sent("/v1/traces", "/endless/stopped").await);
    assert!(!is_sent("/v1/traces", "/endless/open"));
}

#[wasm_bindgen_test]
async fn a_change_of_the_path_is_a_span_and_one_of_the_query_is_none() {
    start();
    eval("history.pushState(null, '', '/pushed')");
    let pushed = current().span().expect("the route change");
    eval("history.pushState(null, '', '/pushed?page=2')");
    assert_eq!(current().span(), Some(pushed), "the same page");
    // Whether the router says its name before or after, both are one.
    navigation("/{page}");
    assert_eq!(current().span(), Some(pushed));
    until(|| current().span().is_none()).await;
    assert!(sent("/v1/traces", "navigate /{page}").await);
}

#[wasm_bindgen_test]
async fn urls_and_paths_are_recorded_as_the_application_wants_them() {
    start();
    eval("history.pushState(null, '', '/invited/secret-of-a-path')");
    eval_async("fetch('/data?key=secret-of-a-query')").await.unwrap();
    action("open", "invitation", async {}).await;
    event("invited", throughline_browser::Attributes::default());
    for (receiver, told) in [("/v1/traces", "?key=REDACTED-of-a-query"), ("/v1/traces", "/invited/REDACTED-of-a-path")] {
        assert!(sent(receiver, told).await, "{told}");
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
async fn baggage_attributes_and_events_go_out() {
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
async fn whatever_goes_wrong_is_told() {
    start();
    for (script, expected) in [
        ("setTimeout(() => { throw new RangeError('thrown in a task') })", "thrown in a task"),
        ("void Promise.reject(new Error('nobody cared'))", "nobody cared"),
        ("void Promise.reject('a word')", "a word"),
        (
            "document.body.append(Object.assign(new Image(), { src: '/no/such/image.png?sig=secret' }))",
            "image.png?sig=REDACTED",
        ),
        ("console.error('said', new TypeError('in the console'))", "in the console"),
    ] {
        eval(script);
        assert!(sent("/v1/logs", expected).await, "{script}");
    }
    throughline_browser::record_error("ParseError", "by the application");
    assert!(sent("/v1/logs", "by the application").await);
    assert!(!page::is_sent("/v1/logs", "secret"));
}

#[wasm_bindgen_test]
async fn a_frame_that_takes_long_is_told() {
    start();
    eval("requestAnimationFrame(() => { const end = performance.now() + 180; while (performance.now() < end); })");
    assert!(sent("/v1/logs", "browser.long_animation_frame").await);
}

#[wasm_bindgen_test]
async fn a_receiver_that_refuses_is_told_in_words_and_disturbs_nobody() {
    start();
    let statuses = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&statuses);
    on_status(move |status| into.borrow_mut().push(*status));
    eval("window.receiverSays = 403");
    let dropped = throughline_browser::dropped();
    action("click", "Nothing", async {}).await;
    until(|| statuses.borrow().contains(&Status::Refused(403))).await;
    assert!(Status::Refused(403).to_string().contains("answered 403"));
    assert!(throughline_browser::dropped() > dropped);
    eval("window.receiverSays = 200");
    assert!(http::send(Request::get("/still").build().unwrap(), None).await.is_ok());
}

#[wasm_bindgen_test]
async fn a_browser_that_lacks_or_breaks_things_still_has_a_page() {
    start();
    // Each is broken, used, and put back.
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
