//! A worker's half of the hub: the connections that one thread accepted, and everything done to them.
//!
//! Nothing here is shared between threads or locked. At the end of each turn of the thread, the worker writes what
//! has been queued: each connection once, however many frames are ready.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use dashmap::mapref::entry::Entry;
use indexmap::map::Values;
use indexmap::set::Slice;

use crate::channel::{Announcement, Channel, JoinRefused, Member, WorkerIndex};
use crate::connection::Departure;
use crate::protocol::{Broadcast, ChannelName, Form, Frame, SocketId, server_message};

use super::allowance::{Allowance, Queued, Turn};
use super::client::{Client, Transport};
use super::counts::Counts;
use super::fanout::{LocalApps, Subscriber};
use super::leaving::Queue;
use super::mailbox::{Letter, MailboxReader};
use super::rounds::{Rounds, Word};
use super::sockets::{NotAdmitted, Quota};
use super::totals::Totals;
use super::turn::come_again;
use super::users::Address;
use super::wheel::Wheel;
use super::{AppIndex, AppState, AtWork, Hub, Notice, lock};

/// Connections written per turn before others get their turn: about half a millisecond's worth.
const FLUSHES_PER_TURN: usize = 128;

/// Of them, those that are left to large broadcasts, however much else there is to write.
const BULK_FLUSHES_PER_TURN: usize = 32;

/// Subscribers that are given something per turn. A broadcast to more of them on one worker takes several, and never
/// the publisher's own.
pub(super) const HEARERS_PER_TURN: usize = 1024;

/// The time for ends of connections in one turn: to forget a user with a long watchlist takes as long as ten others.
const TIME_OF_ENDS: Duration = Duration::from_millis(1);

/// Times of the clock that are looked at in one turn of a sweep: some tenth of a millisecond's worth.
const SWEPT_PER_TURN: usize = 2048;

/// Remembered events that are forgotten per turn because they have expired: about half a millisecond's worth.
pub(super) const EXPIRED_PER_TURN: usize = 1024;

/// Connections that are looked at, when those of one app are wanted, in the time in which one is given an event.
const LOOKS_PER_HEARER: usize = 16;

/// What a letter counts as, besides those who hear it.
const LETTER: usize = 8;

/// Bytes that one read may bring. One buffer serves all connections of a worker.
const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Worker>>> = const { RefCell::new(None) };
}

/// The connections of one worker thread.
pub struct Worker {
    index: WorkerIndex,
    hub: Arc<Hub>,
    clients: RefCell<HashMap<ClientKey, Rc<Client>>>,
    channels: RefCell<LocalApps>,
    dirty: Dirty,
    wheel: RefCell<Wheel<ClientKey>>,
    counts: Counts,
    scratch: RefCell<Box<[u8]>>,
    /// Who waits until no mailbox is congested.
    waiting: RefCell<Vec<Waker>>,
    waker: RefCell<Option<Waker>>,
    turning: Cell<bool>,
    allowance: Rc<Allowance>,
    leaving: Queue,
    rounds: Rounds<ClientKey>,
    /// What remembered events have expired is looked at, in several turns.
    expiring: Cell<bool>,
    /// What is over at the next turn.
    ending: RefCell<Vec<AtWork>>,
}

/// The connections that have something to be written at the end of the turn.
#[derive(Default)]
struct Dirty {
    /// Those that are written first: answers, and broadcasts to few.
    prompt: RefCell<VecDeque<Rc<Client>>>,
    /// Those of broadcasts to so many that nobody else should wait for all of them.
    bulk: RefCell<VecDeque<Rc<Client>>>,
}

impl Dirty {
    fn len(&self) -> usize {
        self.prompt.borrow().len() + self.bulk.borrow().len()
    }

    /// The lists are kept between broadcasts, but not at the size of connections that are long gone.
    fn shrink(&self, clients: usize) {
        for list in [&self.prompt, &self.bulk] {
            let mut list = list.borrow_mut();
            if list.capacity() > 2 * clients.max(FLUSHES_PER_TURN) {
                list.shrink_to(clients);
            }
        }
    }
}

/// The app, and the name within it.
type ClientKey = (AppIndex, SocketId);

/// A place for a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Its name.
    pub socket_id: SocketId,
    /// Where the app demands that connections authorize themselves: how long this one has for it.
    pub authorize_within: Option<Duration>,
}

