//! Nodes of one broker in one process, each a hub with a worker, by the local engine. Connections are ends that take
//! everything that they are sent.

mod backends;
mod events;
mod handed_histories;
mod handed_names;
mod names;
mod publishes;
mod questions;
mod remembered;
mod state;
mod streams;
mod trouble;
mod two;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::adapter::Subject;
use super::config::ClusterConfig;
use super::inbox::inbox;
use super::local::{LocalEngine, LocalFaults};
use super::running::{RunningNode, start};
use super::shared_settings::SharedSettings;
use super::status::ClusterStatus;
use crate::app::{App, ChannelSettings, Delivery, HistoryBounds, Limits};
use crate::channel::Member;
use crate::connection::{Cleanup, ConnectionConfig, Ending, Join, JoinNumber};
use crate::event::{AcceptedEvent, Destination, Source};
use crate::hub::{AppState, Bounds, Client, Hub, Listeners, Outbox, Receipts, Transport, Worker, Written};
use crate::protocol::json::Data;
use crate::protocol::pattern::Pattern;
use crate::protocol::{ChannelName, ProtocolVersion, SocketId};

/// More than anything here takes, on any machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a worker's thread is asked to do.
type Deed = Box<dyn FnOnce(&Rc<Worker>) + Send>;

/// One node of several.
struct TestNode {
    hub: Arc<Hub>,
    app: Arc<AppState>,
    faults: LocalFaults,
    running: Option<RunningNode>,
    deeds: mpsc::UnboundedSender<Deed>,
}

/// A connection on a node.
#[derive(Clone)]
struct TestClient {
    socket: SocketId,
    sent: Sent,
    deeds: mpsc::UnboundedSender<Deed>,
}

/// What a connection has been sent.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<String>>>);

thread_local! {
    static CLIENTS: RefCell<Vec<Rc<Client>>> = const { RefCell::new(Vec::new()) };
}

impl Transport for Sent {
    fn write(&self, outbox: &mut Outbox, _: &mut std::task::Context<'_>) -> io::Result<Written> {
        while let Some(frame) = outbox.pop() {
            self.0.lock().push(String::from_utf8_lossy(frame.json()).into_owned());
        }
        Ok(Written::Everything)
    }
}

/// Waits until a condition holds.
#[expect(clippy::disallowed_methods, reason = "it looks again and again, under a deadline")]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name, 164).unwrap()
}

/// The app that all have.
fn app() -> App {
    let limits = Limits { presence_members_per_channel: 10_000, ..Limits::default() };
    let history = |pattern, events| ChannelSettings {
        pattern: Pattern::parse(pattern).unwrap(),
        delivery: Delivery::Every,
        history: Some(HistoryBounds { events, ..HistoryBounds::default() }),
        video: None,
    };
    let mut long = history("kept-long", 1000);
    long.history = long.history.map(|bounds| HistoryBounds { time: Duration::from_secs(86_400), ..bounds });
    let channels = vec![history("kept-few", 5), long, history("kept-*", 1000)];
    App { limits, channels, ..App::new("1", "k", "s") }
}

/// So many nodes on one engine that know each other.
fn nodes<const N: usize>(engine: &LocalEngine) -> [TestNode; N] {
    let nodes = std::array::from_fn(|n| TestNode::start(engine, &format!("node-{n}")));
    until("all know each other", || nodes.iter().all(|node| node.knows(N - 1)));
    nodes
}

impl TestNode {
    /// One that is the whole broker, with those who listen to its app.
    fn alone(listeners: Listeners) -> Self {
        Self::with_app(app(), listeners)
    }

    /// The same with another app, whose key is the same.
    #[expect(clippy::disallowed_methods, reason = "a test hands its own thread no more than it waits for")]
    fn with_app(app: App, listeners: Listeners) -> Self {
        let hub = Hub::new(vec![(app, listeners)], ConnectionConfig::default(), 1, 0).unwrap();
        let app = hub.state_by_key("k").unwrap();
        let faults = LocalEngine::new().join(inbox(1, 1).0).faults();
        let (deeds, mut to_do) = mpsc::unbounded_channel::<Deed>();
        let of_worker = Arc::clone(&hub);
        // It ends with the last of those who have something to do for it.
        thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                let worker = Worker::of_this_thread(&of_worker).unwrap();
                while let Some(deed) = to_do.recv().await {
                    deed(&worker);
                }
            });
        });
        TestNode { hub, app, faults, running: None, deeds }
    }

    fn start(engine: &LocalEngine, name: &str) -> Self {
        let mut node = TestNode::alone(Vec::new());
        let config = ClusterConfig { node_name: name.into(), ..ClusterConfig::default() };
        let (told, faults) = std_mpsc::channel();
        let engine = engine.clone();
        let join = async move |inbox| {
            let adapter = engine.join(inbox);
            told.send(adapter.faults()).unwrap();
            Ok::<_, Infallible>(adapter)
        };
        node.running = Some(block_on(start(&node.hub, config, SharedSettings::default(), join)).unwrap());
        node.faults = faults.recv().unwrap();
        node
    }

    fn status(&self) -> ClusterStatus {
        self.running.as_ref().unwrap().view().status()
    }

    /// Whether it has settled, and knows so many others and what they have.
    fn knows(&self, others: usize) -> bool {
        let status = self.status();
        status.is_settled && status.peers.len() == others && status.peers.iter().all(|peer| peer.is_complete)
    }

    /// It ends without a word.
    fn kill(&mut self) {
        self.faults.cut();
        self.running = None;
    }

    fn stop(&mut self) {
        block_on(self.running.take().unwrap().stop());
    }

    fn client(&self) -> TestClient {
        let (sent, app) = (Sent::default(), Arc::clone(&self.app));
        let (told, socket) = std_mpsc::channel();
        let transport = sent.clone();
        let deed: Deed = Box::new(move |worker| {
            let bounds = Bounds { bytes: 1 << 24, frames: 100_000 };
            let socket = worker.admit(&app, true).unwrap().socket_id;
            let client: Rc<Client> =
                Rc::new(Client::new(app, socket, ProtocolVersion::NEWEST, bounds, transport));
            worker.open(&client);
            CLIENTS.with_borrow_mut(|clients| clients.push(client));
            told.send(socket).unwrap();
        });
        assert!(self.deeds.send(deed).is_ok());
        TestClient { socket: socket.recv_timeout(PATIENCE).unwrap(), sent, deeds: self.deeds.clone() }
    }

    /// A connection that has joined a channel, on presence channels as a user.
    fn joined(&self, name: &str, user: Option<&str>) -> TestClient {
        let client = self.client();
        client.join(name, user);
        until("the subscription succeeds", || client.heard("subscription_succeeded") == 1);
        client
    }

    /// Publishes, and waits for the engine.
    fn publish_and_wait(&self, name: &str, text: &str) {
        let to = Destination::Subscribers { channel: channel(name), except: None };
        let (name, data) = ("e".into(), Data::of_text(text));
        let event = AcceptedEvent { source: Source::Http, to, name, data, raw: None };
        let mut receipts = Receipts::default();
        self.hub.accept_for_receipt(&self.app, &event, &mut receipts);
        block_on(receipts.all());
    }

    fn publish(&self, name: &str, text: &str, except: Option<SocketId>) {
        let to = Destination::Subscribers { channel: channel(name), except };
        let (name, data) = ("e".into(), Data::of_text(text));
        self.hub.accept(&self.app, &AcceptedEvent { source: Source::Http, to, name, data, raw: None });
    }
}

