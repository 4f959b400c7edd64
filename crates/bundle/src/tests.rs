//! Tests of the page and the files of a small bundle.

use super::*;

#[derive(Embed)]
#[folder = "tests/bundle"]
struct Small;

fn bundle() -> Bundle {
    Bundle::new::<Small>().with_placeholder("/__base__")
}

fn with(name: HeaderName, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(name, value.parse().unwrap())])
}

#[test]
fn the_page_has_the_base_path_and_a_policy_for_its_own_script() {
    let bundle = bundle();
    let hash = |response: &Response| {
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        policy.split("'sha256-").nth(1).unwrap().split('\'').next().unwrap().to_owned()
    };
    let (root, below) = (bundle.page("", &HeaderMap::new()), bundle.page("/tl", &HeaderMap::new()));
    assert_ne!(hash(&root), hash(&below));
    let script = "import start from '/tl/app-1a2b3c4d5e6f7a8b.js'; start();";
    assert_eq!(hash(&below), BASE64.encode(Sha256::digest(script)));
    assert_ne!(root.headers()[header::ETAG], below.headers()[header::ETAG]);
    assert!(bundle.render("/tl").unwrap().html.windows(7).all(|part| part != b"__base_"));
}

#[test]
fn a_base_path_cannot_break_out_of_the_page() {
    let html = String::from_utf8(bundle().render("/a\"><script>x()</script>'").unwrap().html).unwrap();
    assert!(!html.contains("<script>x()"), "{html}");
}

#[test]
fn hashed_files_are_immutable_and_others_are_revalidated() {
    let bundle = bundle();
    let script = bundle.file("app-1a2b3c4d5e6f7a8b.js", &HeaderMap::new()).unwrap();
    assert_eq!(script.headers()[header::CACHE_CONTROL], IMMUTABLE);
    assert_eq!(script.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
    let icon = bundle.file("icon.svg", &HeaderMap::new()).unwrap();
    assert_eq!(icon.headers()[header::CACHE_CONTROL], REVALIDATE);
    assert_eq!(icon.headers()[header::CONTENT_TYPE], "image/svg+xml");
    for absent in ["index.html", "absent.js", "app-1a2b3c4d5e6f7a8b.js.gz", ""] {
        assert!(bundle.file(absent, &HeaderMap::new()).is_none(), "{absent}");
    }
}

#[test]
fn the_compressed_copy_is_served_if_its_encoding_is_accepted() {
    let bundle = bundle();
    let name = "app-1a2b3c4d5e6f7a8b.js";
    let encoding = |value: &str| {
        let response = bundle.file(name, &with(header::ACCEPT_ENCODING, value)).unwrap();
        response.headers().get(header::CONTENT_ENCODING).map(|encoding| encoding.to_str().unwrap().to_owned())
    };
    assert_eq!(encoding("gzip, deflate, br;q=0.9").as_deref(), Some("gzip"));
    assert_eq!(encoding("gzip;q=0, br"), None);
    assert_eq!(encoding("identity"), None);
    assert!(!accepts(&HeaderMap::new(), &header::ACCEPT_ENCODING, "gzip"));
}

#[test]
fn a_matching_etag_returns_304() {
    let bundle = bundle();
    let tag = bundle.page("", &HeaderMap::new()).headers()[header::ETAG].to_str().unwrap().to_owned();
    for known in [tag.clone(), format!("\"a\", W/{tag}"), "*".to_owned()] {
        assert_eq!(bundle.page("", &with(header::IF_NONE_MATCH, &known)).status(), 304, "{known}");
    }
    assert_eq!(bundle.page("", &with(header::IF_NONE_MATCH, "\"a\"")).status(), 200);
}

#[test]
fn only_scripts_without_a_source_are_inline() {
    let html =
        r#"<script type="module">import a from '/a.js';</script><script src="/b.js"></script><script>x()</script>"#;
    assert_eq!(inline_scripts(html).collect::<Vec<_>>(), ["import a from '/a.js';", "x()"]);
}

#[test]
fn hashed_names_are_recognized() {
    assert!(is_hashed("page-1a2b3c4d5e6f7a8b.js"));
    assert!(is_hashed("page-1a2b3c4d5e6f7a8b_bg.wasm"));
    assert!(is_hashed("style-cafe12340000.css"));
    for other in ["index.html", "page.js", "my-page.js", "favicon.svg"] {
        assert!(!is_hashed(other), "{other}");
    }
}

#[test]
fn only_requests_that_accept_html_get_a_page() {
    assert!(accepts_html(&with(header::ACCEPT, "text/html,application/xhtml+xml;q=0.9")));
    assert!(!accepts_html(&with(header::ACCEPT, "*/*")));
    assert!(looks_like_file("/a/b.js") && !looks_like_file("/a/b") && !looks_like_file("/@a.b"));
}
