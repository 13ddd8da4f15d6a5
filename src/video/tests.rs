//! Random publishers, lines and viewers: nobody is sent what it cannot decode, and everybody is live again after a key frame.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::playback::VERY_LATE;
use super::to_filmer::ToClient;
use super::*;
use crate::protocol::{
    BinaryMessage, BinaryPayload, ChannelName, Frame, Rendition, SocketId, TrackFrame, TrackKind,
    TrackMessage, TrackName, server_message,
};

mod lateness;
mod viewers;

/// The time between two frames.
const STEP: Duration = Duration::from_millis(33);

fn channel() -> ChannelName {
    ChannelName::parse("private-camera", 164).unwrap()
}

fn socket(n: u32) -> SocketId {
    SocketId::new(n, 1)
}

const CONFIG: &str = r#","config":{"codec":"vp8","codedWidth":16,"codedHeight":16}"#;

/// A message, and the frame that viewers are sent.
fn message(members: &str, content: &[u8]) -> (TrackMessage, Frame) {
    message_of("video/webcodecs", members, content)
}

fn message_of(media_type: &str, members: &str, content: &[u8]) -> (TrackMessage, Frame) {
    let payload = BinaryPayload::new(media_type, members, content).unwrap();
    let read = TrackMessage::read(&payload).unwrap().unwrap();
    (read, server_message::binary_event("client-video", &payload, &channel(), None))
}

fn members(sequence: u64, is_key: bool, rendition: Rendition, layer: u8) -> String {
    let config = if is_key { CONFIG } else { "" };
    let rendition = rendition.name();
    format!(
        r#"{{"sequence":{sequence},"timestamp":0,"key":{is_key},"rendition":"{rendition}","layer":{layer}{config}}}"#
    )
}

/// What a publisher does at one step.
#[derive(Clone, Debug)]
struct PublisherStep {
    /// A key frame of both renditions.
    is_key: bool,
    /// Numbers begin somewhere else.
    restarts: bool,
    /// The frame belongs to the upper layer.
    is_upper: bool,
    /// It is lost before it comes to the broker: of the full one, of the small one.
    lost: [bool; 2],
    bytes: usize,
    has_full: bool,
    has_small: bool,
}

/// What a viewer's line does at one step, and the viewer.
#[derive(Clone, Debug)]
struct LineStep {
    /// Bytes that go through.
    bytes: usize,
    joins: bool,
    leaves: bool,
    fails: bool,
    wants: Option<TrackWish>,
}

fn publisher_step() -> impl Strategy<Value = PublisherStep> {
    let rare = || prop::bool::weighted(0.02);
    let renditions = (prop::bool::weighted(0.95), prop::bool::weighted(0.8));
    (prop::bool::weighted(0.05), rare(), any::<bool>(), [rare(), rare()], 200..4000_usize, renditions)
        .prop_map(|(is_key, restarts, is_upper, lost, bytes, (has_full, has_small))| PublisherStep {
            is_key: is_key || restarts,
            restarts,
            is_upper,
            lost,
            bytes,
            has_full,
            has_small,
        })
}

fn line_step() -> impl Strategy<Value = LineStep> {
    let rare = || prop::bool::weighted(0.02);
    let wishes = prop_oneof![
        30 => Just(None),
        1 => prop::sample::select(vec![TrackWish::Full, TrackWish::Small, TrackWish::Stills, TrackWish::Nothing])
            .prop_map(Some),
    ];
    let bytes = prop_oneof![Just(0_usize), 0..3000_usize, Just(100_000)];
    (bytes, rare(), rare(), rare(), wishes).prop_map(|(bytes, joins, leaves, fails, wants)| LineStep {
        bytes,
        joins,
        leaves,
        fails,
        wants,
    })
}

/// Bytes that a connection is handed at once.
const AT_ONCE: usize = 16 * 1024;

/// A viewer, its line with a buffer on the way, and its decoder.
struct WatchingViewer {
    viewer: Option<Viewer>,
    wish: TrackWish,
    /// Bytes that the line takes before it pushes back.
    buffer: usize,
    line: VecDeque<ForViewer>,
    line_bytes: usize,
    /// What it has decoded last: the run of numbers, the rendition, the number.
    decoded: Option<(u64, Rendition, u64)>,
    pictures: usize,
}

/// Which frames of each run and rendition are of the upper layer.
type Published = HashMap<(u64, Rendition, u64), bool>;

impl WatchingViewer {
    fn new(buffer: usize) -> Self {
        let (line, wish) = (VecDeque::new(), TrackWish::Full);
        WatchingViewer { viewer: None, wish, buffer, line, line_bytes: 0, decoded: None, pictures: 0 }
    }

    /// What waits for it goes on its way as far as the line takes it, and arrives as far as it gets through.
    fn carry(&mut self, mut bytes: usize, now: Instant, published: &Published) {
        let Some(viewer) = &mut self.viewer else { return };
        loop {
            while self.line_bytes < self.buffer && viewer.has_waiting() {
                viewer.hand_out(now, AT_ONCE, |handed| {
                    if let ForViewer::Message(frame) = &handed {
                        self.line_bytes += frame.websocket().len();
                    }
                    self.line.push_back(handed);
                });
            }
            match self.line.front() {
                Some(ForViewer::Ping(_)) => {}
                Some(ForViewer::Message(frame)) if frame.websocket().len() <= bytes => {
                    bytes -= frame.websocket().len();
                }
                _ => return,
            }
            match self.line.pop_front() {
                Some(ForViewer::Ping(ping)) => viewer.echoed(ping.payload(), now),
                Some(ForViewer::Message(frame)) => {
                    self.line_bytes -= frame.websocket().len();
                    self.pictures += 1;
                    decode(&mut self.decoded, &frame, published);
                }
                None => return,
            }
        }
    }
}

