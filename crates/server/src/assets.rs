//! The built frontend, embedded: compressed when it was built, with ETags, hashed files cached for good.

use std::sync::LazyLock;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use rust_embed::{Embed, EmbeddedFile};
use sha2::{Digest, Sha256};

use crate::error::ApiError;

#[derive(Embed)]
#[folder = "../../frontend/dist"]
#[allow_missing = true]
struct Dist;

const INDEX: &str = "index.html";
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const REVALIDATE: &str = "no-cache";

/// Encodings that files are stored in, best first.
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// Scripts: our own, WASM, and the one that starts it; nothing else inline. Everything else from here or not at all.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let index = Dist::get(INDEX).map(|file| String::from_utf8_lossy(&file.data).into_owned()).unwrap_or_default();
    let scripts: String = inline_scripts(&index)
        .map(|script| format!(" 'sha256-{}'", BASE64.encode(Sha256::digest(script.as_bytes()))))
        .collect();
    let policy = format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'{scripts}; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// The texts of the scripts that stand in the page itself.
fn inline_scripts(html: &str) -> impl Iterator<Item = &str> {
    html.split("<script").skip(1).filter_map(|rest| {
        let (attributes, rest) = rest.split_once('>')?;
        let (text, _) = rest.split_once("</script>")?;
        (!attributes.contains("src=") && !text.is_empty()).then_some(text)
    })
}

/// Whether this path is an embedded file (the page itself is none: it is answered by its route).
pub(crate) fn is_file(path: &str) -> bool {
    let name = path.trim_start_matches('/');
    name != INDEX && !ENCODINGS.iter().any(|(_, suffix)| name.ends_with(suffix)) && Dist::get(name).is_some()
}

/// Any address that is no API: a file, or the page where a person asks for one.
pub(crate) fn serve(method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this address does not take that method",
        )
        .into_response();
    }
    if is_file(uri.path()) {
        return file(uri.path().trim_start_matches('/'), headers);
    }
    // A file that is missing stays missing: a page in place of a script hides the mistake.
    let looks_like_file =
        uri.path().rsplit('/').next().is_some_and(|last| last.contains('.') && !last.starts_with('@'));
    if accepts_html(headers) && !looks_like_file {
        return page(headers);
    }
    ApiError::not_found("no_such_address", "there is nothing at this address").into_response()
}

/// The page of the application, whatever its route.
pub(crate) fn page(headers: &HeaderMap) -> Response {
    if Dist::get(INDEX).is_none() {
        let text =
            "The frontend is not built into this program. Build it with `cargo xtask build`, or run `trunk serve`.\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)
            .into_response();
    }
    let mut response = file(INDEX, headers);
    let fixed = [
        ("cross-origin-opener-policy", "same-origin"),
        // Isolated pages have timers of 5 µs instead of 100 µs.
        ("cross-origin-embedder-policy", "require-corp"),
        ("referrer-policy", "same-origin"),
        ("x-frame-options", "DENY"),
    ];
    let out = response.headers_mut();
    out.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    for (name, value) in fixed {
        out.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// RFC 9110, section 12.5.1, as far as `text/html` by name is concerned: a program that takes anything wants no page.
fn accepts_html(headers: &HeaderMap) -> bool {
    accepts(headers, &header::ACCEPT, "text/html")
}

fn file(name: &str, headers: &HeaderMap) -> Response {
    let Some(plain) = Dist::get(name) else {
        return ApiError::not_found("no_such_address", "there is nothing at this address").into_response();
    };
    let encoded = ENCODINGS
        .iter()
        .filter(|(encoding, _)| accepts_encoding(headers, encoding))
        .find_map(|(encoding, suffix)| Some((*encoding, Dist::get(&format!("{name}{suffix}"))?)));
    let (encoding, content) = match encoded {
        Some((encoding, content)) => (Some(encoding), content),
        None => (None, plain),
    };
    let tag = etag(&content);
    let mut response = if matches(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Body::from(content.data).into_response();
        let kind = content_type(name);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(encoding) = encoding {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response
    };
    let out = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        out.insert(header::ETAG, tag);
    }
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(if is_hashed(name) { IMMUTABLE } else { REVALIDATE }));
    out.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

fn etag(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let short: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{short}\"")
}

/// RFC 9110, section 13.1.2: a list of tags or `*`, compared weakly.
fn matches(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == tag || known == "*")
}

/// RFC 9110, section 12.5.3, as far as `q=0` is concerned: order is ours.
fn accepts_encoding(headers: &HeaderMap, encoding: &str) -> bool {
    accepts(headers, &header::ACCEPT_ENCODING, encoding)
}

/// Whether a list of a negotiating header names `wanted` and does not refuse it by `q=0`.
fn accepts(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(
        |item| {
            let mut parts = item.split(';').map(str::trim);
            let named = parts.next().unwrap_or_default();
            let refused = parts.any(|parameter| {
                parameter.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q == 0.0)
            });
            named.eq_ignore_ascii_case(wanted) && !refused
        },
    )
}

/// Whether Trunk put a hash of the content into the name, as in `app-1a2b3c4d5e6f7a8b.js` or `app-1a2b3c4d5e6f7a8b_bg.wasm`.
fn is_hashed(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let stem = stem.strip_suffix("_bg").unwrap_or(stem);
    stem.rsplit_once('-').is_some_and(|(_, hash)| hash.len() >= 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scripts_without_a_source_are_inline() {
        let html =
            r#"<script type="module">import a from '/a.js';</script><script src="/b.js"></script><script>x()</script>"#;
        assert_eq!(inline_scripts(html).collect::<Vec<_>>(), ["import a from '/a.js';", "x()"]);
    }

    #[test]
    fn hashed_names_are_known_from_others() {
        assert!(is_hashed("cruddur-frontend-1a2b3c4d5e6f7a8b.js"));
        assert!(is_hashed("cruddur-frontend-1a2b3c4d5e6f7a8b_bg.wasm"));
        assert!(is_hashed("style-cafe12340000.css"));
        assert!(!is_hashed("index.html"));
        assert!(!is_hashed("cruddur-frontend.js"));
        assert!(!is_hashed("favicon.svg"));
    }

    #[test]
    fn encodings_are_negotiated() {
        let headers = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            headers
        };
        assert!(accepts_encoding(&headers("gzip, deflate, br;q=0.9"), "br"));
        assert!(!accepts_encoding(&headers("gzip, br;q=0"), "br"));
        assert!(!accepts_encoding(&headers("gzip"), "br"));
        assert!(!accepts_encoding(&HeaderMap::new(), "gzip"));
    }

    #[test]
    fn tags_are_compared_weakly_and_in_lists() {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, r#""a", W/"b""#.parse().unwrap());
        assert!(matches(&headers, "\"b\""));
        assert!(!matches(&headers, "\"c\""));
    }
}
