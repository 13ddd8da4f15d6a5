//! A hub of one worker with a bus that leads nowhere, and connections of it, for tests.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::app::App;
use crate::channel::{Member, Wanted};
use crate::connection::{Cleanup, ConnectionConfig, Ending, Join, JoinNumber, NotJoined};
use crate::protocol::{ChannelName, Form, ProtocolVersion};
use crate::recovery::GivenName;

use super::{
    AppState, Bounds, Client, FakeBus, Hub, Listeners, NamedCaller, Outbox, Totals, Transport, Worker,
    Written,
};

/// More than anything here takes, on any machine.
pub(in crate::hub) const PATIENCE: Duration = Duration::from_secs(30);

/// A peer that takes everything until it takes no more, and keeps the text of it.
#[derive(Clone, Default)]
pub(in crate::hub) struct KeptFrames {
    texts: Rc<RefCell<Vec<String>>>,
    is_blocked: Rc<Cell<bool>>,
    has_places: bool,
}

impl KeptFrames {
    /// From now on it takes no more.
    pub(in crate::hub) fn block(&self) {
        self.is_blocked.set(true);
    }

    /// Whether it has taken nothing.
    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.texts.borrow().is_empty()
    }
}

impl Transport for KeptFrames {
    fn form(&self) -> Form {
        if self.has_places { Form::Positioned } else { Form::Plain }
    }

    fn write(&self, outbox: &mut Outbox, _: &mut std::task::Context<'_>) -> io::Result<Written> {
        if self.is_blocked.get() {
            return Ok(Written::Blocked);
        }
        while let Some(frame) = outbox.pop() {
            self.texts.borrow_mut().push(String::from_utf8_lossy(frame.json()).into_owned());
        }
        Ok(Written::Everything)
    }
}

/// Both.
pub(in crate::hub) struct BusWorld {
    pub(in crate::hub) hub: Arc<Hub>,
    pub(in crate::hub) bus: Arc<FakeBus>,
    pub(in crate::hub) app: Arc<AppState>,
    pub(in crate::hub) worker: Rc<Worker>,
}

/// A connection.
pub(in crate::hub) struct BusPeer {
    pub(in crate::hub) client: Rc<Client>,
    pub(in crate::hub) sent: KeptFrames,
    pub(in crate::hub) last: JoinNumber,
}

impl BusWorld {
    /// Runs a test in one whose claims wait.
    pub(in crate::hub) fn run(change: impl FnOnce(&mut App), test: impl AsyncFnOnce(BusWorld)) {
        BusWorld::with_listeners(Vec::new(), change, async |world| {
            world.bus.have_claims_wait();
            test(world).await;
        });
    }

    /// The same, with these who listen to the app, and with claims that do not wait.
    pub(in crate::hub) fn with_listeners(
        listeners: Listeners,
        change: impl FnOnce(&mut App),
        test: impl AsyncFnOnce(BusWorld),
    ) {
        let mut app = App::new("1", "k", "s");
        change(&mut app);
        let hub = Hub::new(vec![(app, listeners)], ConnectionConfig::default(), 1, 0).unwrap();
        let bus = Arc::<FakeBus>::default();
        hub.set_bus(bus.clone());
        let app = hub.state_by_key("k").unwrap();
        actix_web::rt::System::new().block_on(async {
            let worker = Worker::of_this_thread(&hub).unwrap();
            test(BusWorld { hub, bus, app, worker }).await;
        });
    }

    pub(in crate::hub) fn peer(&self) -> BusPeer {
        self.peer_at("")
    }

    /// One that comes by this path, which may name its client.
    pub(in crate::hub) fn peer_at(&self, path: &str) -> BusPeer {
        self.peer_with(path, KeptFrames::default())
    }

    /// One whose events have places.
    pub(in crate::hub) fn stream(&self) -> BusPeer {
        self.peer_with("", KeptFrames { has_places: true, ..KeptFrames::default() })
    }