/// Decodes a frame, as a decoder would that has only what it was sent.
fn decode(decoded: &mut Option<(u64, Rendition, u64)>, frame: &Frame, published: &Published) {
    let read = BinaryMessage::parse(frame.payload()).unwrap();
    let about = TrackMessage::read(&read.payload).unwrap().unwrap();
    let run = u64::from_be_bytes(read.payload.content()[..8].try_into().unwrap());
    let TrackMessage { sequence, rendition, is_key, .. } = about;
    if !is_key {
        let (last_run, last_rendition, last) = decoded.expect("a delta before any key frame");
        assert_eq!((last_run, last_rendition), (run, rendition), "a delta of something else");
        assert!(last < sequence, "{sequence} behind {last}");
        let is_left_out = |number| published.get(&(run, rendition, number)) == Some(&true);
        assert!((last + 1..sequence).all(is_left_out), "{sequence} refers to what is missing since {last}");
    }
    *decoded = Some((run, rendition, sequence));
}

fn terms<'a>(
    now: Instant,
    cache_bytes: usize,
    is_connected: &'a dyn Fn(SocketId) -> bool,
) -> TakingTerms<'a> {
    let room = TrackRoom { bytes: usize::MAX, has_track: true };
    TakingTerms { version: 1, now, cache_bytes, room, is_connected }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nobody_is_sent_what_it_cannot_decode_and_all_are_live_after_a_key_frame(
        steps in prop::collection::vec((publisher_step(), [line_step(), line_step(), line_step()]), 1..400),
        cache_bytes in prop_oneof![Just(0_usize), Just(20_000), Just(4_000_000)],
    ) {
        let mut now = Instant::now();
        let mut tracks = ChannelTracks::default();
        let mut viewers = [0, 16 * 1024, 4 * 1024 * 1024].map(|buffer| WatchingViewer::new(buffer + 1));
        let mut published = Published::new();
        let (mut run, mut numbers) = (0_u64, [0_u64; 2]);
        for (publisher, lines) in steps {
            now += STEP;
            if publisher.restarts {
                run += 1;
                numbers = [run * 10_000; 2];
            }
            for (viewer, line) in viewers.iter_mut().zip(&lines) {
                viewer.carry(line.bytes, now, &published);
                if line.joins && viewer.viewer.is_none() {
                    let mut joined = Viewer::default();
                    joined.begin(&tracks.beginnings(1, now), now);
                    *viewer = WatchingViewer { viewer: Some(joined), ..WatchingViewer::new(viewer.buffer) };
                }
                let Some(watching) = &mut viewer.viewer else { continue };
                if let Some(wish) = line.wants {
                    watching.want(&channel(), None, wish, || tracks.beginnings(1, now), now).unwrap();
                    viewer.wish = wish;
                }
                if line.fails {
                    let of = TrackRequest { event: "client-video".into(), track: "".into() };
                    watching.fail(&channel(), &of, now);
                }
                if line.leaves {
                    watching.leave(&channel());
                    assert!(!watching.has_waiting() && watching.waiting_bytes() == 0);
                    viewer.viewer = None;
                }
            }
            let mut came = [false; 2];
            for (rendition, has) in [(Rendition::Full, publisher.has_full), (Rendition::Small, publisher.has_small)] {
                if !has {
                    continue;
                }
                let number = &mut numbers[rendition as usize];
                *number += 1;
                let is_upper = publisher.is_upper && !publisher.is_key;
                published.insert((run, rendition, *number), is_upper);
                if publisher.lost[rendition as usize] {
                    continue;
                }
                let share = if rendition == Rendition::Full { 1 } else { 4 };
                let key = if publisher.is_key { 3 } else { 1 };
                let content = [&run.to_be_bytes()[..], &vec![0; publisher.bytes * key / share]].concat();
                let (about, frame) = message(&members(*number, publisher.is_key, rendition, is_upper.into()), &content);
                let event = "client-video";
                let channel = channel();
                let filmer = Filmer::Client { socket: socket(1), user_id: None, channel: &channel, event };
                let taken = tracks.take((&channel, event), &filmer, &about, &frame, &terms(now, cache_bytes, &|_| true));
                let Some(about) = taken.unwrap().frame else { continue };
                came[rendition as usize] = about.is_key;
                for viewer in viewers.iter_mut().filter_map(|viewer| viewer.viewer.as_mut()) {
                    viewer.offer(&about, &frame, now);
                }
            }
            assert!(tracks.bytes() <= cache_bytes + 1024, "{} bytes are kept", tracks.bytes());
            for viewer in &viewers {
                let Some(watching) = &viewer.viewer else { continue };
                assert!(watching.waiting_bytes() <= 4 * 1024 * 1024);
                let in_time = watching.behind(now) <= VERY_LATE;
                if came == [true; 2] && in_time && viewer.wish.is_of_frames() {
                    assert!(watching.is_live(1), "both key frames came");
                }
            }
        }
        // A line that takes everything: it sees all, from the next key frame on.
        for viewer in &mut viewers {
            for _ in 0..4 {
                now += STEP;
                viewer.carry(usize::MAX, now, &published);
            }
        }
    }
}

/// A track that one client films, frame by frame.
struct Filming {
    tracks: ChannelTracks,
    now: Instant,
    next_id: u64,
}

impl Filming {
    fn new() -> Self {
        Filming { tracks: ChannelTracks::default(), now: Instant::now(), next_id: 0 }
    }

