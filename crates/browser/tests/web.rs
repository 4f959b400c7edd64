//! The adapters, in a real browser.

#![cfg(target_arch = "wasm32")]
#![allow(missing_docs)]

use std::{cell::RefCell, rc::Rc};

use gloo_net::http::{Method, Request, RequestBuilder};
use throughline_browser::{Config, RequestSummary, Status, action, current, http, navigation, on_request, on_status};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

/// The page of the test runner serves no spans' door: what is sent there is refused, which must not disturb anybody.
fn start() {
    throughline_browser::init(Config::new().endpoint("/no/such/door").flush_interval_ms(50).page_load(false));
}

fn own(path: &str) -> String {
    format!("{}{path}", web_sys::window().unwrap().location().origin().unwrap())
}

/// Waits for an animation frame or so: a task of its own, in which observers have run.
async fn task() {
    let promise = js_sys::Promise::new(&mut |resolve, _| {
        web_sys::window().unwrap().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, 5).unwrap();
    });
    JsFuture::from(promise).await.unwrap();
}

async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        task().await;
    }
    panic!("it never comes true");
}

fn heard() -> Rc<RefCell<Vec<RequestSummary>>> {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&heard);
    on_request(move |summary| into.borrow_mut().push(summary.clone()));
    heard
}

#[wasm_bindgen_test]
async fn a_request_is_timed_and_its_phases_sum_to_it() {
    start();
    let heard = heard();
    let path = format!("/?timed={}", js_sys::Math::random());
    let response = http::send(Request::get(&path).build().unwrap(), Some("/")).await.unwrap();
    assert!(response.ok());
    response.text().await.unwrap();
    until(|| heard.borrow().iter().any(|summary| summary.path == "/" && summary.segments.len() > 1)).await;
    let summary = heard.borrow().iter().find(|summary| summary.segments.len() > 1).cloned().unwrap();
    assert_eq!((summary.method.as_str(), summary.status, summary.error), ("GET", Some(200), None));
    // This server sends no times of its own: the wait is one piece, and no network is claimed.
    assert_eq!(summary.quality, "unsynced");
    assert!(summary.network.is_none());
    let sum: f64 = summary.segments.iter().map(|(_, length)| length).sum();
    assert!((sum - summary.total_ms).abs() < 1e-3, "{sum} and {}", summary.total_ms);
    assert!(summary.segments.iter().all(|(_, length)| *length >= 0.0));
}

#[wasm_bindgen_test]
async fn traceparent_goes_to_the_own_origin_and_nowhere_else() {
    start();
    let context = current();
    assert!(context.span().is_none());
    let own_request = Request::get(&own("/?own")).build().unwrap();
    let headers = own_request.headers();
    http::send(own_request, None).await.unwrap().text().await.unwrap();
    let header = headers.get("traceparent").expect("a header for the own origin");
    assert_eq!(header.len(), 55);
    assert!(header.starts_with("00-") && header.ends_with("-03"), "{header}");

    // Nobody listens there; what counts is what would have been sent.
    let foreign = Request::get("http://127.0.0.1:1/").build().unwrap();
    let headers = foreign.headers();
    assert!(http::send(foreign, None).await.is_err());
    assert_eq!(headers.get("traceparent"), None);
}

#[wasm_bindgen_test]
async fn a_failure_has_a_type_and_no_status() {
    start();
    let heard = heard();
    let request = Request::get("http://127.0.0.1:1/failing").build().unwrap();
    assert!(http::send(request, None).await.is_err());
    until(|| heard.borrow().iter().any(|summary| summary.path == "/failing")).await;
    let summary = heard.borrow().iter().find(|summary| summary.path == "/failing").cloned().unwrap();
    assert_eq!(summary.status, None);
    assert_eq!(summary.error.as_deref(), Some("TypeError"));
}

#[wasm_bindgen_test]
async fn an_intentional_abort_is_no_error() {
    start();
    let heard = heard();
    let controller = web_sys::AbortController::new().unwrap();
    controller.abort();
    let request =
        RequestBuilder::new("/aborted").method(Method::GET).abort_signal(Some(&controller.signal())).build().unwrap();
    assert!(http::send(request, None).await.is_err());
    until(|| heard.borrow().iter().any(|summary| summary.path == "/aborted")).await;
    let summary = heard.borrow().iter().find(|summary| summary.path == "/aborted").cloned().unwrap();
    assert_eq!((summary.status, summary.error), (None, None));
}

