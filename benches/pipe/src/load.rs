//! The spans of an application under load: requests of pages, the server's spans, and database statements.
//!
//! Each span has twelve attributes with the keys and values of the OpenTelemetry instrumentations for browsers, HTTP
//! servers, databases and `tracing`. Ids, addresses, times and numbers differ between spans.

use std::sync::Arc;

use throughline_context::{SpanId, TraceId, keys};
use throughline_otlp::{Event, KeyValue, Resource, Scope, Span, SpanKind, Status, StatusCode, Value};

use crate::random::Random;

/// The number of spans in a batch, the default of the SDKs.
pub(crate) const BATCH_SPANS: usize = 512;
/// The number of services; a batch has the spans of one.
const SERVICES: usize = 2;
/// The start of the first trace in nanoseconds since the Unix epoch.
const BEGIN_NS: u64 = 1_760_000_000_000_000_000;
/// The time between the starts of two traces.
const EVERY_NS: u64 = 100_000;

const ROUTES: [(&str, &str, &str); 8] = [
    (
        "GET",
        "/api/cruds",
        "SELECT id, handle, body, created_at FROM cruds WHERE reply_to IS NULL ORDER BY id DESC LIMIT ?1",
    ),
    ("GET", "/api/cruds/{id}", "SELECT id, handle, body, created_at FROM cruds WHERE id = ?1"),
    ("POST", "/api/cruds/{id}/likes", "INSERT INTO likes (crud_id, user_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING"),
    (
        "GET",
        "/api/users/{handle}",
        "SELECT handle, name, bio, (SELECT count(*) FROM follows WHERE followed = users.id) FROM users WHERE handle = ?1",
    ),
    (
        "GET",
        "/api/notifications",
        "SELECT id, kind, subject, seen FROM notifications WHERE user_id = ?1 AND seen = 0 LIMIT 50",
    ),
    ("POST", "/api/cruds", "INSERT INTO cruds (user_id, body, created_at) VALUES (?1, ?2, ?3) RETURNING id"),
    ("GET", "/api/search", "SELECT id FROM cruds_text WHERE cruds_text MATCH ?1 ORDER BY rank LIMIT 20"),
    ("DELETE", "/api/cruds/{id}", "DELETE FROM cruds WHERE id = ?1 AND user_id = ?2"),
];
const AGENTS: [&str; 6] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
];
const HANDLERS: [&str; 4] = ["list", "show", "like", "profile"];

/// An endless generator of batches.
pub(crate) struct Load {
    random: Random,
    traces: u64,
    /// The spans of incomplete batches, by service.
    waiting: [Vec<Span>; SERVICES],
    resources: [Arc<Resource>; SERVICES],
    scopes: [Arc<Scope>; 3],
}

/// The values that the spans of one trace share.
struct Click {
    trace_id: TraceId,
    at_ns: u64,
    user: String,
    session: String,
    agent: &'static str,
    address: String,
}

impl Load {
    pub(crate) fn new(seed: u64) -> Self {
        let scope = |name: &str, version: &str| {
            Arc::new(Scope { name: name.to_owned(), version: version.to_owned(), ..Scope::default() })
        };
        Self {
            random: Random::new(seed),
            traces: 0,
            waiting: [Vec::new(), Vec::new()],
            resources: [web(), api()],
            scopes: [
                scope("throughline-browser", "0.1.0"),
                scope("throughline-axum", "0.1.0"),
                scope("cruddur", "0.1.0"),
            ],
        }
    }

    /// Returns the next batch, with spans of one service.
    pub(crate) fn batch(&mut self) -> Vec<Span> {
        loop {
            if let Some(full) = self.waiting.iter_mut().find(|spans| spans.len() >= BATCH_SPANS) {
                let rest = full.split_off(BATCH_SPANS);
                return std::mem::replace(full, rest);
            }
            self.click();
        }
    }

    /// Creates a click, its two requests, and the server's spans of each: eleven spans.
    fn click(&mut self) {
        let random = &mut self.random;
        let user = random.below(5_000);
        let click = Click {
            trace_id: trace_id(random),
            at_ns: BEGIN_NS + self.traces * EVERY_NS + random.below(EVERY_NS),
            user: format!("user-{user}"),
            session: format!("{:016x}{:016x}", user.wrapping_mul(0x9e37_79b9_7f4a_7c15), user ^ 0x5bd1_e995),
            agent: AGENTS[user as usize % AGENTS.len()],
            address: format!("203.0.{}.{}", random.below(256), random.below(256)),
        };
        self.traces += 1;
        let mut root = self.span(&click, None, 0, 0, "click like", SpanKind::Internal, 0, 400_000_000);
        root.attributes = page(&click, &mut self.random, "button.like");
        let root_id = root.span_id;
        self.waiting[0].push(root);
        for _ in 0..2 {
            self.request(&click, root_id);
        }
    }

