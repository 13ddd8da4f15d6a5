//! Clients with names go from node to node: what one node knows of a client, the next one does.

use super::super::adapter::{Adapter, NoteName};
use super::super::local::LocalAdapter;
use super::*;
use crate::hub::NamedCaller;
use crate::protocol::server_message;
use crate::recovery::{ClientName, GivenName, NameCounts, NameNote, NoteNumber, PACE};

use bytes::Bytes;

/// The peer of a connection that keeps the pings which it is sent.
#[derive(Clone, Default)]
pub(super) struct PingedPeer {
    sent: Sent,
    pings: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Whether the last thing that it was sent was one.
    ends_with_ping: Arc<Mutex<bool>>,
}

/// A connection whose client has a name.
pub(super) struct NamedPeer {
    pub(super) client: TestClient,
    peer: PingedPeer,
}

impl Transport for PingedPeer {
    fn write(&self, outbox: &mut Outbox, _: &mut std::task::Context<'_>) -> io::Result<Written> {
        while let Some(frame) = outbox.pop() {
            let start = frame.websocket().split_first();
            *self.ends_with_ping.lock() = start.is_some_and(|(first, _)| *first == 0x89);
            match start {
                Some((0x89, ping)) => self.pings.lock().push(ping[1..].to_vec()),
                _ => self.sent.0.lock().push(String::from_utf8_lossy(frame.json()).into_owned()),
            }
        }
        Ok(Written::Everything)
    }

    fn ping_pace(&self) -> Option<Duration> {
        Some(PACE)
    }
}

fn path(name: usize) -> String {
    format!("/r/a-name-of-22-letters-{name:03}/app/k")
}

impl TestNode {
    fn named(&self, name: usize) -> NamedPeer {
        let (peer, app) = (PingedPeer::default(), Arc::clone(&self.app));
        let (told, socket) = std_mpsc::channel();
        let transport = peer.clone();
        let deed: Deed = Box::new(move |worker| {
            let bounds = Bounds { bytes: 1 << 24, frames: 100_000 };
            let socket = worker.admit(&app, true).unwrap().socket_id;
            let client: Rc<Client> =
                Rc::new(Client::new(app, socket, ProtocolVersion::NEWEST, bounds, transport));
            let (name, _) = GivenName::take_off(&path(name));
            worker.name(&client, NamedCaller { key: "k".into(), name, address: None });
            worker.open(&client);
            CLIENTS.with_borrow_mut(|clients| clients.push(client));
            told.send(socket).unwrap();
        });
        assert!(self.deeds.send(deed).is_ok());
        let socket = socket.recv_timeout(PATIENCE).unwrap();
        let client = TestClient { socket, sent: peer.sent.clone(), deeds: self.deeds.clone() };
        NamedPeer { client, peer }
    }

    /// The same, subscribed to channels. Returns it when it has been told of each whether it has missed something.
    pub(super) fn comes(&self, name: usize, channels: &[&str]) -> NamedPeer {
        let named = self.named(name);
        channels.iter().for_each(|channel| named.client.join(channel, None));
        until("it is told", || named.client.heard("pusher:resumed") >= channels.len());
        named
    }

    pub(super) fn counts(&self) -> NameCounts {
        self.hub.name_figures().names
    }

    pub(super) fn publish_to(&self, name: &str, texts: &[&str]) {
        texts.iter().for_each(|text| self.publish_and_wait(name, text));
    }
}

impl NamedPeer {
    /// It returns what it was pinged with.
    fn echoes(&self) {
        let pings = std::mem::take(&mut *self.peer.pings.lock());
        self.client.do_with(move |_, client| {
            pings.iter().for_each(|ping| client.named().unwrap().echoed(ping));
        });
    }

    /// It returns what it is pinged with until there is nothing behind the last ping that it has returned.
    pub(super) fn echoes_all(&self) {
        until("it has said that it has received everything", || {
            self.echoes();
            *self.peer.ends_with_ping.lock() && self.peer.pings.lock().is_empty()
        });
    }