impl Worker {
    /// The half that belongs to the calling thread; starts it at the first call. `None` if more threads call than
    /// the hub was made for. Must be called within the thread's runtime.
    #[must_use]
    pub fn of_this_thread(hub: &Arc<Hub>) -> Option<Rc<Worker>> {
        CURRENT.with_borrow_mut(|current| match current {
            Some(worker) => Some(Rc::clone(worker)),
            None => {
                let (index, reader) = hub.take_reader()?;
                let worker = Rc::new(Worker::new(index, Arc::clone(hub)));
                actix_web::rt::spawn(Rc::clone(&worker).run(reader));
                actix_web::rt::spawn(Rc::clone(&worker.allowance).renew());
                *current = Some(Rc::clone(&worker));
                Some(worker)
            }
        })
    }

    fn new(index: WorkerIndex, hub: Arc<Hub>) -> Self {
        let connection = hub.connection_config();
        let shortest = connection.ping_after.min(connection.pong_timeout);
        let resolution = (shortest / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
        Worker {
            index,
            clients: RefCell::default(),
            channels: RefCell::default(),
            dirty: Dirty::default(),
            wheel: RefCell::new(Wheel::new(resolution, Instant::now())),
            counts: Counts::new(resolution),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            waiting: RefCell::default(),
            waker: RefCell::default(),
            turning: Cell::new(false),
            leaving: Queue::default(),
            rounds: Rounds::default(),
            expiring: Cell::new(false),
            allowance: Allowance::new(),
            ending: RefCell::default(),
            hub,
        }
    }

    /// The worker of the calling thread, if it is one of this hub's.
    pub(super) fn current(hub: &Hub) -> Option<Rc<Worker>> {
        CURRENT.with_borrow(|current| current.clone().filter(|worker| std::ptr::eq(&*worker.hub, hub)))
    }

    /// Its number among the hub's workers.
    pub(super) fn index(&self) -> WorkerIndex {
        self.index
    }

    /// What all workers share.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// A turn for a connection's task, which is being polled. If there is none for it now, it is woken when there is.
    pub fn turn_of(&self, queued: &mut Queued, context: &Context<'_>) -> Option<Turn<'_>> {
        self.allowance.take(queued, context)
    }

    /// A turn that nobody has to queue for: that in which a connection begins, or one of a backend's.
    pub fn next_turn(&self) -> Turn<'_> {
        self.allowance.turn()
    }

    /// The buffer for one read. It is empty again as soon as the reader has looked through it.
    pub fn scratch(&self) -> RefMut<'_, Box<[u8]>> {
        self.scratch.borrow_mut()
    }

    /// Draws a socket id for a new connection of an app, if there is room for one. It must be followed by
    /// [`Worker::open`], or by [`Worker::disconnect`] of the same id. `authorized`: it has shown already what its app
    /// may demand of connections.
    ///
    /// # Errors
    /// If the app or the node is full.
    pub fn admit(&self, app: &AppState, authorized: bool) -> Result<Admission, NotAdmitted> {
        let settings = app.app();
        let waits = settings.authorized_connections && !authorized;
        let authorize_within = waits.then_some(settings.authorization_timeout);
        let quota = if authorize_within.is_some() { Quota::Waiting } else { Quota::Counted };
        Ok(Admission { socket_id: self.place(app, quota)?, authorize_within })
    }

    fn place(&self, app: &AppState, quota: Quota) -> Result<SocketId, NotAdmitted> {
        let mut random = rand::rng();
        let mut number = || rand::RngExt::random_range(&mut random, 1..=SocketId::MAX);
        let draw = || SocketId::new(number(), number());
        self.hub.sockets.admit(app.index(), app.app().limits.connections, quota, self.index, draw)
    }

    /// A connection that had to authorize itself is about to: from now on it counts towards the app's quota.
    ///
    /// # Errors
    /// If the app is full.
    pub fn count<T: Transport + ?Sized>(&self, client: &Client<T>) -> Result<(), NotAdmitted> {
        let (app, limit) = (client.app().index(), client.app().app().limits.connections);
        self.hub.sockets.count(app, limit, client.socket_id())
    }

