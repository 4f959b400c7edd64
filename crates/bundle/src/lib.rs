#![doc = include_str!("../README.md")]

use std::{borrow::Cow, sync::OnceLock};

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use rust_embed::{Embed, EmbeddedFile};
use sha2::{Digest, Sha256};

const INDEX: &str = "index.html";
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const REVALIDATE: &str = "no-cache";
const HTML: &str = "text/html; charset=utf-8";

/// The encodings of the compressed copies, best first, with the suffix of their files.
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// An embedded bundle: the page `index.html` and the files that it loads.
#[derive(Debug)]
pub struct Bundle {
    get: fn(&str) -> Option<EmbeddedFile>,
    placeholder: Option<&'static str>,
    /// The page under the empty base path, computed once.
    page: OnceLock<Option<Page>>,
}

/// A page as it is served under one base path.
#[derive(Clone, Debug)]
struct Page {
    html: Vec<u8>,
    etag: HeaderValue,
    policy: HeaderValue,
}

impl Bundle {
    /// Creates the bundle from the files that `E` embeds.
    #[must_use]
    pub fn new<E: Embed>() -> Self {
        Self { get: E::get, placeholder: None, page: OnceLock::new() }
    }

    /// Replaces `placeholder` in the page by the base path (the argument `base` of [`Bundle::page`]).
    ///
    /// The placeholder begins with a slash, such as `/__base__`; the public URL that the bundle is built with begins with it.
    #[must_use]
    pub fn with_placeholder(mut self, placeholder: &'static str) -> Self {
        self.placeholder = Some(placeholder);
        self
    }

    /// Returns whether the bundle was built before it was embedded.
    #[must_use]
    pub fn is_built(&self) -> bool {
        (self.get)(INDEX).is_some()
    }

    /// Returns whether `name` (a path without a leading slash) is a file of the bundle. The page and the compressed
    /// copies are not.
    #[must_use]
    pub fn has_file(&self, name: &str) -> bool {
        name != INDEX && !ENCODINGS.iter().any(|(_, suffix)| name.ends_with(suffix)) && (self.get)(name).is_some()
    }

