//! Video channels on several nodes: what viewers of one node are sent of what is filmed on another, who is asked for key frames, and who
//! holds a track. What is sent is judged by a checker that knows no more than it was sent.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::track::{BinaryMessage, SeenFrame, TrackChecker, members};
use heliostat_protocol_tests::{Message, Node, Setup, Socket, keep_pace, patience, standstill};
use serde_json::{Value, json};

use crate::Trio;

const QUERY: &str = "protocol=7&client=js&version=8.4.0&flash=false&binary=1";

/// The usual app, with channels on which members film, and a rule that leads to one.
const FILMING: &str = "\
[[apps]]
id = \"1001\"
key = \"app-key\"
secret = \"app-secret\"
client_events = true
limits = { client_events_per_second = 0 }

[[apps.channels]]
pattern = \"*-camera\"
delivery = \"video\"
publishers = [\"ann\", \"bob\"]

[[apps.pipe]]
from = \"stream-*\"
event = \"frame\"
to = \"*-camera\"
as = \"picture\"
";

fn filming(setup: Setup) -> Setup {
    setup.apps(FILMING)
}

/// Somebody who watches, and what it was sent.
struct Watching {
    socket: Socket,
    checker: TrackChecker,
    frames: Vec<SeenFrame>,
    stills: usize,
}

fn connect(node: &Node) -> Socket {
    let mut socket = node.target.connect_as(QUERY);
    socket.takes_binary = true;
    socket
}

fn member(node: &Node, channel: &str, user_id: &str) -> Socket {
    let mut socket = connect(node);
    socket.subscribe_presence(channel, user_id, &json!(null));
    socket
}

impl Watching {
    fn on(node: &Node, channel: &str, user_id: &str) -> Watching {
        Watching::by(member(node, channel, user_id))
    }

    fn by(socket: Socket) -> Watching {
        Watching { socket, checker: TrackChecker::new(), frames: Vec::new(), stills: 0 }
    }

    /// Takes what has come.
    fn look(&mut self) {
        self.socket.drain();
        while self.socket.has_binary() {
            let message = self.socket.receive_binary();
            match self.checker.take(&message) {
                Some(frame) => self.frames.push(frame),
                None => self.stills += 1,
            }
        }
    }

    fn last(&self) -> Option<u64> {
        self.frames.last().map(|frame| frame.sequence)
    }

    /// Waits until this one has come last.
    #[track_caller]
    fn await_frame(&mut self, sequence: u64) {
        until("a frame comes", || {
            self.look();
            self.last() == Some(sequence)
        });
        self.checker.assert_whole();
    }
}

#[track_caller]
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience();
    while !is() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        heliostat_protocol_tests::nodes::pause();
    }
}

fn film(socket: &mut Socket, channel: &str, members: &Value) {
    BinaryMessage::new(channel, "client-video", "video/webcodecs", members, vec![0x5a; 1000]).send(socket);
}

/// A frame of who calls itself so.
fn of_tab(sequence: u64, is_key: bool) -> Value {
    called("a tab", sequence, is_key)
}

fn called(name: &str, sequence: u64, is_key: bool) -> Value {
    let mut members = members(sequence, is_key);
    members["publisher"] = json!(name);
    members
}