    fn at(&mut self, ms: u64) -> &mut Self {
        self.now += Duration::from_millis(ms);
        self
    }

    fn send(
        &mut self,
        filmer: &Filmer<'_>,
        members: &str,
        is_connected: bool,
    ) -> Result<TakenMessage, NotTaken> {
        self.next_id += 1;
        let (about, frame) = message(members, &[0; 1000]);
        let is_connected = |_| is_connected;
        let terms = TakingTerms { version: self.next_id, ..terms(self.now, 4_000_000, &is_connected) };
        self.tracks.take((&channel(), "client-video"), filmer, &about, &frame, &terms)
    }

    /// The same of one that nobody doubts to be connected.
    fn take(
        &mut self,
        filmer: &Filmer<'_>,
        about: &TrackMessage,
        frame: &Frame,
    ) -> Result<TakenMessage, NotTaken> {
        self.next_id += 1;
        let terms = TakingTerms { version: self.next_id, ..terms(self.now, 4_000_000, &|_| true) };
        self.tracks.take((&channel(), "client-video"), filmer, about, frame, &terms)
    }
}

/// The messages that wait for a viewer, which is sent them.
fn handed_out(viewer: &mut Viewer, now: Instant) -> Vec<TrackMessage> {
    let mut messages = Vec::new();
    viewer.hand_out(now, usize::MAX, |handed| {
        if let ForViewer::Message(frame) = handed {
            let read = BinaryMessage::parse(frame.payload()).unwrap();
            messages.push(TrackMessage::read(&read.payload).unwrap().unwrap());
        }
    });
    messages
}

fn told(taken: &TakenMessage) -> Vec<String> {
    let text = |told: &ToFilmer| match told {
        ToFilmer::Client(told) => Some(String::from_utf8_lossy(told.frame().json()).into_owned()),
        ToFilmer::Node(..) | ToFilmer::Claim(..) => None,
    };
    taken.told.iter().filter_map(text).collect()
}

/// What is for a client of this node.
fn to_client(told: &ToFilmer) -> &ToClient {
    let ToFilmer::Client(told) = told else { panic!("it is for another node: {told:?}") };
    told
}

#[test]
fn whoever_holds_a_track_keeps_it_until_five_seconds_after_it_has_gone() {
    let camera = channel();
    let client =
        |n| Filmer::Client { socket: socket(n), user_id: None, channel: &camera, event: "client-video" };
    let key = |n| members(n, true, Rendition::Full, 0);
    let mut filming = Filming::new();
    let first = filming.send(&client(1), &key(1), true).unwrap().frame.unwrap();
    assert_eq!(filming.send(&client(2), &key(1), true).unwrap_err(), NotTaken::Held("client-video".into()));
    assert!(filming.send(&Filmer::Backend, &key(1), true).is_err());
    assert!(filming.at(60_000).send(&client(2), &key(1), true).is_err(), "it may pause for long");
    filming.tracks.left(&camera, socket(1), filming.now);
    assert!(filming.at(4_999).send(&client(2), &key(1), true).is_err());
    let second = filming.at(1).send(&client(2), &key(1), true).unwrap().frame.unwrap();
    assert_ne!(first.id, second.id, "it is another track");
    assert!(filming.send(&client(3), &key(1), false).is_err(), "it was seen to have gone just now");
    filming.tracks.sweep(filming.now + Duration::from_secs(5), &|_| false);
    assert!(filming.tracks.is_empty() && filming.tracks.bytes() == 0);
    filming.send(&Filmer::Backend, &key(1), true).unwrap();
    assert!(filming.at(4_999).send(&client(3), &key(1), true).is_err());
    assert!(filming.at(1).send(&client(3), &key(1), true).is_ok());
}

#[test]
fn who_may_film_no_longer_holds_a_track_for_five_seconds_more() {
    let camera = channel();
    let source = ChannelName::parse("private-source", 164).unwrap();
    let client = |n| Filmer::Client { socket: socket(n), user_id: None, channel: &camera, event: "frame" };
    let behind = Filmer::Client { socket: socket(1), user_id: None, channel: &source, event: "frame" };
    let key = |n| members(n, true, Rendition::Full, 0);
    let filmed_by = |filmer: &Filmer<'_>| {
        let mut filming = Filming::new();
        filming.send(filmer, &key(1), true).unwrap();
        filming
    };
    let doubt = |filming: &mut Filming, refused: &ChannelName| {
        let is_refused = |(channel, event): (&ChannelName, &str), track: &TrackName| {
            channel == refused && event == "frame" && *track.event == *"client-video"
        };
        filming.tracks.doubt(&is_refused, filming.now);
    };
    for (filmer, at) in [(&client(1), &camera), (&behind, &source)] {
        let mut filming = filmed_by(filmer);
        doubt(&mut filming, at);
        // What was on its way through the broker says nothing.
        filming.at(999).send(filmer, &key(2), true).unwrap();
        assert!(filming.at(4_000).send(&client(2), &key(1), true).is_err());
        assert!(filming.at(1).send(&client(2), &key(1), true).is_ok(), "although it is connected");
        let mut filming = filmed_by(filmer);
        doubt(&mut filming, at);
        filming.at(1_000).send(filmer, &key(2), true).unwrap();
        let now = filming.at(60_000).now;
        filming.tracks.sweep(now, &|_| true);
        assert!(filming.send(&client(2), &key(1), true).is_err(), "it films still");
    }
    // Other nodes hear of the change as well, and know who may film.
    let mut filming = filmed_by(&client(1));
    doubt(&mut filming, &camera);
    assert!(filming.at(999).send(&ON_A, &key(1), true).is_err());
    assert!(filming.at(1).send(&ON_A, &key(1), true).is_ok());
    let mut filming = filmed_by(&client(1));
    doubt(filming.at(1_000), &camera);
    let (now, nodes) = (filming.at(1_000).now, (OtherNode(0xb), OtherNode(1)));
    let of = TrackRequest { event: "client-video".into(), track: "".into() };
    assert_eq!(filming.tracks.refused_elsewhere(nodes, (TrackKind::Pictures, &of), now), None);
    filming.tracks.claimed_elsewhere(nodes, &claim("other", 0), now, &|_| true);
    assert!(filming.send(&client(1), &key(2), true).is_err());
    let mut filming = filmed_by(&client(1));
    doubt(&mut filming, &source);
    assert!(filming.at(60_000).send(&client(2), &key(1), true).is_err(), "nothing of it has changed");
}

