//! `/@{handle}`: the cruds of one user.

use cruddur_shared::cruddur::Profile;
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use super::{feed::FeedList, missing::MissingPage};
use crate::{avatar::Avatar, load::use_load, page::use_page, session::Session};

#[component]
pub(crate) fn ProfilePage() -> impl IntoView {
    let params = use_params_map();
    let segment = Memo::new(move |_| params.with(|params| params.get("handle").unwrap_or_default()));
    move || match segment.get().strip_prefix('@') {
        Some(handle) if !handle.is_empty() => view! { <OneProfile handle=handle.to_owned()/> }.into_any(),
        _ => view! { <MissingPage/> }.into_any(),
    }
}

#[component]
fn OneProfile(handle: String) -> impl IntoView {
    let opened = use_page("/@{handle}", &format!("@{handle}"));
    let session = Session::current();
    let load = {
        let handle = handle.clone();
        use_load(opened, move || {
            let (api, handle) = (session.api(), handle.clone());
            async move { api.profile(&handle).await }
        })
    };
    let activities = Signal::derive(move || {
        load.data.with(|profile| profile.as_ref().map(|profile| profile.activities.clone()).unwrap_or_default())
    });
    let head = {
        let handle = handle.clone();
        move || {
            let user = load.data.with(|profile: &Option<Profile>| profile.as_ref().map(|profile| profile.user.clone()));
            let (name, bio) =
                user.map_or_else(|| (format!("@{handle}"), String::new()), |user| (user.display_name, user.bio));
            view! {
                <Avatar handle=handle.clone() display_name=name.clone()/>
                <div>
                    <h1 tabindex="-1">{name}</h1>
                    <p class="handle">"@" {handle.clone()}</p>
                    <p class="bio">{bio}</p>
                </div>
            }
        }
    };
    let empty = {
        let handle = StoredValue::new(handle);
        move || {
            let is_you = session
                .current
                .with(|you| you.as_ref().is_some_and(|you| handle.with_value(|handle| you.handle == *handle)));
            if is_you {
                view! {
                    <div class="empty">
                        <h2>"You have no cruds"</h2>
                        <p>
                            <a class="button button-accent" href="/">"Write a crud"</a>
                        </p>
                    </div>
                }
                .into_any()
            } else {
                view! {
                    <div class="empty">
                        <h2>"No cruds"</h2>
                        <p>"This user has not written any cruds, or they have expired."</p>
                        <p>
                            <a class="button" href="/">"See what others write"</a>
                        </p>
                    </div>
                }
                .into_any()
            }
        }
    };
    view! {
        <div class="profile-head">{head}</div>
        {load.show(move || view! { <FeedList activities empty/> })}
    }
}