    /// Returns the response to a `GET` or `HEAD` request for the file `name`; `None` if the bundle has no such file.
    ///
    /// The body is the copy that `accept-encoding` allows. The status is 304 if `if-none-match` contains its `ETag`. A file with
    /// a hash in its name is immutable for a year.
    #[must_use]
    pub fn file(&self, name: &str, headers: &HeaderMap) -> Option<Response> {
        if !self.has_file(name) {
            return None;
        }
        let plain = (self.get)(name)?;
        let kind = content_type(&plain);
        let copy = ENCODINGS
            .iter()
            .filter(|(encoding, _)| accepts(headers, &header::ACCEPT_ENCODING, encoding))
            .find_map(|(encoding, suffix)| Some((*encoding, (self.get)(&format!("{name}{suffix}"))?)));
        let (encoding, content) = match copy {
            Some((encoding, content)) => (Some(encoding), content),
            None => (None, plain),
        };
        let tag = etag(&content.metadata.sha256_hash());
        let mut response = respond(content.data, &tag, headers, kind);
        let out = response.headers_mut();
        if let Some(encoding) = encoding.filter(|_| out.contains_key(header::CONTENT_TYPE)) {
            out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        let caching = if is_hashed(name) { IMMUTABLE } else { REVALIDATE };
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        Some(response)
    }

    /// Returns the page, for any route within it, with its Content Security Policy and cross-origin isolation; 503 with a message
    /// if the bundle was not built.
    ///
    /// `base` is the base path under which the application is served: empty, or a path without a trailing slash.
    #[must_use]
    pub fn page(&self, base: &str, headers: &HeaderMap) -> Response {
        let page = match base {
            // With debug assertions files are read from disk at each request, and a page built again has files of other names.
            "" if !cfg!(debug_assertions) => self.page.get_or_init(|| self.render("")).as_ref().map(Cow::Borrowed),
            base => self.render(base).map(Cow::Owned),
        };
        let Some(page) = page else {
            let text = "this page is not built into the program; run `cargo xtask build` to build it\n";
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        };
        let mut response = respond(page.html.clone(), &page.etag, headers, HeaderValue::from_static(HTML));
        let fixed = [
            (header::CACHE_CONTROL, REVALIDATE),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            // The clock of an isolated page has a resolution of 5 µs instead of 100 µs.
            (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
            (header::REFERRER_POLICY, "same-origin"),
            (header::X_FRAME_OPTIONS, "DENY"),
        ];
        let out = response.headers_mut();
        out.insert(header::CONTENT_SECURITY_POLICY, page.policy.clone());
        for (name, value) in fixed {
            out.insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn render(&self, base: &str) -> Option<Page> {
        let file = (self.get)(INDEX)?;
        let html = match self.placeholder {
            Some(placeholder) => {
                String::from_utf8_lossy(&file.data).replace(placeholder, &escape_attribute(base)).into_bytes()
            }
            None => file.data.into_owned(),
        };
        let policy = policy(&String::from_utf8_lossy(&html));
        let etag = etag(&Sha256::digest(&html));
        Some(Page { html, etag, policy })
    }
}

/// Returns whether `accept` (RFC 9110, section 12.5.1) names `text/html`. `*/*` does not count: a program that accepts
/// anything gets no page.
#[must_use]
pub fn accepts_html(headers: &HeaderMap) -> bool {
    accepts(headers, &header::ACCEPT, "text/html")
}

/// Returns whether the last segment of a path looks like a file name. A missing file should be a 404, because a page in
/// place of a script hides the mistake.
#[must_use]
pub fn looks_like_file(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|last| last.contains('.') && !last.starts_with('@'))
}

fn respond(content: impl Into<Body>, tag: &HeaderValue, headers: &HeaderMap, kind: HeaderValue) -> Response {
    let mut response = if matches(headers, tag.as_bytes()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(content.into());
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    };
    let out = response.headers_mut();
    out.insert(header::ETAG, tag.clone());
    out.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

/// Returns the Content Security Policy of the page. It allows the bundle's own scripts, WASM, and the inline scripts of the page by
/// hash; everything else only from this origin, or not at all.
fn policy(html: &str) -> HeaderValue {
    let scripts: String = inline_scripts(html)
        .map(|script| format!(" 'sha256-{}'", BASE64.encode(Sha256::digest(script.as_bytes()))))
        .collect();
    let policy = format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'{scripts}; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("base64 and static text are valid in a header")
}

/// Removes all characters from a base path that are not safe in an attribute or in a script's string.
fn escape_attribute(base: &str) -> String {
    base.chars().filter(|letter| letter.is_ascii_alphanumeric() || "/-._~%".contains(*letter)).collect()
}

/// Returns the texts of the inline scripts of a page.
fn inline_scripts(html: &str) -> impl Iterator<Item = &str> {
    html.split("<script").skip(1).filter_map(|rest| {
        let (attributes, rest) = rest.split_once('>')?;
        let (text, _) = rest.split_once("</script>")?;
        (!attributes.contains("src=") && !text.is_empty()).then_some(text)
    })
}

fn etag(digest: &[u8]) -> HeaderValue {
    let short: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{short}\"")).expect("hex digits are valid in a header")
}

fn content_type(file: &EmbeddedFile) -> HeaderValue {
    let kind = file.metadata.mimetype();
    let text = if kind.starts_with("text/") { format!("{kind}; charset=utf-8") } else { kind.to_owned() };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// Returns whether `if-none-match` (RFC 9110, section 13.1.2) contains the tag, compared weakly, or is `*`.
fn matches(headers: &HeaderMap, tag: &[u8]) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known.as_bytes() == tag || known == "*")
}

/// Returns whether the list in a content negotiation header contains `wanted` without `q=0`.
fn accepts(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(
        |item| {
            let mut parts = item.split(';').map(str::trim);
            let is_named = parts.next().is_some_and(|named| named.eq_ignore_ascii_case(wanted));
            let is_refused = parts.any(|parameter| {
                parameter.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q == 0.0)
            });
            is_named && !is_refused
        },
    )
}

/// Returns whether a file name contains a hash of the content, as in `app-1a2b3c4d5e6f7a8b.js` or
/// `app-1a2b3c4d5e6f7a8b_bg.wasm`.
fn is_hashed(name: &str) -> bool {
    let Some(stem) = name.split('.').next() else { return false };
    let stem = stem.strip_suffix("_bg").unwrap_or(stem);
    stem.rsplit_once('-').is_some_and(|(_, hash)| hash.len() >= 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests;
