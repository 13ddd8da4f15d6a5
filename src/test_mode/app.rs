//! One app under test: it hears what happens, injects the faults that it is given, and answers what tests ask.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

use crate::connection::ConnectionConfig;
use crate::connection::Ending;
use crate::event::{AcceptedEvent, Source};
use crate::hub::{Agenda, AppState, FaultInjector, Hub, Listener, Notice, Refused, Timed};
use crate::protocol::{ChannelName, CloseStatus, SocketId};

use super::condition::View;
use super::entry::{Details, Entry, EventSource, Kind};
use super::faults::{BadFault, Fault, Faults, TooManyFaults, is_close_code, pick};
use super::frames::{FrameReader, HeldFrames};
use super::log::EventLog;

/// The most that a clock can be advanced at once: a year and a day.
pub(crate) const MOST_ADVANCE: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// One app under test.
pub struct AppUnderTest {
    /// Itself, for what goes on later.
    pub(super) this: Weak<AppUnderTest>,
    id: String,
    /// Set once the app exists. It must not keep the app: the app keeps it.
    place: OnceLock<(Weak<Hub>, Weak<AppState>)>,
    pub(super) log: EventLog,
    pub(super) faults: Faults,
    pub(super) frames: FrameReader,
    pub(super) held: HeldFrames,
    /// How its connections are treated, if in a way of their own.
    pub(super) connection: OnceLock<Arc<ConnectionConfig>>,
    roster: Mutex<Roster>,
    /// By how much the clock has been advanced, for those who wait elsewhere than in the hub.
    pub(super) ahead: watch::Sender<Duration>,
    /// What waits for the clock.
    pub(super) agenda: Arc<Agenda>,
    /// Held while the clock is advanced to what is due next.
    #[expect(
        clippy::disallowed_types,
        reason = "it guards no value: one request waits until another is done"
    )]
    pub(super) advancing: tokio::sync::Mutex<()>,
    /// Whether the broker is stopping, or the app is gone: nobody should wait any longer.
    over: watch::Sender<bool>,
}

/// Who is connected.
#[derive(Debug, Default)]
struct Roster {
    sockets: HashMap<SocketId, Connected>,
    /// Numbers them in the order in which they came.
    last: u64,
}

#[derive(Debug, Default)]
struct Connected {
    number: u64,
    user_id: Option<Arc<str>>,
    /// What it is subscribed to, and as which member where that is a presence channel.
    channels: BTreeMap<Arc<str>, Option<Arc<str>>>,
}

impl Connected {
    /// Whom it is signed in as, and whom it is a member as.
    fn users(&self) -> impl Iterator<Item = &Arc<str>> {
        self.user_id.iter().chain(self.channels.values().flatten())
    }
}

/// Connections, as a test names them: those that are everything it says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sockets {
    /// The one with this id.
    pub socket_id: Option<String>,
    /// Those signed in as this user, or members of a presence channel as this user.
    pub user_id: Option<String>,
    /// Those subscribed to this channel.
    pub channel: Option<String>,
    /// Only this share of them, above 0 and up to 1, and at least one.
    pub share: Option<f64>,
    /// What chooses the share; without it, it is drawn.
    pub seed: Option<u64>,
}

impl Sockets {
    /// Whether it says more than "all".
    fn names_some(&self) -> bool {
        self.socket_id.is_some() || self.user_id.is_some() || self.channel.is_some()
    }
}

/// As it stands behind "there is no connection".
impl fmt::Display for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.socket_id.as_ref().map(|id| format!("{id:?}")),
            self.user_id.as_ref().map(|id| format!("that is signed in or a member as {id:?}")),
            self.channel.as_ref().map(|name| format!("subscribed to {name:?}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(" and "))
    }
}

/// How connections are ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// With a close frame of this code and reason.
    Close(u16, String),
    /// Without one, as a line that breaks.
    Abrupt,
}

/// One connection, as tests see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionSummary {
    /// Its id.
    pub socket_id: String,
    /// Whom it is signed in as.
    pub user_id: Option<Arc<str>>,
    /// What it is subscribed to.
    pub channels: Vec<Arc<str>>,
}

