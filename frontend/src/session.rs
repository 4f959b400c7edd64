//! The session: the current user and the list of users.

use std::rc::{Rc, Weak};

use cruddur_shared::cruddur::User;
use leptos::{prelude::*, task::spawn_local};

use crate::{
    api::Api,
    load::{Reload, spawn_in_context},
    problem::Problem,
};

/// The key of the attribute that identifies the user on every span.
const APP_USER_ID: &str = "app.user_id";

type Running = dyn Fn() -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// The session, provided as context.
#[derive(Clone, Copy)]
pub(crate) struct Session {
    pub(crate) users: RwSignal<Vec<User>>,
    pub(crate) current: RwSignal<Option<User>>,
    pub(crate) problem: RwSignal<Option<Problem>>,
    api: StoredValue<Api>,
    begun: StoredValue<bool>,
    /// The loads that depend on the current user; weak, so that those of closed pages are dropped.
    reloads: StoredValue<Vec<Weak<Running>>, LocalStorage>,
}

impl Session {
    /// Creates a session without users and provides it as context.
    pub(crate) fn start(api: Api) -> Self {
        let session = Self {
            users: RwSignal::new(Vec::new()),
            current: RwSignal::new(None),
            problem: RwSignal::new(None),
            api: StoredValue::new(api),
            begun: StoredValue::new(false),
            reloads: StoredValue::new_local(Vec::new()),
        };
        provide_context(session);
        session
    }

    /// Loads the users, unless that has been started before.
    pub(crate) fn begin(self) {
        if !self.begun.try_update_value(|begun| std::mem::replace(begun, true)).unwrap_or(true) {
            spawn_in_context(throughline_browser::current(), self.load());
        }
    }

    /// Returns the session provided as context.
    ///
    /// # Panics
    /// Panics if called outside the application.
    pub(crate) fn current() -> Self {
        expect_context()
    }

    pub(crate) fn api(self) -> Api {
        self.api.get_value()
    }

    async fn load(self) {
        match self.api().users().await {
            Ok(users) => {
                self.users.set(users.users);
                self.become_user(users.current);
                self.problem.set(None);
            }
            Err(problem) => self.problem.set(Some(problem)),
        }
    }

    /// Loads the users again if there is no current user.
    pub(crate) async fn load_if_missing(self) {
        if self.current.with_untracked(Option::is_none) {
            self.load().await;
        }
    }

    fn become_user(self, user: User) {
        throughline_browser::set_attribute(APP_USER_ID, user.handle.clone());
        self.current.set(Some(user));
    }

    /// Chooses the current user, and reloads the data of the page in the same trace.
    pub(crate) fn choose(self, handle: String) {
        spawn_local(throughline_browser::action("click", "Choose user", async move {
            match self.api().choose_user(&handle).await {
                Ok(user) => {
                    self.become_user(user);
                    self.problem.set(None);
                    self.reload().await;
                }
                Err(problem) => self.problem.set(Some(problem)),
            }
        }));
    }

    /// Registers a load to repeat on [`Session::reload`], for as long as it exists.
    pub(crate) fn reload_with(self, reload: &Reload) {
        self.reloads.update_value(|reloads| {
            reloads.retain(|reload| reload.strong_count() > 0);
            reloads.push(Rc::downgrade(reload));
        });
    }

    /// Reloads the data of the open page.
    pub(crate) async fn reload(self) {
        let reloads: Vec<Reload> =
            self.reloads.with_value(|reloads| reloads.iter().filter_map(Weak::upgrade).collect());
        let running: Vec<_> = reloads.iter().map(|reload| reload()).collect();
        for reload in running {
            reload.await;
        }
    }
}
