//! Tests of successful requests to Cruddur's API.

use cruddur_shared::cruddur::{
    Activity, ChooseUser, Expiry, Feed, NewActivity, NewReply, NotificationKind, Notifications, Profile, Thread, User,
    Users,
};
use jiff::Timestamp;
use reqwest::header;

use crate::support::{Bench, Cruddur as _, Start as _, read};

fn written_ms(activity: &Activity) -> i64 {
    activity.created_at.parse::<Timestamp>().unwrap().as_millisecond()
}

fn assert_newest_first<'a>(activities: impl IntoIterator<Item = &'a Activity>) {
    let times: Vec<i64> = activities.into_iter().map(written_ms).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
}

async fn reply(bench: &Bench, cookie: &str, to: &Activity, message: &str) -> Activity {
    let request = bench.request("POST", &format!("/api/activities/{}/reply", to.uuid));
    read(request.header(header::COOKIE, cookie).json(&NewReply { message: message.to_owned() })).await
}

async fn like(bench: &Bench, cookie: &str, method: &str, of: &Activity) {
    let request = bench.request(method, &format!("/api/activities/{}/like", of.uuid));
    let response = request.header(header::COOKIE, cookie).send().await.unwrap();
    assert!(response.status().is_success(), "{}", response.status());
}

async fn thread(bench: &Bench, cookie: &str, uuid: &str) -> Thread {
    read(bench.get(&format!("/api/activities/{uuid}")).header(header::COOKIE, cookie)).await
}

#[tokio::test]
async fn users_are_sorted_by_handle_and_the_first_is_the_default() {
    let users: Users = Bench::start().read("/api/users").await;
    assert!(users.users.len() >= 2);
    assert!(users.users.is_sorted_by(|one, next| one.handle < next.handle));
    assert_eq!(users.current, users.users[0]);
}

#[tokio::test]
async fn home_has_cruds_from_the_first_start() {
    let feed: Feed = Bench::start().read("/api/activities/home").await;
    assert!(!feed.activities.is_empty());
    assert_newest_first(&feed.activities);
    for activity in &feed.activities {
        assert_eq!(uuid::Uuid::parse_str(&activity.uuid).unwrap().get_version_num(), 4);
        assert!((1..=280).contains(&activity.message.chars().count()));
        assert!(activity.created_at.ends_with('Z') && activity.created_at.len() == 24, "{}", activity.created_at);
    }
}

#[tokio::test]
async fn a_new_crud_is_first_at_home_and_on_its_authors_profile_and_has_a_thread() {
    let bench = Bench::start();
    let cookie = bench.sign_in("mirela").await;
    let new = NewActivity { message: "  fresh bread\n".to_owned(), ttl: Expiry::Never };
    let request = bench.request("POST", "/api/activities").header(header::COOKIE, &cookie).json(&new);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 201);
    let crud: Activity = response.json().await.unwrap();
    assert_eq!((crud.handle.as_str(), crud.message.as_str()), ("mirela", "fresh bread"));
    assert_eq!((crud.replies_count, crud.likes_count, crud.liked, &crud.reply_to_uuid), (0, 0, false, &None));

    assert_eq!(bench.read::<Feed>("/api/activities/home").await.activities[0], crud);
    let profile: Profile = bench.read("/api/activities/@mirela").await;
    assert_eq!((profile.user.handle.as_str(), &profile.activities[0]), ("mirela", &crud));
    assert!(profile.activities.iter().all(|activity| activity.handle == "mirela"));
    assert_newest_first(&profile.activities);
    assert_eq!(thread(&bench, &cookie, &crud.uuid).await, Thread { activity: crud, replies: Vec::new() });
}

#[tokio::test]
async fn a_crud_survives_a_restart() {
    let mut bench = Bench::start();
    let cookie = bench.sign_in("yuki").await;
    let crud = bench.crud(&cookie, "still here").await;
    assert!(bench.restart().success());
    assert_eq!(thread(&bench, &cookie, &crud.uuid).await.activity, crud);
    assert_eq!(bench.read::<Feed>("/api/activities/home").await.activities[0], crud);
}

