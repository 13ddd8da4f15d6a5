//! Pings behind pictures: how long they take to come back says how late pictures arrive, wherever on the way they wait.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::playback::LATE;

/// The least time between two pings.
const APART: Duration = Duration::from_millis(250);

/// Pings that have not come back. There are no further ones until one has.
const MOST: usize = 32;

/// What the number of a ping stands behind, so that it is none of another kind.
const PREFIX: &str = "v";

/// No line is longer: what takes longer has waited. While no ping has come back, this is what it may take.
const LONGEST_LINE: Duration = Duration::from_secs(1);

/// Whoever has returned none for so long returns none.
const RETURNS_NONE_AFTER: Duration = Duration::from_secs(10);

/// Between two pings that come back in less time nobody can say how much the line takes, the first time that it is measured.
const FIRST_MEASURE: Duration = Duration::from_millis(20);

/// The same later: one ping that comes late among others says little of it.
const MEASURE: Duration = Duration::from_millis(700);

/// So much is sent at once: that less of it has arrived says little of the line.
const LEAST_MEASURED: u64 = 16 * 1024;

/// The pings of one viewer.
#[derive(Clone, Debug, Default)]
pub(super) struct Positions {
    last: u64,
    /// When the last one was sent that is behind pictures.
    last_at: Option<Instant>,
    /// Those that have not come back, the oldest first.
    away: VecDeque<PingAway>,
    /// The shortest time that one has taken.
    shortest: Option<Duration>,
    /// The time that the last one has taken that came back.
    latest: Duration,
    /// None is sent: nobody would return it.
    is_mute: bool,
    /// Pictures were sent since the last one.
    is_wanted: bool,
    /// Bytes of pictures that were sent.
    sent: u64,
    arrived: ArrivedBytes,
}

/// A ping that has not come back.
#[derive(Clone, Copy, Debug)]
struct PingAway {
    number: u64,
    sent_at: Instant,
    /// Bytes of pictures that were sent before it.
    behind: u64,
}

/// What is known to have arrived.
#[derive(Clone, Copy, Debug, Default)]
struct ArrivedBytes {
    /// Bytes of pictures, and when that was heard.
    last: Option<(u64, Instant)>,
    /// The same of the ping from which on the pace is measured next.
    measured: Option<(u64, Instant)>,
    /// Bytes that the line took in a second, when it was measured last.
    pace: Option<u64>,
}

impl Positions {
    /// A picture of so many bytes is sent.
    pub(super) fn picture_sent(&mut self, bytes: usize, now: Instant) {
        if self.away.is_empty() && self.arrived.stands_idle(self.sent, self.line(), now) {
            // What was late before says nothing of this.
            self.latest = Duration::ZERO;
        }
        self.is_wanted = true;
        self.sent += bytes as u64;
    }

    /// Nobody returns pings: there are none.
    pub(super) fn be_mute(&mut self) {
        self.is_mute = true;
    }

    /// The payload of the ping that goes before the first picture: the time that it takes is the line's own.
    pub(super) fn first_ping(&mut self, now: Instant) -> Option<String> {
        (self.last == 0 && !self.is_mute).then(|| self.send(now))
    }

    /// The payload of the ping that is to be sent now, if one is.
    pub(super) fn ping(&mut self, now: Instant) -> Option<String> {
        let is_due = self.is_wanted && !self.is_mute && self.last_at.is_none_or(|at| at + APART <= now);
        if !is_due || self.away.len() >= MOST {
            return None;
        }
        (self.last_at, self.is_wanted) = (Some(now), false);
        Some(self.send(now))
    }

    fn send(&mut self, now: Instant) -> String {
        self.last += 1;
        self.away.push_back(PingAway { number: self.last, sent_at: now, behind: self.sent });
        format!("{PREFIX}{}", self.last)
    }

    /// A pong has come with this payload. What is none of ours, or has come back before, says nothing.
    pub(super) fn echoed(&mut self, payload: &[u8], now: Instant) {
        let number =
            std::str::from_utf8(payload).ok().and_then(|text| text.strip_prefix(PREFIX)?.parse().ok());
        let Some(at) = number.and_then(|number: u64| self.away.iter().position(|ping| ping.number == number))
        else {
            return;
        };
        // Whoever returns one has had those before it.
        let Some(ping) = self.away.drain(..=at).next_back() else { return };
        let took = now.saturating_duration_since(ping.sent_at);
        self.latest = took;
        self.shortest = Some(self.shortest.map_or(took, |shortest| shortest.min(took)));
        self.arrived.heard(ping.behind, now);
    }

