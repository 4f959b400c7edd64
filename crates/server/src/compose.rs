//! The routers of all listeners.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use cookie::time::Duration as CookieDuration;
use http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use throughline_axum::{IpNet, TraceLayer};
use throughline_inspector_server::{Client, Inspector, no_such_address, panicked, wrong_method};
use throughline_intake::{ClientAddress, INGEST_TOKEN_HEADER, Intake};
use throughline_store::{SpanStore as _, Store};
use tokio::sync::watch;
use tower::util::MapRequestLayer;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
    set_header::SetResponseHeaderLayer,
};

use crate::{
    application::{Application, Readiness},
    pipeline::Pipeline,
    settings::Settings,
};

/// The cookie that passes the telemetry session from one page to the next.
const SESSION_COOKIE: &str = "throughline_session";
/// A session ends after this time without a page load, in seconds.
const SESSION_IDLE_S: i64 = 15 * 60;

/// Returns the routes of Throughline itself: the inspector, its API, and the receiver for pages, under the base path.
pub(crate) fn product(settings: &Settings, pipeline: &Pipeline, stopping: watch::Receiver<bool>) -> Router {
    let inspector = Inspector::new(pipeline.store.clone())
        .metrics(pipeline.metrics.clone())
        .sinks(pipeline.sinks.clone())
        .otlp_http(pipeline.otlp_http.clone())
        .access(settings.access.clone())
        .allowed_origins(settings.allowed_origins.iter().cloned())
        .trusted_proxies(settings.trusted_proxies.iter().copied())
        .stopping(stopping)
        .base_path(settings.base_path.clone())
        .expect("the settings have checked the base path");
    let receiver = throughline_intake::page_router(pipeline.intake.clone())
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked));
    let receiver = match settings.base_path.as_str() {
        "" => receiver,
        base => Router::new().nest(base, receiver),
    };
    let router = Router::new().merge(inspector.router()).merge(receiver);
    match settings.base_path.as_str() {
        "" => router,
        base => router
            .route(base, get(to_inspector(base.to_owned())))
            .route(&format!("{base}/"), get(to_inspector(base.to_owned()))),
    }
}

/// Returns the router of the listener for browsers.
pub(crate) fn router(
    settings: &Settings,
    instance: &str,
    application: Option<Application>,
    pipeline: &Pipeline,
    stopping: watch::Receiver<bool>,
) -> Router {
    let readiness = application.as_ref().and_then(|application| application.readiness.clone());
    let health = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state((pipeline.store.clone(), readiness));
    let trace = trace_layer(settings, instance, application.as_ref());
    let application = match application {
        Some(application) => {
            application.router.layer(middleware::from_fn_with_state(pipeline.intake.clone(), with_ingest_token))
        }
        None => standalone(settings),
    };
    Router::new()
        .merge(product(settings, pipeline, stopping))
        .merge(health)
        .merge(application)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(trace)
        .layer(cors(&settings.allowed_origins))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(identify(&settings.trusted_proxies))
}

/// Returns the routes of a server without an application: a redirect to the inspector.
fn standalone(settings: &Settings) -> Router {
    Router::new().route("/", get(to_inspector(settings.base_path.clone()))).fallback(no_such_address)
}

/// Returns a handler that redirects to the inspector under the base path `base`.
fn to_inspector(base: String) -> impl Fn(Request) -> std::future::Ready<Redirect> + Clone + Send + Sync + 'static {
    move |request| std::future::ready(redirect(&base, &request))
}

fn redirect(base: &str, request: &Request) -> Redirect {
    let prefix = request.extensions().get::<Client>().map_or("", |client| client.prefix.as_str());
    Redirect::temporary(&format!("{prefix}{base}/traces"))
}

