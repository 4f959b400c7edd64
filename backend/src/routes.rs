//! The routes of Cruddur's API.

use axum::{
    Extension, Json, Router,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use axum_extra::extract::cookie::{Cookie, SameSite};
use cookie::time::Duration as CookieDuration;
use cruddur_shared::{
    CRUD_MAX_CHARS,
    cruddur::{
        Activity, ChooseUser, Expiry, Feed, NewActivity, NewReply, Notification, NotificationKind, Notifications,
        Profile, Thread, User, Users,
    },
};
use http::{StatusCode, header};
use jiff::Timestamp;
use rusqlite::params;
use serde::{Deserialize, Serialize};
use throughline_rusqlite::{Statement, TracedConnection};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{
    database::Database,
    error::{ApiError, no_such_api, wrong_method},
    keys,
    rows::{self, Stored},
    session::{COOKIE, DEFAULT_HANDLE, IsOverTls, Me, is_handle},
};

/// The `Max-Age` of the cookie, in days.
const COOKIE_MAX_AGE_DAYS: i64 = 365;

type Body<T> = Result<Json<T>, JsonRejection>;

/// Returns the routes `/api/activities…`, `/api/users` and `/api/session`.
pub(crate) fn router(database: Database) -> Router {
    Router::new()
        .route("/api/activities/home", get(home))
        .route("/api/activities/notifications", get(notifications))
        .route("/api/activities/search", get(search))
        .route("/api/activities", post(create))
        // Also `@handle`: both are one path segment.
        .route("/api/activities/{uuid}", get(show))
        .route("/api/activities/{uuid}/reply", post(reply))
        .route("/api/activities/{uuid}/like", put(like).delete(unlike))
        .route("/api/users", get(users))
        .route("/api/session", put(choose))
        .route("/api", axum::routing::any(no_such_api))
        .route("/api/{*rest}", axum::routing::any(no_such_api))
        .method_not_allowed_fallback(wrong_method)
        .with_state(database)
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

#[tracing::instrument(name = "home-activities", skip_all)]
async fn home(State(database): State<Database>, Me(me): Me) -> Result<Response, ApiError> {
    let now_ms = now_ms();
    let span = Span::current();
    span.set_attribute(keys::APP_NOW, rows::rfc3339(now_ms));
    let activities = list(&database, rows::HOME, me, now_ms, None).await?;
    span.set_attribute(keys::APP_RESULT_LENGTH, i64::try_from(activities.len()).unwrap_or(i64::MAX));
    let body = json(&Feed { activities })?;
    span.set_attribute(keys::APP_RESULT_LENGTH_BYTES, i64::try_from(body.len()).unwrap_or(i64::MAX));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn json(value: &impl Serialize) -> Result<String, ApiError> {
    serde_json::to_string(value).map_err(|error| {
        tracing::error!(%error, "a response could not be serialized");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the response could not be serialized")
    })
}

async fn list(
    database: &Database,
    statement: Statement,
    me: String,
    now_ms: i64,
    third: Option<String>,
) -> Result<Vec<Activity>, ApiError> {
    database
        .call(move |session| {
            let found = match third {
                Some(third) => session.query(statement, params![me, now_ms, third], rows::stored)?,
                None => session.query(statement, params![me, now_ms], rows::stored)?,
            };
            Ok(found.into_iter().map(|stored| stored.activity).collect())
        })
        .await
}

#[derive(Debug, Deserialize)]
struct SearchQuery {
    #[serde(default)]
    term: String,
}

#[tracing::instrument(name = "search-activities", skip_all)]
async fn search(
    State(database): State<Database>,
    Me(me): Me,
    query: Result<Query<SearchQuery>, QueryRejection>,
) -> Result<Json<Feed>, ApiError> {
    let Query(SearchQuery { term }) = query?;
    let term = term.trim().to_owned();
    if term.is_empty() {
        return Err(ApiError::invalid("term_missing", "the search term is missing: send `?term=…`"));
    }
    if term.chars().count() > CRUD_MAX_CHARS {
        return Err(ApiError::invalid(
            "term_too_long",
            format!("a search term must have at most {CRUD_MAX_CHARS} characters"),
        ));
    }
    let activities = list(&database, rows::SEARCH, me, now_ms(), Some(rows::anywhere(&term))).await?;
    Ok(Json(Feed { activities }))
}

#[tracing::instrument(name = "notifications", skip_all)]
async fn notifications(State(database): State<Database>, Me(me): Me) -> Result<Json<Notifications>, ApiError> {
    let now_ms = now_ms();
    let notifications = database
        .call(move |session| {
            let replies = session.query(rows::REPLIES_TO_AUTHOR, params![me, now_ms], rows::stored)?;
            let liked = session.query(rows::LIKED_OF_AUTHOR, params![me, now_ms], rows::stored)?;
            let likes = session.query(rows::LIKES_OF_AUTHOR, params![me], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, i64>(3)?))
            })?;
            let mut all: Vec<_> = replies
                .into_iter()
                .map(|reply| Notification {
                    kind: NotificationKind::Reply,
                    handle: reply.activity.handle.clone(),
                    display_name: reply.activity.display_name.clone(),
                    created_at: reply.activity.created_at.clone(),
                    activity: reply.activity,
                })
                .collect();
            for (id, handle, display_name, at_ms) in likes {
                if let Some(crud) = liked.iter().find(|crud| crud.id == id) {
                    all.push(Notification {
                        kind: NotificationKind::Like,
                        handle,
                        display_name,
                        created_at: rows::rfc3339(at_ms),
                        activity: crud.activity.clone(),
                    });
                }
            }
            // RFC 3339 times in the same zone and precision sort as text.
            all.sort_by(|a, b| b.created_at.cmp(&a.created_at));
            all.truncate(50);
            Ok(all)
        })
        .await?;
    Ok(Json(Notifications { notifications }))
}