#[test]
fn the_time_of_a_track_goes_on_whatever_is_reloaded_meanwhile() {
    let camera = channel();
    let client = |n| Filmer::Client { socket: socket(n), user_id: None, channel: &camera, event: "frame" };
    let key = |n| members(n, true, Rendition::Full, 0);
    let filming = || {
        let mut filming = Filming::new();
        filming.send(&client(1), &key(1), true).unwrap();
        filming
    };
    let reload = |filming: &mut Filming| filming.tracks.doubt(&|_, _| true, filming.now);
    let is_free_at = |filming: &mut Filming, ms: u64| {
        assert!(filming.at(ms - 1).send(&client(2), &key(1), true).is_err());
        assert!(filming.at(1).send(&client(2), &key(1), true).is_ok());
    };
    // Nothing comes of a holder that may film no longer, or has gone.
    for is_gone in [false, true] {
        let mut filming = filming();
        reload(&mut filming);
        if is_gone {
            filming.tracks.left(&camera, socket(1), filming.now);
        }
        (0..4).for_each(|_| reload(filming.at(1_000)));
        is_free_at(&mut filming, 1_000);
    }
    // What comes may have been judged by the first of two changes, and says nothing of the second.
    let mut filming_on = filming();
    reload(&mut filming_on);
    reload(filming_on.at(900));
    filming_on.at(600).send(&client(1), &key(2), true).unwrap();
    is_free_at(&mut filming_on, 4_400);
    // Who goes on to film holds its track, however often that is.
    let mut filming_on = filming();
    for n in 2..100 {
        reload(&mut filming_on);
        filming_on.at(600).send(&client(1), &key(n), true).unwrap();
        let now = filming_on.now;
        filming_on.tracks.sweep(now, &|_| true);
    }
    assert!(filming_on.send(&client(2), &key(1), true).is_err());
}

#[test]
fn a_publisher_that_comes_back_takes_its_track_over_with_a_key_frame_and_only_once() {
    let camera = channel();
    let user = "ann".into();
    let event = "client-video";
    let client = |n| Filmer::Client { socket: socket(n), user_id: Some(&user), channel: &camera, event };
    let mut filming = Filming::new();
    let key = |n| members(n, true, Rendition::Full, 0);
    let delta = |n| members(n, false, Rendition::Full, 0);
    let first = filming.send(&client(1), &key(1), true).unwrap().frame.unwrap();
    assert!(filming.send(&client(2), &delta(2), true).unwrap().frame.is_none(), "it begins with a key frame");
    assert!(filming.send(&client(1), &delta(2), true).unwrap().frame.is_some());
    let second = filming.send(&client(2), &key(1), true).unwrap().frame.unwrap();
    assert_eq!(first.id, second.id, "viewers go on");
    assert!(filming.send(&client(1), &key(9), true).is_err(), "or they would take turns for ever");
    assert!(filming.send(&client(3), &key(1), true).is_ok());
    let named = r#"{"sequence":1,"timestamp":0,"publisher":"tab 1"}"#;
    let named_key = named.replace("\"publisher\"", &format!("\"key\":true{CONFIG},\"publisher\""));
    let stranger = |n| Filmer::Client { socket: socket(n), user_id: None, channel: &camera, event };
    let mut filming = Filming::new();
    filming.send(&stranger(1), &named_key, true).unwrap();
    assert!(filming.send(&stranger(2), &named_key.replace("tab 1", "tab 2"), true).is_err());
    assert!(filming.send(&stranger(2), &named_key, true).unwrap().frame.is_some());
}