    /// Takes that back: it did not come to it.
    pub fn uncount<T: Transport + ?Sized>(&self, client: &Client<T>) {
        self.hub.sockets.uncount(client.app().index(), client.socket_id());
    }

    /// Makes a new connection known.
    pub fn open(&self, client: &Rc<Client>) {
        self.clients.borrow_mut().insert(key(client), Rc::clone(client));
        self.hub.announce(client.app(), &Notice::SocketOpened(client.socket_id()));
    }

    /// Makes known that a connection is signed in as the user, and confirms it; tells it how the users of its
    /// watchlist are, and those who watch the user that it has come online.
    pub fn sign_in(&self, client: &Rc<Client>, user_id: &Arc<str>, watchlist: &[Arc<str>], answer: Frame) {
        let (app, address) = (client.app(), (self.index, client.socket_id()));
        let came = || server_message::watchlist_events(std::slice::from_ref(user_id), &[]);
        let tell = |watchers: &Slice<Address>| self.hub.post_to_sockets(app, watchers, came);
        let watched = app.users.sign_in(user_id, address, watchlist, tell);
        self.hub.announce(app, &Notice::SignedIn { socket_id: client.socket_id(), user_id });
        self.send(client, answer);
        if !watchlist.is_empty() {
            self.send(client, server_message::watchlist_events(&watched.online, &watched.offline));
        }
    }

    /// Ends what a connection leaves behind and forgets it, now or, if that is much, in the next turns; shutdown then
    /// waits for `at_work`. Safe to call again.
    pub fn disconnect(&self, client: &Rc<Client>, departure: Departure, at_work: Option<&AtWork>) {
        client.mute();
        match self.leaving.put(client, departure, at_work) {
            Ok(()) => self.wake(),
            Err(departure) => {
                departure.subscriptions.iter().for_each(|channel| self.leave(client, channel));
                self.forget(client, &departure);
            }
        }
    }

    /// Ends some of what is left of connections that could not be seen off at once. Returns whether that was all.
    fn see_off(&self) -> bool {
        self.leaving.renew();
        let began = Instant::now();
        while let Some(left) = self.leaving.step(|client, channel| self.leave(client, channel)) {
            self.forget(&left.client, &left.rest);
            if began.elapsed() >= TIME_OF_ENDS {
                break;
            }
        }
        self.leaving.is_empty()
    }

    /// There will be no more turns: whatever is left over is done now.
    fn end(&self) {
        self.leaving.close();
        while !self.see_off() {}
    }

    /// A connection has no subscriptions any more: ends everything else of it.
    fn forget(&self, client: &Client, departure: &Departure) {
        if let Some(user_id) = &departure.user_id {
            let (app, address) = (client.app(), (self.index, client.socket_id()));
            let gone = || server_message::watchlist_events(&[], std::slice::from_ref(user_id));
            app.users.remove(user_id, address, |watchers| self.hub.post_to_sockets(app, watchers, gone));
        }
        let known = self.clients.borrow_mut().remove(&key(client)).is_some();
        self.hub.sockets.remove(client.app().index(), client.socket_id());
        if known {
            let (socket_id, user_id) = (client.socket_id(), departure.user_id.as_deref());
            let ending = &departure.ending;
            self.hub.announce(client.app(), &Notice::SocketClosed { socket_id, user_id, ending });
        }
    }