    /// How late what is sent arrives, as far as it is known. Where nothing has ever come back, little is.
    pub(super) fn behind(&self, now: Instant) -> Duration {
        let Some(oldest) = self.away.front() else { return Duration::ZERO };
        let waits = now.saturating_duration_since(oldest.sent_at);
        if self.shortest.is_none() {
            return if waits > RETURNS_NONE_AFTER {
                Duration::ZERO
            } else {
                waits.saturating_sub(LONGEST_LINE)
            };
        }
        let line = self.line();
        let late = waits.max(self.latest).saturating_sub(line);
        if late <= LATE {
            return late;
        }
        // Something waits on the way. How long that will take is known before the pings behind it are back.
        late.max(self.arrived.will_take(self.sent, oldest, line, now).saturating_sub(line))
    }

    /// How long the line itself is, as far as it is known.
    fn line(&self) -> Duration {
        self.shortest.unwrap_or_default().min(LONGEST_LINE)
    }
}

impl ArrivedBytes {
    /// So many bytes have arrived.
    fn heard(&mut self, bytes: u64, now: Instant) {
        self.last = Some((bytes, now));
        let Some((before, at)) = self.measured else {
            self.measured = self.last;
            return;
        };
        let took = now.saturating_duration_since(at);
        if took >= if self.pace.is_none() { FIRST_MEASURE } else { MEASURE } {
            self.pace = Some(per_second(bytes.saturating_sub(before), took));
            self.measured = self.last;
        }
    }

    /// So many bytes were sent, and no ping behind them is away. Where all of them must have arrived by now, the line stands idle
    /// until now: what is sent next is not to be reckoned from the last pong on.
    fn stands_idle(&mut self, sent: u64, line: Duration, now: Instant) -> bool {
        let Some((arrived, at)) = self.last else { return false };
        let all_at =
            at + self.pace.map_or(Duration::ZERO, |pace| time_for(sent.saturating_sub(arrived), pace));
        if all_at <= now {
            self.last = Some((sent, now + line));
        }
        all_at <= now
    }

    /// How long it will take until all that was sent has arrived, if the line takes what it took last, and no more than it can have
    /// taken as the oldest ping is still away.
    fn will_take(&self, sent: u64, oldest: &PingAway, line: Duration, now: Instant) -> Duration {
        let Some((arrived, heard)) = self.last else { return Duration::ZERO };
        let since = heard.max(oldest.sent_at + line);
        let away = oldest.behind.saturating_sub(arrived).max(LEAST_MEASURED);
        let most = per_second(away, now.saturating_duration_since(since));
        let (at, pace) = self.pace.map_or((since, most), |pace| (heard, pace.min(most)));
        (at + time_for(sent.saturating_sub(arrived), pace)).saturating_duration_since(now)
    }
}