    /// It returns all that it is pinged with until its node has told so by its note: it has received a channel so far.
    fn echoes_until(&self, looks: &LocalAdapter, name: usize, what: impl Fn(&NameNote) -> bool) {
        until("what it has received is told", || {
            self.echoes();
            note(looks, name).is_ok_and(|note| what(&note))
        });
    }

    /// Its line breaks, and its node knows it.
    pub(super) fn leaves(&self, channels: &[&str]) {
        let subscriptions = channels.iter().map(|name| channel(name)).collect();
        self.client.do_with(move |worker, client| {
            worker.leave_name(client);
            let cleanup = Cleanup { subscriptions, user_id: None, ending: Ending::Lost };
            worker.disconnect(client, cleanup, None);
        });
    }

    /// It is told that its name was taken over, and answers.
    fn hears_that_it_was_taken_over(&self, channels: &[&str]) {
        until("it is to end", || self.client.is_to_end());
        self.leaves(channels);
        self.client.do_with(|worker, client| worker.hub().takeover_heard(client.named().unwrap()));
    }

    /// What it was told of channels: whether it has missed nothing.
    pub(super) fn is_complete(&self) -> Vec<bool> {
        let told = self.client.sent.0.lock();
        let resumed = told.iter().filter(|frame| frame.contains("pusher:resumed"));
        resumed.map(|frame| frame.contains(r#"\"complete\":true"#)).collect()
    }
}

fn number(name: usize) -> NoteNumber {
    let name = ClientName::parse(&format!("a-name-of-22-letters-{name:03}")).unwrap();
    NoteNumber::of_name("1", "k", &name)
}

/// The bytes that the engine has of a name.
fn note_bytes(looks: &LocalAdapter, name: usize) -> Option<Bytes> {
    let name = NoteName { app: "1".into(), number: number(name).0 };
    block_on(looks.write_note(&name, Some("?".into()), None)).unwrap().unwrap_err().0
}

fn note(looks: &LocalAdapter, name: usize) -> Result<NameNote, &'static str> {
    let bytes = note_bytes(looks, name).ok_or("nothing")?;
    NameNote::decode(&bytes).map_err(|_| "unreadable")
}

fn looks(engine: &LocalEngine) -> LocalAdapter {
    engine.join(inbox(1, 1).0)
}

/// It has received all that was said on so many channels.
fn has(cursors: usize) -> impl Fn(&NameNote) -> bool {
    move |note| note.cursors.len() == cursors
}

#[test]
fn a_client_goes_from_node_to_node_and_is_sent_what_it_missed_everywhere() {
    let engine = LocalEngine::new();
    let [a, b, c]: [TestNode; 3] = nodes(&engine);
    let (looks, channels) = (looks(&engine), ["kept-1", "kept-2"]);
    let first = a.comes(1, &channels);
    assert_eq!(first.is_complete(), [false, false], "it was not here");
    b.publish_to("kept-1", &["1"]);
    until("it hears", || first.client.events() == ["1"]);
    let after_one = engine_number(&looks, &first);
    first.leaves(&channels);
    until("that is told", || note(&looks, 1).is_ok_and(|note| !note.is_held));
    c.publish_to("kept-1", &["2", "3"]);
    c.publish_to("kept-2", &["4"]);
    let second = b.comes(1, &channels);
    assert_eq!(second.is_complete(), [true, true]);
    let mut events = second.client.events();
    events.sort();
    assert_eq!(events, ["2", "3", "4"]);
    until("the first node knows it no more", || a.counts().left == 0);
    second.echoes_until(&looks, 1, |note| note.cursors.iter().all(|cursor| cursor.number > after_one));
    second.leaves(&channels);
    until("that is told", || note(&looks, 1).is_ok_and(|note| !note.is_held));
    let third = a.comes(1, &channels);
    assert_eq!((third.is_complete(), third.client.events()), (vec![true, true], vec![]));
    assert_eq!((a.counts().taken_from_elsewhere, b.counts().taken_from_elsewhere), (1, 1));
}

/// The largest number up to which a client has received something, when that is all.
fn engine_number(looks: &LocalAdapter, peer: &NamedPeer) -> u64 {
    let mut last = 0;
    peer.echoes_until(looks, 1, |note| note.cursors.len() == 2);
    until("nothing more comes", || {
        peer.echoes();
        let newest = note(looks, 1).unwrap().cursors.iter().map(|cursor| cursor.number).max().unwrap();
        std::mem::replace(&mut last, newest) == newest && peer.peer.pings.lock().is_empty()
    });
    last
}

#[test]
fn who_was_on_a_node_that_dies_is_sent_by_another_one_what_it_missed() {
    let engine = LocalEngine::new();
    let [mut a, b]: [TestNode; 2] = nodes(&engine);
    let looks = looks(&engine);
    let first = a.comes(1, &["kept-1"]);
    first.echoes_until(&looks, 1, has(1));
    a.kill();
    b.publish_to("kept-1", &["1"]);
    let second = b.comes(1, &["kept-1"]);
    assert_eq!((second.is_complete(), second.client.events()), (vec![true], vec!["1".to_owned()]));
}

#[test]
fn a_node_that_stops_has_told_all_it_knows_before() {
    let engine = LocalEngine::new();
    let [mut a, b]: [TestNode; 2] = nodes(&engine);
    let peers: Vec<NamedPeer> = (0..30).map(|name| a.comes(name, &["kept-1"])).collect();
    let looks = looks(&engine);
    until("what they have received is told", || {
        peers.iter().for_each(NamedPeer::echoes);
        (0..peers.len()).all(|name| note(&looks, name).is_ok_and(|note| has(1)(&note)))
    });
    peers.iter().for_each(|peer| peer.leaves(&["kept-1"]));
    until("they have left", || a.counts().held == 0);
    a.stop();
    for name in 0..peers.len() {
        assert!(note(&looks, name).is_ok_and(|note| !note.is_held && note.cursors.len() == 1), "{name}");
    }
    let back = b.comes(7, &["kept-1"]);
    assert_eq!(back.is_complete(), [true]);
}

#[test]
fn who_turns_out_to_be_two_is_told_that_it_may_have_missed_something_and_then_served_without() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let looks = looks(&engine);
    let mut last = a.comes(1, &["kept-1"]);
    last.echoes_until(&looks, 1, has(1));
    for (before, node) in [&b, &a, &b].into_iter().enumerate() {
        let next = node.comes(1, &["kept-1"]);
        last.hears_that_it_was_taken_over(&["kept-1"]);
        until("the other node knows that it was there", || {
            let is_counted = |note: NameNote| note.takeovers_ms.len() == before + 1;
            note(&looks, 1).is_ok_and(|note| note.shared_until_ms.is_some() || is_counted(note))
        });
        last = next;
    }
    until("it is shared", || note(&looks, 1).is_ok_and(|note| note.shared_until_ms.is_some()));
    let (one, other) = (a.comes(1, &["kept-1"]), b.comes(1, &["kept-1"]));
    assert_eq!((one.is_complete(), other.is_complete()), (vec![false], vec![false]));
    assert!(!one.client.is_to_end() && !other.client.is_to_end(), "both are served");
    assert_eq!((a.counts().not_held_shared, b.counts().not_held_shared), (1, 1));
}

