//! Cruddur, a small social feed and the demo of Throughline. The server of its API and its page includes the receiver, the store
//! and the inspector.

mod database;
mod error;
mod keys;
mod page;
mod routes;
mod rows;
mod schema;
mod session;

use std::process::ExitCode;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use http::request::Parts;
use throughline::{Application, BoxError, Context, Server};
use throughline_axum::Route;
use tower_http::catch_panic::CatchPanicLayer;

use crate::database::Database;

/// The limit on the body of a request to the API.
const MAX_BODY_BYTES: usize = 64 * 1024;

fn main() -> ExitCode {
    Server::new()
        .name("cruddur", "Cruddur, a small social feed in which every action is one trace; includes Throughline")
        .application(cruddur)
        .main()
}

fn cruddur(context: &Context) -> Result<Application, BoxError> {
    if !context.base_path.is_empty() {
        return Err(
            "Cruddur's page requires the inspector and the receiver at the root: remove --base-path / THROUGHLINE_BASE_PATH"
                .into(),
        );
    }
    let database = Database::open(&context.data_dir)
        .map_err(|error| format!("Cruddur's database `cruddur.db` cannot be opened: {error:#}"))?;
    let ready = database.clone();
    let router = Router::new()
        .merge(page::router())
        .merge(routes::router(database).layer(DefaultBodyLimit::max(MAX_BODY_BYTES)))
        .layer(middleware::from_fn_with_state(context.trusted_proxies.clone().into(), session::identify))
        .layer(CatchPanicLayer::custom(error::panicked));
    Ok(Application::new(router)
        .readiness(move || {
            let database = ready.clone();
            async move { if database.is_ready().await { Ok(()) } else { Err("cruddur.db does not respond".to_owned()) } }
        })
        .filter(|request| !page::is_file(request.uri.path()))
        .documents(is_page)
        .route(route))
}

/// Returns whether a request can be for the page. A request to the API never is, regardless of its headers.
fn is_page(request: &Parts) -> bool {
    let path = request.uri.path();
    path != "/api" && !path.starts_with("/api/")
}

/// Returns the route template of a request, where that of the router is not specific enough.
fn route(matched: Option<&str>, request: &Parts) -> Route {
    let path = request.uri.path();
    match matched {
        // One pattern of the router matches two kinds of address.
        Some("/api/activities/{uuid}") if path.starts_with("/api/activities/@") => {
            Route::Template("/api/activities/@{handle}".into())
        }
        // A catch-all is not a route.
        Some("/api" | "/api/{*rest}") => Route::Nothing,
        // The page of a profile has no pattern in the router; it is recognized by its first character.
        None if path.strip_prefix("/@").is_some_and(|handle| !handle.is_empty() && !handle.contains('/')) => {
            Route::Template("/@{handle}".into())
        }
        _ => Route::Matched,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_templates() {
        let parts = |path: &str| http::Request::get(path).body(()).unwrap().into_parts().0;
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