#[test]
fn a_publisher_is_told_what_has_come_and_asked_for_key_frames() {
    let source = ChannelName::parse("private-source", 164).unwrap();
    let filmer = Filmer::Client { socket: socket(1), user_id: None, channel: &source, event: "frame" };
    let mut filming = Filming::new();
    let delta = |n| members(n, false, Rendition::Small, 0);
    let taken = filming.send(&filmer, &members(1, true, Rendition::Small, 0), true).unwrap();
    let id = taken.frame.as_ref().unwrap().id;
    let data = r#"{\"event\":\"frame\",\"rendition\":\"small\",\"sequence\":1,\"timestamp\":0}"#;
    let expected =
        format!(r#"{{"event":"pusher:frame_received","data":"{data}","channel":"private-source"}}"#);
    assert_eq!(told(&taken), [expected], "where it sends, and what it sends there");
    let taken = filming.at(100).send(&filmer, &delta(2), true).unwrap();
    let (at, of) = taken.receipt_at.unwrap();
    assert_eq!((taken.told.len(), at), (0, filming.now + Duration::from_millis(150)));
    let taken = filming.at(100).send(&filmer, &delta(3), true).unwrap();
    assert!(taken.told.is_empty() && taken.receipt_at.is_none(), "somebody is coming already");
    let receipt = filming.tracks.receipt(of, at).unwrap();
    assert!(String::from_utf8_lossy(to_client(&receipt).frame().json()).contains(r#"\"sequence\":3"#));
    filming.at(60);
    let wish = KeyframeWish { id, rendition: Rendition::Small };
    let request = filming.tracks.want_key_frame(wish, filming.now).unwrap();
    let request = to_client(&request);
    assert!(request.is_request() && request.socket == socket(1));
    assert_eq!(filming.tracks.want_key_frame(wish, filming.now), None, "they are merged");
    assert!(told(&filming.at(100).send(&filmer, &delta(4), true).unwrap()).is_empty());
    let again = filming.at(400).send(&filmer, &delta(5), true).unwrap();
    assert!(told(&again).iter().any(|told| told.contains("keyframe_wanted")), "none has come");
    filming.at(100).send(&filmer, &members(6, true, Rendition::Small, 0), true).unwrap();
    let taken = filming.at(500).send(&filmer, &delta(7), true).unwrap();
    assert!(told(&taken).iter().all(|told| told.contains("frame_received")), "one has come");
}

#[test]
fn who_joins_begins_with_what_is_short_and_else_with_the_key_frame_alone() {
    let camera = channel();
    let filmer = Filmer::Client { socket: socket(1), user_id: None, channel: &camera, event: "client-video" };
    let mut filming = Filming::new();
    let join = |filming: &Filming| {
        let mut viewer = Viewer::default();
        let wanted = viewer.begin(&filming.tracks.beginnings(filming.next_id, filming.now), filming.now);
        (handed_out(&mut viewer, filming.now).len(), viewer.is_live(1), wanted.len())
    };
    assert_eq!(join(&filming), (0, false, 0), "there is no track");
    filming.send(&filmer, &members(1, true, Rendition::Full, 0), true).unwrap();
    assert_eq!(join(&filming), (1, true, 0));
    for n in 2..100 {
        filming.at(33).send(&filmer, &members(n, false, Rendition::Full, 0), true).unwrap();
    }
    assert_eq!(join(&filming), (99, true, 0), "a hundred kilobytes");
    for n in 100..300 {
        filming.at(33).send(&filmer, &members(n, false, Rendition::Full, 0), true).unwrap();
    }
    assert_eq!(join(&filming), (1, false, 1), "more than 256 KiB, and more than half a second");
    filming.send(&filmer, &members(400, false, Rendition::Full, 0), true).unwrap();
    assert_eq!(join(&filming), (0, false, 1), "one was lost");
}

#[test]
fn a_thousand_tracks_are_too_many() {
    let camera = channel();
    let filmer = Filmer::Client { socket: socket(1), user_id: None, channel: &camera, event: "client-video" };
    let mut filming = Filming::new();
    let delta = |n: u64| format!(r#"{{"sequence":1,"timestamp":0,"track":"{n}"}}"#);
    let taken = (0..1000).filter(|n| filming.send(&filmer, &delta(*n), true).is_ok());
    assert_eq!(taken.count(), 16);
    assert_eq!(filming.send(&filmer, &delta(99), true).unwrap_err(), NotTaken::TooMany);
    assert_eq!(filming.tracks.len(), 16);
}

const ON_A: Filmer<'static> = Filmer::Elsewhere { node: OtherNode(0xa), user_id: None };
const ON_B: Filmer<'static> = Filmer::Elsewhere { node: OtherNode(0xb), user_id: None };

/// A frame of who calls itself `tab`.
fn of_tab(n: u64, is_key: bool) -> String {
    members(n, is_key, Rendition::Full, 0).replacen('{', r#"{"publisher":"tab","#, 1)
}

#[test]
fn a_publisher_that_comes_back_on_another_node_is_taken_with_a_key_frame() {
    let camera = channel();
    let here =
        |n| Filmer::Client { socket: socket(n), user_id: None, channel: &camera, event: "client-video" };
    let mut filming = Filming::new();
    let first = filming.send(&here(1), &of_tab(1, true), true).unwrap().frame.unwrap();
    // It is here still, as far as is known.
    filming.at(2_000).send(&here(1), &of_tab(2, false), true).unwrap();
    let taken = filming.send(&ON_B, &of_tab(3, false), true).unwrap();
    assert!(taken.frame.is_none(), "it begins with a key frame");
    let [ToFilmer::Node(OtherNode(0xb), wanted)] = &taken.told[..] else { panic!("{:?}", taken.told) };
    assert_eq!(wanted.of.as_ref().map(|(of, _)| &*of.event), Some("client-video"), "and is asked for one");
    let there = filming.send(&ON_B, &of_tab(4, true), true).unwrap().frame.unwrap();
    assert_eq!(first.id, there.id, "viewers go on");
    assert!(filming.at(3_000).send(&here(1), &of_tab(9, true), true).is_err(), "the old line is refused");
    // What was on its way when it went there is no return.
    assert!(filming.send(&ON_A, &of_tab(9, true), true).is_ok());
    assert!(filming.send(&ON_B, &of_tab(9, true), true).is_err());
    assert!(filming.at(1_000).send(&ON_B, &of_tab(10, true), true).is_ok());
    assert!(filming.send(&here(2), &of_tab(1, true), true).is_ok(), "and it comes back at any time");
    assert!(filming.send(&ON_B, &of_tab(11, true), true).is_err());
    let member = |user_id| Filmer::Elsewhere { node: OtherNode(0xc), user_id: Some(user_id) };
    let key = members(1, true, Rendition::Full, 0);
    let ann = "ann".into();
    let mut filming = Filming::new();
    let first =
        Filmer::Client { socket: socket(1), user_id: Some(&ann), channel: &camera, event: "client-video" };
    filming.send(&first, &key, true).unwrap();
    assert!(filming.at(1_000).send(&member("bob"), &key, true).is_err());
    assert!(filming.send(&member("ann"), &key, true).is_ok(), "the same member is the same publisher");
}

#[test]
fn frames_of_two_nodes_are_not_taken_for_one() {
    let mut filming = Filming::new();
    filming.send(&ON_A, &members(1, true, Rendition::Full, 0), true).unwrap();
    let delta = |n| members(n, false, Rendition::Full, 0);
    let refused = filming.send(&ON_B, &delta(2), true).unwrap_err();
    assert_eq!(refused, NotTaken::Held("client-video".into()));
    assert!(filming.send(&ON_A, &delta(2), true).unwrap().frame.is_some());
    let camera = channel();
    let here = Filmer::Client { socket: socket(1), user_id: None, channel: &camera, event: "client-video" };
    assert!(
        filming.send(&here, &members(1, true, Rendition::Full, 0), true).is_err(),
        "nor is one of this node"
    );
    assert!(filming.at(5_000).send(&here, &members(1, true, Rendition::Full, 0), true).is_ok());
}

#[test]
fn key_frames_are_asked_for_on_the_node_that_films_and_seldom() {
    let mut filming = Filming::new();
    let taken = filming.send(&ON_A, &members(1, true, Rendition::Full, 0), true).unwrap();
    let wish = KeyframeWish { id: taken.frame.unwrap().id, rendition: Rendition::Small };
    let wanted = filming.tracks.want_key_frame(wish, filming.now).unwrap();
    let ToFilmer::Node(OtherNode(0xa), wanted) = wanted else { panic!("{wanted:?}") };
    let now = filming.at(400).now;
    assert!(filming.tracks.want_key_frame(wish, now).is_none(), "twice a second");
    assert_eq!(
        filming.tracks.wanted_elsewhere(wanted.of.as_ref(), now),
        [],
        "nodes do not go on asking each other"
    );
    // Where it is filmed, whoever asks and from wherever, it is the same twice a second.
    let camera = channel();
    let here = Filmer::Client { socket: socket(1), user_id: None, channel: &camera, event: "client-video" };
    let mut filming = Filming::new();
    let id = filming.send(&here, &members(1, true, Rendition::Small, 0), true).unwrap().frame.unwrap().id;
    let told = filming.tracks.wanted_elsewhere(wanted.of.as_ref(), filming.now);
    assert!(matches!(&told[..], [told] if to_client(told).is_request()), "{told:?}");
    let own = KeyframeWish { id, rendition: Rendition::Small };
    assert_eq!(filming.tracks.want_key_frame(own, filming.now), None);
    let now = filming.at(499).now;
    assert_eq!(filming.tracks.wanted_elsewhere(None, now), []);
    let now = filming.at(1).now;
    let told = filming.tracks.wanted_elsewhere(None, now);
    let text = String::from_utf8_lossy(to_client(&told[0]).frame().json()).into_owned();
    assert!(text.contains("small"), "of what there is: {text}");
    let other = TrackRequest { event: "other".into(), track: "".into() };
    let now = filming.at(5_000).now;
    assert_eq!(filming.tracks.wanted_elsewhere(Some(&(other, Rendition::Small)), now), []);
}

#[test]
fn whoever_comes_where_no_track_is_known_has_all_nodes_asked_and_seldom() {
    let mut filming = Filming::new();
    let looks = |filming: &mut Filming, after| {
        filming.at(after);
        filming.tracks.look_elsewhere(filming.now)
    };
    assert!(looks(&mut filming, 0));
    assert!(!looks(&mut filming, 499));
    let held = (filming.tracks.is_empty(), filming.tracks.len());
    assert_eq!(held, (false, 0), "that it was asked is remembered");
    assert!(looks(&mut filming, 1));
    filming.send(&ON_A, &members(1, true, Rendition::Full, 0), true).unwrap();
    assert!(!looks(&mut filming, 1_000), "one is known");
    let now = filming.at(9_000).now;
    filming.tracks.sweep(now, &|_| false);
    assert!(filming.tracks.is_empty());
}

#[test]
fn of_two_nodes_whose_clients_film_one_goes_on() {
    let camera = channel();
    let here =
        |n| Filmer::Client { socket: socket(n), user_id: None, channel: &camera, event: "client-video" };
    let claim_of = |taken: &TakenMessage| {
        let claim = taken.told.iter().find_map(|told| match told {
            ToFilmer::Claim(None, claim) => Some((**claim).clone()),
            _ => None,
        });
        claim.expect("all nodes are told of who has begun")
    };
    let begun = |tab: &str| {
        let mut filming = Filming::new();
        let key = of_tab(1, true).replace("\"tab\"", &format!("{tab:?}"));
        let claim = claim_of(&filming.send(&here(1), &key, true).unwrap());
        (filming, claim)
    };
    let told = |filming: &mut Filming, claim: &FilmingClaim, is_its| {
        let (now, own) = (filming.now, OtherNode(if is_its { 0xf } else { 1 }));
        filming.tracks.claimed_elsewhere((OtherNode(0xb), own), claim, now, &|_| true)
    };
    let is_asked = |told| matches!(told, Some(ToFilmer::Node(OtherNode(0xb), _)));
    let goes_on = |filming: &mut Filming| filming.send(&here(1), &of_tab(2, true), true).is_ok();
    let (_, other) = begun("other");
    let (_, same) = begun("tab");
    // Whoever has filmed for long goes on, and says so; who hears of that is refused.
    let (mut filming, _) = begun("tab");
    let Some(ToFilmer::Claim(Some(OtherNode(0xb)), answer)) = told(filming.at(1_000), &other, true) else {
        panic!("it says nothing")
    };
    assert!(answer.is_older && goes_on(&mut filming));
    let taken = filming.send(&here(1), &of_tab(3, false), true).unwrap();
    assert!(taken.told.iter().all(|told| !matches!(told, ToFilmer::Claim(..))), "it is told once");
    let (mut filming, _) = begun("other");
    assert!(
        is_asked(told(&mut filming, &answer, false)),
        "those who watch here begin with what is filmed there"
    );
    assert!(!goes_on(&mut filming), "and so is what it sends from then on");
    // The same publisher has gone to the other node, and its old line is refused.
    let (mut filming, _) = begun("tab");
    assert!(is_asked(told(filming.at(1_000), &same, false)));
    assert!(!goes_on(&mut filming));
    assert!(filming.send(&ON_B, &of_tab(1, true), true).unwrap().frame.is_some());
    // Of two who begin at the same time one goes on, whoever they are.
    for claim in [&other, &same] {
        let (mut filming, _) = begun("tab");
        assert!(is_asked(told(&mut filming, claim, true)));
        assert!(!goes_on(&mut filming));
        let (mut filming, _) = begun("tab");
        told(&mut filming, claim, false);
        assert!(goes_on(&mut filming));
    }
    // What is not filmed here is nothing to this node.
    let mut filming = Filming::new();
    filming.send(&ON_A, &of_tab(1, true), true).unwrap();
    assert_eq!(told(&mut filming, &other, true), None);
}

/// A claim as the nodes tell each other.
fn claim(publisher: &str, moves: u8) -> FilmingClaim {
    FilmingClaim {
        channel: channel(),
        of: TrackRequest { event: "client-video".into(), track: "".into() },
        kind: TrackKind::Pictures,
        publisher: Some(publisher.into()),
        user_id: None,
        is_older: false,
        moves: TrackMoves::new(moves),
    }
}

#[test]
fn a_node_on_which_nobody_films_goes_on_with_the_one_who_does() {
    let claimed = |filming: &mut Filming, node, claim: &FilmingClaim| {
        let now = filming.now;
        filming.tracks.claimed_elsewhere((OtherNode(node), OtherNode(1)), claim, now, &|_| true)
    };
    let begun = || {
        let mut filming = Filming::new();
        filming.send(&ON_B, &of_tab(1, true), true).unwrap();
        filming
    };
    // Two have begun at the same time, and the one whose frame has come first is the one that is refused.
    let mut filming = begun();
    let told = claimed(&mut filming, 0xa, &claim("other", 0));
    assert!(matches!(told, Some(ToFilmer::Node(OtherNode(0xa), _))), "{told:?}");
    assert!(filming.send(&ON_B, &of_tab(2, true), true).is_err());
    assert!(filming.send(&ON_A, &of_tab(1, true), true).unwrap().frame.is_some());
    // The other way round it stays.
    let mut filming = begun();
    assert_eq!(claimed(&mut filming, 0xc, &claim("other", 0)), None);
    assert!(filming.send(&ON_B, &of_tab(2, false), true).unwrap().frame.is_some());
    // Whoever comes where somebody has filmed for long is nothing to it.
    assert_eq!(claimed(filming.at(1_000), 0xa, &claim("other", 9)), None);
    assert!(filming.send(&ON_B, &of_tab(3, false), true).unwrap().frame.is_some());
    // Where that could not be known here, the one who has filmed for long comes again after a second.
    let mut filming = begun();
    claimed(&mut filming, 0xa, &claim("other", 0));
    assert!(filming.at(999).send(&ON_B, &of_tab(2, true), true).is_err());
    assert!(filming.at(1).send(&ON_B, &of_tab(3, true), true).unwrap().frame.is_some());
}

#[test]
fn a_publisher_that_goes_to_and_fro_is_followed_at_once() {
    let camera = channel();
    let here =
        |n| Filmer::Client { socket: socket(n), user_id: None, channel: &camera, event: "client-video" };
    let mut filming = Filming::new();
    let claimed = |filming: &mut Filming, node, moves| {
        let now = filming.now;
        let claim = claim("tab", moves);
        filming.tracks.claimed_elsewhere((OtherNode(node), OtherNode(0xc)), &claim, now, &|_| true)
    };
    filming.send(&ON_A, &of_tab(1, true), true).unwrap();
    assert!(filming.at(2_000).send(&ON_B, &of_tab(1, true), true).is_ok());
    // It is back within a second: its first frames count as from before, until its node says that it has begun.
    assert!(filming.at(100).send(&ON_A, &of_tab(1, true), true).is_err());
    assert!(claimed(&mut filming, 0xa, 2).is_some());
    assert!(filming.send(&ON_A, &of_tab(2, true), true).unwrap().frame.is_some());
    assert_eq!(claimed(&mut filming, 0xb, 1), None, "what was said before is over");
    assert!(filming.send(&ON_B, &of_tab(2, true), true).is_err());
    // It comes here, and goes there again.
    let taken = filming.at(100).send(&here(1), &of_tab(1, true), true).unwrap();
    let own = taken.told.iter().find_map(|told| match told {
        ToFilmer::Claim(None, claim) => Some(claim.moves),
        _ => None,
    });
    assert_eq!(own, Some(TrackMoves::new(3)));
    assert_eq!(
        claimed(&mut filming, 0xa, 2),
        None,
        "the node with the lower id has no precedence over the later one"
    );
    assert!(filming.send(&here(1), &of_tab(2, false), true).unwrap().frame.is_some());
    claimed(&mut filming, 0xd, 4);
    assert!(filming.send(&here(1), &of_tab(3, false), true).is_err());
}

#[test]
fn two_who_have_not_heard_of_each_other_do_so_by_what_they_film() {
    let camera = channel();
    let here = Filmer::Client { socket: socket(1), user_id: None, channel: &camera, event: "client-video" };
    let of = TrackRequest { event: "client-video".into(), track: "".into() };
    let mut filming = Filming::new();
    let refused = |filming: &mut Filming, own| {
        let now = filming.now;
        let nodes = (OtherNode(0xb), OtherNode(own));
        match filming.tracks.refused_elsewhere(nodes, (TrackKind::Pictures, &of), now) {
            Some(ToFilmer::Claim(Some(OtherNode(0xb)), claim)) => Some(claim.is_older),
            told => {
                assert_eq!(told, None);
                None
            }
        }
    };
    filming.send(&here, &of_tab(1, true), true).unwrap();
    assert_eq!(refused(&mut filming, 1), None, "it may be on its way");
    assert_eq!(refused(filming.at(1_000), 1), Some(true), "this one goes on");
    assert_eq!(refused(filming.at(999), 1), None, "it is told seldom");
    assert_eq!(refused(filming.at(1), 0xf), Some(false), "the other one is asked whether it does");
    let mut filming = Filming::new();
    filming.send(&ON_A, &of_tab(1, true), true).unwrap();
    assert_eq!(refused(filming.at(1_000), 1), None, "nobody films here");
}

#[test]
fn who_goes_on_to_film_on_another_node_is_followed_where_nothing_comes_of_the_holder() {
    let begun = || {
        let mut filming = Filming::new();
        filming.send(&ON_B, &of_tab(1, true), true).unwrap();
        filming
    };
    let stranger = |n, is_key| members(n, is_key, Rendition::Full, 0);
    // B has given way to A, which nobody has told to this node.
    let mut filming = begun();
    for n in 1..5 {
        assert!(filming.at(250).send(&ON_A, &stranger(n, n == 4), true).is_err(), "it may be on its way");
    }
    let taken = filming.at(250).send(&ON_A, &stranger(5, false), true).unwrap();
    let [ToFilmer::Node(OtherNode(0xa), _)] = &taken.told[..] else { panic!("{:?}", taken.told) };
    assert!(taken.frame.is_none(), "it begins with a key frame, for which it is asked");
    assert!(filming.send(&ON_A, &stranger(6, true), true).unwrap().frame.is_some());
    assert!(filming.send(&ON_B, &of_tab(2, true), true).is_err());
    // While something comes of the holder it is the holder.
    let mut filming = begun();
    for n in 1..20 {
        assert!(filming.at(250).send(&ON_A, &stranger(n, true), true).is_err());
        filming.send(&ON_B, &of_tab(n + 1, false), true).unwrap();
    }
    // One that pauses is none that somebody comes for now and then, or several at a time.
    let mut filming = begun();
    for n in 1..5 {
        assert!(filming.at(1_000).send(&ON_A, &stranger(n, true), true).is_err());
    }
    let on_c = Filmer::Elsewhere { node: OtherNode(0xc), user_id: None };
    let mut filming = begun();
    for n in 1..9 {
        for other in [&ON_A, &on_c] {
            assert!(filming.at(250).send(other, &stranger(n, true), true).is_err());
        }
    }
}

#[test]
fn of_two_who_both_say_that_they_are_older_one_goes_on() {
    let camera = channel();
    let here = Filmer::Client { socket: socket(1), user_id: None, channel: &camera, event: "client-video" };
    let of = TrackRequest { event: "client-video".into(), track: "".into() };
    let older = FilmingClaim { is_older: true, ..claim("other", 0) };
    for (own, says_so, goes_on) in
        [(1, true, true), (0xf, true, false), (1, false, false), (0xf, false, false)]
    {
        let nodes = (OtherNode(0xb), OtherNode(own));
        let mut filming = Filming::new();
        filming.send(&here, &of_tab(1, true), true).unwrap();
        filming.at(1_000);
        if says_so {
            // To the one on the node with the higher id it says so by what it refuses, to any by what that one says.
            let now = filming.now;
            filming.tracks.refused_elsewhere(nodes, (TrackKind::Pictures, &of), now);
            filming.tracks.claimed_elsewhere(nodes, &claim("other", 0), now, &|_| true);
        }
        let now = filming.now;
        filming.tracks.claimed_elsewhere(nodes, &older, now, &|_| true);
        let taken = filming.send(&here, &of_tab(2, false), true);
        assert_eq!(taken.is_ok(), goes_on, "{own}, which has said so: {says_so}");
    }
    // What was said long ago was heard.
    let nodes = (OtherNode(0xb), OtherNode(1));
    let mut filming = Filming::new();
    filming.send(&here, &of_tab(1, true), true).unwrap();
    let now = filming.at(1_000).now;
    filming.tracks.claimed_elsewhere(nodes, &claim("other", 0), now, &|_| true);
    let now = filming.at(1_000).now;
    filming.tracks.claimed_elsewhere(nodes, &older, now, &|_| true);
    assert!(filming.send(&here, &of_tab(2, false), true).is_err());
}

#[test]
fn moves_begin_anew() {
    let after = |moves: u8| TrackMoves::new(moves);
    assert!(
        after(1).is_ahead_of(after(0)) && after(0).is_ahead_of(after(63)) && !after(63).is_ahead_of(after(0))
    );
    assert!(!after(5).is_ahead_of(after(5)));
    assert_eq!((after(63).next(), after(63).bits()), (after(0), 63));
}
