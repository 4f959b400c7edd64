//! Everything put together: which address leads where.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware,
    response::Response,
    routing::get,
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use throughline_axum::{IpNet, Route, TraceLayer};
use throughline_intake::{Intake, TICKET_HEADER};
use throughline_store::{Metrics, Store};
use tokio::sync::watch;
use tower::util::MapRequestLayer;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
    set_header::SetResponseHeaderLayer,
};

use crate::{
    assets,
    caller::{self, Caller},
    cookie,
    cruddur::{self, Database},
    error,
    inspector::{self, Gate, Sinks},
    settings::Settings,
};

/// Of a request body of the API; telemetry has limits of its own.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Holds the session of the pages' telemetry from one page to the next.
const SESSION_COOKIE: &str = "throughline_session";
/// A session ends when nobody opens a page for so long, seconds.
const SESSION_IDLE_S: u32 = 15 * 60;

/// What the pages and the health checks need.
#[derive(Clone, Debug)]
struct Site {
    intake: Intake,
    gate: Gate,
    database: Database,
    store: Store,
}

/// All that is served to browsers.
pub(crate) fn router(
    settings: &Settings,
    instance: &str,
    database: Database,
    (store, metrics): (Store, Metrics),
    sinks: Sinks,
    intake: Intake,
    stopping: watch::Receiver<bool>,
) -> Router {
    let gate = Gate::new(&settings.access, &settings.allowed_origins);
    let site =
        Arc::new(Site { intake: intake.clone(), gate: gate.clone(), database: database.clone(), store: store.clone() });
    let pages = Router::new()
        .route("/", get(page))
        .route("/notifications", get(page))
        .route("/search", get(page))
        .route("/crud/{uuid}", get(page))
        .route("/traces", get(page))
        .route("/traces/{trace_id}", get(page))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(fallback)
        .layer(middleware::from_fn(cruddur::identify))
        .with_state(site);
    let trusted: Arc<[IpNet]> = settings.trusted_proxies.as_slice().into();
    let mut trace = TraceLayer::new(instance).filter(is_traced).route(route).documents(is_page);
    trace = trace.trusted_proxies(trusted.iter().copied());
    for origin in &settings.allowed_origins {
        trace = trace.timing_allow_origin(origin);
    }
    let api = cruddur::router(database).layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    Router::new()
        .merge(pages)
        .merge(api)
        .merge(inspector::router(store, sinks, gate.clone(), stopping))
        .merge(inspector::metrics_router(metrics, gate))
        .merge(throughline_intake::public_router(intake))
        .method_not_allowed_fallback(error::wrong_method)
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(trace)
        .layer(cors(&settings.allowed_origins))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(MapRequestLayer::new(move |request| caller::identify(&trusted, request)))
}

/// What becomes a span: the application. Telemetry, the inspector, health checks and files do not.
fn is_traced(request: &Parts) -> bool {
    let path = request.uri.path();
    let below = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    !(below("/v1")
        || below("/api/traces")
        || below("/api/metrics")
        || below("/traces")
        || below("/livez")
        || below("/readyz")
        || assets::is_file(path))
}

/// What may be the page: the API is not, whoever asks.
fn is_page(request: &Parts) -> bool {
    let path = request.uri.path();
    path != "/api" && !path.starts_with("/api/")
}

/// The template of an address, where the router's own says less than there is to know.
fn route(matched: Option<&str>, request: &Parts) -> Route {
    let path = request.uri.path();
    match matched {
        // One pattern of the router stands for two addresses.
        Some("/api/activities/{uuid}") if path.starts_with("/api/activities/@") => {
            Route::Template("/api/activities/@{handle}".into())
        }
        // A catch-all is no route.
        Some("/api" | "/api/{*rest}") => Route::Nothing,
        // A profile's page is known by its first character alone.
        None if path.strip_prefix("/@").is_some_and(|handle| !handle.is_empty() && !handle.contains('/')) => {
            Route::Template("/@{handle}".into())
        }
        _ => Route::Matched,
    }
}