/// Returns a profile for `@handle` and a thread for a UUID.
async fn show(State(database): State<Database>, Me(me): Me, Path(key): Path<String>) -> Result<Response, ApiError> {
    match key.strip_prefix('@') {
        Some(handle) => Ok(Json(profile(database, me, handle.to_owned()).await?).into_response()),
        None => Ok(Json(thread(database, me, key).await?).into_response()),
    }
}

#[tracing::instrument(name = "user-activities", skip_all)]
async fn profile(database: Database, me: String, handle: String) -> Result<Profile, ApiError> {
    let now_ms = now_ms();
    database
        .call(move |session| {
            let user = known_user(session, &handle)?;
            let found = session.query(rows::BY_AUTHOR, params![me, now_ms, handle], rows::stored)?;
            Ok(Profile { user, activities: found.into_iter().map(|stored| stored.activity).collect() })
        })
        .await
}

#[tracing::instrument(name = "show-activity", skip_all)]
async fn thread(database: Database, me: String, uuid: String) -> Result<Thread, ApiError> {
    let uuid = parse_uuid(&uuid)?;
    let now_ms = now_ms();
    database
        .call(move |session| {
            let Stored { id, activity } = known_activity(session, &me, now_ms, &uuid)?;
            let replies = session.query(rows::REPLIES, params![me, now_ms, id], rows::stored)?;
            Ok(Thread { activity, replies: replies.into_iter().map(|stored| stored.activity).collect() })
        })
        .await
}

#[tracing::instrument(name = "create-activity", skip_all)]
async fn create(
    State(database): State<Database>,
    Me(me): Me,
    body: Body<NewActivity>,
) -> Result<(StatusCode, Json<Activity>), ApiError> {
    let Json(NewActivity { message, ttl }) = body?;
    write(database, me, message, ttl, None).await
}

#[tracing::instrument(name = "create-reply", skip_all)]
async fn reply(
    State(database): State<Database>,
    Me(me): Me,
    Path(uuid): Path<String>,
    body: Body<NewReply>,
) -> Result<(StatusCode, Json<Activity>), ApiError> {
    let Json(NewReply { message }) = body?;
    write(database, me, message, Expiry::Never, Some(parse_uuid(&uuid)?)).await
}

async fn write(
    database: Database,
    me: String,
    message: String,
    ttl: Expiry,
    reply_to: Option<String>,
) -> Result<(StatusCode, Json<Activity>), ApiError> {
    let message = message.trim().to_owned();
    match message.chars().count() {
        0 => return Err(ApiError::invalid("message_empty", "a crud must have at least one character")),
        1..=CRUD_MAX_CHARS => {}
        length => {
            return Err(ApiError::invalid(
                "message_too_long",
                format!("a crud must have at most {CRUD_MAX_CHARS} characters; this one has {length}"),
            ));
        }
    }
    let now_ms = now_ms();
    let expires_at_ms =
        ttl.seconds().and_then(|seconds| i64::try_from(seconds).ok()).map(|seconds| now_ms + seconds * 1000);
    let activity = database
        .call(move |session| {
            known_user(session, &me)?;
            let parent = match reply_to {
                Some(uuid) => Some(known_activity(session, &me, now_ms, &uuid)?.id),
                None => None,
            };
            let uuid = uuid::Uuid::new_v4().to_string();
            session.execute(rows::INSERT_ACTIVITY, params![uuid, me, message, now_ms, expires_at_ms, parent])?;
            Ok(known_activity(session, &me, now_ms, &uuid)?.activity)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(activity)))
}

