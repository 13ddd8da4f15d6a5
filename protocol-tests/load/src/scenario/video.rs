//! A film of 1080p at 30 pictures and 4 Mb each second, and who watches it: what that costs, what weak lines see of it and the
//! others notice of them, how soon newcomers see something, and what a line that stalls makes of it.
//!
//! The pictures are none; they have the sizes of real ones. The ceiling, which knows no pictures, delivers events of the same
//! sizes.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use super::{Stage, verdict};
use crate::clients::{Broken, Crowd, Film, GROUP, OPENING_AT_ONCE, Template, Watch, Wish};
use crate::load::{Beat, Load};
use crate::run::{Latencies, Outcome, measure_latency, run_for};

/// Pictures each second.
const PER_SECOND: f64 = 30.0;
/// Pieces of sound each second, and their bytes: 64 kb/s.
const SOUNDS_PER_SECOND: f64 = 50.0;
const SOUND_BYTES: usize = 160;
/// Bytes of the pictures of a group: two seconds at 4 Mb/s. The first is four times as large as the mean.
const GROUP_BYTES: usize = 1_000_000;
/// How much smaller those of the small rendition are: 400 kb/s.
const SMALLER: usize = 10;
/// Of the mean of a delta, in percent. No two frames of a camera are alike.
const SIZES: [usize; 8] = [100, 60, 110, 90, 140, 80, 120, 100];
/// Seconds in which things are counted: at least two groups.
const SECONDS: f64 = 6.0;
/// The least wait of a load that turns a line's bytes over.
const TURN: Duration = Duration::from_millis(5);

/// Bytes of a picture.
fn picture_bytes(sequence: u32) -> usize {
    let group = GROUP as usize;
    let key = GROUP_BYTES * 4 / group;
    if sequence.is_multiple_of(GROUP) {
        return key;
    }
    (GROUP_BYTES - key) / (group - 1) * SIZES[sequence as usize % SIZES.len()] / 100
}

/// Films, at a camera's pace.
struct Filming {
    /// The client who films.
    client: usize,
    full: Film,
    small: Option<Film>,
    sound: Option<(Film, Beat)>,
    /// The same as events, for a server that knows no pictures: a key frame's, and those of deltas.
    events: Option<Vec<Template>>,
    beat: Beat,
    filmed: u32,
}

impl Filming {
    /// Opens the client who films.
    fn open(stage: &Stage<'_>, crowd: &mut Crowd, has_small: bool, has_sound: bool) -> Result<Self, Broken> {
        let channel = if stage.server.has_video { "film" } else { "camera" };
        let mut client = 0;
        crowd.open_all(1, 1, |crowd, _| {
            client = crowd.open(vec![Wish::channel(channel)], Vec::new())?;
            Ok(())
        })?;
        let event = |sequence| Template::client_event(0, "camera", picture_bytes(sequence));
        Ok(Filming {
            client,
            full: Film::pictures(0, false),
            small: has_small.then(|| Film::pictures(1, true)),
            sound: has_sound.then(|| (Film::sound(2), Beat::new(SOUNDS_PER_SECOND))),
            events: (!stage.server.has_video).then(|| (0..=SIZES.len() as u32).map(event).collect()),
            beat: Beat::new(PER_SECOND),
            filmed: 0,
        })
    }

    fn film(&mut self, crowd: &mut Crowd, due: Instant) {
        let (sequence, client) = (self.filmed, self.client);
        let (is_key, bytes) = (sequence.is_multiple_of(GROUP), picture_bytes(sequence));
        self.filmed += 1;
        if let Some(events) = &mut self.events {
            // Those of deltas stand at 1 to 8, of which the last has the size of the first of all.
            let at = if is_key { 0 } else { (sequence as usize - 1) % SIZES.len() + 1 };
            return crowd.speak(client, &mut events[at], due);
        }
        crowd.film(client, &mut self.full, is_key, bytes, due);
        if let Some(small) = &mut self.small {
            crowd.film(client, small, is_key, bytes / SMALLER, due);
        }
    }
}

impl Load for Filming {
    fn pump(&mut self, crowd: &mut Crowd) -> Option<Instant> {
        while let Some(due) = self.beat.due() {
            self.film(crowd, due);
        }
        let next = self.beat.next();
        let Some((sound, beat)) = &mut self.sound else { return Some(next) };
        while let Some(due) = beat.due() {
            // What a decoder must know comes each second.
            let is_key = crowd.shared.ledger.sent(sound.publisher).is_multiple_of(SOUNDS_PER_SECOND as u32);
            crowd.film(self.client, sound, is_key, SOUND_BYTES, due);
        }
        Some(next.min(beat.next()))
    }
}