/// How long so many bytes take at so many each second.
fn time_for(bytes: u64, pace: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000) / pace.max(1)).min(RETURNS_NONE_AFTER)
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    let per_second = u128::from(bytes) * 1_000_000 / time.as_micros().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_returns_none_is_sent_none_and_is_never_late_for_it() {
        let start = Instant::now();
        let mut positions = Positions::default();
        positions.be_mute();
        assert_eq!(positions.first_ping(start), None);
        positions.picture_sent(1000, start);
        assert_eq!(positions.ping(start + APART), None);
        assert_eq!(positions.behind(start + Duration::from_secs(5)), Duration::ZERO);
    }

    #[test]
    fn late_is_what_takes_longer_than_the_shortest_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut positions = Positions::default();
        assert_eq!(positions.ping(at(0)), None, "nothing was sent");
        positions.picture_sent(10_000, at(0));
        assert_eq!(positions.ping(at(0)).as_deref(), Some("v1"));
        positions.picture_sent(10_000, at(0));
        assert_eq!(positions.ping(at(249)), None);
        assert_eq!(positions.behind(at(1_000)), Duration::ZERO, "no line is longer");
        assert_eq!(positions.behind(at(1_600)), Duration::from_millis(600), "none has come back");
        assert_eq!(positions.behind(at(10_001)), Duration::ZERO, "none ever will");
        positions.echoed(b"v1", at(80));
        assert_eq!(positions.ping(at(250)).as_deref(), Some("v2"));
        assert_eq!(positions.behind(at(300)), Duration::ZERO);
        assert_eq!(positions.behind(at(930)), Duration::from_millis(600));
        positions.picture_sent(1, at(500));
        assert_eq!(positions.ping(at(500)).as_deref(), Some("v3"));
        for forged in [&b"v9"[..], b"v1", b"v", b"h3h", b"\xff"] {
            positions.echoed(forged, at(510));
        }
        positions.echoed(b"v2", at(930));
        assert_eq!(
            positions.behind(at(931)),
            Duration::from_millis(600),
            "as late as the last that has come"
        );
        positions.echoed(b"v3", at(1000));
        assert_eq!(positions.behind(at(2000)), Duration::ZERO, "nothing is on its way");
    }

    #[test]
    fn the_first_ping_goes_before_the_first_picture_and_no_line_is_longer_than_a_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut positions = Positions::default();
        assert_eq!(positions.first_ping(at(0)).as_deref(), Some("v1"));
        assert_eq!(positions.first_ping(at(0)), None);
        positions.picture_sent(100_000, at(0));
        assert_eq!(positions.ping(at(0)).as_deref(), Some("v2"));
        positions.echoed(b"v1", at(80));
        positions.picture_sent(1, at(1_500));
        positions.ping(at(1_500));
        positions.echoed(b"v2", at(1_600));
        assert_eq!(positions.behind(at(1_700)), Duration::from_millis(1_520), "the line is 80 ms long");
        let mut positions = Positions::default();
        positions.first_ping(at(0));
        positions.picture_sent(1, at(1_500));
        positions.ping(at(1_500));
        positions.echoed(b"v1", at(1_600));
        assert_eq!(positions.behind(at(1_600)), Duration::from_millis(600), "other things were before it");
    }

    #[test]
    fn what_waits_on_the_way_is_known_by_the_pace_of_the_line() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut positions = Positions::default();
        positions.first_ping(at(0));
        positions.picture_sent(50_000, at(0));
        positions.ping(at(0));
        positions.echoed(b"v1", at(100));
        positions.picture_sent(100_000, at(250));
        positions.ping(at(250));
        positions.echoed(b"v2", at(600));
        // 50,000 bytes took half a second; those that are on their way take a whole one.
        assert_eq!(positions.behind(at(600)), Duration::from_millis(900));
        assert_eq!(positions.behind(at(1_000)), Duration::from_millis(650), "by the ping behind them");
    }

    #[test]
    fn a_line_that_was_never_measured_takes_no_more_than_what_is_away() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut positions = Positions::default();
        positions.first_ping(at(0));
        positions.picture_sent(24_000, at(0));
        positions.ping(at(0));
        positions.echoed(b"v1", at(10));
        positions.picture_sent(48_000, at(200));
        assert_eq!(positions.behind(at(260)), Duration::from_millis(250), "nothing is reckoned yet");
        // In 300 ms it has not taken 24,000 bytes: for 72,000 it needs 900 at least, of which the line itself is 10.
        let behind = positions.behind(at(310));
        assert!(behind.abs_diff(Duration::from_millis(590)) < Duration::from_millis(2), "{behind:?}");
        // What came thereafter to a line that stood idle is not reckoned from the last pong on.
        positions.echoed(b"v2", at(610));
        positions.picture_sent(40_000, at(5_000));
        positions.ping(at(5_000));
        let behind = positions.behind(at(5_300));
        assert!(behind.abs_diff(Duration::from_millis(700)) < Duration::from_millis(2), "{behind:?}");
    }

    #[test]
    fn a_line_that_becomes_a_quarter_of_a_second_longer_is_no_weak_one() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut positions = Positions::default();
        positions.first_ping(at(0));
        let mut pongs = VecDeque::from([(80, 1)]);
        for step in 0..200 {
            let ms = step * 10;
            positions.picture_sent(2_500, at(ms));
            if positions.ping(at(ms)).is_some() {
                pongs.push_back((ms + if ms < 1_000 { 80 } else { 340 }, positions.last));
            }
            while pongs.front().is_some_and(|(back, _)| *back <= ms) {
                let (_, number) = pongs.pop_front().unwrap();
                positions.echoed(format!("v{number}").as_bytes(), at(ms));
            }
            let behind = positions.behind(at(ms));
            assert!(behind < Duration::from_millis(500), "{behind:?} at {ms} ms");
        }
    }

    #[test]
    fn few_pings_are_on_their_way() {
        let start = Instant::now();
        let mut positions = Positions::default();
        let sent = (0..100).filter(|n| {
            positions.picture_sent(1, start + APART * *n);
            positions.ping(start + APART * *n).is_some()
        });
        assert_eq!(sent.count(), MOST);
        positions.echoed(b"v32", start + APART * 100);
        assert!(positions.ping(start + APART * 101).is_some());
    }
}