/// Sends key frames, each with one that depends on it, until all of these are sent both.
#[track_caller]
fn go_on(publisher: &mut Socket, channel: &str, number: &mut u64, viewers: &mut [&mut Watching]) {
    until("all go on with it", || {
        *number += 2;
        film(publisher, channel, &of_tab(*number - 1, true));
        film(publisher, channel, &of_tab(*number, false));
        let deadline = Instant::now() + Duration::from_millis(500);
        loop {
            viewers.iter_mut().for_each(|viewer| viewer.look());
            if viewers.iter().all(|viewer| viewer.last() == Some(*number)) {
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            heliostat_protocol_tests::nodes::pause();
        }
    });
    viewers.iter().for_each(|viewer| viewer.checker.assert_whole());
}

/// What a publisher was asked, and told of errors.
fn asked(socket: &mut Socket) -> (usize, Vec<Message>) {
    let (mut keys, mut errors) = (0, Vec::new());
    for message in socket.drain() {
        match &*message.event {
            "pusher:keyframe_wanted" => keys += 1,
            "pusher:error" => errors.push(message),
            _ => {}
        }
    }
    (keys, errors)
}

#[track_caller]
fn await_request(socket: &mut Socket) -> Instant {
    until("a key frame is asked for", || asked(socket).0 > 0);
    Instant::now()
}

/// Who comes to a node that has heard nothing of a track has its publisher asked for a key frame, wherever that is; who comes there later
/// begins with what that node has kept. Stills go to those who want them.
///
/// Proves: video.
#[test]
fn a_viewer_on_another_node_begins_at_once() {
    let trio = Trio::own(filming);
    let [a, b, _] = &trio.nodes;
    let channel = "presence-camera";
    let mut publisher = member(a, channel, "ann");
    film(&mut publisher, channel, &members(1, true));
    film(&mut publisher, channel, &members(2, false));
    asked(&mut publisher);
    let mut first = Watching::on(b, channel, "v1");
    await_request(&mut publisher);
    film(&mut publisher, channel, &members(3, true));
    first.await_frame(3);
    film(&mut publisher, channel, &members(4, false));
    first.await_frame(4);
    let mut second = Watching::on(b, channel, "v2");
    second.await_frame(4);
    assert_eq!(second.frames.iter().map(|frame| frame.sequence).collect::<Vec<_>>(), [3, 4]);
    let still =
        BinaryMessage::new(channel, "client-still", "image/jpeg", &json!({ "still": true }), b"x".to_vec());
    let wish = json!({ "event": "pusher:track_wanted", "channel": channel, "data": { "wanted": "stills" } });
    second.socket.send(&wish);
    second.look();
    still.send(&mut publisher);
    film(&mut publisher, channel, &members(5, false));
    until("the still comes", || {
        second.look();
        second.stills == 1
    });
    first.await_frame(5);
    assert_eq!((first.stills, second.last()), (0, Some(4)), "one is sent frames, the other stills");
}

/// Wishes of all nodes are put together where it is filmed, also before a rule.
///
/// Proves: video, pipe rules.
#[test]
fn wishes_for_key_frames_cross_and_are_put_together() {
    const VIEWERS: usize = 4;
    let trio = Trio::own(filming);
    let [a, b, c] = &trio.nodes;
    let (source, channel) = ("stream-one", "one-camera");
    let mut publisher = connect(a);
    publisher.subscribe(source);
    let send = |publisher: &mut Socket, members: &Value| {
        BinaryMessage::new(source, "frame", "video/webcodecs", members, b"content".to_vec()).send(publisher);
    };
    let mut number = 1;
    send(&mut publisher, &members(number, true));
    let mut viewers: Vec<Watching> = [b, c]
        .iter()
        .flat_map(|node| (0..VIEWERS).map(move |_| *node))
        .map(|node| {
            let mut socket = connect(node);
            socket.subscribe(channel);
            Watching::by(socket)
        })
        .collect();
    await_request(&mut publisher);
    // All have it from then on.
    for is_key in [true, false] {
        number += 1;
        send(&mut publisher, &members(number, is_key));
        viewers.iter_mut().for_each(|viewer| viewer.await_frame(number));
    }
    asked(&mut publisher);
    let began = Instant::now();
    let wish =
        json!({ "event": "pusher:keyframe_wanted", "channel": channel, "data": { "event": "picture" } });
    viewers.iter_mut().for_each(|viewer| viewer.socket.send(&wish));
    viewers.iter_mut().for_each(Watching::look);
    let mut requests = 0;
    until("a key frame is asked for", || {
        number += 1;
        send(&mut publisher, &members(number, false));
        requests += asked(&mut publisher).0;
        requests > 0
    });
    // What was not answered is asked for again with frames that come, never more than twice a second.
    number += 1;
    send(&mut publisher, &members(number, false));
    requests += asked(&mut publisher).0;
    let most = 1 + began.elapsed().as_millis() / 500;
    assert!(requests as u128 <= most, "{requests} requests in {:?}", began.elapsed());
    number += 1;
    send(&mut publisher, &members(number, true));
    viewers.iter_mut().for_each(|viewer| viewer.await_frame(number));
    let seen = viewers[0].frames.iter().filter(|frame| !frame.is_key).count();
    assert_eq!(seen, 1, "who has failed is sent nothing before the key frame");
}

/// A publisher whose node was killed, or whose old line nobody knows to be dead, goes on at another node, with its next key frame.
/// Somebody else does not.
///
/// Proves: video.
#[test]
fn a_publisher_comes_back_on_another_node() {
    let trio = Trio::own(filming);
    let [a, b, c] = &trio.nodes;
    let channel = "presence-camera";
    let mut old = member(a, channel, "ann");
    let mut viewers = [a, b, c].map(|node| Watching::on(node, channel, "v"));
    film(&mut old, channel, &of_tab(1, true));
    viewers.iter_mut().for_each(|viewer| viewer.await_frame(1));
    // Somebody else is refused where viewers are, whichever node the holder is on.
    let mut other = member(b, channel, "bob");
    film(&mut other, channel, &members(1, true));
    until("it is refused", || {
        let (_, errors) = asked(&mut other);
        errors.iter().any(|error| {
            error.data["message"].as_str().is_some_and(|text| text.contains("is held by another"))
        })
    });
    // The old line is there still, as far as anybody knows.
    let mut new = member(b, channel, "ann");
    let mut number = 100;
    go_on(&mut new, channel, &mut number, &mut viewers.iter_mut().collect::<Vec<_>>());
    film(&mut old, channel, &of_tab(2, true));
    until("the old line is refused", || !asked(&mut old).1.is_empty());
    viewers.iter_mut().for_each(Watching::look);
    assert!(viewers.iter().all(|viewer| viewer.last() == Some(number)), "nobody was sent anything of it");
    // Its node is killed.
    b.broker().kill();
    let [on_a, _, on_c] = &mut viewers;
    let mut again = member(c, channel, "ann");
    go_on(&mut again, channel, &mut number, &mut [on_a, on_c]);
    viewers.iter().for_each(|viewer| viewer.checker.assert_whole());
}

/// A publisher that goes to another node and back at once is followed with the key frame for which it is asked then.
///
/// Proves: video.
#[test]
fn a_publisher_that_goes_to_and_fro_is_followed() {
    let trio = Trio::own(filming);
    let [a, b, c] = &trio.nodes;
    let channel = "presence-camera";
    let [mut first, mut second, mut third] = [a, b, a].map(|node| member(node, channel, "ann"));
    let mut viewers = [a, b, c].map(|node| Watching::on(node, channel, "v"));
    film(&mut first, channel, &of_tab(1, true));
    viewers.iter_mut().for_each(|viewer| viewer.await_frame(1));
    let mut number = 100;
    go_on(&mut second, channel, &mut number, &mut viewers.iter_mut().collect::<Vec<_>>());
    asked(&mut third);
    number = 200;
    film(&mut third, channel, &of_tab(number, true));
    until("all are sent what it films", || {
        if asked(&mut third).0 > 0 {
            number += 1;
            film(&mut third, channel, &of_tab(number, true));
        }
        viewers.iter_mut().for_each(Watching::look);
        viewers.iter().all(|viewer| viewer.last() == Some(number))
    });
    viewers.iter().for_each(|viewer| viewer.checker.assert_whole());
}

/// Where nobody watches a second claimant is refused as well, if somebody films elsewhere, and what it has sent is shown to nobody.
///
/// Proves: video.
#[test]
fn a_second_claimant_on_a_node_without_viewers_is_refused() {
    let trio = Trio::own(filming);
    let [a, b, c] = &trio.nodes;
    let mut holder = connect(a);
    holder.subscribe("stream-two");
    let mut viewer = connect(c);
    viewer.subscribe("two-camera");
    let mut viewer = Watching::by(viewer);
    let send = |publisher: &mut Socket, members: &Value| {
        BinaryMessage::new("stream-two", "frame", "video/webcodecs", members, b"content".to_vec())
            .send(publisher);
    };
    send(&mut holder, &members(1, true));
    viewer.await_frame(1);
    // It has filmed for longer than what may have been on its way.
    let began = Instant::now();
    let mut number = 1;
    until("it has filmed for a second", || {
        number += 1;
        send(&mut holder, &members(number, false));
        began.elapsed().as_millis() > 1_200
    });
    let mut other = connect(b);
    other.subscribe("stream-two");
    let mut of_other = 1000;
    until("it is refused", || {
        of_other += 1;
        send(&mut other, &members(of_other, true));
        let (_, errors) = asked(&mut other);
        errors.iter().any(|error| {
            error.data["message"].as_str().is_some_and(|text| text.contains("is held by another"))
        })
    });
    number += 1;
    send(&mut holder, &members(number, true));
    viewer.await_frame(number);
    assert!(viewer.frames.iter().all(|frame| frame.sequence < 1000), "nobody is shown what the other sent");
}

/// A camera of 50 frames each second, of which each 25th is a key frame, and each that is asked for.
struct Camera {
    socket: Socket,
    name: &'static str,
    number: u64,
    is_wanted: bool,
    errors: Vec<Message>,
}

impl Camera {
    fn new(socket: Socket, name: &'static str, number: u64) -> Camera {
        Camera { socket, name, number, is_wanted: true, errors: Vec::new() }
    }

    /// Films so many frames, and does something after each.
    fn film(&mut self, channel: &str, frames: u32, mut then: impl FnMut(u64)) {
        let begun = Instant::now();
        for n in 1..=frames {
            self.number += 1;
            let is_key = std::mem::take(&mut self.is_wanted) || self.number.is_multiple_of(25);
            film(&mut self.socket, channel, &called(self.name, self.number, is_key));
            let (keys, errors) = asked(&mut self.socket);
            self.is_wanted = keys > 0;
            self.errors.extend(errors);
            then(self.number);
            keep_pace(begun + Duration::from_millis(20) * n);
        }
    }
}

/// The same with another setting for all apps, and another app.
fn with_other_settings(apps: &str) -> String {
    let other = "[[apps]]\nid = \"7\"\nkey = \"seven\"\nsecret = \"seven-secret\"\n";
    format!(
        "{}{other}",
        apps.replace("client_events = true", "client_events = true\nsubscription_count = true")
    )
}

#[track_caller]
fn reload(trio: &Trio, node: &Node, apps: &str) {
    let configuration = trio.setup.clone().apps(apps).configuration(&node.name);
    let reloaded = node.broker().reload(&configuration);
    assert!(reloaded.status.success(), "{reloaded:?}");
}

/// A node may be reloaded while somebody films there or watches: nobody is sent what it cannot decode, and nobody misses more than what comes
/// from one key frame to the next.
///
/// Proves: video.
#[test]
fn reloads_disturb_no_film() {
    let trio = Trio::own(filming);
    let [a, b, _] = &trio.nodes;
    let channel = "presence-camera";
    standstill::watch();
    let mut camera = Camera::new(member(a, channel, "ann"), "a tab", 0);
    let mut viewers = [a, b].map(|node| Watching::on(node, channel, "v"));
    camera.film(channel, 1, |_| ());
    viewers.iter_mut().for_each(|viewer| viewer.await_frame(1));
    let began = Instant::now();
    let (others, trio) = (with_other_settings(FILMING), &trio);
    std::thread::scope(|scope| {
        camera.film(channel, 150, |number| {
            let (nodes, apps): (&[&Node], &str) = match number {
                30 => (&[a], &others),
                60 => (&[b], &others),
                90 => (&[b, a], FILMING),
                _ => (&[], ""),
            };
            if !nodes.is_empty() {
                let nodes = nodes.to_vec();
                scope.spawn(move || nodes.into_iter().for_each(|node| reload(trio, node, apps)));
            }
            viewers.iter_mut().for_each(Watching::look);
        });
    });
    assert!(camera.errors.is_empty(), "{:?}", camera.errors);
    camera.is_wanted = true;
    camera.film(channel, 1, |_| ());
    for viewer in &mut viewers {
        viewer.await_frame(camera.number);
        let seen = viewer.frames.iter().map(|frame| frame.sequence).collect::<Vec<_>>();
        let longest = seen.windows(2).map(|two| two[1] - two[0]).max();
        let stood = standstill::longest(began, Instant::now());
        assert!(longest <= Some(25) || stood.is_some(), "{longest:?} of {seen:?}");
    }
}

/// A reload after which a holder may film no longer is told it with its next frame, and five seconds later somebody else films, on any node.
///
/// Proves: video.
#[test]
fn who_may_film_no_longer_is_told_and_its_track_ends() {
    let trio = Trio::own(filming);
    let [a, b, _] = &trio.nodes;
    let channel = "presence-camera";
    let (mut first, mut second) = (member(a, channel, "ann"), member(b, channel, "bob"));
    let mut viewers = [a, b].map(|node| Watching::on(node, channel, "v"));
    film(&mut first, channel, &of_tab(1, true));
    viewers.iter_mut().for_each(|viewer| viewer.await_frame(1));
    let apps = FILMING.replace("\"ann\", ", "");
    [a, b].iter().for_each(|node| reload(&trio, node, &apps));
    film(&mut first, channel, &of_tab(2, false));
    let refusal = "Track message rejected: only its publishers and pipes may send tracks on presence-camera";
    until("it is told", || asked(&mut first).1.iter().any(|error| error.data["message"] == refusal));
    let mut number = 100;
    until("somebody else is seen", || {
        number += 2;
        film(&mut second, channel, &members(number - 1, true));
        film(&mut second, channel, &members(number, false));
        viewers.iter_mut().for_each(Watching::look);
        // What it had sent before it held the track is not shown to anybody.
        viewers.iter().all(|viewer| viewer.last() > Some(100))
    });
    let mut on_b = Watching::on(b, channel, "late");
    number += 1;
    film(&mut second, channel, &members(number, true));
    on_b.await_frame(number);
    viewers.iter_mut().for_each(|viewer| viewer.await_frame(number));
}

/// Where nodes are told of their first video channels one after the other, the one that is last shows nobody what proves a publisher: not of
/// what is filmed elsewhere, nor from then on of what is sent there.
///
/// Proves: video.
#[test]
fn a_node_that_is_reloaded_last_shows_nobody_what_proves_a_publisher() {
    let (without, _) = FILMING.split_once("[[apps.channels]]").unwrap();
    let trio = Trio::own(|setup| setup.apps(without));
    let [a, b, _] = &trio.nodes;
    reload(&trio, a, FILMING);
    let channel = "presence-camera";
    let (mut first, mut second) = (member(a, channel, "ann"), member(b, channel, "bob"));
    let mut viewer = member(b, channel, "v");
    for (number, publisher) in [(1, &mut first), (2, &mut second)] {
        film(publisher, channel, &of_tab(number, true));
        let shown = viewer.binary_within(patience()).expect("what was filmed comes");
        assert_eq!(BinaryMessage::read(&shown).members, members(number, true));
    }
}

/// A node with a holder stands still until somebody films on another one, and then goes on: all nodes agree on one of the two, and nobody is
/// in the dark for longer than from one key frame to the next.
///
/// Proves: video.
#[test]
fn a_holder_whose_node_stood_still_leaves_nobody_in_the_dark() {
    /// A key frame is asked for when a second has passed, in which what was on its way has come.
    const DARK: Duration = Duration::from_secs(3);
    standstill::watch();
    let trio = Trio::own(filming);
    let [a, b, c] = &trio.nodes;
    let channel = "presence-camera";
    let mut ann = Camera::new(member(a, channel, "ann"), "a tab", 0);
    let mut bob = Camera::new(member(b, channel, "bob"), "another", 1000);
    let mut viewers = [a, b, c].map(|node| Watching::on(node, channel, "v"));
    ann.film(channel, 1, |_| ());
    viewers.iter_mut().for_each(|viewer| viewer.await_frame(1));
    a.broker().pause();
    let [_, on_b, on_c] = &mut viewers;
    until("somebody else films", || {
        bob.film(channel, 5, |_| {
            on_b.look();
            on_c.look();
        });
        on_b.last() > Some(1000) && on_c.last() > Some(1000)
    });
    a.broker().resume();
    let mut seen = viewers.each_ref().map(|_| Instant::now());
    let mut dark = [Duration::ZERO; 3];
    let resumed = Instant::now();
    while resumed.elapsed() < Duration::from_millis(4_500) {
        for camera in [&mut ann, &mut bob] {
            camera.film(channel, 5, |_| {
                for (at, viewer) in viewers.iter_mut().enumerate() {
                    let before = viewer.frames.len();
                    viewer.look();
                    if viewer.frames.len() > before {
                        dark[at] = dark[at].max(seen[at].elapsed());
                        seen[at] = Instant::now();
                    }
                }
            });
        }
    }
    for (at, viewer) in viewers.iter().enumerate() {
        viewer.checker.assert_whole();
        let longest = dark[at].max(seen[at].elapsed());
        let stood = standstill::longest(resumed, Instant::now());
        assert!(longest < DARK || stood.is_some(), "viewer {at}: {longest:?}");
    }
    let last = viewers.each_ref().map(|viewer| viewer.last() > Some(1000));
    assert!(last == [true; 3] || last == [false; 3], "all see the same: {last:?}");
}