/// One channel, as tests see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChannelCounts {
    /// Subscribed connections.
    pub subscribers: usize,
    /// Distinct members; 0 on channels without presence.
    pub members: usize,
}

/// How much there is of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Connections.
    pub connections: usize,
    /// Connections signed in, by user.
    pub users: BTreeMap<String, usize>,
    /// The occupied channels.
    pub channels: BTreeMap<String, ChannelCounts>,
    /// Entries in the log, by kind.
    pub logged: BTreeMap<&'static str, usize>,
    /// The number of the log's last entry: what comes later has a larger one.
    pub last: u64,
    /// Faults at work.
    pub faults: usize,
    /// By how much the clock has been advanced, in milliseconds.
    pub advanced_ms: u64,
}

/// Something that was asked of an app under test cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TestError {
    /// The app has been removed, or the broker has stopped.
    #[error("the app {0:?} is gone")]
    Gone(String),
    /// The fault is none.
    #[error(transparent)]
    Fault(#[from] BadFault),
    /// There are too many.
    #[error(transparent)]
    TooManyFaults(#[from] TooManyFaults),
    /// The clock would be advanced too far.
    #[error("a clock can be advanced by at most {most} ms at once, got {0} ms", most = MOST_ADVANCE.as_millis())]
    TooFar(u128),
    /// Nothing waits for the clock.
    #[error("nothing is due: nothing waits for the app's clock any more{}", gone_on(*.by))]
    NothingDue {
        /// By how much it was advanced before that was known: where something had been due that there was nothing to do
        /// about any more.
        by: Duration,
    },
    /// What was due did not happen in time.
    #[error("expected what is due to happen within 10 seconds, it did not{}", .0.map(|what| format!(": {what}")).unwrap_or_default())]
    Overdue(Option<Timed>),
    /// No close frame can have the code.
    #[error("expected a close code of 1000 to 4999, and none of 1004, 1005, 1006 and 1015, got {0}")]
    CloseCode(u16),
    /// It is no share.
    #[error("expected a share above 0 and at most 1, got {0}")]
    Share(f64),
    /// Connections were named, and there are none of them.
    #[error("there is no connection {wanted}; {there}")]
    NobodyMeant {
        /// What they should be.
        wanted: String,
        /// Who is there instead.
        there: String,
    },
}

/// As it ends the sentence that nothing is due.
fn gone_on(by: Duration) -> String {
    if by.is_zero() { String::new() } else { format!(", after {} ms", by.as_millis()) }
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
            frames: FrameReader::default(),
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
    pub(super) fn set_connection_config(&self, connection: ConnectionConfig) {
        let _ = self.connection.set(Arc::new(connection));
    }

    /// Nobody should wait for anything any longer.
    pub fn end(&self) {
        self.over.send_replace(true);
    }

    /// Told when nobody should wait any longer.
    pub(super) fn over(&self) -> watch::Receiver<bool> {
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
    pub(super) fn place(&self) -> Result<(Arc<Hub>, Arc<AppState>), TestError> {
        let upgrade = |(hub, state): &(Weak<Hub>, Weak<AppState>)| Some((hub.upgrade()?, state.upgrade()?));
        let place = if *self.over.borrow() { None } else { self.place.get().and_then(upgrade) };
        place.ok_or_else(|| TestError::Gone(self.id.clone()))
    }

    /// What time the app has it.
    pub(super) fn now(&self) -> Instant {
        self.place().map_or_else(|_| Instant::now(), |(_, state)| state.clock().now())
    }

    /// Adds a fault; returns its number.
    ///
    /// # Errors
    /// If it is none, or there are too many.
    pub fn add_fault(&self, fault: Fault) -> Result<u64, TestError> {
        fault.check()?;
        let id = self.faults.add(fault, rand::random(), self.now())?;
        if let (Some(end), Ok((_, state))) = (self.faults.ends(id), self.place()) {
            self.faults.keep(id, state.clock().wait_until(end, Timed::FaultEnd).1);
        }
        Ok(id)
    }

    /// The faults at work.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The same as JSON, each with its number and how often it did its work.
    pub fn active_faults(&self) -> Vec<serde_json::Value> {
        self.faults.list(self.now())
    }

    /// Ends one fault, and lets go what waits for its end; `false` if there is no such one.
    pub fn clear_fault(&self, id: u64) -> bool {
        let cleared = self.faults.clear(id);
        self.log.touch();
        cleared
    }

    /// Ends all faults; returns how many there were.
    pub fn clear_faults(&self) -> usize {
        let cleared = self.faults.clear_all();
        self.log.touch();
        cleared
    }

    /// Ends connections now; returns which.
    ///
    /// # Errors
    /// If the code or the share is none, no connection is what was named, or the app is gone.
    pub fn cut(&self, sockets: &Sockets, cut: &Cut) -> Result<Vec<SocketId>, TestError> {
        if let Cut::Close(code, _) = cut
            && !is_close_code(*code)
        {
            return Err(TestError::CloseCode(*code));
        }
        if let Some(share) = sockets.share.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            return Err(TestError::Share(share));
        }
        let (hub, state) = self.place()?;
        let chosen = self.choose(sockets);
        if chosen.is_empty() && sockets.names_some() {
            return Err(TestError::NobodyMeant { wanted: sockets.to_string(), there: self.who_is_there() });
        }
        for socket in &chosen {
            let reason = match cut {
                Cut::Close(code, _) => format!("closes it with {code}"),
                Cut::Abrupt => "cuts it off without a close frame".to_owned(),
            };
            let (socket_id, reason) = (Some(socket.to_string().into()), Some(reason.into()));
            // Before it acts: what comes of it is told after it.
            self.log.write(Kind::Fault, Details { socket_id, reason, ..Details::default() });
            match cut {
                Cut::Close(code, reason) => {
                    let code = CloseStatus::injected(*code);
                    hub.close_socket_with(&state, *socket, code, reason.clone().into());
                }
                Cut::Abrupt => {
                    hub.cut_socket(&state, *socket);
                }
            }
        }
        Ok(chosen)
    }

    /// Who is connected, in a sentence for whoever meant somebody else.
    fn who_is_there(&self) -> String {
        const SHOWN: usize = 10;
        let roster = self.roster.lock();
        let mut sockets: Vec<_> = roster.sockets.iter().collect();
        sockets.sort_unstable_by_key(|(_, connected)| connected.number);
        let one = |(id, connected): &(&SocketId, &Connected)| {
            let users: BTreeSet<&str> = connected.users().map(|user| &**user).collect();
            let channels: Vec<&str> = connected.channels.keys().take(SHOWN).map(|name| &**name).collect();
            let users = if users.is_empty() { String::new() } else { format!(" of user {users:?}") };
            let channels = if channels.is_empty() { String::new() } else { format!(" on {channels:?}") };
            format!("{id}{users}{channels}")
        };
        match sockets.len() {
            0 => "nobody is connected".to_owned(),
            many if many > SHOWN => {
                let shown: Vec<_> = sockets[..SHOWN].iter().map(one).collect();
                format!("connected are {} and {} others", shown.join(", "), many - SHOWN)
            }
            _ => format!("connected are {}", sockets.iter().map(one).collect::<Vec<_>>().join(", ")),
        }
    }

    fn choose(&self, sockets: &Sockets) -> Vec<SocketId> {
        let Sockets { socket_id, user_id, channel, share, seed } = sockets;
        let mut meant: Vec<(u64, SocketId)> = {
            let roster = self.roster.lock();
            let fits = |(id, connected): &(&SocketId, &Connected)| {
                socket_id.as_ref().is_none_or(|wanted| id.to_string() == *wanted)
                    && user_id.as_ref().is_none_or(|wanted| connected.users().any(|user| **user == **wanted))
                    && channel.as_ref().is_none_or(|wanted| connected.channels.contains_key(wanted.as_str()))
            };
            roster.sockets.iter().filter(fits).map(|(id, connected)| (connected.number, *id)).collect()
        };
        meant.sort_unstable_by_key(|(number, _)| *number);
        let meant = meant.into_iter().map(|(_, id)| id).collect();
        match share {
            None => meant,
            Some(share) => pick(meant, *share, seed.unwrap_or_else(rand::random)),
        }
    }

    /// Advances the app's clock: everything that waits for it is looked at again. Returns by how much it has been
    /// advanced in all.
    ///
    /// # Errors
    /// If that is too far, or the app is gone.
    pub fn advance(&self, by: Duration) -> Result<Duration, TestError> {
        if by > MOST_ADVANCE {
            return Err(TestError::TooFar(by.as_millis()));
        }
        self.advance_clock(by)
    }

    /// Advances it as far as is wanted, maybe not at all: everything that waits for it is looked at again.
    pub(super) fn advance_clock(&self, by: Duration) -> Result<Duration, TestError> {
        let (hub, state) = self.place()?;
        hub.advance_clock(&state, by);
        if !by.is_zero() {
            let advanced_ms = u64::try_from(by.as_millis()).ok();
            self.log.write(Kind::ClockAdvanced, Details { advanced_ms, ..Details::default() });
        }
        self.faults.expire(state.clock().now());
        // For those who wait for the end of a fault.
        self.log.touch();
        self.release_due();
        let advanced = state.clock().advanced();
        // Of two who advance it at once, the later time stays.
        self.ahead.send_if_modified(|ahead| {
            let later = advanced > *ahead;
            *ahead = advanced.max(*ahead);
            later
        });
        Ok(advanced)
    }

    /// By how much the clock has been advanced.
    pub fn advanced(&self) -> Duration {
        self.place().map(|(_, state)| state.clock().advanced()).unwrap_or_default()
    }

    /// Closes every connection with 4200, and waits until all of them have ended.
    ///
    /// # Errors
    /// If the app is gone.
    pub async fn disconnect(&self) -> Result<(), TestError> {
        let (mut changed, before) = (self.log.watch(), self.log.last());
        let cut = Cut::Close(4200, "The test was reset".to_owned());
        let closed: BTreeSet<_> =
            self.cut(&Sockets::default(), &cut)?.iter().map(ToString::to_string).collect();
        // They end as soon as their workers get round to it. Its end is the last that is logged of each.
        let is_end = |entry: &Entry| {
            let id = entry.details.socket_id.as_deref();
            entry.kind == Kind::Disconnected && id.is_some_and(|id| closed.contains(id))
        };
        while self.log.after(before, is_end).entries.len() < closed.len() && !*self.over.borrow() {
            if changed.changed().await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Forgets what has happened, ends all faults, gives up frames that are held back, and forgets the events that
    /// cache channels remember. The clock stays as it is: it is never set back.
    pub fn reset(&self) {
        self.clear_faults();
        self.held.forget(None);
        if let Ok((_, state)) = self.place() {
            state.forget_cache();
        }
        self.log.clear();
    }

    /// How much there is of everything.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        {
            let roster = self.roster.lock();
            counts.connections = roster.sockets.len();
            for user_id in roster.sockets.values().filter_map(|connected| connected.user_id.as_deref()) {
                *counts.users.entry(user_id.to_owned()).or_default() += 1;
            }
        }
        let excerpt = self.log.after(0, |entry| {
            *counts.logged.entry(entry.kind.name()).or_default() += 1;
            false
        });
        counts.last = excerpt.last;
        counts.faults = self.active_faults().len();
        if let Ok((_, state)) = self.place() {
            let channels = state.channels("").into_iter().map(|channel| {
                let counts =
                    ChannelCounts { subscribers: channel.subscription_count, members: channel.user_count };
                (channel.name.to_string(), counts)
            });
            counts.channels = channels.collect();
            counts.advanced_ms = u64::try_from(state.clock().advanced().as_millis()).unwrap_or(u64::MAX);
        }
        counts
    }

    /// The connections, in the order in which they came.
    pub fn connections(&self) -> Vec<ConnectionSummary> {
        let roster = self.roster.lock();
        let mut sockets: Vec<_> = roster.sockets.iter().collect();
        sockets.sort_unstable_by_key(|(_, connected)| connected.number);
        let summary = |(id, connected): (&SocketId, &Connected)| ConnectionSummary {
            socket_id: id.to_string(),
            user_id: connected.user_id.clone(),
            channels: connected.channels.keys().cloned().collect(),
        };
        sockets.into_iter().map(summary).collect()
    }

    /// Whom a connection is signed in as, and whom it is a member of presence channels as.
    pub(super) fn users_of(&self, socket: SocketId) -> Vec<Arc<str>> {
        self.roster
            .lock()
            .sockets
            .get(&socket)
            .map(|connected| connected.users().cloned().collect())
            .unwrap_or_default()
    }

    /// Whom a connection is signed in as, or else a member as.
    pub(super) fn user_of(&self, socket: SocketId) -> Option<Arc<str>> {
        self.roster.lock().sockets.get(&socket).and_then(|connected| connected.users().next().cloned())
    }

    fn enter(&self, socket: SocketId, change: impl FnOnce(&mut Connected)) {
        if let Some(connected) = self.roster.lock().sockets.get_mut(&socket) {
            change(connected);
        }
    }
}

impl View for AppUnderTest {
    fn subscribers(&self, channel: &str) -> usize {
        self.channel(channel, |state, name| {
            state.channel(name).map_or(0, |channel| channel.subscription_count)
        })
    }

    fn members(&self, channel: &str) -> BTreeSet<String> {
        self.channel(channel, |state, name| state.user_ids(name).into_iter().collect())
    }

    fn signed_in(&self, user_id: &str) -> usize {
        let roster = self.roster.lock();
        roster.sockets.values().filter(|connected| connected.user_id.as_deref() == Some(user_id)).count()
    }

    fn connections(&self) -> usize {
        self.roster.lock().sockets.len()
    }

    fn channels(&self) -> Vec<(String, usize)> {
        let Ok((_, state)) = self.place() else { return Vec::new() };
        let channels = state.channels("").into_iter();
        channels.map(|channel| (channel.name.to_string(), channel.subscription_count)).collect()
    }

    fn users(&self) -> BTreeSet<String> {
        let roster = self.roster.lock();
        roster
            .sockets
            .values()
            .filter_map(|connected| connected.user_id.as_deref())
            .map(str::to_owned)
            .collect()
    }
}

impl AppUnderTest {
    fn channel<T: Default>(&self, name: &str, ask: impl FnOnce(&AppState, &ChannelName) -> T) -> T {
        let Ok((_, state)) = self.place() else { return T::default() };
        match ChannelName::parse(name, usize::MAX) {
            Ok(name) => ask(&state, &name),
            Err(_) => T::default(),
        }
    }
}

impl Listener for AppUnderTest {
    fn listens(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn notice(&self, _: &Arc<Hub>, _: &Arc<AppState>, notice: &Notice<'_>) {
        if let Some((kind, details)) = self.record(notice) {
            self.log.write(kind, details);
        }
    }

    fn refused(&self, refused: &Refused<'_>) {
        let (kind, details) = refusal(refused);
        self.log.write(kind, details);
    }
}

impl AppUnderTest {
    /// Keeps the roster up to date, and says what is to be written.
    fn record(&self, notice: &Notice<'_>) -> Option<(Kind, Details)> {
        let socket = |id: &SocketId| Some(Arc::from(id.to_string()));
        let text = |text: &str| Some(Arc::from(text));
        let none = Details::default;
        Some(match notice {
            Notice::SocketOpened(id) => {
                let mut roster = self.roster.lock();
                roster.last += 1;
                let number = roster.last;
                roster.sockets.insert(*id, Connected { number, ..Connected::default() });
                (Kind::Connected, Details { socket_id: socket(id), ..none() })
            }
            Notice::SocketClosed { socket_id, user_id, ending } => {
                self.roster.lock().sockets.remove(socket_id);
                self.held.forget(Some(*socket_id));
                let (code, reason) = match ending {
                    Ending::Lost => (None, text("the line was lost")),
                    Ending::Left(code) => (*code, text("the client left")),
                    Ending::Closed(code, reason) => (Some(code.code()), text(reason)),
                };
                let (socket_id, user_id) = (socket(socket_id), user_id.and_then(text));
                (Kind::Disconnected, Details { socket_id, user_id, code, reason, ..none() })
            }
            Notice::Subscribed { channel, socket_id, user_id } => {
                let name: Arc<str> = Arc::from(channel.as_str());
                self.enter(*socket_id, |connected| {
                    connected.channels.insert(Arc::clone(&name), user_id.and_then(text));
                });
                let (socket_id, user_id) = (socket(socket_id), user_id.and_then(text));
                (Kind::Subscribed, Details { socket_id, user_id, channel: Some(name), ..none() })
            }
            Notice::Unsubscribed { channel, socket_id, user_id } => {
                self.enter(*socket_id, |connected| {
                    connected.channels.remove(channel.as_str());
                });
                let (socket_id, user_id) = (socket(socket_id), user_id.and_then(text));
                (
                    Kind::Unsubscribed,
                    Details { socket_id, user_id, channel: text(channel.as_str()), ..none() },
                )
            }
            Notice::SignedIn { socket_id, user_id } => {
                self.enter(*socket_id, |connected| connected.user_id = text(user_id));
                let (socket_id, user_id) = (socket(socket_id), text(user_id));
                (Kind::SignedIn, Details { socket_id, user_id, ..none() })
            }
            Notice::ChannelOccupied(channel, _) => {
                (Kind::ChannelOccupied, Details { channel: text(channel.as_str()), ..none() })
            }
            Notice::ChannelVacated(channel, _) => {
                (Kind::ChannelVacated, Details { channel: text(channel.as_str()), ..none() })
            }
            Notice::MemberAdded(channel, user_id, _) => {
                let (channel, user_id) = (text(channel.as_str()), text(user_id));
                (Kind::MemberAdded, Details { channel, user_id, ..none() })
            }
            Notice::MemberRemoved(channel, user_id, _) => {
                let (channel, user_id) = (text(channel.as_str()), text(user_id));
                (Kind::MemberRemoved, Details { channel, user_id, ..none() })
            }
            // An event was logged when it was accepted, before anybody heard of it. The others are for those who send
            // webhooks, which are logged themselves.
            Notice::Event(_) | Notice::CacheMiss(..) | Notice::SubscriptionCount(..) => return None,
        })
    }
}

/// What is to be written of an event.
pub(super) fn accepted(event: &AcceptedEvent<'_>) -> Details {
    let text = |text: &str| Some(Arc::from(text));
    let source = match event.source {
        Source::Client { .. } => Some(EventSource::Client),
        Source::Http => Some(EventSource::Http),
        Source::Pipe => None,
    };
    let socket_id = event.source.socket_id().and_then(|socket_id| text(&socket_id.to_string()));
    let user_id = event.source.user_id().cloned();
    let channel = event.channel().and_then(|channel| text(channel.as_str()));
    let (name, data) = (text(&event.name), text(&event.data.text()));
    Details { source, socket_id, user_id, channel, name, data, ..Details::default() }
}

/// What is to be written of a refusal.
pub(super) fn refusal(refused: &Refused<'_>) -> (Kind, Details) {
    let text = |text: &str| Some(Arc::from(text));
    match refused {
        Refused::Wish { socket_id, refusal } => {
            let channel = refusal.subscription.as_ref().and_then(|(channel, _)| text(channel));
            let (code, reason) = (refusal.code.code(), text(&refusal.message));
            let socket_id = text(&socket_id.to_string());
            (Kind::Refused, Details { socket_id, channel, code, reason, ..Details::default() })
        }
        Refused::Request { method, path, status, reason } => {
            let (path, reason) = (text(&format!("{method} {path}")), text(reason));
            (Kind::HttpRefused, Details { path, status: Some(*status), reason, ..Details::default() })
        }
        Refused::Connection { key, code, reason } => {
            let path = key.and_then(|key| text(&format!("/app/{key}")));
            let (code, reason) = (Some(code.code()), text(reason));
            (Kind::ConnectionRefused, Details { code, reason, path, ..Details::default() })
        }
    }
}

impl fmt::Debug for AppUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppUnderTest").field("id", &self.id).finish_non_exhaustive()
    }
}