/// Returns a layer that adds the client to the extensions of a request, for the inspector and the receiver for pages.
pub(crate) fn identify(trusted: &[IpNet]) -> MapRequestLayer<impl Fn(Request) -> Request + Clone + use<>> {
    let trusted: Arc<[IpNet]> = trusted.into();
    MapRequestLayer::new(move |request| {
        let mut request = Client::identify(&trusted, request);
        if let Some(address) = request.extensions().get::<Client>().and_then(|client| client.address) {
            request.extensions_mut().insert(ClientAddress(address));
        }
        request
    })
}

fn trace_layer(settings: &Settings, instance: &str, application: Option<&Application>) -> TraceLayer {
    let base_path = settings.base_path.clone();
    let filter = application.and_then(|application| application.filter.clone());
    // Without an application, the response is a redirect or 404: a request becomes a span only if it is part of a trace.
    let is_standalone = application.is_none();
    let mut trace = TraceLayer::new(instance)
        .filter(move |request: &Parts| {
            !is_product(&base_path, request)
                && (!is_standalone || request.headers.contains_key("traceparent"))
                && filter.as_ref().is_none_or(|filter| filter(request))
        })
        .trusted_proxies(settings.trusted_proxies.iter().copied())
        .catch_panics()
        .trace_upgrades();
    if let Some(documents) = application.and_then(|application| application.documents.clone()) {
        trace = trace.documents(move |request: &Parts| documents(request));
    }
    if let Some(route) = application.and_then(|application| application.route.clone()) {
        trace = trace.route(move |matched: Option<&str>, request: &Parts| route(matched, request));
    }
    for origin in &settings.allowed_origins {
        trace = trace.timing_allow_origin(origin_value(origin));
    }
    trace
}

/// Returns whether a request is for Throughline itself: telemetry, the inspector and health checks are not traced.
fn is_product(base_path: &str, request: &Parts) -> bool {
    let path = request.uri.path();
    let is_below = |path: &str, parent: &str| {
        path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let product = ["/v1", "/api/traces", "/api/metrics", "/traces"];
    path.strip_prefix(base_path).is_some_and(|path| product.iter().any(|parent| is_below(path, parent)))
        || ["/livez", "/readyz"].contains(&path)
}

fn origin_value(origin: &str) -> HeaderValue {
    HeaderValue::from_str(origin).expect("the settings serialize an origin as printable ASCII")
}

fn cors(origins: &[String]) -> CorsLayer {
    let origins = origins.iter().map(|origin| origin_value(origin));
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("tracestate"),
            HeaderName::from_static("baggage"),
            HeaderName::from_static(INGEST_TOKEN_HEADER),
            HeaderName::from_static(throughline_context::ingest_token::FORMER_HEADER),
        ])
        .expose_headers([HeaderName::from_static("server-timing"), header::RETRY_AFTER])
        .max_age(std::time::Duration::from_secs(3600))
}

/// Adds an ingest token to each page of the application.
///
/// The token is sent in `Server-Timing`, which does not change the page's body, so that a page has a valid token for its first span.
/// The page keeps it in memory. A cookie continues the session of the previous page.
async fn with_ingest_token(State(intake): State<Intake>, request: Request, next: Next) -> Response {
    let is_over_tls = request.extensions().get::<Client>().is_some_and(|client| client.is_over_tls);
    let session =
        CookieJar::from_headers(request.headers()).get(SESSION_COOKIE).map(|cookie| cookie.value().to_owned());
    let mut response = next.run(request).await;
    let is_page =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
            || response.status() == StatusCode::NOT_MODIFIED
                && response.headers().contains_key(header::CONTENT_SECURITY_POLICY);
    if !is_page {
        return response;
    }
    // An invalid session id is replaced by a new session.
    let issued = intake.issue_ingest_token(session.as_deref()).or_else(|_| intake.issue_ingest_token(None));
    let Ok(issued) = issued else { return response };
    let mut cookie = Cookie::new(SESSION_COOKIE, issued.session_id);
    cookie.set_path("/");
    cookie.set_max_age(CookieDuration::seconds(SESSION_IDLE_S));
    cookie.set_same_site(SameSite::Lax);
    cookie.set_http_only(true);
    cookie.set_secure(is_over_tls);
    let timing = format!("{};desc=\"{}\"", throughline_context::ingest_token::METRIC, issued.ingest_token);
    for (name, value) in [(header::SET_COOKIE, cookie.to_string()), (HeaderName::from_static("server-timing"), timing)]
    {
        let value = HeaderValue::from_str(&value).expect("a token and a session id are base64 and hex");
        response.headers_mut().append(name, value);
    }
    response
}