    /// Subscribes a connection and tells it so; tells the others of a new member.
    ///
    /// # Errors
    /// If the channel refuses. Nothing has changed then.
    pub fn join(
        &self,
        client: &Rc<Client>,
        channel: &ChannelName,
        member: Option<&Member>,
    ) -> Result<(), JoinRefused> {
        let app = client.app();
        let limit = app.app().limits.presence_members_per_channel;
        let is_cache = channel.channel_type().is_cache();
        let _held = app.hold_clock();
        let (roster, remembered, version) = {
            let mut entry = app.channels.entry(channel.clone()).or_default();
            let version = self.hub.next_version();
            let joined = match entry.join(self.index, client.socket_id(), member, limit, version) {
                Ok(joined) => joined,
                Err(refused) => {
                    let idle = entry.is_idle();
                    drop(entry);
                    if idle {
                        app.channels.remove_if(channel, |_, channel| channel.is_idle());
                    }
                    return Err(refused);
                }
            };
            if joined.occupied {
                self.hub.announce(app, &Notice::ChannelOccupied(channel, version));
            }
            if let Some(announcement) = &joined.announcement {
                let member = &announcement.member;
                let frame =
                    server_message::member_added(channel, &member.user_id, member.user_info.as_deref());
                self.post_announcement(app, channel, &entry, announcement, frame);
                if announcement.user_changed {
                    self.hub.announce(app, &Notice::MemberAdded(channel, &member.user_id, version));
                }
            }
            let (socket_id, user_id) = (client.socket_id(), member.map(|member| &*member.user_id));
            self.hub.announce(app, &Notice::Subscribed { channel, socket_id, user_id });
            self.counts.changed(&self.hub, app, channel, &mut entry);
            let by_user = client.version().presence_by_user();
            let roster = member.and_then(|_| entry.presence()).map(|presence| presence.roster(by_user));
            let remembered =
                is_cache.then(|| entry.recall(app.clock().now()).map(|event| event.frame.clone()));
            if remembered == Some(None) && app.has_listeners() && lock(&app.cache).miss(channel, version) {
                self.hub.announce(app, &Notice::CacheMiss(channel, version));
            }
            (roster, remembered, version)
        };
        self.channels.borrow_mut().of_or_new(app.index()).insert(channel, Rc::clone(client), version);
        if roster.is_some() || client.version().confirms_every_subscription() {
            self.send(client, server_message::subscription_succeeded(channel, roster.as_deref()));
        }
        if let Some(remembered) = remembered {
            self.send(client, remembered.unwrap_or_else(|| server_message::cache_miss(channel)));
        }
        Ok(())
    }

    /// Ends a connection's subscription; tells the others if a member left.
    pub fn leave(&self, client: &Client, channel: &ChannelName) {
        let app = client.app();
        let _held = app.hold_clock();
        if let Some(channels) = self.channels.borrow_mut().of_mut(app.index()) {
            channels.remove(channel, client.socket_id());
        }
        let Entry::Occupied(mut entry) = app.channels.entry(channel.clone()) else { return };
        let version = self.hub.next_version();
        let Some(left) = entry.get_mut().leave(self.index, client.socket_id(), version) else { return };
        if let Some(announcement) = &left.announcement {
            let user_id = &announcement.member.user_id;
            let frame = server_message::member_removed(channel, user_id);
            self.post_announcement(app, channel, entry.get(), announcement, frame);
            if announcement.user_changed {
                self.hub.announce(app, &Notice::MemberRemoved(channel, user_id, version));
            }
        }
        let user_id = left.announcement.as_ref().map(|announcement| &*announcement.member.user_id);
        let socket_id = client.socket_id();
        self.hub.announce(app, &Notice::Unsubscribed { channel, socket_id, user_id });
        self.counts.changed(&self.hub, app, channel, entry.get_mut());
        if left.vacated {
            self.hub.announce(app, &Notice::ChannelVacated(channel, version));
            if entry.get().is_idle() {
                entry.remove();
            }
        }
    }

    /// Member events go through every mailbox, this worker's too, and are posted under the channel's entry: so
    /// each subscriber hears them in the order of the roster's versions.
    fn post_announcement(
        &self,
        app: &AppState,
        channel: &ChannelName,
        entry: &Channel,
        announcement: &Announcement,
        frame: Frame,
    ) {
        for worker in entry.subscribers().workers() {
            self.hub.mailbox(worker).post(Letter::Member {
                app: app.index(),
                channel: channel.clone(),
                frame: frame.clone(),
                version: announcement.version,
                user_changed: announcement.user_changed,
            });
        }
    }

    /// Queues a frame for one connection.
    pub fn send(&self, client: &Rc<Client>, frame: Frame) {
        self.queue_in_form(client, &frame, &self.dirty.prompt);
    }

    /// Queues a frame for one connection, in its form.
    fn queue_in_form(&self, client: &Rc<Client>, frame: &Frame, dirty: &RefCell<VecDeque<Rc<Client>>>) {
        let frame = match client.form() {
            Form::Quoted => frame.quoted(),
            _ => frame.clone(),
        };
        self.queue(client, frame, dirty);
    }

    /// Queues a frame that is in the client's form.
    fn queue(&self, client: &Rc<Client>, frame: Frame, dirty: &RefCell<VecDeque<Rc<Client>>>) {
        if client.enqueue(frame) {
            self.is_dirty(client, dirty);
        }
    }

