//! Who you are, and who else there is.

use std::rc::{Rc, Weak};

use cruddur_shared::cruddur::User;
use leptos::{prelude::*, task::spawn_local};

use crate::{
    api::Api,
    load::{Reload, spawn_in_context},
    problem::Problem,
};

/// The attribute of every span that names the user.
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
    /// What depends on who you are. Gone pages leave nothing behind.
    reloads: StoredValue<Vec<Weak<Running>>, LocalStorage>,
}

impl Session {
    /// With nobody known yet.
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

    /// Asks for the users, unless they are known or asked for already.
    pub(crate) fn begin(self) {
        if !self.begun.try_update_value(|begun| std::mem::replace(begun, true)).unwrap_or(true) {
            spawn_in_context(throughline_browser::current(), self.load());
        }
    }

    /// The one provided as context.
    ///
    /// # Panics
    /// Outside of the application.
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

    /// Asks again if nobody is known.
    pub(crate) async fn load_if_missing(self) {
        if self.current.with_untracked(Option::is_none) {
            self.load().await;
        }
    }

    fn become_user(self, user: User) {
        throughline_browser::set_attribute(APP_USER_ID, user.handle.clone());
        self.current.set(Some(user));
    }

    /// Chooses who you are; what the page shows is loaded anew, in the same trace.
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

    /// Remembers what to load again, for as long as it lives.
    pub(crate) fn reload_with(self, reload: &Reload) {
        self.reloads.update_value(|reloads| {
            reloads.retain(|reload| reload.strong_count() > 0);
            reloads.push(Rc::downgrade(reload));
        });
    }

    /// Loads again what the open page shows.
    pub(crate) async fn reload(self) {
        let reloads: Vec<Reload> =
            self.reloads.with_value(|reloads| reloads.iter().filter_map(Weak::upgrade).collect());
        let running: Vec<_> = reloads.iter().map(|reload| reload()).collect();
        for reload in running {
            reload.await;
        }
    }
}
