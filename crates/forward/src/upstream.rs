//! Sends requests to an upstream, and interprets the responses (OTLP/HTTP, "Response" and "Failures").

use crate::{
    Answer, ForwardConfig, OtlpSink, endpoint,
    response::{self, Partial},
    secret::redact,
};
use bytes::Bytes;
use reqwest::{
    Client, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect,
};
use rustls::crypto::{CryptoProvider, ring};
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    error::Error,
    time::{Duration, SystemTime},
};
use url::{Host, Url};

/// The maximum number of bytes of a response that are read.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// The reason that a sink cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A header's name or value cannot be sent. Its value is not shown.
    #[error("header {0} cannot be sent")]
    Header(String),
    /// The HTTP client cannot be created: for `https`, most often because the system has no CA certificates.
    #[error("cannot set up HTTPS (are the system's CA certificates installed?): {0}")]
    Client(#[source] reqwest::Error),
}

/// A client for one endpoint of an upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    client: Client,
    endpoint: Url,
    headers: HeaderMap,
    secrets: Vec<SecretString>,
}

impl Upstream {
    /// Creates a client for `endpoint` with the headers of `sink`.
    pub(crate) fn new(sink: &OtlpSink, endpoint: &Url, config: &ForwardConfig) -> Result<Self, ClientError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &sink.headers {
            let header = || ClientError::Header(name.clone());
            let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| header())?;
            value.set_sensitive(true);
            headers.append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| header())?, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let mut secrets: Vec<_> = sink.headers.iter().map(|(_, value)| value.clone()).collect();
        secrets.extend(endpoint.password().map(SecretString::from));
        Ok(Self {
            client: client(endpoint, config).map_err(ClientError::Client)?,
            endpoint: endpoint.clone(),
            headers,
            secrets,
        })
    }

    /// Sends a body of protobuf compressed with gzip.
    pub(crate) async fn send(&self, body: Bytes) -> Answer {
        let request = self.client.post(self.endpoint.clone()).headers(self.headers.clone()).body(body);
        let mut answer = match request.send().await {
            Ok(response) => answer(response).await,
            Err(error) => Answer::RetryLater { reason: in_words(error), after: None },
        };
        match &mut answer {
            Answer::Accepted => {}
            Answer::PartiallyAccepted { message: text, .. }
            | Answer::Rejected { reason: text }
            | Answer::RetryLater { reason: text, .. }
            | Answer::Unsupported { reason: text, .. }
            | Answer::Stopped { reason: text } => *text = redact(std::mem::take(text), self.secrets.iter()),
        }
        answer
    }

    pub(crate) fn shown_endpoint(&self) -> String {
        endpoint::shown(&self.endpoint)
    }
}

fn client(endpoint: &Url, config: &ForwardConfig) -> reqwest::Result<Client> {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have installed a provider in the meantime, which is used then.
        ring::default_provider().install_default().unwrap_or_else(|_| tracing::debug!("a TLS provider is installed"));
    }
    let mut builder = Client::builder()
        .user_agent(concat!("throughline/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(config.connect_timeout)
        .timeout(config.request_timeout)
        // A redirect would send the key to another host.
        .redirect(redirect::Policy::none());
    if endpoint.scheme() == "http" {
        // No CA certificates are loaded, so that a machine without any can still reach a local collector.
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(endpoint) {
        builder = builder.no_proxy();
    }
    builder.build()
}

fn is_loopback(endpoint: &Url) -> bool {
    match endpoint.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// Interprets a response. A status that is about the batch (400, 413, 422) is distinguished from one that is about the
/// endpoint: a wrong path must not cause a whole store to be dropped, one span after another.
async fn answer(mut response: Response) -> Answer {
    let status = response.status();
    let after = retry_after(response.headers(), SystemTime::now());
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    // A type that is absent or cannot be read is treated as unknown.
    let content_type = content_type.unwrap_or("").to_owned();
    let body = match read(&mut response).await {
        Ok(body) => body,
        // The status is a failure even if the message in the body is lost.
        Err(_) if !status.is_success() => Vec::new(),
        Err(error) => return Answer::RetryLater { reason: in_words(error), after },
    };
    if status.is_success() {
        return match response::success(&content_type, &body) {
            Some(Partial { rejected: 0, message }) if message.is_empty() => Answer::Accepted,
            Some(Partial { rejected, message }) => Answer::PartiallyAccepted { rejected, message },
            None => {
                let reason = format!("answered {status} with a body that is not an OTLP response");
                Answer::RetryLater { reason, after }
            }
        };
    }
    let words = response::failure(&content_type, &body);
    let reason = if words.is_empty() { format!("answered {status}") } else { format!("answered {status}: {words}") };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Answer::Stopped { reason },
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Answer::Rejected { reason }
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            Answer::Unsupported { reason, after }
        }
        _ => Answer::RetryLater { reason, after },
    }
}

async fn read(response: &mut Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = MAX_RESPONSE_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == MAX_RESPONSE_BYTES {
            break;
        }
    }
    Ok(body)
}

/// Returns the time to wait by a `Retry-After` header, which has seconds or a date (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or(Duration::ZERO)),
    }
}

/// Formats an error and its causes, without the URL, which may contain a password.
fn in_words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.ends_with(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_store::SinkName;

    #[test]
    fn retry_after_is_parsed_as_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        let header = |text| HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
        assert_eq!(retry_after(&header("7"), now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&header("Sun, 06 Nov 1994 08:49:37 GMT"), now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after(&header("Sat, 06 Nov 1993 08:49:37 GMT"), now), Some(Duration::ZERO));
        assert_eq!(retry_after(&header("soon"), now), None);
        assert_eq!(retry_after(&header("-1"), now), None);
    }

    #[test]
    fn an_error_names_an_invalid_header_without_its_value() {
        let mut sink = OtlpSink::new(SinkName::new("a").unwrap(), "http://127.0.0.1:1/v1/traces".parse().unwrap());
        sink.headers = vec![("x-key".to_owned(), SecretString::from("s3cret\n"))];
        let error = Upstream::new(&sink, &sink.endpoint, &ForwardConfig::default()).unwrap_err();
        assert_eq!(error.to_string(), "header x-key cannot be sent");
    }
}