    /// The connection has something to be written at the end of the turn.
    fn is_dirty(&self, client: &Rc<Client>, dirty: &RefCell<VecDeque<Rc<Client>>>) {
        dirty.borrow_mut().push_back(Rc::clone(client));
        self.wake();
    }

    /// Asks for the connection's driver to be told when `time` has come (or somewhat before, if it is far off).
    pub fn remind(&self, client: &Client, time: Instant) {
        self.wheel.borrow_mut().insert(time, key(client));
    }

    /// Whether some worker is far behind; if so, `waker` is woken when it no longer is.
    pub fn is_congested(&self, waker: &Waker) -> bool {
        let congested = self.hub.is_congested();
        if congested {
            self.waiting.borrow_mut().push(waker.clone());
        }
        congested
    }

    /// Lets something count as work until this thread's next turn: an answer is written after whoever made it is done,
    /// and a broker that shuts down must not end in between.
    pub fn end_work(&self, at_work: AtWork) {
        self.ending.borrow_mut().push(at_work);
        self.wake();
    }

    /// Waits until no worker is far behind.
    pub async fn uncongested(&self) {
        poll_fn(|context| match self.is_congested(context.waker()) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
    }

    /// Delivers to the local subscribers of a channel, all at once: there must not be more than
    /// [`HEARERS_PER_TURN`].
    pub(super) fn deliver(
        &self,
        app: AppIndex,
        channel: &ChannelName,
        message: &Broadcast,
        except: Option<SocketId>,
        version: u64,
    ) {
        let channels = self.channels.borrow();
        let Some(channels) = channels.of(app) else { return };
        self.deliver_to(channels.subscribers(channel), message, except, version, &self.dirty.prompt);
    }

    fn deliver_to<'s>(
        &self,
        subscribers: impl Iterator<Item = &'s Subscriber>,
        message: &Broadcast,
        except: Option<SocketId>,
        version: u64,
        dirty: &RefCell<VecDeque<Rc<Client>>>,
    ) {
        let in_clear = message.is_in_clear();
        let hearers = subscribers.filter(|subscriber| {
            let given = version != 0 && subscriber.since >= version;
            let taken = !(in_clear && subscriber.client.decrypts_everything());
            !given && taken && Some(subscriber.client.socket_id()) != except
        });
        let only_form = message.only_form();
        // Made for the first that takes it, and shared by the others of this worker.
        let mut quoted = None;
        let mut frame_for = |client: &Client| match (client.form(), only_form) {
            (Form::Quoted, _) => quoted.get_or_insert_with(|| message.plain().quoted()).clone(),
            (_, Some(frame)) => frame.clone(),
            (form, None) => message.for_client(form),
        };
        match message.latest() {
            None => hearers.for_each(|hearer| self.queue(&hearer.client, frame_for(&hearer.client), dirty)),
            Some(latest) => hearers.for_each(|hearer| {
                let client = &hearer.client;
                if client.enqueue_latest(frame_for(client), latest) {
                    self.is_dirty(client, dirty);
                }
            }),
        }
    }