    fn request(&mut self, click: &Click, root: SpanId) {
        let (method, route, statement) = *self.random.pick(&ROUTES);
        let id = self.random.below(1_000_000);
        let path = route.replace("{id}", &id.to_string()).replace("{handle}", &click.user);
        let after = self.random.below(20_000_000);
        let failed = self.random.below(100) == 0;
        let status = if failed { 500 } else { 200 };
        let name = format!("{method} {route}");

        let mut fetch = self.span(click, Some(root), 0, 0, &name, SpanKind::Client, after, 120_000_000);
        let (uplink, downlink) = (ms(&mut self.random, 40_000), ms(&mut self.random, 60_000));
        let server = ms(&mut self.random, 90_000);
        fetch.attributes = vec![
            text("http.request.method", method),
            KeyValue::new("url.full", format!("https://cruddur.example{path}")),
            text("url.template", route),
            text("server.address", "cruddur.example"),
            KeyValue::new("server.port", 443),
            KeyValue::new("http.response.status_code", status),
            text("network.protocol.version", "2"),
            text("session.id", &click.session),
            KeyValue::new(keys::NETWORK_TOTAL_MS, uplink + downlink),
            KeyValue::new(keys::NETWORK_UPLINK_MS, uplink),
            KeyValue::new(keys::NETWORK_DOWNLINK_MS, downlink),
            KeyValue::new(keys::SERVER_DURATION_MS, server),
        ];
        let fetch_id = fetch.span_id;
        let mut serve = self.span(click, Some(fetch_id), 1, 1, &name, SpanKind::Server, after + 9_000_000, 90_000_000);
        serve.flags = 0x301;
        serve.attributes = vec![
            text("http.request.method", method),
            text("http.route", route),
            KeyValue::new("url.path", path),
            text("url.scheme", "https"),
            KeyValue::new("http.response.status_code", status),
            text("client.address", &click.address),
            text("user_agent.original", click.agent),
            text("network.protocol.version", "2"),
            text("server.address", "cruddur.example"),
            KeyValue::new("server.port", 443),
            KeyValue::new("http.response.body.size", integer(&mut self.random, 20_000)),
            text(keys::APP_USER_ID, &click.user),
        ];
        if failed {
            let error = || Status { code: StatusCode::Error, message: String::new() };
            (fetch.status, serve.status) = (error(), error());
            serve.events.push(Event {
                time_ns: serve.end_ns,
                name: "exception".to_owned(),
                attributes: vec![
                    text("exception.type", "rusqlite::Error"),
                    KeyValue::new("exception.message", format!("database is locked while crud {id} was written")),
                ],
                dropped_attributes_count: 0,
            });
        }
        let serve_id = serve.span_id;
        self.waiting[0].push(fetch);
        self.waiting[1].push(serve);

        let handler = *self.random.pick(&HANDLERS);
        let mut handle =
            self.span(click, Some(serve_id), 1, 2, handler, SpanKind::Internal, after + 10_000_000, 80_000_000);
        handle.attributes = program(&mut self.random, "cruddur::cruds", handler, 40);
        handle.attributes.push(text(keys::APP_USER_ID, &click.user));
        let handle_id = handle.span_id;
        self.waiting[1].push(handle);
        for step in 0..2 {
            let begin = after + 12_000_000 + step * 9_000_000;
            let mut query = self.span(click, Some(handle_id), 1, 2, "statement", SpanKind::Client, begin, 8_000_000);
            query.attributes = vec![
                text("db.system.name", "sqlite"),
                text("db.namespace", "cruddur"),
                text("db.operation.name", statement.split_once(' ').map_or(statement, |(verb, _)| verb)),
                text("db.collection.name", "cruds"),
                text("db.query.text", statement),
                KeyValue::new("db.response.returned_rows", integer(&mut self.random, 50)),
                text("code.file.path", "backend/src/cruddur/rows.rs"),
                text("code.function.name", "throughline::cruddur::rows::select"),
                KeyValue::new("code.line.number", 61),
                KeyValue::new("thread.id", integer(&mut self.random, 8)),
                KeyValue::new("busy_ns", integer(&mut self.random, 3_000_000)),
                KeyValue::new("idle_ns", integer(&mut self.random, 90_000)),
            ];
            self.waiting[1].push(query);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a span has this number of fields, and all callers are above")]
    fn span(
        &mut self,
        click: &Click,
        parent: Option<SpanId>,
        service: usize,
        scope: usize,
        name: &str,
        kind: SpanKind,
        after_ns: u64,
        longest_ns: u64,
    ) -> Span {
        let ids = (click.trace_id, span_id(&mut self.random));
        let mut span = Span::new(ids.0, ids.1, Arc::clone(&self.resources[service]), Arc::clone(&self.scopes[scope]));
        span.parent_span_id = parent;
        span.flags = 0x101;
        name.clone_into(&mut span.name);
        span.kind = kind;
        span.start_ns = click.at_ns + after_ns + self.random.below(1_000_000);
        span.end_ns = span.start_ns + self.random.below(longest_ns);
        span
    }
}

fn page(click: &Click, random: &mut Random, target: &str) -> Vec<KeyValue> {
    vec![
        text("session.id", &click.session),
        text(keys::APP_USER_ID, &click.user),
        text("url.full", "https://cruddur.example/"),
        text("url.template", "/"),
        text("browser.language", "en-US"),
        KeyValue::new("browser.mobile", random.below(2) == 0),
        text("user_agent.original", click.agent),
        text("app.widget.id", target),
        text("app.widget.name", "like"),
        KeyValue::new("app.screen.coordinate.x", integer(random, 1_920)),
        KeyValue::new("app.screen.coordinate.y", integer(random, 1_080)),
        text("client.address", &click.address),
    ]
}

/// Returns the attributes that `tracing-opentelemetry` adds to the span of a function.
fn program(random: &mut Random, module: &str, function: &str, line: i64) -> Vec<KeyValue> {
    vec![
        text("code.file.path", "backend/src/cruddur/routes.rs"),
        text("code.module.name", module),
        text("code.function.name", function),
        KeyValue::new("code.line.number", line),
        KeyValue::new("thread.id", integer(random, 8)),
        text("thread.name", "tokio-runtime-worker"),
        text("target", module),
        text("level", "INFO"),
        KeyValue::new("busy_ns", integer(random, 9_000_000)),
        KeyValue::new("idle_ns", integer(random, 900_000)),
        KeyValue::new("cruddur.count", integer(random, 50)),
    ]
}

fn web() -> Arc<Resource> {
    resource(&[
        ("service.name", "cruddur-web"),
        ("browser.platform", "Linux"),
        ("telemetry.sdk.name", "throughline"),
        ("telemetry.sdk.language", "webjs"),
    ])
}

fn api() -> Arc<Resource> {
    resource(&[
        ("service.name", "cruddur"),
        ("service.instance.id", "627cc493-f310-47de-96bd-71410b7dec09"),
        ("deployment.environment.name", "production"),
        ("host.name", "web-1"),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", "0.33.1"),
    ])
}

fn resource(attributes: &[(&str, &str)]) -> Arc<Resource> {
    let attributes = attributes.iter().map(|(key, value)| text(key, value)).collect();
    Arc::new(Resource { attributes, ..Resource::default() })
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue::new(key, value)
}

fn integer(random: &mut Random, end: u64) -> Value {
    Value::Int(i64::try_from(random.below(end)).expect("all callers use small ranges"))
}

/// Returns milliseconds as a page computes them, as a difference with rounding noise in the last digits.
fn ms(random: &mut Random, end_us: u64) -> f64 {
    let begin = random.below(60_000_000) as f64 / 1_000.0;
    let end = begin + random.below(end_us) as f64 / 1_000.0;
    end - begin
}

fn trace_id(random: &mut Random) -> TraceId {
    loop {
        if let Some(id) = TraceId::from_bytes(random.bytes()) {
            return id;
        }
    }
}

fn span_id(random: &mut Random) -> SpanId {
    loop {
        if let Some(id) = SpanId::from_bytes(random.bytes()) {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn batches_have_512_spans_with_12_attributes_and_unique_ids() {
        let mut load = Load::new(1);
        let mut ids = BTreeSet::new();
        for _ in 0..20 {
            let batch = load.batch();
            assert_eq!(batch.len(), BATCH_SPANS);
            for span in &batch {
                assert_eq!(span.attributes.len(), 12, "{}", span.name);
                assert!(ids.insert((span.trace_id, span.span_id)), "duplicate id");
            }
        }
    }

    #[test]
    fn the_same_seed_creates_the_same_load() {
        assert_eq!(Load::new(7).batch(), Load::new(7).batch());
        assert_ne!(Load::new(7).batch(), Load::new(8).batch());
    }
}
