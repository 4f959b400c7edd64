//! Starts Cruddur for a test, and sends the requests of its users.

use std::path::Path;

use cruddur_shared::cruddur::{Activity, ChooseUser, NewActivity};
use reqwest::header;

pub(crate) use throughline_testkit::bench::*;

/// Returns the path of the program under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_cruddur"))
}

/// Starts the program under test.
pub(crate) trait Start: Sized {
    /// Starts it with only the ports and the data directory set.
    fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// Starts it with these arguments and environment variables.
    fn start_with(args: &[&str], env: &[(&str, &str)]) -> Self;
}

impl Start for Bench {
    fn start_with(args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_program(binary(), args, env)
    }
}

/// The actions of Cruddur's users.
pub(crate) trait Cruddur {
    /// Chooses a user; returns the cookie.
    async fn sign_in(&self, handle: &str) -> String;

    /// Writes a crud.
    async fn crud(&self, cookie: &str, message: &str) -> Activity;
}

impl Cruddur for Bench {
    async fn sign_in(&self, handle: &str) -> String {
        let choice = ChooseUser { handle: handle.to_owned() };
        let response = self.request("PUT", "/api/session").json(&choice).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    async fn crud(&self, cookie: &str, message: &str) -> Activity {
        let new = NewActivity { message: message.to_owned(), ttl: Default::default() };
        read(self.request("POST", "/api/activities").header(header::COOKIE, cookie).json(&new)).await
    }
}