    fn peer_with(&self, path: &str, sent: KeptFrames) -> BusPeer {
        let bounds = Bounds { bytes: 1 << 20, frames: 1000 };
        let socket_id = self.worker.admit(&self.app, true).unwrap().socket_id;
        let app = Arc::clone(&self.app);
        let client: Rc<Client> =
            Rc::new(Client::new(app, socket_id, ProtocolVersion::NEWEST, bounds, sent.clone()));
        if let (name @ GivenName::Fit(_), _) = GivenName::take_off(path) {
            self.worker.name(&client, NamedCaller { key: "k".into(), name, address: None });
        }
        self.worker.open(&client);
        BusPeer { client, sent, last: JoinNumber::default() }
    }

    /// The only claim that waits.
    pub(in crate::hub) fn claim(&self) -> oneshot::Sender<()> {
        let mut waiting = self.bus.waiting_claims();
        assert_eq!(waiting.len(), 1);
        waiting.pop_front().unwrap()
    }

    pub(in crate::hub) async fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "{what}");
            tokio::task::yield_now().await;
        }
    }

    /// Waits until whatever is under way in this thread has had its turn.
    pub(in crate::hub) async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// The answers, as soon as there are some.
    pub(in crate::hub) async fn answers(&self, peer: &BusPeer) -> Vec<(JoinNumber, Result<(), NotJoined>)> {
        let mut answers = Vec::new();
        self.until("an answer", || {
            answers = self.worker.take_answers(&peer.client);
            !answers.is_empty()
        })
        .await;
        assert!(peer.client.take_signals().joined, "its driver is woken");
        answers.into_iter().map(|answer| (answer.number, answer.result)).collect()
    }

    pub(in crate::hub) fn disconnect(&self, peer: &BusPeer, subscriptions: &[&ChannelName]) {
        let subscriptions = subscriptions.iter().copied().cloned().collect();
        let cleanup = Cleanup { subscriptions, user_id: None, ending: Ending::Lost };
        self.worker.disconnect(&peer.client, cleanup, None);
    }

    pub(in crate::hub) async fn assert_nothing_is_left(&self) {
        let mut totals = Totals::default();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            totals = self.hub.totals().await;
            if totals == Totals::default() && self.bus.claims() == 0 {
                return;
            }
        }
        panic!("{totals:?}, {} claims", self.bus.claims());
    }
}

impl BusPeer {
    pub(in crate::hub) fn join(
        &mut self,
        world: &BusWorld,
        channel: &ChannelName,
        user: Option<&str>,
    ) -> JoinNumber {
        let member = user.map(|user| Member { user_id: user.into(), user_info: None });
        self.join_as(world, channel, member, None)
    }

    /// The same, and wants something of what the channel keeps.
    pub(in crate::hub) fn come_back(
        &mut self,
        world: &BusWorld,
        channel: &ChannelName,
        wanted: Wanted,
    ) -> JoinNumber {
        self.join_as(world, channel, None, Some(Box::new(wanted)))
    }

    fn join_as(
        &mut self,
        world: &BusWorld,
        channel: &ChannelName,
        member: Option<Member>,
        wanted: Option<Box<Wanted>>,
    ) -> JoinNumber {
        self.last = self.last.next();
        let (channel, number) = (channel.clone(), self.last);
        let join = Join { channel, member, authorizes: false, number, wanted };
        let joined = world.worker.join(&self.client, &join);
        assert!(joined.is_none_or(|joined| joined.is_ok()));
        number
    }

    /// What it has been sent.
    pub(in crate::hub) fn texts(&self) -> Vec<String> {
        self.sent.texts.borrow().clone()
    }

    /// How many frames with this text it has been sent.
    pub(in crate::hub) fn has_been_sent(&self, text: &str) -> usize {
        self.sent.texts.borrow().iter().filter(|sent| sent.contains(text)).count()
    }
}
