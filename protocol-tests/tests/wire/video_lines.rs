//! Video over slow lines, through buffers of other people: no viewer is sent what it cannot decode, none falls behind for long, and nobody
//! else notices. Times are compared with those of a viewer on a quick line, which has whatever delay this machine has.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use heliostat_protocol_tests::track::{BinaryMessage, SeenFrame, TrackChecker, members, small};
use heliostat_protocol_tests::{Line, LineTerms, Socket, StallMeter, Target, keep_pace};
use serde_json::{Value, json};

use crate::video::{broker, camera};

const CHANNEL: &str = "presence-camera";

/// A camera of 25 frames a second and a key frame each two seconds, of 1.3 Mb/s.
const PACE: Duration = Duration::from_millis(40);
const GROUP: u64 = 50;
const INTERVAL: Duration = Duration::from_secs(2);
const KEY_BYTES: usize = 24_000;
const DELTA_BYTES: usize = 6_000;

/// A quarter of that, in bytes each second.
const QUARTER: u32 = 40_000;

/// What may be added where a machine does other things besides.
const MARGIN: Duration = Duration::from_millis(500);

/// The same of what is in the buffers of both kernels, at a quarter of the rate.
const KERNEL_MARGIN: Duration = Duration::from_millis(2500);

/// Which one it is: sound, the small rendition, its number.
type FrameId = (bool, bool, u64);

/// Somebody who watches until it is told to stop.
struct Watcher(JoinHandle<Watched>);

/// What it was sent, and when.
struct Watched {
    seen: Vec<(SeenFrame, Instant)>,
    checker: TrackChecker,
}

/// When what was sent.
type Sent = HashMap<FrameId, Instant>;

fn id_of(frame: &SeenFrame) -> FrameId {
    (frame.is_sound, frame.is_small, frame.sequence)
}

impl Watcher {
    fn on(target: &Target, user: &str, stops: &Arc<AtomicBool>) -> Watcher {
        let (mut socket, stops) = (camera(target, CHANNEL, user), Arc::clone(stops));
        Watcher(thread::spawn(move || {
            let (mut seen, mut checker) = (Vec::new(), TrackChecker::new());
            while !stops.load(Ordering::Relaxed) {
                if let Some(message) = socket.binary_within(PACE) {
                    seen.extend(checker.take(&message).map(|frame| (frame, Instant::now())));
                }
            }
            Watched { seen, checker }
        }))
    }

    fn end(self) -> Watched {
        self.0.join().unwrap()
    }
}

impl Watched {
    /// How late each picture came.
    fn lateness<'w>(&'w self, sent: &'w Sent) -> impl Iterator<Item = Duration> + 'w {
        let pictures = self.seen.iter().filter(|(frame, _)| !frame.is_sound);
        pictures.map(|(frame, at)| at.saturating_duration_since(sent[&id_of(frame)]))
    }

    fn worst(&self, sent: &Sent) -> Duration {
        self.lateness(sent).max().unwrap_or_default()
    }

    /// For how long at a time what it shows was older than this.
    fn longest_behind(&self, sent: &Sent, age: Duration, end: Instant) -> Duration {
        let mut longest = Duration::ZERO;
        let mut fresh_until = None;
        for (frame, at) in self.seen.iter().filter(|(frame, _)| !frame.is_sound) {
            let sent_at = sent[&id_of(frame)];
            if at.saturating_duration_since(sent_at) <= age {
                let until = *fresh_until.get_or_insert(*at);
                longest = longest.max(at.saturating_duration_since(until));
                fresh_until = Some(sent_at + age);
            }
        }
        fresh_until.map_or(Duration::MAX, |until| longest.max(end.saturating_duration_since(until)))
    }

    fn pieces(&self, is_of: impl Fn(&SeenFrame) -> bool) -> Vec<(u64, Instant)> {
        self.seen.iter().filter(|(frame, _)| is_of(frame)).map(|(frame, at)| (frame.sequence, *at)).collect()
    }
}

/// What a camera sends besides its pictures.
#[derive(Clone, Copy, Debug, Default)]
struct Besides {
    is_small: bool,
    is_sound: bool,
}