#[test]
fn of_two_nodes_that_take_a_name_at_once_one_has_it() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    for name in 0..5 {
        let (one, other) = (a.named(name), b.named(name));
        one.client.join("kept-1", None);
        other.client.join("kept-1", None);
        let mut ends = [false; 2];
        until("one is to end", || {
            ends[0] |= one.client.is_to_end();
            ends[1] |= other.client.is_to_end();
            ends != [false; 2]
        });
        assert_ne!(ends, [true; 2]);
    }
}

#[test]
fn whose_user_was_terminated_finds_nothing_on_any_node() {
    let engine = LocalEngine::new();
    let [mut a, b, c]: [TestNode; 3] = nodes(&engine);
    let looks = looks(&engine);
    let first = a.comes(1, &["kept-1"]);
    first.client.do_with(|worker, client| {
        let answer = server_message::signin_success("{}");
        worker.sign_in(client, &"ann".into(), &[], answer, false).unwrap();
    });
    first.echoes_until(&looks, 1, |note| note.cursors.len() == 1 && note.user.as_deref() == Some("ann"));
    // The node that could forget it is not there any more.
    a.kill();
    block_on(b.hub.terminate_user_everywhere(&b.app, "ann")).unwrap();
    let of_user = NoteName { app: "1".into(), number: NoteNumber::of_user("1", "ann").0 };
    let is_noted = || block_on(looks.write_note(&of_user, Some("?".into()), None)).unwrap().unwrap_err().0;
    until("that is known", || is_noted().is_some());
    let second = c.comes(1, &["kept-1"]);
    assert_eq!(second.is_complete(), [false]);
}