fn cors(origins: &[String]) -> CorsLayer {
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("tracestate"),
            HeaderName::from_static("baggage"),
            HeaderName::from_static(TICKET_HEADER),
        ])
        .expose_headers([HeaderName::from_static("server-timing"), header::RETRY_AFTER])
        .max_age(std::time::Duration::from_secs(3600))
}

/// The page, with a ticket for its telemetry.
async fn page(State(site): State<Arc<Site>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if let Some(entered) = inspector::enter(&site.gate, &parts) {
        return entered;
    }
    with_ticket(&site, &parts, assets::page(&parts.headers))
}

async fn fallback(State(site): State<Arc<Site>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let response = assets::serve(&parts.method, &parts.uri, &parts.headers);
    let is_page = response.headers().contains_key(header::CONTENT_SECURITY_POLICY);
    if is_page { with_ticket(&site, &parts, response) } else { response }
}

/// The ticket comes with the page and is kept in memory: on `Server-Timing`, so that the page's bytes stay the same. The session
/// that it is for is that of the page before, by a cookie, so that every page has a good ticket from its first span on.
fn with_ticket(site: &Site, request: &Parts, mut response: Response) -> Response {
    let session = cookie::values(&request.headers, SESSION_COOKIE).next();
    let issued = site.intake.issue_ticket(session).or_else(|_| site.intake.issue_ticket(None));
    let Ok(issued) = issued else { return response };
    let secure = request.extensions.get().map_or("", Caller::secure);
    let session = issued.session_id;
    let cookie =
        format!("{SESSION_COOKIE}={session}; Path=/; Max-Age={SESSION_IDLE_S}; SameSite=Lax; HttpOnly{secure}");
    let timing = format!("ticket;desc=\"{}\"", issued.ticket);
    for (name, value) in [(header::SET_COOKIE, cookie), (HeaderName::from_static("server-timing"), timing)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Whether requests can be served: both databases answer.
async fn ready(State(site): State<Arc<Site>>) -> (StatusCode, &'static str) {
    use throughline_store::SpanStore as _;
    if !site.database.is_ready().await {
        return (StatusCode::SERVICE_UNAVAILABLE, "cruddur.db does not answer\n");
    }
    match site.store.counts().await {
        Ok(_) => (StatusCode::OK, "ok\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store of traces does not answer\n"),
    }
}

/// The trusted door: telemetry of programs on this machine, and nothing else.
pub(crate) fn trusted_router(intake: Intake) -> Router {
    throughline_intake::trusted_router(intake)
        .fallback(error::no_such_api)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(CatchPanicLayer::custom(error::panicked))
}

/// The same door over gRPC.
pub(crate) fn grpc_router(intake: Intake) -> Router {
    throughline_intake::grpc_router(intake).layer(CatchPanicLayer::custom(error::panicked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(path: &str) -> Parts {
        http::Request::get(path).body(()).unwrap().into_parts().0
    }

    #[test]
    fn telemetry_and_the_inspector_are_not_traced() {
        for path in [
            "/v1/traces",
            "/v1/logs",
            "/v1/ticket",
            "/api/traces",
            "/api/traces/live",
            "/api/metrics",
            "/traces/abc",
            "/livez",
            "/readyz",
        ] {
            assert!(!is_traced(&parts(path)), "{path}");
        }
        for path in ["/", "/api/activities/home", "/api/tracesx", "/@traces", "/v1x"] {
            assert!(is_traced(&parts(path)), "{path}");
        }
    }

    #[test]
    fn routes_are_templates() {
        let route = |matched, path| route(matched, &parts(path));
        let template = |template: &'static str| Route::Template(template.into());
        let activity = Some("/api/activities/{uuid}");
        assert_eq!(route(activity, "/api/activities/@yuki"), template("/api/activities/@{handle}"));
        assert_eq!(route(activity, "/api/activities/0"), Route::Matched);
        assert_eq!(route(None, "/@yuki"), template("/@{handle}"));
        assert_eq!(route(None, "/else"), Route::Matched);
        assert_eq!(route(Some("/api/{*rest}"), "/api/else"), Route::Nothing);
    }
}