/// Films for so long; returns when what was sent.
fn film(publisher: &mut Socket, frames: u64, besides: Besides) -> Sent {
    let mut sent = Sent::new();
    let began = Instant::now();
    let mut send = |event: &str, media_type: &str, members: &Value, bytes: usize, id: FrameId| {
        sent.insert(id, Instant::now());
        BinaryMessage::new(CHANNEL, event, media_type, members, vec![0x5a; bytes]).send(publisher);
    };
    for n in 0..frames {
        // Whoever is late because of this machine sends no bursts.
        keep_pace(began + PACE * n as u32);
        let is_key = n % GROUP == 0;
        let bytes = if is_key { KEY_BYTES } else { DELTA_BYTES };
        send("client-video", "video/webcodecs", &members(n, is_key), bytes, (false, false, n));
        if besides.is_small {
            // Its key frames come at other times.
            let is_key = n == 0 || n % GROUP == GROUP / 2;
            let bytes = if is_key { 3_000 } else { 700 };
            send("client-video", "video/webcodecs", &small(n, is_key), bytes, (false, true, n));
        }
        if besides.is_sound {
            let mut members = json!({ "sequence": n, "timestamp": n * 40_000 });
            if n % 25 == 0 {
                members["key"] = json!(true);
                members["config"] = json!({ "codec": "opus", "sampleRate": 48_000, "numberOfChannels": 1 });
            }
            send("client-sound", "audio/webcodecs", &members, 150, (true, false, n));
        }
    }
    sent
}

/// What was seen of a film, by somebody on a quick line and through each buffer on one that takes a quarter.
struct Shown {
    sent: Sent,
    end: Instant,
    /// For how long this machine has held everything up.
    stall: Duration,
    quick: Watched,
    slow: Vec<(usize, Watched)>,
}

/// Films for so many frames, through a buffer of 16 KiB and one of 4 MiB.
fn show(target: &Target, frames: u64, besides: Besides) -> Shown {
    let mut publisher = camera(target, CHANNEL, "ann");
    let stops = Arc::new(AtomicBool::new(false));
    let lines = [16 * 1024, 4 * 1024 * 1024].map(|buffer| (buffer, Line::to(target, quarter(buffer))));
    let quick = Watcher::on(target, "quick", &stops);
    let slow = lines.iter().map(|(buffer, (_, target))| (*buffer, Watcher::on(target, "slow", &stops)));
    let slow: Vec<_> = slow.collect();
    let stalls = StallMeter::start();
    let sent = film(&mut publisher, frames, besides);
    let (end, stall) = (Instant::now(), stalls.longest());
    stops.store(true, Ordering::Relaxed);
    let quick = quick.end();
    let slow = slow.into_iter().map(|(buffer, watcher)| (buffer, watcher.end())).collect();
    quick.checker.assert_whole();
    Shown { sent, end, stall, quick, slow }
}

fn quarter(buffer: usize) -> LineTerms {
    LineTerms { bytes_per_second: Some(QUARTER), buffer, delay: Duration::ZERO, stalls: None }
}

/// A quarter of what is filmed gets through, from a buffer of 16 KiB and from one of 4 MiB.
///
/// Proves: video.
#[test]
fn a_line_that_takes_a_quarter_shows_what_is_fresh_and_harms_nobody() {
    const FRAMES: u64 = 450;
    let Some(target) = broker("") else { return };
    let Shown { sent, end, stall, quick, slow } = show(&target, FRAMES, Besides::default());
    let machine = quick.worst(&sent) + stall;
    let numbers: Vec<u64> = quick.seen.iter().map(|(frame, _)| frame.sequence).collect();
    assert!(
        numbers.is_sorted() && numbers.len() as u64 >= FRAMES - 25,
        "the quick one has all: {}",
        numbers.len()
    );
    for (buffer, slow) in slow {
        slow.checker.assert_whole();
        let behind = slow.longest_behind(&sent, Duration::from_secs(1) + machine, end);
        let [seen, keys] = [slow.checker.frames(), slow.checker.keys()];
        println!("{buffer}: {seen} frames, {keys} key frames, {behind:?} behind, machine {machine:?}");
        assert!(
            behind <= INTERVAL + MARGIN + machine,
            "through {buffer} bytes it was more than a second behind for {behind:?}; {machine:?} is this machine's"
        );
        assert!(keys >= 3 && seen < FRAMES, "through {buffer} bytes: {seen} frames, {keys} key frames");
    }
}

