//! The addresses that a server reports when it starts: on standard output, for people or for programs, and in a file.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The format in which the addresses are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrintAddresses {
    /// One address per line, for people
    #[default]
    Text,
    /// One line with a JSON object, for programs
    Json,
}

/// The base URLs of all listeners. Other programs read them by the names of the fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// The listener for pages, the API, the inspector, and the receiver for pages.
    pub(crate) listen: String,
    /// The inspector's page. The query has the access token if this server generated it.
    pub(crate) inspector: String,
    /// The OTLP/HTTP receiver for programs.
    pub(crate) otlp_http: String,
    /// The OTLP/gRPC receiver; `None` if it is off.
    pub(crate) otlp_grpc: Option<String>,
}

impl Addresses {
    /// Creates the base URLs of these socket addresses. `base_path` is the inspector's, empty for the root. `new_token` is the
    /// inspector's access token if this server generated it.
    pub(crate) fn new(
        listen: SocketAddr,
        base_path: &str,
        otlp_http: SocketAddr,
        otlp_grpc: Option<SocketAddr>,
        new_token: Option<&str>,
    ) -> Self {
        let query = new_token.map_or_else(String::new, |token| format!("?access_token={token}"));
        Self {
            listen: format!("http://{listen}"),
            inspector: format!("http://{listen}{base_path}/traces{query}"),
            otlp_http: format!("http://{otlp_http}"),
            otlp_grpc: otlp_grpc.map(|address| format!("http://{address}")),
        }
    }

    /// Returns one line of JSON, including the line feed.
    pub(crate) fn json(&self) -> String {
        let mut line = serde_json::to_string(self).expect("strings can be serialized as JSON");
        line.push('\n');
        line
    }

    /// Writes the JSON to `path`. The file is written beside `path` and renamed, so that it is complete when it exists. Its mode is
    /// 0600, because it may have the access token.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written or renamed.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder(path))?;
        file.write_all(self.json().as_bytes())?;
        file.persist(path)?;
        Ok(())
    }
}

/// Returns the directory of a port file.
pub(crate) fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(grpc: Option<&str>, token: Option<&str>) -> Addresses {
        let address = |text: &str| text.parse().unwrap();
        Addresses::new(address("127.0.0.1:3000"), "", address("[::1]:4318"), grpc.map(address), token)
    }

    #[test]
    fn the_json_is_one_line_of_base_urls() {
        assert_eq!(
            addresses(Some("127.0.0.1:4317"), None).json(),
            concat!(
                r#"{"listen":"http://127.0.0.1:3000","inspector":"http://127.0.0.1:3000/traces","#,
                r#""otlp_http":"http://[::1]:4318","otlp_grpc":"http://127.0.0.1:4317"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_disabled_receiver_is_null_and_a_new_token_is_in_the_url() {
        let json = addresses(None, Some("abc")).json();
        assert!(json.contains(r#""otlp_grpc":null"#), "{json}");
        assert!(json.contains(r#""inspector":"http://127.0.0.1:3000/traces?access_token=abc""#), "{json}");
    }

    #[test]
    fn a_port_file_is_replaced_atomically() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ports.json");
        std::fs::write(&path, "x".repeat(10_000)).unwrap();
        let addresses = addresses(None, None);
        addresses.write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), addresses.json());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "the temporary file is left");
    }

    #[test]
    fn a_bare_file_name_is_in_the_working_directory() {
        assert_eq!(folder(Path::new("ports.json")), Path::new("."));
        assert_eq!(folder(Path::new("/run/ports.json")), Path::new("/run"));
    }
}
