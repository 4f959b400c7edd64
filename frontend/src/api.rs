//! The client of Cruddur's API.

use cruddur_shared::cruddur::{
    Activity, ChooseUser, Expiry, Feed, NewActivity, NewReply, Notifications, Profile, Thread, User, Users,
};
use gloo_net::http::{Method, Request};
use serde::{Serialize, de::DeserializeOwned};
use throughline_browser::http::send;

use crate::{backend::Backend, problem::Problem, text::encode};

/// A client of the API.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    backend: Backend,
}

impl Api {
    pub(crate) const fn new(backend: Backend) -> Self {
        Self { backend }
    }

    pub(crate) async fn users(&self) -> Result<Users, Problem> {
        self.get("/api/users", "/api/users").await
    }

    pub(crate) async fn choose_user(&self, handle: &str) -> Result<User, Problem> {
        const PATH: &str = "/api/session";
        self.send_body(Method::PUT, PATH, PATH, &ChooseUser { handle: handle.to_owned() }).await
    }

    pub(crate) async fn home(&self) -> Result<Feed, Problem> {
        self.get("/api/activities/home", "/api/activities/home").await
    }

    pub(crate) async fn notifications(&self) -> Result<Notifications, Problem> {
        self.get("/api/activities/notifications", "/api/activities/notifications").await
    }

    pub(crate) async fn profile(&self, handle: &str) -> Result<Profile, Problem> {
        self.get(&format!("/api/activities/@{}", encode(handle)), "/api/activities/@{handle}").await
    }

    pub(crate) async fn search(&self, term: &str) -> Result<Feed, Problem> {
        self.get(&format!("/api/activities/search?term={}", encode(term)), "/api/activities/search").await
    }

    pub(crate) async fn thread(&self, uuid: &str) -> Result<Thread, Problem> {
        self.get(&format!("/api/activities/{}", encode(uuid)), "/api/activities/{uuid}").await
    }

    pub(crate) async fn write(&self, message: String, ttl: Expiry) -> Result<Activity, Problem> {
        const PATH: &str = "/api/activities";
        self.send_body(Method::POST, PATH, PATH, &NewActivity { message, ttl }).await
    }

    pub(crate) async fn reply(&self, uuid: &str, message: String) -> Result<Activity, Problem> {
        let path = format!("/api/activities/{}/reply", encode(uuid));
        self.send_body(Method::POST, &path, "/api/activities/{uuid}/reply", &NewReply { message }).await
    }

    /// Likes or unlikes a crud.
    pub(crate) async fn set_like(&self, uuid: &str, liked: bool) -> Result<Activity, Problem> {
        let method = if liked { Method::PUT } else { Method::DELETE };
        let path = format!("/api/activities/{}/like", encode(uuid));
        let request = self.backend.request(method, &path).build().map_err(|_| Problem::Unreachable)?;
        receive(request, "/api/activities/{uuid}/like").await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, template: &str) -> Result<T, Problem> {
        let request = self.backend.request(Method::GET, path).build().map_err(|_| Problem::Unreachable)?;
        receive(request, template).await
    }

    async fn send_body<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        template: &str,
        body: &impl Serialize,
    ) -> Result<T, Problem> {
        let request = self.backend.request(method, path).json(body).map_err(|_| Problem::Unreachable)?;
        receive(request, template).await
    }
}

async fn receive<T: DeserializeOwned>(request: Request, template: &str) -> Result<T, Problem> {
    let response = send(request, Some(template)).await.map_err(|_| Problem::Unreachable)?;
    let (status, ok) = (response.status(), response.ok());
    let body = response.text().await.map_err(|_| Problem::Unreachable)?;
    if !ok {
        return Err(Problem::from_body(status, &body));
    }
    serde_json::from_str(&body).map_err(|error| Problem::Unreadable { reason: error.to_string() })
}
