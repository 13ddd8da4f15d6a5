//! How fast messages of a track come, and its key frames: noted where a key frame or a piece of sound has come, and reckoned
//! only for whoever asks.

use std::time::{Duration, Instant};

/// What is reckoned of pictures is reckoned over no longer than this.
const RECKONED_OVER: Duration = Duration::from_secs(5);

/// In less time too little comes to be reckoned by.
const LEAST_RECKONED: Duration = Duration::from_secs(1);

/// How fast messages come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FramePace {
    /// Messages each second.
    pub(crate) frames: f64,
    /// Bytes each second.
    pub(crate) bytes: f64,
}

/// The key frames of a sequence of pictures.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyTimes {
    last: Option<Instant>,
    /// How long before the last one the one before it came.
    interval: Option<Duration>,
    before: GroupBefore,
}

/// What came before the last key frame and since the one before it, in the last seconds of that.
#[derive(Clone, Copy, Debug, Default)]
struct GroupBefore {
    over: Duration,
    /// None of them if they are not known.
    frames: usize,
    bytes: usize,
}

/// Pieces of sound of late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SoundPace {
    since: Option<Instant>,
    pieces: usize,
    bytes: usize,
    before: Option<FramePace>,
}

impl FramePace {
    fn of(frames: usize, bytes: usize, time: Duration) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "counts of seconds are small")]
        let per_second = |count: usize| count as f64 / time.as_secs_f64().max(0.001);
        FramePace { frames: per_second(frames), bytes: per_second(bytes) }
    }
}

impl KeyTimes {
    /// A key frame has come. These came since the one before, and that, the newest first; none if not all are known.
    pub(super) fn came(&mut self, frames: impl Iterator<Item = (Instant, usize)>, now: Instant) {
        let Some(last) = self.last.replace(now) else { return };
        let lasted = now.saturating_duration_since(last);
        let over = lasted.min(RECKONED_OVER);
        let (frames, bytes) = sum_of_recent(frames, over, now);
        (self.interval, self.before) = (Some(lasted), GroupBefore { over, frames, bytes });
    }

    /// How long ago the last one came.
    pub(super) fn last_ago(&self, now: Instant) -> Option<Duration> {
        self.last.map(|last| now.saturating_duration_since(last))
    }

    /// How long after the one before the last one came.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// How fast frames come, by those since the last key frame, and that: when each came, and its bytes, the newest first. Where
    /// that is too short a time, those before it count as well.
    pub(super) fn pace(
        &self,
        frames: impl Iterator<Item = (Instant, usize)>,
        now: Instant,
    ) -> Option<FramePace> {
        let last_ago = self.last_ago(now)?;
        let over = last_ago.min(RECKONED_OVER);
        let (count, bytes) = sum_of_recent(frames, over, now);
        let before = self.before;
        if count == 0 {
            None
        } else if over >= LEAST_RECKONED {
            Some(FramePace::of(count, bytes, over))
        } else {
            let is_known = before.frames > 0;
            is_known.then(|| FramePace::of(before.frames + count, before.bytes + bytes, before.over + over))
        }
    }
}

/// How many frames have come within this time, of those that are given newest first, and their bytes.
fn sum_of_recent(
    frames: impl Iterator<Item = (Instant, usize)>,
    over: Duration,
    now: Instant,
) -> (usize, usize) {
    let recent = frames.take_while(|(at, _)| now.saturating_duration_since(*at) <= over);
    recent.fold((0, 0), |(count, sum), (_, bytes)| (count + 1, sum + bytes))
}

impl SoundPace {
    /// A piece of so many bytes has come.
    pub(super) fn came(&mut self, bytes: usize, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let lasted = now.saturating_duration_since(since);
        if lasted >= LEAST_RECKONED {
            let before = Some(FramePace::of(self.pieces, self.bytes, lasted));
            *self = SoundPace { since: Some(now), pieces: 0, bytes: 0, before };
        }
        self.pieces += 1;
        self.bytes += bytes;
    }

    /// How fast they come.
    pub(super) fn pace(&self) -> Option<FramePace> {
        self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_that_of_the_last_seconds_or_of_the_group_before() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut keys = KeyTimes::default();
        let frames = |from: u64, until: u64| (from..until).rev().map(move |n| (at(n * 100), 1_000));
        assert_eq!(
            (keys.last_ago(at(0)), keys.interval(), keys.pace(frames(0, 0), at(0))),
            (None, None, None)
        );
        keys.came(frames(0, 0), at(0));
        assert_eq!(keys.pace(frames(0, 5), at(500)), None, "too little has come");
        let pace = keys.pace(frames(0, 20), at(2_000)).unwrap();
        assert_eq!((pace.frames.round(), pace.bytes.round()), (10.0, 10_000.0));
        keys.came(frames(0, 20), at(2_000));
        assert_eq!(
            (keys.interval(), keys.last_ago(at(2_100))),
            (Some(at(2_000) - start), Some(at(100) - start))
        );
        let pace = keys.pace(frames(20, 22), at(2_200)).unwrap();
        assert_eq!((pace.frames.round(), pace.bytes.round()), (10.0, 10_000.0));
        keys.came(frames(0, 0), at(4_000));
        assert_eq!(keys.pace(frames(40, 42), at(4_200)), None, "what came before is not known");
        assert_eq!(keys.interval(), Some(at(2_000) - start), "but when");
        // Of a group that lasts for long the last seconds count.
        let slower = (0..50).rev().map(|n| (at(4_000 + n * 1_000), 10));
        let pace = keys.pace(slower, at(54_000)).unwrap();
        assert_eq!((pace.frames, pace.bytes), (1.0, 10.0));
        // Nor does it count as a whole when the next key frame has come, or as one with a pause in it.
        let quick = (0..600).rev().map(|n| (at(4_000 + if n < 400 { 0 } else { 45_000 } + n * 10), 1_000));
        keys.came(quick, at(55_000));
        let pace = keys.pace(std::iter::once((at(55_000), 1_000)), at(55_000)).unwrap();
        assert!((pace.frames - 40.0).abs() < 1.0, "{pace:?}");
        keys.came(std::iter::once((at(55_000), 1_000)), at(115_000));
        assert_eq!(keys.pace(std::iter::once((at(115_000), 1_000)), at(115_100)), None, "it has paused");
        assert_eq!(keys.interval(), Some(Duration::from_secs(60)));
    }

    #[test]
    fn sound_is_reckoned_by_the_second() {
        let start = Instant::now();
        let mut sound = SoundPace::default();
        for n in 0..200_u32 {
            assert_eq!(sound.pace().is_some(), n > 50, "{n}");
            sound.came(80, start + Duration::from_millis(20) * n);
        }
        let pace = sound.pace().unwrap();
        assert_eq!((pace.frames.round(), pace.bytes.round()), (50.0, 4_000.0));
    }
}