/// Who is sent a quarter of what is filmed is moved to the small rendition, and sees moving pictures.
///
/// Proves: video.
#[test]
fn a_slow_line_is_moved_to_the_small_rendition() {
    const FRAMES: u64 = 400;
    // Four seconds, before anybody is tried with the full one again.
    const WINDOW: u64 = 100;
    let Some(target) = broker("") else { return };
    let Shown { quick, slow, .. } = show(&target, FRAMES, Besides { is_small: true, is_sound: false });
    assert_eq!(quick.checker.moves(), 0, "the quick one is sent the full rendition");
    for (buffer, slow) in slow {
        slow.checker.assert_whole();
        let small = slow.pieces(|frame| frame.is_small);
        let first = small.first().unwrap_or_else(|| panic!("through {buffer} bytes it was never moved")).0;
        assert!(first < FRAMES - WINDOW - 25, "through {buffer} bytes it was moved at {first}");
        let window = first + 25..first + 25 + WINDOW;
        let seen = small.iter().filter(|(number, _)| window.contains(number)).count() as u64;
        println!("{buffer}: small from {first} on, {seen} of {WINDOW}");
        // Twenty frames of twenty-five.
        assert!(seen * 25 >= WINDOW * 20, "through {buffer} bytes it saw {seen} of {WINDOW} frames");
    }
}

/// A line that stands still for 300 ms each five seconds, 80 ms there and back: sound goes on, and pictures are live again at once.
///
/// Proves: video.
#[test]
fn a_line_that_stalls_interrupts_sound_for_no_longer_than_that() {
    const FRAMES: u64 = 400;
    let Some(target) = broker("") else { return };
    let mut publisher = camera(&target, CHANNEL, "ann");
    let stops = Arc::new(AtomicBool::new(false));
    let terms = LineTerms {
        bytes_per_second: None,
        buffer: 4 * 1024 * 1024,
        delay: Duration::from_millis(40),
        stalls: Some((Duration::from_secs(5), Duration::from_millis(300))),
    };
    let (line, through) = Line::to(&target, terms);
    let (quick, stalling) = (Watcher::on(&target, "quick", &stops), Watcher::on(&through, "slow", &stops));
    let stalls = StallMeter::start();
    let sent = film(&mut publisher, FRAMES, Besides { is_small: false, is_sound: true });
    let (end, stall) = (Instant::now(), stalls.longest());
    stops.store(true, Ordering::Relaxed);
    let (quick, stalling) = (quick.end(), stalling.end());
    for watched in [&quick, &stalling] {
        watched.checker.assert_whole();
    }
    let gap = |watched: &Watched| {
        let pieces = watched.pieces(|frame| frame.is_sound);
        pieces.windows(2).map(|two| two[1].1 - two[0].1).max().unwrap_or(Duration::MAX)
    };
    let (machine, longest) = (gap(&quick), gap(&stalling));
    println!("sound: gaps of {longest:?}, {machine:?} on a quick line");
    assert!(longest <= Duration::from_millis(400) + machine * 3, "{longest:?}, {machine:?} on a quick line");
    let heard = stalling.pieces(|frame| frame.is_sound).len() as u64;
    assert!(heard >= FRAMES - 25, "{heard} pieces of {FRAMES}");
    let late = quick.worst(&sent) + stall;
    let behind = stalling.longest_behind(&sent, Duration::from_millis(200) + late, end);
    println!("video: not live for {behind:?}, of which {late:?} may be this machine's");
    assert!(behind <= Duration::from_secs(1) + late, "video was not live for {behind:?}");
    drop(line);
}

/// Sound goes before pictures that wait, on a line that does not take these.
///
/// Proves: video.
#[test]
fn pictures_hold_up_no_sound() {
    const FRAMES: u64 = 400;
    let Some(target) = broker("") else { return };
    let mut publisher = camera(&target, CHANNEL, "ann");
    let stops = Arc::new(AtomicBool::new(false));
    let (line, through) = Line::to(&target, quarter(16 * 1024));
    let slow = Watcher::on(&through, "slow", &stops);
    let sent = film(&mut publisher, FRAMES, Besides { is_small: false, is_sound: true });
    stops.store(true, Ordering::Relaxed);
    let slow = slow.end();
    slow.checker.assert_whole();
    let sounds = slow.pieces(|frame| frame.is_sound);
    let late = |(number, at): &(u64, Instant)| at.saturating_duration_since(sent[&(true, false, *number)]);
    let mut lateness: Vec<Duration> = sounds.iter().map(late).collect();
    lateness.sort_unstable();
    let median = lateness[lateness.len() / 2];
    println!("{} of {FRAMES} pieces, median {median:?}, at most {:?}", sounds.len(), lateness.last());
    assert!(sounds.len() as u64 * 10 >= FRAMES * 8, "{} of {FRAMES} pieces", sounds.len());
    // What is in the line already is before it: the buffer, and what the kernels hold, a second's worth at a quarter of the rate.
    assert!(median <= Duration::from_secs(1) + KERNEL_MARGIN, "sound was {median:?} late");
    drop(line);
}
