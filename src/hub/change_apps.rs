//! The apps are replaced while the broker serves: connections of apps that go are closed.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::app::{App, AppRegistry, DuplicateApp};
use crate::channel::ChannelVersion;
use crate::protocol::CloseCode;

use super::app_histories::AppHistories;
use super::app_index::Places;
use super::counters::{AppCounters, NodeCounters};
use super::mailbox::WorkerCommand;
use super::node_histories::NodeHistories;
use super::recent_publishes::{PublishesOfApp, RecentPublishes};
use super::{AppState, Apps, Current, Hub, Listeners};

/// The apps that there are, and those that were removed and are not gone yet.
pub(super) struct AppTable {
    now: ArcSwap<Apps>,
    places: Arc<Places>,
    counters: NodeCounters,
    histories: Arc<NodeHistories>,
    publishes: Arc<RecentPublishes>,
    /// Apps that were removed, of which something may be left. Held while the apps are changed: one change at a time.
    removed: Mutex<Vec<Weak<AppState>>>,
    /// How often they have been changed.
    changes: watch::Sender<u64>,
}

/// What one change has done, and the right to make it: there is no other change until this is dropped.
struct Changed<'t> {
    removed: MutexGuard<'t, Vec<Weak<AppState>>>,
    before: Arc<Apps>,
    /// Apps whose streams over HTTP were switched off.
    without_streams: Vec<Arc<AppState>>,
    /// Apps whose connections have a limit now, and had none.
    limited: Vec<Arc<AppState>>,
    /// Apps that stay and are otherwise than before, with what they were.
    changed: Vec<(Arc<AppState>, Arc<App>)>,
}

impl AppTable {
    /// No apps yet; those that will be count with these, and have what they publish remembered there.
    pub(super) fn new(
        counters: NodeCounters,
        histories: Arc<NodeHistories>,
        publishes: Arc<RecentPublishes>,
    ) -> Self {
        let changes = watch::Sender::new(0);
        AppTable {
            now: ArcSwap::default(),
            places: Arc::default(),
            counters,
            histories,
            publishes,
            removed: Mutex::default(),
            changes,
        }
    }

    /// The removed apps of which something is left.
    pub(super) fn removed(&self) -> Vec<Arc<AppState>> {
        self.removed.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// From now on there are these apps and no others. `version` has just been drawn.
    fn change(
        &self,
        apps: Vec<(App, Option<Listeners>)>,
        version: ChannelVersion,
    ) -> Result<Changed<'_>, DuplicateApp> {
        let mut removed = self.removed.lock();
        removed.retain(|app| app.strong_count() > 0);
        let registry = AppRegistry::new(apps.iter().map(|(app, _)| app.clone()))?;
        let before = self.now.load_full();
        let gone: Vec<Arc<AppState>> = removed.iter().filter_map(Weak::upgrade).collect();
        let gone: HashMap<&str, &AppState> = gone.iter().map(|state| (state.id(), &**state)).collect();
        let mut states = Vec::with_capacity(apps.len());
        let (mut without_streams, mut limited, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for (app, listeners) in apps {
            let Some(settings) = registry.by_id(&app.id) else { continue };
            let state = match before.by_id(&app.id) {
                Some(state) => Arc::clone(state),
                None => {
                    let counters = AppCounters::new(self.counters.clone());
                    let (place, gone) = (self.places.take(), gone.get(&*app.id).copied());
                    let node = Arc::clone(&self.histories);
                    let histories = AppHistories::new(node, version, settings.keeps_history());
                    let publishes = PublishesOfApp::new(Arc::clone(&self.publishes), place.index());
                    let settings = Arc::clone(settings);
                    Arc::new(AppState::new(place, settings, counters, histories, publishes, gone))
                }
            };
            if let Some(listeners) = listeners {
                state.set_listeners(listeners);
                changed.push((Arc::clone(&state), state.app().share()));
            }
            if state.app().http_streams && !settings.http_streams {
                without_streams.push(Arc::clone(&state));
            }
            if state.app().limits.connections == 0 && settings.limits.connections > 0 {
                limited.push(Arc::clone(&state));
            }
            state.set_app(Arc::clone(settings), version);
            states.push(state);
        }
        self.now.store(Arc::new(Apps::new(registry, states)));
        self.changes.send_modify(|changes| *changes += 1);
        Ok(Changed { removed, before, without_streams, limited, changed })
    }
}

impl Hub {
    /// The apps as they are now, to be found by id or key.
    pub fn apps(&self) -> Current<Apps> {
        Current::of(&self.apps.now)
    }

    /// The state of the app that clients name by this key.
    pub fn state_by_key(&self, key: &str) -> Option<Arc<AppState>> {
        self.apps().by_key(key).cloned()
    }

    /// Tells of each change of the apps. Who has told this node what there is of an app elsewhere tells it again when the app
    /// is another than before: its [`AppState::index`] says so.
    pub(crate) fn watch_apps(&self) -> watch::Receiver<u64> {
        self.apps.changes.subscribe()
    }

    /// From now on there are these apps and no others, each with those who listen to it; `None` leaves the listeners
    /// of an app as they are. An app is the same as before if its id is.
    ///
    /// Connections of an app that stays go on, and see its new settings from their next message on. If it has been
    /// switched off, they are closed with 4003. Those of an app that is not among these are closed with 4001, and what
    /// is left of it goes with the last of them.
    ///
    /// # Errors
    /// If two apps share an id or a key. Nothing has changed then.
    pub fn set_apps(&self, apps: Vec<(App, Option<Listeners>)>) -> Result<(), DuplicateApp> {
        let Changed { mut removed, before, without_streams, limited, changed } =
            self.apps.change(apps, self.next_version())?;
        // After the change: whoever was admitted before is closed by these commands, and nobody is admitted any more.
        let (code, reason) = (CloseCode::Unauthorized, "HTTP streams were switched off");
        for app in without_streams.iter().map(|state| state.index()) {
            self.mailboxes.post_to_all(|| WorkerCommand::CloseStreams { app, code, reason });
        }
        for (state, before) in changed {
            self.tracks_changed(&state, &before);
        }
        for state in limited {
            self.sockets.tell_counted(state.index(), |count| self.tell_connections(&state, count));
        }
        let now = self.apps();
        for state in before.iter() {
            match now.by_id(state.id()) {
                None => {
                    removed.push(Arc::downgrade(state));
                    state.forget_histories();
                    self.forget_tracks(state);
                    self.close_app(state, CloseCode::UnknownApp, "The app was removed");
                }
                Some(state) if !state.app().enabled => {
                    self.close_app(state, CloseCode::AppDisabled, CloseCode::AppDisabled.sentence());
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Ends every connection of an app.
    pub(super) fn close_app(&self, app: &AppState, code: CloseCode, reason: &'static str) {
        let app = app.index();
        self.mailboxes.post_to_all(|| WorkerCommand::CloseApp { app, code, reason });
    }
}