#[tracing::instrument(name = "like-activity", skip_all)]
async fn like(
    State(database): State<Database>,
    Me(me): Me,
    Path(uuid): Path<String>,
) -> Result<Json<Activity>, ApiError> {
    set_like(database, me, &uuid, true).await
}

#[tracing::instrument(name = "unlike-activity", skip_all)]
async fn unlike(
    State(database): State<Database>,
    Me(me): Me,
    Path(uuid): Path<String>,
) -> Result<Json<Activity>, ApiError> {
    set_like(database, me, &uuid, false).await
}

/// Sets or removes a like; both are idempotent.
async fn set_like(database: Database, me: String, uuid: &str, liked: bool) -> Result<Json<Activity>, ApiError> {
    let uuid = parse_uuid(uuid)?;
    let now_ms = now_ms();
    let activity = database
        .call(move |session| {
            known_user(session, &me)?;
            let Stored { id, .. } = known_activity(session, &me, now_ms, &uuid)?;
            if liked {
                session.execute(rows::INSERT_LIKE, params![id, me, now_ms])?;
            } else {
                session.execute(rows::DELETE_LIKE, params![id, me])?;
            }
            Ok(known_activity(session, &me, now_ms, &uuid)?.activity)
        })
        .await?;
    Ok(Json(activity))
}

#[tracing::instrument(name = "list-users", skip_all)]
async fn users(State(database): State<Database>, Me(me): Me) -> Result<Json<Users>, ApiError> {
    let users = database.call(|session| Ok(session.query(rows::USERS, [], rows::user)?)).await?;
    let find = |handle: &str| users.iter().find(|user| user.handle == handle).cloned();
    let current = find(&me)
        .or_else(|| find(DEFAULT_HANDLE))
        .or_else(|| users.first().cloned())
        .ok_or_else(|| ApiError::not_found("no_users", "there are no users"))?;
    Ok(Json(Users { users, current }))
}

#[tracing::instrument(name = "choose-user", skip_all)]
async fn choose(
    State(database): State<Database>,
    is_over_tls: Option<Extension<IsOverTls>>,
    body: Body<ChooseUser>,
) -> Result<Response, ApiError> {
    let Json(ChooseUser { handle }) = body?;
    let user: User = database.call(move |session| known_user(session, &handle)).await?;
    let is_over_tls = is_over_tls.is_some_and(|Extension(IsOverTls(is_over_tls))| is_over_tls);
    let handle = &user.handle;
    let mut cookie = Cookie::new(COOKIE, handle);
    cookie.set_path("/");
    cookie.set_max_age(CookieDuration::days(COOKIE_MAX_AGE_DAYS));
    cookie.set_same_site(SameSite::Lax);
    cookie.set_http_only(true);
    cookie.set_secure(is_over_tls);
    Ok(([(header::SET_COOKIE, cookie.to_string())], Json(user)).into_response())
}

fn known_user(session: &TracedConnection<'_>, handle: &str) -> Result<User, ApiError> {
    let unknown = || ApiError::not_found("unknown_handle", "no user has this handle");
    if !is_handle(handle) {
        return Err(unknown());
    }
    session.query(rows::USER, params![handle], rows::user)?.pop().ok_or_else(unknown)
}

fn known_activity(session: &TracedConnection<'_>, me: &str, now_ms: i64, uuid: &str) -> Result<Stored, ApiError> {
    session
        .query(rows::BY_UUID, params![me, now_ms, uuid], rows::stored)?
        .pop()
        .ok_or_else(|| ApiError::not_found("unknown_activity", "this crud does not exist or has expired"))
}

fn parse_uuid(text: &str) -> Result<String, ApiError> {
    uuid::Uuid::try_parse(text)
        .map(|uuid| uuid.to_string())
        .map_err(|_| ApiError::bad_request("invalid_uuid", "the id of a crud must be a UUID"))
}