    /// Tells the local subscribers of a presence channel of a member.
    fn tell_of_member<'s>(
        &self,
        subscribers: impl Iterator<Item = &'s Subscriber>,
        frame: &Frame,
        version: u64,
        user_changed: bool,
        dirty: &RefCell<VecDeque<Rc<Client>>>,
    ) {
        let mut quoted = None;
        for subscriber in subscribers {
            let by_user = subscriber.client.version().presence_by_user();
            if subscriber.since < version && (user_changed || !by_user) {
                let frame = match subscriber.client.form() {
                    Form::Quoted => quoted.get_or_insert_with(|| frame.quoted()),
                    _ => frame,
                };
                self.queue(&subscriber.client, frame.clone(), dirty);
            }
        }
    }

    /// One step of telling a channel's local subscribers something; `room` is how many of them may be told it in this
    /// turn. Returns whether there are more.
    fn walk(
        &self,
        (app, channel): (AppIndex, &ChannelName),
        begun: bool,
        room: &mut usize,
        tell: impl FnOnce(Values<'_, SocketId, Subscriber>, &RefCell<VecDeque<Rc<Client>>>),
    ) -> bool {
        let mut channels = self.channels.borrow_mut();
        let Some(channels) = channels.of_mut(app) else { return false };
        if !begun {
            channels.begin_walk(channel);
        }
        let (step, more) = channels.step(channel, *room);
        *room -= step.len();
        tell(step.values(), if begun || more { &self.dirty.bulk } else { &self.dirty.prompt });
        more
    }

    async fn run(self: Rc<Self>, mut mailbox: MailboxReader) {
        let resolution = self.wheel.borrow().resolution();
        let mut ticks = tokio::time::interval(resolution);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        // Also if the thread stops and drops this.
        let _end = End(&self);
        poll_fn(|context| {
            *self.waker.borrow_mut() = Some(context.waker().clone());
            self.turning.set(true);
            let outcome = self.turn(&mut mailbox, &mut ticks, context);
            self.turning.set(false);
            outcome
        })
        .await;
    }

    /// One turn: read the mailbox, look at the clock, write what is queued.
    fn turn(
        &self,
        mailbox: &mut MailboxReader,
        ticks: &mut tokio::time::Interval,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let all_read = self.read(mailbox, context);
        if ticks.poll_tick(context).is_ready() {
            // Polled again at once, so that the next tick wakes this task.
            while ticks.poll_tick(context).is_ready() {}
            self.tick();
        }
        if !self.ending.borrow().is_empty() {
            self.ending.take();
        }
        if !self.hub.is_congested() {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
        // Each of them does what it can in this turn.
        let all_done = [all_read, self.see_off(), self.tell_rounds(), self.clean_up(), self.flush()];
        if all_done.contains(&false) {
            come_again(context);
        }
        Poll::Pending
    }

    /// Reads the mailbox, as far as one turn allows. Returns whether it is empty.
    fn read(&self, mailbox: &mut MailboxReader, context: &mut Context<'_>) -> bool {
        let mut room = HEARERS_PER_TURN;
        while room > 0 {
            let (letter, begun) = match mailbox.begun() {
                Some(letter) => (letter, true),
                None => match mailbox.poll(context) {
                    Poll::Ready(Some(letter)) => (letter, false),
                    // The hub holds the other end, so the mailbox never ends.
                    Poll::Ready(None) | Poll::Pending => return true,
                },
            };
            let bytes = letter.bytes();
            match self.open_letter(letter, begun, &mut room) {
                None => {
                    if mailbox.done(bytes) {
                        self.hub.tell_relieved(self.index);
                    }
                }
                Some(letter) => mailbox.put_back(letter),
            }
            room = room.saturating_sub(LETTER);
        }
        false
    }

    /// Does what a letter asks for; gives it back if more is to be done about it in the next turn.
    fn open_letter(&self, letter: Letter, begun: bool, room: &mut usize) -> Option<Letter> {
        match letter {
            Letter::Broadcast { app, ref channel, ref message, except, version } => {
                let more = self.walk((app, channel), begun, room, |subscribers, dirty| {
                    self.deliver_to(subscribers, message, except, version, dirty);
                });
                return more.then_some(letter);
            }
            Letter::Member { app, ref channel, ref frame, version, user_changed } => {
                let more = self.walk((app, channel), begun, room, |subscribers, dirty| {
                    self.tell_of_member(subscribers, frame, version, user_changed, dirty);
                });
                return more.then_some(letter);
            }
            Letter::ToSocket { app, socket, frame } => {
                if let Some(client) = self.clients.borrow().get(&(app, socket)) {
                    self.send(client, frame);
                }
            }
            Letter::ToSockets { app, sockets, next, frame } => {
                let until = sockets.len().min(next + *room);
                *room -= until - next;
                for socket in &sockets[next..until] {
                    if let Some(client) = self.clients.borrow().get(&(app, *socket)) {
                        self.queue_in_form(client, &frame, &self.dirty.bulk);
                    }
                }
                let more = until < sockets.len();
                return more.then_some(Letter::ToSockets { app, sockets, next: until, frame });
            }
            Letter::Close { app, socket, code, reason } => {
                if let Some(client) = self.clients.borrow().get(&(app, socket)) {
                    client.signal_close(code, reason);
                }
            }
            Letter::CloseApp { app, code, reason } => {
                self.begin_round(Word::Close(code, reason), Some(app), room);
            }
            Letter::CloseStreams { app, code, reason } => {
                self.begin_round(Word::CloseStream(code, reason), Some(app), room);
            }
            Letter::Cut { app, socket } => {
                if let Some(client) = self.clients.borrow().get(&(app, socket)) {
                    client.signal_lost();
                }
            }
            Letter::Release { app, socket, frame } => {
                if let Some(client) =
                    self.clients.borrow().get(&(app, socket)).filter(|c| c.release(frame, None))
                {
                    self.is_dirty(client, &self.dirty.prompt);
                }
            }
            Letter::ClockAdvanced { app } => {
                self.counts.clock_advanced(app);
                // Each driver asks to be reminded again.
                self.wheel.borrow_mut().take(|(of, _)| *of == app);
                self.begin_round(Word::Timer, Some(app), room);
            }
            // The turn that it brings is all that is needed.
            Letter::Relieved => {}
            Letter::Totals { reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(self.totals());
            }
            Letter::Turn { .. } => {}
            Letter::Drain { farewell } => {
                let (code, reason) = (farewell.code(), farewell.sentence());
                self.begin_round(Word::Close(code, reason), None, room);
            }
        }
        None
    }

    fn totals(&self) -> Totals {
        Totals {
            clients: self.clients.borrow().len(),
            local_subscriptions: self.channels.borrow().subscriptions(),
            timers: self.wheel.borrow().len() + self.counts.len(),
            ..Totals::default()
        }
    }

    /// Begins to tell every connection there is now, of all apps or of one.
    fn begin_round(&self, word: Word, app: Option<AppIndex>, room: &mut usize) {
        let clients = self.clients.borrow();
        let of_app = clients.keys().filter(|(of, _)| app.is_none_or(|app| app == *of));
        self.rounds.begin(word, of_app.copied().collect());
        *room = room.saturating_sub(clients.len() / LOOKS_PER_HEARER);
    }

    /// Goes on with what is being said to many connections. Returns whether that was all.
    fn tell_rounds(&self) -> bool {
        let clients = self.clients.borrow();
        self.rounds.go_on(|key, word| {
            if let Some(client) = clients.get(key) {
                word.tell(client);
            }
        })
    }

    fn tick(&self) {
        // What is global needs one worker to look after it.
        if self.index == 0 {
            self.expiring.set(true);
            self.hub.tell_passed_over();
        }
        let (now, mut due) = (Instant::now(), Vec::new());
        self.counts.tick(now);
        let mut wheel = self.wheel.borrow_mut();
        wheel.turn(now, |key| due.push(key));
        self.rounds.begin(Word::Timer, due);
        let clients = self.clients.borrow().len();
        // Connections that come and go quickly leave their times behind. They are swept before they are half of all, so
        // that a sweep costs no more than putting them in did.
        if wheel.len() > 2 * clients {
            wheel.begin_sweep();
        }
        self.dirty.shrink(clients);
    }

    /// Goes on with what a tick has begun. Returns whether that was all.
    fn clean_up(&self) -> bool {
        let all_expired = !self.expiring.get() || self.hub.expire_caches();
        self.expiring.set(!all_expired);
        let all_told = self.counts.tell(&self.hub);
        let clients = self.clients.borrow();
        let all_swept = self.wheel.borrow_mut().sweep(SWEPT_PER_TURN, |key| clients.contains_key(key));
        all_expired && all_told && all_swept
    }

    /// Writes to the connections that have something queued, as far as one turn allows. Returns whether that was all.
    fn flush(&self) -> bool {
        let mut room = FLUSHES_PER_TURN;
        for (list, least_left) in [(&self.dirty.prompt, BULK_FLUSHES_PER_TURN), (&self.dirty.bulk, 0)] {
            while room > least_left {
                let Some(client) = list.borrow_mut().pop_front() else { break };
                client.flush();
                room -= 1;
            }
        }
        self.dirty.len() == 0
    }

    /// Asks for a turn. During one, the flush at its end is sure to come.
    fn wake(&self) {
        if self.turning.get() || self.dirty.len() > 1 {
            return;
        }
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

/// Ends a worker.
struct End<'a>(&'a Worker);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn key<T: Transport + ?Sized>(client: &Client<T>) -> ClientKey {
    (client.app().index(), client.socket_id())
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("index", &self.index).finish_non_exhaustive()
    }
}
