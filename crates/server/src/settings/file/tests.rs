use secrecy::ExposeSecret as _;

use super::*;
use crate::settings::{Identity, cli::command};

fn file(text: &str) -> Result<ConfigFile, String> {
    let source = Source { path: Path::new("throughline.toml"), text };
    let variable = |name: &str| match name {
        "COLLECTOR_TOKEN" | "HONEYCOMB_TEAM_KEY" => Some("Bearer s3cret-of-the-environment".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    ConfigFile::parse(&source, &command(&Identity::default()), variable).map_err(|error| error.to_string())
}

#[test]
fn the_example_in_the_documentation_is_valid() {
    let document = include_str!("../../../../../docs/settings.md");
    let example = document.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let file = file(example).unwrap();
    let sinks: Vec<_> = file.sinks.iter().map(|sink| (sink.name.as_str(), sink.endpoint.as_str())).collect();
    let expected = [
        ("honeycomb-eu", "https://api.eu1.honeycomb.io/v1/traces"),
        ("collector", "https://collector.example:4318/v1/traces"),
    ];
    assert_eq!(sinks, expected);
    assert_eq!(file.values["retain_for"], "14d");
    assert_eq!(file.values["self_check"], "off");
    assert!(file.values["allow_origin"].contains(','));
}

#[test]
fn header_values_are_read_from_the_file_and_the_environment() {
    let file = file(
        "[[sink]]\nname = 'a'\nurl = 'http://a.test/base'\n\
         [sink.headers]\nAuthorization = { env = 'COLLECTOR_TOKEN' }\nx-team = 'blue, green'\n",
    )
    .unwrap();
    let sink = &file.sinks[0];
    assert_eq!(sink.logs_endpoint.as_str(), "http://a.test/base/v1/logs");
    let headers: Vec<_> = sink.headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
    assert_eq!(headers, [("authorization", "Bearer s3cret-of-the-environment"), ("x-team", "blue, green")]);
    assert!(!format!("{file:?}").contains("s3cret"));
}

#[test]
fn toml_values_are_converted_to_flag_values() {
    let file = file(
        "listen = 'localhost:8080'\nself_check = false\nsample_one_in = 20\nread_timeout = 2.5\n\
         allow_origin = ['https://a.test', 'https://b.test']\nsample_slow_ms = [500, '/api=90']\n\
         [retention]\nfor = 'forever'\nbytes = 2000000\n",
    )
    .unwrap();
    let values: Vec<_> = file.values.iter().map(|(id, value)| (id.as_str(), value.as_str())).collect();
    let expected = [
        ("allow_origin", "https://a.test,https://b.test"),
        ("listen", "localhost:8080"),
        ("read_timeout", "2.5"),
        ("retain_bytes", "2000000"),
        ("retain_for", "forever"),
        ("sample_one_in", "20"),
        ("sample_slow_ms", "500,/api=90"),
        ("self_check", "off"),
    ];
    assert_eq!(values, expected);
}

#[test]
fn errors_name_the_line_and_the_key_and_contain_no_secrets() {
    let sink = "[[sink]]\nname = 'a'\nurl = 'http://a.test'\n";
    for (text, line, part) in [
        ("\nlisen = 'x'\n".to_owned(), 2, "unknown key `lisen`; the closest known key is `listen`"),
        ("sinks = 1".to_owned(), 1, "the closest known key is `sink`"),
        ("sink_headers = 's3cret'".to_owned(), 1, "unknown key"),
        ("config = 'other.toml'".to_owned(), 1, "unknown key"),
        (format!("{sink}heders = {{}}"), 4, "unknown key `heders`; the closest known key is `headers`"),
        ("[retention]\nunsent = 5".to_owned(), 2, "the closest known key is `unsent_bytes`"),
        (format!("{sink}headers = 's3cret'"), 4, "expected a map"),
        (format!("{sink}headers = {{ x = 5 }}"), 4, "expected a string or { env = \"NAME\" }"),
        (format!("{sink}headers = {{ x = {{ env = 'NOT_SET' }} }}"), 4, "NOT_SET is not set"),
        (format!("{sink}headers = {{ x = {{ env = 'EMPTY' }} }}"), 4, "EMPTY is not set"),
        (format!("{sink}headers = {{ x = {{ file = 's3cret' }} }}"), 4, "the closest known key is `env`"),
        (format!("{sink}headers = {{ 'x y' = 's3cret' }}"), 4, "header `x y`"),
        (format!("{sink}headers = {{ x = \"s3cret\\nx\" }}"), 4, "header `x`"),
        (format!("{sink}headers = {{ x = s3cret }}"), 4, ""),
        ("[[sink]]\nurl = 'http://a.test'".to_owned(), 1, "missing field `name`"),
        ("[[sink]]\nname = 'A b'\nurl = 'http://a.test'".to_owned(), 2, "1 to 32 lower-case letters"),
        ("[[sink]]\nname = 'a'\nurl = 'ftp://user:s3cret@a.test'".to_owned(), 3, "`url`: "),
        ("[[sink]]\nname = 'a'\nurl = 5".to_owned(), 3, "expected a string"),
        ("[sink]\nname = 'a'".to_owned(), 1, "wrong type"),
        ("retention = 5".to_owned(), 1, "expected a table [retention]"),
        ("[retention]\nfor = '5'".to_owned(), 2, "`retention.for`: `5` is not a duration"),
        ("[retention]\n\nbytes = true".to_owned(), 3, "expected a string such as \"10GiB\""),
        ("listen = 'localhost:8080'\nlog = 5".to_owned(), 2, "`log`: expected a string"),
        ("self_check = 1".to_owned(), 1, "`self_check`: expected true or false"),
        ("max_connections = 0".to_owned(), 1, "`max_connections`: `0` is not a number from 1"),
        ("inspector_access = 'everybody'".to_owned(), 1, "`everybody` is not one of auto, open, token"),
        ("access_token = 's3cret'".to_owned(), 1, "at least 16"),
        ("listen = 'a'\nlisten = 'b'".to_owned(), 2, "duplicate"),
        ("listen = ".to_owned(), 1, ""),
    ] {
        let error = file(&text).unwrap_err();
        let start = format!("--config / THROUGHLINE_CONFIG: `throughline.toml` line {line}: ");
        assert!(error.starts_with(&start) && error.len() > start.len(), "{text}: {error}");
        assert!(error.contains(part), "{text}: {error}");
        assert!(!error.contains("s3cret") && !error.contains('\n'), "{text}: {error}");
    }
}

#[test]
fn a_duplicate_sink_name_is_an_error() {
    let sink = "[[sink]]\nname = 'a'\nurl = 'http://a.test'\n";
    assert!(file(&sink.repeat(2)).unwrap_err().contains("duplicate sink name `a`"));
}