#[tokio::test]
async fn a_crud_expires_after_the_chosen_time() {
    let bench = Bench::start();
    for ttl in Expiry::ALL {
        let new = NewActivity { message: format!("gone after {}", ttl.as_str()), ttl };
        let crud: Activity = read(bench.request("POST", "/api/activities").json(&new)).await;
        let lives_ms = crud
            .expires_at
            .as_deref()
            .map(|expires_at| expires_at.parse::<Timestamp>().unwrap().as_millisecond() - written_ms(&crud));
        assert_eq!(lives_ms, ttl.seconds().map(|seconds| i64::try_from(seconds).unwrap() * 1000), "{ttl:?}");
    }
}

#[tokio::test]
async fn a_crud_expires_after_seven_days_by_default() {
    let bench = Bench::start();
    let body = serde_json::json!({"message": "a week"});
    let crud: Activity = read(bench.request("POST", "/api/activities").json(&body)).await;
    let expires_ms = crud.expires_at.as_deref().unwrap().parse::<Timestamp>().unwrap().as_millisecond();
    assert_eq!(expires_ms - written_ms(&crud), 7 * 24 * 3_600_000);
}

#[tokio::test]
async fn the_length_is_counted_in_characters_not_bytes() {
    let bench = Bench::start();
    let cookie = bench.sign_in("tomasz").await;
    for message in ["🦀".repeat(280), "x".to_owned()] {
        assert_eq!(bench.crud(&cookie, &message).await.message, message);
    }
}

#[tokio::test]
async fn replies_are_counted_and_listed_in_the_thread_oldest_first() {
    let bench = Bench::start();
    let (writer, other) = (bench.sign_in("mirela").await, bench.sign_in("yuki").await);
    let crud = bench.crud(&writer, "who is hungry?").await;
    let first = reply(&bench, &other, &crud, "me").await;
    let second = reply(&bench, &writer, &crud, "me too").await;
    assert_eq!((first.handle.as_str(), first.reply_to_uuid.as_ref()), ("yuki", Some(&crud.uuid)));

    let thread = thread(&bench, &writer, &crud.uuid).await;
    assert_eq!(thread.activity.replies_count, 2);
    assert_eq!(thread.replies, [first.clone(), second]);
    let home: Feed = bench.read("/api/activities/home").await;
    let at_home = home.activities.iter().find(|activity| activity.uuid == crud.uuid).unwrap();
    assert_eq!(at_home.replies_count, 2);
    let profile: Profile = bench.read("/api/activities/@yuki").await;
    assert_eq!(profile.activities[0], first, "a profile includes replies");
}

#[tokio::test]
async fn a_reply_is_created_with_201() {
    let bench = Bench::start();
    let crud = bench.crud("", "anybody?").await;
    let request = bench.request("POST", &format!("/api/activities/{}/reply", crud.uuid));
    let response = request.json(&NewReply { message: "yes".to_owned() }).send().await.unwrap();
    assert_eq!(response.status(), 201);
}

#[tokio::test]
async fn a_repeated_like_counts_once() {
    let bench = Bench::start();
    let (one, other) = (bench.sign_in("mirela").await, bench.sign_in("yuki").await);
    let crud = bench.crud(&one, "a good day").await;
    like(&bench, &other, "PUT", &crud).await;
    like(&bench, &other, "PUT", &crud).await;
    let seen = thread(&bench, &other, &crud.uuid).await.activity;
    assert_eq!((seen.likes_count, seen.liked), (1, true));
    let seen = thread(&bench, &one, &crud.uuid).await.activity;
    assert_eq!((seen.likes_count, seen.liked), (1, false), "only another user likes it");

    like(&bench, &one, "PUT", &crud).await;
    assert_eq!(thread(&bench, &one, &crud.uuid).await.activity.likes_count, 2);
}

#[tokio::test]
async fn a_repeated_unlike_removes_one_like() {
    let bench = Bench::start();
    let (one, other) = (bench.sign_in("mirela").await, bench.sign_in("yuki").await);
    let crud = bench.crud(&one, "a good day").await;
    like(&bench, &one, "PUT", &crud).await;
    like(&bench, &other, "DELETE", &crud).await;
    assert_eq!(thread(&bench, &one, &crud.uuid).await.activity.likes_count, 1, "yuki had not liked it");
    like(&bench, &one, "DELETE", &crud).await;
    like(&bench, &one, "DELETE", &crud).await;
    let seen = thread(&bench, &one, &crud.uuid).await.activity;
    assert_eq!((seen.likes_count, seen.liked), (0, false));
}