/// A crowd whose clients take binary messages: a group for each rendition, and one for the sound.
fn crowd(stage: &Stage<'_>) -> Result<Crowd, Broken> {
    let mut crowd = stage.crowd(3, 1)?;
    crowd.binary = stage.server.has_video;
    Ok(crowd)
}

/// Opens viewers who are owed every picture.
fn open_viewers(crowd: &mut Crowd, count: usize) -> Result<(), Broken> {
    crowd.open_all(count, OPENING_AT_ONCE, |crowd, _| {
        let seats = vec![crowd.shared.ledger.late_seat(0, None)];
        crowd.open(vec![Wish::channel("camera")], seats).map(drop)
    })
}

/// Opens viewers who keep their own books, and whose sockets hold so many bytes; from now on they are read by hand.
fn open_slow_viewers(crowd: &mut Crowd, count: usize, unread_bytes: usize) -> Result<Range<usize>, Broken> {
    crowd.unread_bytes = unread_bytes;
    let mut numbers = Vec::new();
    crowd.open_all(count, OPENING_AT_ONCE, |crowd, _| {
        let number = crowd.open(vec![Wish::channel("camera")], Vec::new())?;
        // What the channel has kept comes with the subscription.
        crowd.view(number);
        numbers.push(number);
        Ok(())
    })?;
    crowd.unread_bytes = 0;
    numbers.iter().for_each(|number| crowd.stall(*number));
    Ok(numbers[0]..numbers[0] + numbers.len())
}

/// What it took until the last viewer had a picture.
fn until_the_last(crowd: &mut Crowd) -> Latencies {
    Latencies::new(crowd.shared.slowest.take().unwrap_or_default().into_values().collect())
}

/// What a film costs that everybody sees whole.
pub(super) fn watched(stage: &Stage<'_>, viewers: usize) -> Result<Outcome, Broken> {
    let viewers = stage.scaled(viewers);
    let mut crowd = crowd(stage)?;
    let resident = stage.server.process.resident_bytes()?;
    open_viewers(&mut crowd, viewers)?;
    let mut filming = Filming::open(stage, &mut crowd, false, false)?;
    let window = stage.window_of_at_least(SECONDS);
    crowd.shared.slowest = Some(HashMap::new());
    let (window, each) = measure_latency(&mut crowd, stage.server.process, &mut filming, window)?;
    let grown = stage.server.process.resident_bytes()?.saturating_sub(resident);
    let last = until_the_last(&mut crowd);
    let bits = window.delivered as f64 * (GROUP_BYTES * 8) as f64 / f64::from(GROUP);
    let mut outcome = Outcome::default();
    outcome.add("cpu_us_per_delivery", window.cpu_micros_per(window.delivered));
    outcome.add("cpu_percent", window.cpu.as_secs_f64() / window.seconds * 100.0);
    outcome.add("gigabits_per_s", bits / window.seconds / 1e9);
    outcome.add("p99_to_the_last_us", last.micros_at(0.99));
    outcome.add("p50_to_the_last_us", last.micros_at(0.5));
    outcome.add("p99_us", each.micros_at(0.99));
    outcome.add("resident_bytes_per_viewer", grown as f64 / viewers as f64);
    outcome.add("deliveries_per_s", window.delivered as f64 / window.seconds);
    Ok(verdict(crowd, outcome))
}

/// A film for clients of which some are read at a pace.
struct Throttled {
    filming: Filming,
    slow: Range<usize>,
    beat: Beat,
    /// What each line takes with each beat.
    bytes: usize,
}

impl Load for Throttled {
    fn pump(&mut self, crowd: &mut Crowd) -> Option<Instant> {
        let mut is_due = false;
        while self.beat.due().is_some() {
            // What was not taken in time is not taken afterwards: it is a line.
            is_due = true;
        }
        if is_due {
            for number in self.slow.clone() {
                crowd.read_some(number, self.bytes);
            }
        }
        let next = self.filming.pump(crowd);
        next.into_iter().chain([self.beat.next()]).min()
    }
}