/// Responds to `GET /readyz`: 200 if the store can be read and the application is ready, otherwise 503.
async fn ready(State((store, readiness)): State<(Store, Option<Readiness>)>) -> Response {
    if store.counts().await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the trace store cannot be read\n").into_response();
    }
    if let Some(readiness) = readiness
        && let Err(reason) = readiness().await
    {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response();
    }
    "ok\n".into_response()
}

/// Returns the router of the OTLP/HTTP receiver for other programs.
pub(crate) fn otlp_router(intake: Intake) -> Router {
    throughline_intake::otlp_router(intake)
        .fallback(no_such_address)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked))
}

/// Returns the router of the OTLP/gRPC receiver for other programs.
pub(crate) fn grpc_router(intake: Intake) -> Router {
    throughline_intake::grpc_router(intake).layer(CatchPanicLayer::custom(panicked))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        pipeline::Opened,
        settings::{self, Identity},
    };

    /// Returns the response to `GET path` of a server with an application whose readiness is `readiness`.
    async fn served(readiness: Result<(), String>, path: &str) -> (StatusCode, String) {
        let dir = tempfile::tempdir().unwrap();
        let arguments = ["throughline", "--otlp-listen=127.0.0.1:0", "--grpc-listen=off", "--data-dir"];
        let arguments = arguments.map(Into::into).into_iter().chain([dir.path().into()]);
        let identity = Identity::default();
        let settings = settings::parse(&identity, arguments).unwrap().args.resolve(&identity).unwrap();
        let running = Opened::open(&settings).unwrap().listen(&settings).await.unwrap();
        let routes = Router::new().route("/", get(|| async { "the application" }));
        let application = Application::new(routes).readiness(move || {
            let readiness = readiness.clone();
            async move { readiness }
        });
        let router = router(&settings, "instance", Some(application), &running.pipeline, running.stopping());
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        running.shutdown().await;
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readyz_returns_the_reason_of_an_application_that_is_not_ready() {
        let reason = "the database does not respond";
        let not_ready = served(Err(reason.to_owned()), "/readyz").await;
        assert_eq!(not_ready, (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")));
        assert_eq!(served(Err(reason.to_owned()), "/livez").await.0, StatusCode::OK, "it is alive");
        assert_eq!(served(Ok(()), "/readyz").await, (StatusCode::OK, "ok\n".to_owned()));
    }

    #[tokio::test]
    async fn the_application_serves_the_root() {
        assert_eq!(served(Ok(()), "/").await, (StatusCode::OK, "the application".to_owned()));
    }

    fn is_product(base: &str, path: &str) -> bool {
        super::is_product(base, &http::Request::get(path).body(()).unwrap().into_parts().0)
    }

    #[test]
    fn telemetry_and_the_inspector_are_not_traced() {
        for path in [
            "/v1/traces",
            "/v1/logs",
            "/v1/ingest-token",
            "/api/traces",
            "/api/traces/live",
            "/api/metrics",
            "/traces/abc",
        ] {
            assert!(is_product("", path), "{path}");
            assert!(is_product("/tl", &format!("/tl{path}")), "{path}");
            assert!(!is_product("/tl", path), "{path}");
        }
        for path in ["/livez", "/readyz"] {
            assert!(is_product("", path) && is_product("/tl", path), "{path}");
        }
        for path in ["/", "/api/notes", "/api/tracesx", "/@traces", "/v1x", "/livez/x"] {
            assert!(!is_product("", path), "{path}");
        }
    }
}