#[tokio::test]
async fn search_finds_only_cruds_that_contain_the_term() {
    let bench = Bench::start();
    let crud = bench.crud("", "a quagmire of quiet quails").await;
    let found: Feed = read(bench.get_with("/api/activities/search", &[("term", "quiet quai")])).await;
    assert_eq!(found.activities, [crud]);
    let found: Feed = read(bench.get_with("/api/activities/search", &[("term", "no such words")])).await;
    assert!(found.activities.is_empty());
}

#[tokio::test]
async fn search_matches_percent_and_underscore_literally() {
    let bench = Bench::start();
    let percent = bench.crud("", "100% of it").await;
    let underscore = bench.crud("", "snake_case").await;
    let backslash = bench.crud("", r"C:\quince").await;
    bench.crud("", "1000 of it, and a snakeXcase").await;
    for (term, expected) in [("%", &percent), ("0% o", &percent), ("e_c", &underscore), (r":\q", &backslash)] {
        let found: Feed = read(bench.get_with("/api/activities/search", &[("term", term)])).await;
        assert_eq!(found.activities.as_slice(), std::slice::from_ref(expected), "{term}");
    }
}

#[tokio::test]
async fn a_chosen_user_is_remembered_by_a_cookie_that_scripts_cannot_read() {
    let bench = Bench::start();
    let choice = ChooseUser { handle: "yuki".to_owned() };
    let response = bench.request("PUT", "/api/session").json(&choice).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=") && cookie.contains("Path=/"), "{cookie}");
    assert_eq!(response.json::<User>().await.unwrap().handle, "yuki");

    let cookie = cookie.split(';').next().unwrap();
    let users: Users = read(bench.get("/api/users").header(header::COOKIE, cookie)).await;
    assert_eq!(users.current.handle, "yuki");
    assert_eq!(bench.crud(cookie, "it is me").await.handle, "yuki");
    let among_others = format!("theme=dark; {cookie}; other=1");
    let users: Users = read(bench.get("/api/users").header(header::COOKIE, among_others)).await;
    assert_eq!(users.current.handle, "yuki");
}

#[tokio::test]
async fn a_cookie_with_an_unknown_handle_is_ignored() {
    let bench = Bench::start();
    let cookie = bench.sign_in("yuki").await;
    let (name, _) = cookie.split_once('=').unwrap();
    for value in ["nobody", "", "%00", "yuki'--", "\u{e9}"] {
        let request = bench.get("/api/users").header(header::COOKIE, format!("{name}={value}").into_bytes());
        let users: Users = read(request).await;
        assert_eq!(users.current, users.users[0], "{value}");
    }
}

#[tokio::test]
async fn likes_and_replies_of_others_are_notified_newest_first() {
    let bench = Bench::start();
    let (writer, fan, friend) =
        (bench.sign_in("mirela").await, bench.sign_in("yuki").await, bench.sign_in("tomasz").await);
    let crud = bench.crud(&writer, "news").await;
    like(&bench, &fan, "PUT", &crud).await;
    let answer = reply(&bench, &friend, &crud, "tell me more").await;

    let notified = async |cookie: &str| {
        let request = bench.get("/api/activities/notifications").header(header::COOKIE, cookie);
        read::<Notifications>(request).await.notifications
    };
    let notifications = notified(&writer).await;
    let times: Vec<&str> = notifications.iter().map(|notification| notification.created_at.as_str()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
    // Both can have the same millisecond, so their order is not checked.
    let latest = &notifications[..2];
    let of = |kind| latest.iter().find(|notification| notification.kind == kind).unwrap();
    let liked = of(NotificationKind::Like);
    assert_eq!((liked.handle.as_str(), &liked.activity.uuid), ("yuki", &crud.uuid));
    let replied = of(NotificationKind::Reply);
    assert_eq!((replied.handle.as_str(), &replied.activity.uuid), ("tomasz", &answer.uuid));

    let concerns = |uuid: &str, notifications: &[cruddur_shared::cruddur::Notification]| {
        notifications.iter().any(|notification| notification.activity.uuid == uuid)
    };
    assert!(!concerns(&crud.uuid, &notified(&fan).await), "the crud is not by yuki");
    like(&bench, &fan, "DELETE", &crud).await;
    assert!(!concerns(&crud.uuid, &notified(&writer).await), "the like was removed");
}