/// Some of the viewers have lines that take a quarter of the film.
pub(super) fn throttled(stage: &Stage<'_>, viewers: usize, slow: usize) -> Result<Outcome, Broken> {
    const TURNS_PER_SECOND: usize = 100;
    const LINE_BYTES_PER_SECOND: usize = GROUP_BYTES / 2 / 4;
    const UNREAD_BYTES: usize = 32 * 1024;
    let (viewers, slow) = (stage.scaled(viewers), stage.scaled(slow));
    let mut crowd = crowd(stage)?;
    open_viewers(&mut crowd, viewers - slow)?;
    let mut filming = Filming::open(stage, &mut crowd, true, false)?;
    let window = stage.window_of_at_least(SECONDS);
    let process = stage.server.process;
    let (_, before) = measure_latency(&mut crowd, process, &mut filming, window)?;
    let slow = open_slow_viewers(&mut crowd, slow, UNREAD_BYTES)?;
    // The camera has stood still meanwhile.
    filming.beat = Beat::new(PER_SECOND);
    let (beat, bytes) = (Beat::new(TURNS_PER_SECOND as f64), LINE_BYTES_PER_SECOND / TURNS_PER_SECOND);
    let mut load = Throttled { filming, slow: slow.clone(), beat, bytes };
    // They see at first what their lines do not take.
    run_for(&mut crowd, &mut load, window)?;
    for number in slow.clone() {
        crowd.viewing(number).into_iter().for_each(|viewing| viewing.begin_anew());
    }
    let (counted, with_them) = measure_latency(&mut crowd, process, &mut load, window)?;
    let (mut late, mut pictures, mut orphans) = (Vec::new(), Vec::new(), 0);
    for viewing in slow.filter_map(|number| crowd.viewing(number).cloned()) {
        late.extend(viewing.pictures.iter().map(|(_, late)| late.as_nanos() as u64));
        pictures.push(viewing.pictures.len() as f64);
        orphans += viewing.orphans;
    }
    crowd.shared.ledger.faults.malformed += orphans;
    // A quarter of the window comes before it.
    let seconds = counted.seconds * 1.25;
    let (late, fewest) = (Latencies::new(late), pictures.iter().copied().fold(f64::INFINITY, f64::min));
    let mut outcome = Outcome::default();
    outcome.add("p99_us", with_them.micros_at(0.99));
    outcome.add("p99_before_us", before.micros_at(0.99));
    outcome.add("slow_late_p50_us", late.micros_at(0.5));
    outcome.add("slow_late_p99_us", late.micros_at(0.99));
    outcome.add("slow_pictures_per_s", pictures.iter().sum::<f64>() / pictures.len() as f64 / seconds);
    outcome.add("slowest_pictures_per_s", fewest / seconds);
    outcome.add("slow_orphans", orphans as f64);
    Ok(verdict(crowd, outcome))
}

/// A film to which newcomers come at a pace.
struct Joining {
    filming: Filming,
    beat: Beat,
    to_come: usize,
    come: Vec<usize>,
}

impl Load for Joining {
    fn pump(&mut self, crowd: &mut Crowd) -> Option<Instant> {
        while self.to_come > 0 && self.beat.due().is_some() {
            self.to_come -= 1;
            if let Ok(number) = crowd.open(vec![Wish::channel("camera")], Vec::new()) {
                crowd.view(number);
                self.come.push(number);
            }
        }
        let next = self.filming.pump(crowd);
        if self.to_come == 0 { next } else { next.into_iter().chain([self.beat.next()]).min() }
    }
}

/// So many join within a second: from connecting to the first picture.
pub(super) fn joined(stage: &Stage<'_>, viewers: usize) -> Result<Outcome, Broken> {
    let viewers = stage.scaled(viewers);
    let mut crowd = crowd(stage)?;
    open_viewers(&mut crowd, 10)?;
    let mut filming = Filming::open(stage, &mut crowd, false, false)?;
    run_for(&mut crowd, &mut filming, Duration::from_secs(3))?;
    let beat = Beat::new(viewers as f64);
    let mut load = Joining { filming, beat, to_come: viewers, come: Vec::new() };
    let mut watch = Watch::new("joining");
    let firsts = loop {
        run_for(&mut crowd, &mut load, Duration::from_millis(50))?;
        let firsts: Vec<u64> = (load.come.iter())
            .filter_map(|number| crowd.viewing(*number)?.first)
            .map(|first| first.as_nanos() as u64)
            .collect();
        if firsts.len() == viewers {
            break Latencies::new(firsts);
        }
        watch.see(firsts.len() as u64, || format!("faults: {}", crowd.shared.ledger.faults))?;
    };
    crowd.drain()?;
    let mut outcome = Outcome::default();
    outcome.add("first_picture_p99_us", firsts.micros_at(0.99));
    outcome.add("first_picture_p50_us", firsts.micros_at(0.5));
    outcome.add("first_picture_max_us", firsts.micros_at(1.0));
    Ok(verdict(crowd, outcome))
}