#[test]
fn what_a_later_release_has_told_is_left_as_it_is_and_its_client_served_without() {
    let engine = LocalEngine::new();
    let [a]: [TestNode; 1] = nodes(&engine);
    let looks = looks(&engine);
    let name = NoteName { app: "1".into(), number: number(1).0 };
    let later = Bytes::from_static(b"\x02what nobody here can read");
    let write = |bytes: Bytes| looks.write_note(&name, None, Some((bytes, Duration::from_secs(600))));
    block_on(write(later.clone())).unwrap().unwrap();
    for _ in 0..2 {
        let peer = a.comes(1, &["kept-1"]);
        assert_eq!(peer.is_complete(), [false]);
        peer.leaves(&["kept-1"]);
    }
    assert_eq!(note_bytes(&looks, 1), Some(later));
    assert_eq!(a.counts().not_held_foreign, 2);
}

#[test]
fn a_note_that_says_nothing_is_written_over() {
    let engine = LocalEngine::new();
    let [a]: [TestNode; 1] = nodes(&engine);
    let looks = looks(&engine);
    let name = NoteName { app: "1".into(), number: number(1).0 };
    let noise = Some((Bytes::from_static(b"\x01noise"), Duration::from_secs(600)));
    block_on(looks.write_note(&name, None, noise)).unwrap().unwrap();
    let peer = a.comes(1, &["kept-1"]);
    assert_eq!(peer.is_complete(), [false]);
    peer.echoes_until(&looks, 1, has(1));
}

#[test]
fn where_the_engine_has_forgotten_everything_who_comes_is_told_so_and_known_again_from_then_on() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let looks = looks(&engine);
    let (first, _stays) = (a.comes(1, &["kept-1"]), b.joined("kept-1", None));
    first.echoes_until(&looks, 1, has(1));
    let epoch = note(&looks, 1).unwrap().epoch;
    engine.wipe();
    let has_hole = |node: &TestNode| node.status().figures.holes.iter().sum::<u64>() == 1;
    until("it is known", || has_hole(&a) && has_hole(&b));
    let second = b.comes(1, &["kept-1"]);
    assert_eq!(second.is_complete(), [false]);
    // From here on the channel is known again.
    b.publish_to("kept-1", &["1"]);
    until("it hears", || second.client.events() == ["1"]);
    second.echoes_until(&looks, 1, |note| note.cursors.len() == 1 && note.epoch != epoch);
    second.leaves(&["kept-1"]);
    until("that is told", || note(&looks, 1).is_ok_and(|note| !note.is_held));
    let third = a.comes(1, &["kept-1"]);
    assert_eq!(third.is_complete(), [true]);
}

#[test]
fn while_the_engine_is_away_a_node_knows_its_own_clients() {
    let engine = LocalEngine::new();
    let [a, _b]: [TestNode; 2] = nodes(&engine);
    let (looks, _stays) = (looks(&engine), a.joined("kept-1", None));
    let first = a.comes(1, &["kept-1"]);
    first.echoes_until(&looks, 1, has(1));
    a.faults.cut();
    until("it is known", || a.status().away.is_some());
    first.leaves(&["kept-1"]);
    a.publish("kept-1", "1", None);
    let second = a.comes(1, &["kept-1"]);
    assert_eq!((second.is_complete(), second.client.events()), (vec![true], vec!["1".to_owned()]));
    a.faults.heal();
    until("it is known", || a.status().away.is_none());
    second.echoes_until(&looks, 1, |note| note.is_held && note.node == a.hub.node_id());
}
