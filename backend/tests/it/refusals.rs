//! Tests of rejected requests to Cruddur's API: the status, the stable code, the trace, and unchanged data.

use cruddur_shared::cruddur::{Activity, Feed, NewReply, Profile, Thread, Users};
use reqwest::{RequestBuilder, header};
use throughline_inspector_api::StatusCode;

use crate::support::{Bench, Cruddur as _, Start as _, refused, text};

const UNKNOWN_UUID: &str = "7f3e7f3e-1111-4111-8111-111111111111";

/// Asserts that a request is rejected with the id of a stored trace, and that no data has changed.
async fn assert_refused(bench: &Bench, request: RequestBuilder, status: u16, code: &str) {
    let before = everything(bench).await;
    let error = refused(request, status, code).await;
    assert_eq!(everything(bench).await, before, "something was written");
    let server = bench.server_span(&error.trace_id.expect("the request was traced")).await;
    assert_eq!(text(&server.attributes, "http.response.status_code"), Some(status.to_string()));
    assert_eq!(server.status, StatusCode::Unset, "a client error is not an error of the server span");
}

/// Returns all visible data: home with its counts, and the cruds of each user.
async fn everything(bench: &Bench) -> Vec<Activity> {
    let mut all = bench.read::<Feed>("/api/activities/home").await.activities;
    for user in bench.read::<Users>("/api/users").await.users {
        let path = format!("/api/activities/@{}", user.handle);
        all.extend(bench.read::<Profile>(&path).await.activities);
    }
    all
}

fn post(bench: &Bench, body: impl Into<reqwest::Body>) -> RequestBuilder {
    bench.request("POST", "/api/activities").header(header::CONTENT_TYPE, "application/json").body(body)
}

fn message(text: &str) -> String {
    serde_json::json!({"message": text}).to_string()
}

#[tokio::test]
async fn an_empty_crud_is_rejected() {
    let bench = Bench::start();
    assert_refused(&bench, post(&bench, message("")), 422, "message_empty").await;
}

#[tokio::test]
async fn a_crud_of_only_white_space_is_rejected() {
    let bench = Bench::start();
    assert_refused(&bench, post(&bench, message(" \n\t\u{a0}\u{2003} ")), 422, "message_empty").await;
}

#[tokio::test]
async fn a_crud_of_281_characters_is_rejected() {
    let bench = Bench::start();
    assert_refused(&bench, post(&bench, message(&"x".repeat(281))), 422, "message_too_long").await;
    assert_refused(&bench, post(&bench, message(&"🦀".repeat(281))), 422, "message_too_long").await;
}

#[tokio::test]
async fn a_body_that_is_not_json_is_rejected() {
    let bench = Bench::start();
    for body in [&b""[..], b"{", b"message=hello", b"{\"message\":\"\xff\"}", b"{\"message\":\"x\"} trailing"] {
        assert_refused(&bench, post(&bench, body), 400, "invalid_json").await;
    }
}

#[tokio::test]
async fn json_of_another_type_is_rejected() {
    let bench = Bench::start();
    for body in ["[]", "null", "{}", r#"{"message":1}"#, r#"{"message":null}"#] {
        assert_refused(&bench, post(&bench, body), 422, "invalid_body").await;
    }
}