/// A film for clients behind a line with a delay, which stands still now and then.
struct Stalling {
    filming: Filming,
    viewers: Range<usize>,
    /// What is on its way to each, and when it arrives.
    under_way: Vec<VecDeque<(Instant, Vec<u8>)>>,
    begun: Instant,
}

impl Stalling {
    const ROUND_TRIP: Duration = Duration::from_millis(80);
    const EVERY: Duration = Duration::from_secs(5);
    const STALL: Duration = Duration::from_millis(300);

    fn is_stalled(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.begun);
        since > Self::EVERY && since.as_nanos() % Self::EVERY.as_nanos() < Self::STALL.as_nanos()
    }
}

impl Load for Stalling {
    fn pump(&mut self, crowd: &mut Crowd) -> Option<Instant> {
        let now = Instant::now();
        if !self.is_stalled(now) {
            for (number, under_way) in self.viewers.clone().zip(&mut self.under_way) {
                let bytes = crowd.take_unread(number);
                if !bytes.is_empty() {
                    // All of the round trip is on the way there: an answer goes back at once.
                    under_way.push_back((now + Self::ROUND_TRIP, bytes));
                }
                while under_way.front().is_some_and(|(at, _)| *at <= now)
                    && let Some((_, bytes)) = under_way.pop_front()
                {
                    crowd.arrive(number, &bytes);
                }
            }
        }
        let next = self.filming.pump(crowd);
        next.into_iter().chain([now + TURN]).min()
    }
}

/// A line that stands still for a moment each five seconds: what is heard, and how soon pictures are live again.
pub(super) fn stalling(stage: &Stage<'_>, viewers: usize) -> Result<Outcome, Broken> {
    /// What is as late as this beyond the line's delay is live.
    const LIVE: Duration = Duration::from_millis(100);
    const UNREAD_BYTES: usize = 64 * 1024;
    let mut crowd = crowd(stage)?;
    let viewers = open_slow_viewers(&mut crowd, viewers, UNREAD_BYTES)?;
    let filming = Filming::open(stage, &mut crowd, true, true)?;
    let under_way = viewers.clone().map(|_| VecDeque::new()).collect();
    let begun = Instant::now();
    let mut load = Stalling { filming, viewers: viewers.clone(), under_way, begun };
    let seconds = if stage.quick { 6 } else { 31 };
    run_for(&mut crowd, &mut load, Duration::from_secs(seconds))?;
    let (mut gaps, mut again, mut orphans) = (Vec::new(), Vec::new(), 0);
    for viewing in viewers.filter_map(|number| crowd.viewing(number).cloned()) {
        gaps.extend(viewing.sounds.windows(2).map(|pair| (pair[1] - pair[0]).as_nanos() as u64).max());
        orphans += viewing.orphans;
        for stall in 1..seconds / Stalling::EVERY.as_secs() {
            let end = begun + Stalling::EVERY * stall as u32 + Stalling::STALL;
            let is_live =
                |(at, late): &&(Instant, Duration)| *at >= end && *late <= Stalling::ROUND_TRIP + LIVE;
            again.extend(viewing.pictures.iter().find(is_live).map(|(at, _)| (*at - end).as_nanos() as u64));
        }
    }
    crowd.shared.ledger.faults.malformed += orphans;
    let (gaps, again) = (Latencies::new(gaps), Latencies::new(again));
    let mut outcome = Outcome::default();
    outcome.add("longest_sound_gap_us", gaps.micros_at(1.0));
    outcome.add("live_again_max_us", again.micros_at(1.0));
    outcome.add("live_again_p50_us", again.micros_at(0.5));
    outcome.add("orphans", orphans as f64);
    Ok(verdict(crowd, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_the_size_of_two_seconds() {
        let bytes: usize = (0..GROUP).map(picture_bytes).sum();
        assert!(bytes.abs_diff(GROUP_BYTES) < GROUP_BYTES / 50, "{bytes}");
        assert_eq!(picture_bytes(GROUP), GROUP_BYTES * 4 / GROUP as usize);
    }
}