#[wasm_bindgen_test]
async fn many_requests_to_one_url_each_find_their_own_timing() {
    start();
    let heard = heard();
    let path = format!("/?many={}", js_sys::Math::random());
    let one = || async {
        let request = Request::get(&path).build().unwrap();
        http::send(request, None).await.unwrap().text().await.unwrap();
    };
    futures_join(vec![Box::pin(one()), Box::pin(one()), Box::pin(one()), Box::pin(one())]).await;
    until(|| heard.borrow().iter().filter(|summary| summary.segments.len() > 1).count() >= 4).await;
    let heard = heard.borrow();
    let ids: std::collections::HashSet<_> = heard.iter().map(|summary| summary.span_id.clone()).collect();
    assert!(ids.len() >= 4);
    for summary in heard.iter().filter(|summary| summary.segments.len() > 1) {
        // A timing that belongs to another request would not fit.
        assert_eq!(summary.quality, "unsynced");
        let sum: f64 = summary.segments.iter().map(|(_, length)| length).sum();
        assert!((sum - summary.total_ms).abs() < 1e-3);
    }
}

/// Polls all until all are ready.
async fn futures_join(mut futures: Vec<std::pin::Pin<Box<dyn Future<Output = ()> + '_>>>) {
    std::future::poll_fn(move |cx| {
        futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[wasm_bindgen_test]
async fn what_an_action_sends_is_its_child_across_awaits() {
    start();
    let (first, second) = action("click", "Both", async {
        task().await;
        let first = Request::get(&own("/?first")).build().unwrap();
        let first_headers = first.headers();
        http::send(first, None).await.unwrap().text().await.unwrap();
        task().await;
        let second = Request::get(&own("/?second")).build().unwrap();
        let second_headers = second.headers();
        http::send(second, None).await.unwrap().text().await.unwrap();
        (first_headers.get("traceparent").unwrap(), second_headers.get("traceparent").unwrap())
    })
    .await;
    assert_eq!(first[..35], second[..35], "one trace");
    assert_ne!(first[36..52], second[36..52], "two spans");
    assert!(current().span().is_none());
}

#[wasm_bindgen_test]
async fn a_route_change_is_the_parent_until_it_settles() {
    start();
    navigation("/{handle}");
    let context = current();
    let parent = context.span().expect("the route change");
    let request = Request::get(&own("/?routed")).build().unwrap();
    let headers = request.headers();
    context.wrap(http::send(request, None)).await.unwrap().text().await.unwrap();
    assert_eq!(headers.get("traceparent").unwrap()[3..35], parent.trace_id.to_string());
    until(|| current().span().is_none()).await;
}

#[wasm_bindgen_test]
async fn a_door_that_refuses_is_told_in_words_and_disturbs_nobody() {
    start();
    let statuses = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&statuses);
    on_status(move |status| into.borrow_mut().push(status.clone()));
    action("click", "Nothing", async {}).await;
    until(|| statuses.borrow().iter().any(|status| matches!(status, Status::Refused(why) if why.contains("answered"))))
        .await;
    assert!(throughline_browser::dropped() > 0);
    let request = Request::get(&own("/")).build().unwrap();
    assert!(http::send(request, None).await.unwrap().ok());
}

#[wasm_bindgen_test]
async fn a_page_without_high_resolution_time_or_randomness_still_works() {
    start();
    // `crypto` cannot be replaced on the window; its method can.
    let crypto = js_sys::Reflect::get(&js_sys::global(), &"crypto".into()).unwrap();
    let broken = js_sys::Function::new_no_args("throw new Error('broken')");
    js_sys::Reflect::set(&crypto, &"getRandomValues".into(), &broken).unwrap();
    let request = Request::get(&own("/?norandom")).build().unwrap();
    let headers = request.headers();
    assert!(http::send(request, None).await.is_ok());
    assert!(headers.get("traceparent").is_some());
    js_sys::Reflect::delete_property(&crypto.into(), &JsValue::from_str("getRandomValues")).unwrap();
}
