//! One app under test: it hears what happens, injects the faults that it is given, and answers what tests ask.

mod clock;
mod counts;
mod cut;
mod error;
mod faults;
mod record;
mod roster;
mod view;

pub use counts::Counts;
pub use cut::{Cut, Sockets};
pub(crate) use error::MOST_ADVANCE;
pub use error::TestError;
pub(super) use record::{accepted, refusal};
pub use roster::ConnectionSummary;

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::connection::ConnectionConfig;
use crate::hub::{Agenda, AppState, FaultInjector, Hub};

use super::faults::Faults;
use super::frames::{FrameTextReader, HeldFrames};
use super::log::EventLog;

use roster::Roster;

/// One app under test.
pub struct AppUnderTest {
    /// Itself, for what goes on later.
    pub(in crate::test_mode) this: Weak<AppUnderTest>,
    id: String,
    /// Set once the app exists. It must not keep the app: the app keeps it.
    place: OnceLock<(Weak<Hub>, Weak<AppState>)>,
    pub(in crate::test_mode) log: EventLog,
    pub(in crate::test_mode) faults: Faults,
    pub(in crate::test_mode) frames: FrameTextReader,
    pub(in crate::test_mode) held: HeldFrames,
    /// How its connections are treated, if in a way of their own.
    pub(in crate::test_mode) connection: OnceLock<Arc<ConnectionConfig>>,
    roster: Mutex<Roster>,
    /// By how much the clock has been advanced, for those who wait elsewhere than in the hub.
    pub(in crate::test_mode) ahead: watch::Sender<Duration>,
    /// What waits for the clock.
    pub(in crate::test_mode) agenda: Arc<Agenda>,
    /// Held while the clock is advanced to what is due next.
    #[expect(
        clippy::disallowed_types,
        reason = "it guards no value: one request waits until another is done"
    )]
    pub(in crate::test_mode) advancing: tokio::sync::Mutex<()>,
    /// Whether the broker is stopping, or the app is gone: nobody should wait any longer.
    over: watch::Sender<bool>,
}

impl AppUnderTest {
    /// An app of this id that is yet to come.
    pub fn new(id: impl Into<String>) -> Arc<Self> {
        Arc::new_cyclic(|this| AppUnderTest {
            this: this.clone(),
            id: id.into(),
            place: OnceLock::new(),
            log: EventLog::default(),
            faults: Faults::default(),
            frames: FrameTextReader::default(),
            held: HeldFrames::default(),
            connection: OnceLock::new(),
            roster: Mutex::default(),
            ahead: watch::Sender::new(Duration::ZERO),
            agenda: Arc::default(),
            advancing: Default::default(),
            over: watch::Sender::new(false),
        })
    }

    /// The app exists now: it is heard of, and faults are injected, from here on.
    pub fn attach(self: &Arc<Self>, hub: &Arc<Hub>, state: &Arc<AppState>) {
        state.clock().set_agenda(Arc::clone(&self.agenda));
        state.interceptor().set(Arc::clone(self) as Arc<dyn FaultInjector>);
        let _ = self.place.set((Arc::downgrade(hub), Arc::downgrade(state)));
    }

    /// Has connections that come from now on treated in another way than the node's. The first that is given stays.
    pub(in crate::test_mode) fn set_connection_config(&self, connection: ConnectionConfig) {
        let _ = self.connection.set(Arc::new(connection));
    }

    /// Nobody should wait for anything any longer.
    pub fn end(&self) {
        self.over.send_replace(true);
    }

    /// Told when nobody should wait any longer.
    pub(in crate::test_mode) fn over(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }

    /// The app's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What has happened.
    pub fn log(&self) -> &EventLog {
        &self.log
    }

    /// The hub and the app's state in it.
    ///
    /// # Errors
    /// If the app is gone, or the broker is stopping: what is left of them then differs from one moment to the next.
    pub(in crate::test_mode) fn place(&self) -> Result<(Arc<Hub>, Arc<AppState>), TestError> {
        let upgrade = |(hub, state): &(Weak<Hub>, Weak<AppState>)| Some((hub.upgrade()?, state.upgrade()?));
        let place = if *self.over.borrow() { None } else { self.place.get().and_then(upgrade) };
        place.ok_or_else(|| TestError::Gone(self.id.clone()))
    }

    /// Forgets what has happened, ends all faults, gives up frames that are held back, and forgets the events that
    /// cache channels remember and that channels with a history keep. The clock stays as it is: it is never set back.
    pub fn reset(&self) {
        self.clear_faults();
        self.held.forget(None);
        if let Ok((_, state)) = self.place() {
            state.forget_cache();
            state.forget_events();
        }
        self.log.clear();
    }
}

impl fmt::Debug for AppUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppUnderTest").field("id", &self.id).finish_non_exhaustive()
    }
}