#[tokio::test]
async fn an_unknown_field_is_rejected() {
    let bench = Bench::start();
    assert_refused(&bench, post(&bench, r#"{"message":"x","colour":"red"}"#), 422, "invalid_body").await;
}

#[tokio::test]
async fn an_unknown_expiry_is_rejected() {
    let bench = Bench::start();
    assert_refused(&bench, post(&bench, r#"{"message":"x","ttl":"2-days"}"#), 422, "invalid_body").await;
}

#[tokio::test]
async fn another_content_type_is_rejected() {
    let bench = Bench::start();
    let typed = |content_type: &'static str| {
        bench.request("POST", "/api/activities").header(header::CONTENT_TYPE, content_type).body(message("x"))
    };
    assert_refused(&bench, typed("text/plain"), 415, "unsupported_media_type").await;
    assert_refused(&bench, typed("application/x-www-form-urlencoded"), 415, "unsupported_media_type").await;
    let untyped = bench.request("POST", "/api/activities").body(message("x"));
    assert_refused(&bench, untyped, 415, "unsupported_media_type").await;
}

#[tokio::test]
async fn a_body_above_64_kib_is_rejected() {
    let bench = Bench::start();
    assert_refused(&bench, post(&bench, message(&"x".repeat(64 * 1024))), 413, "body_too_large").await;
    // At exactly the limit, the body is accepted and the message is too long.
    let fits = message(&"x".repeat(64 * 1024 - message("").len()));
    assert_eq!(fits.len(), 64 * 1024);
    assert_refused(&bench, post(&bench, fits), 422, "message_too_long").await;
}

#[tokio::test]
async fn a_reply_is_validated_like_a_crud() {
    let bench = Bench::start();
    let crud = bench.crud("", "ask me").await;
    let reply = |body: String| {
        let request = bench.request("POST", &format!("/api/activities/{}/reply", crud.uuid));
        request.header(header::CONTENT_TYPE, "application/json").body(body)
    };
    assert_refused(&bench, reply(message("")), 422, "message_empty").await;
    assert_refused(&bench, reply(message(&"x".repeat(281))), 422, "message_too_long").await;
    assert_refused(&bench, reply("{".to_owned()), 400, "invalid_json").await;
    assert_refused(&bench, reply(r#"{"message":"x","ttl":"1-day"}"#.to_owned()), 422, "invalid_body").await;
    let thread: Thread = bench.read(&format!("/api/activities/{}", crud.uuid)).await;
    assert!(thread.replies.is_empty());
}

#[tokio::test]
async fn a_reply_to_an_unknown_crud_is_rejected() {
    let bench = Bench::start();
    let request = bench.request("POST", &format!("/api/activities/{UNKNOWN_UUID}/reply"));
    let reply = NewReply { message: "hello?".to_owned() };
    assert_refused(&bench, request.json(&reply), 404, "unknown_activity").await;
}

#[tokio::test]
async fn an_unknown_uuid_is_404() {
    let bench = Bench::start();
    let like = format!("/api/activities/{UNKNOWN_UUID}/like");
    assert_refused(&bench, bench.get(&format!("/api/activities/{UNKNOWN_UUID}")), 404, "unknown_activity").await;
    assert_refused(&bench, bench.request("PUT", &like), 404, "unknown_activity").await;
    assert_refused(&bench, bench.request("DELETE", &like), 404, "unknown_activity").await;
}

#[tokio::test]
async fn a_malformed_uuid_is_rejected() {
    let bench = Bench::start();
    for uuid in ["1", "not-a-uuid", "7f3e7f3e-1111-4111-8111-11111111111", "%F0%9F%A6%80"] {
        let crud = format!("/api/activities/{uuid}");
        assert_refused(&bench, bench.get(&crud), 400, "invalid_uuid").await;
    }
    let crud = "/api/activities/not-a-uuid";
    assert_refused(&bench, bench.request("PUT", &format!("{crud}/like")), 400, "invalid_uuid").await;
    assert_refused(&bench, bench.request("DELETE", &format!("{crud}/like")), 400, "invalid_uuid").await;
    let reply = bench.request("POST", &format!("{crud}/reply")).json(&NewReply { message: "x".to_owned() });
    assert_refused(&bench, reply, 400, "invalid_uuid").await;
}

#[tokio::test]
async fn the_profile_of_an_unknown_handle_is_404() {
    let bench = Bench::start();
    for handle in ["nobody", "MIRELA%00", "%25", "%F0%9F%A6%80"] {
        assert_refused(&bench, bench.get(&format!("/api/activities/@{handle}")), 404, "unknown_handle").await;
    }
}

#[tokio::test]
async fn choosing_an_unknown_handle_sets_no_cookie() {
    let bench = Bench::start();
    for handle in ["nobody", "", "@mirela"] {
        let request = || bench.request("PUT", "/api/session").json(&serde_json::json!({"handle": handle}));
        assert_refused(&bench, request(), 404, "unknown_handle").await;
        assert!(!request().send().await.unwrap().headers().contains_key(header::SET_COOKIE));
    }
}

#[tokio::test]
async fn choosing_a_user_with_an_invalid_body_is_rejected() {
    let bench = Bench::start();
    let choose = |body: &'static str| {
        bench.request("PUT", "/api/session").header(header::CONTENT_TYPE, "application/json").body(body)
    };
    assert_refused(&bench, choose("{"), 400, "invalid_json").await;
    assert_refused(&bench, choose(r#"{"handle":"mirela","admin":true}"#), 422, "invalid_body").await;
}

#[tokio::test]
async fn a_search_without_a_term_is_rejected() {
    let bench = Bench::start();
    for query in ["", "?term=", "?term=%20%20", "?word=x"] {
        assert_refused(&bench, bench.get(&format!("/api/activities/search{query}")), 422, "term_missing").await;
    }
}

#[tokio::test]
async fn an_unknown_address_of_the_api_is_404() {
    let bench = Bench::start();
    for path in ["/api/nope", "/api", "/api/", "/api/users/1", "/api/activities/a/b/c"] {
        assert_refused(&bench, bench.get(path), 404, "no_such_address").await;
    }
    // A navigation of a browser to an address of the API does not get a page.
    let request = bench.get("/api/nope").header(header::ACCEPT, "text/html");
    assert_refused(&bench, request, 404, "no_such_address").await;
}

#[tokio::test]
async fn a_405_response_lists_the_allowed_methods() {
    let bench = Bench::start();
    for (method, path, allowed) in [
        ("DELETE", "/api/users", "GET"),
        ("POST", "/api/activities/home", "GET"),
        ("GET", "/api/session", "PUT"),
        ("POST", "/api/activities/7f3e7f3e-1111-4111-8111-111111111111/like", "PUT"),
        ("GET", "/api/activities", "POST"),
    ] {
        assert_refused(&bench, bench.request(method, path), 405, "method_not_allowed").await;
        let response = bench.request(method, path).send().await.unwrap();
        let allow = response.headers()[header::ALLOW].to_str().unwrap();
        assert!(allow.split(',').any(|method| method.trim() == allowed), "{method} {path}: {allow}");
    }
}