impl TestClient {
    fn do_with(&self, deed: impl FnOnce(&Rc<Worker>, &Rc<Client>) + Send + 'static) {
        let socket = self.socket;
        let deed: Deed = Box::new(move |worker| {
            let client = CLIENTS.with_borrow(|clients| {
                clients.iter().find(|client| client.socket_id() == socket).unwrap().clone()
            });
            deed(worker, &client);
        });
        assert!(self.deeds.send(deed).is_ok());
    }

    fn join(&self, name: &str, user: Option<&str>) {
        let member = user.map(|user| Member { user_id: user.into(), user_info: None });
        let number = JoinNumber::default().next();
        let join = Join { channel: channel(name), member, authorizes: false, number, wanted: None };
        self.do_with(move |worker, client| {
            if let Some(answer) = worker.join(client, &join) {
                answer.unwrap();
            }
        });
    }

    fn disconnect(&self, from: &str) {
        let subscriptions = vec![channel(from)];
        self.do_with(move |worker, client| {
            let cleanup = Cleanup { subscriptions, user_id: None, ending: Ending::Lost };
            worker.disconnect(client, cleanup, None);
        });
    }

    /// Whether it has been told to end since this was last asked.
    fn is_to_end(&self) -> bool {
        let (tell, told) = std_mpsc::channel();
        self.do_with(move |_, client| tell.send(client.take_signals().asked.is_some()).unwrap());
        told.recv_timeout(PATIENCE).unwrap()
    }

    /// How many of the frames that it was sent hold a text.
    fn heard(&self, text: &str) -> usize {
        self.sent.0.lock().iter().filter(|sent| sent.contains(text)).count()
    }

    /// The texts of the events that it was sent.
    fn events(&self) -> Vec<String> {
        let text = |frame: &String| {
            let frame: serde_json::Value = serde_json::from_str(frame).ok()?;
            (frame["event"] == "e").then(|| frame["data"].as_str().map(str::to_owned))?
        };
        self.sent.0.lock().iter().filter_map(text).collect()
    }

    /// What it was told of members: of who came, and of who left, in order.
    fn members(&self) -> Vec<String> {
        let told = |frame: &String| {
            let frame: serde_json::Value = serde_json::from_str(frame).ok()?;
            let sign = match frame["event"].as_str()? {
                "pusher_internal:member_added" => '+',
                "pusher_internal:member_removed" => '-',
                _ => return None,
            };
            let data: serde_json::Value = serde_json::from_str(frame["data"].as_str()?).ok()?;
            Some(format!("{sign}{}", data["user_id"].as_str()?))
        };
        self.sent.0.lock().iter().filter_map(told).collect()
    }

    /// The members that it knows of: those of the roster that it was given, and what it was told since.
    fn roster(&self) -> std::collections::BTreeSet<String> {
        let mut roster = std::collections::BTreeSet::new();
        for frame in self.sent.0.lock().iter() {
            let frame: serde_json::Value = serde_json::from_str(frame).unwrap();
            let data = || serde_json::from_str::<serde_json::Value>(frame["data"].as_str().unwrap()).unwrap();
            match frame["event"].as_str().unwrap() {
                "pusher_internal:subscription_succeeded" => {
                    let data = data();
                    let ids = data["presence"]["ids"].as_array().cloned().unwrap_or_default();
                    roster = ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
                }
                "pusher_internal:member_added" => {
                    let user = data()["user_id"].as_str().unwrap().to_owned();
                    assert!(roster.insert(user.clone()), "{user} is added twice");
                }
                "pusher_internal:member_removed" => {
                    let user = data()["user_id"].as_str().unwrap().to_owned();
                    assert!(roster.remove(&user), "{user} is removed twice");
                }
                _ => {}
            }
        }
        roster
    }
}

/// The subject of a channel of the app.
fn subject(name: &str) -> Subject {
    Subject::Channel { app: "1".into(), channel: channel(name) }
}
