//! When what of a WebM is to be shown: milliseconds from its beginning that never run backwards, made of a publisher's
//! timestamps, which may.

use crate::protocol::TrackKind;

/// A step of a publisher's clock that is larger is none of what it films: it was away, or is another one.
const LONGEST_STEP: i64 = 5_000_000;

/// How far a publisher's clock may run back without being another one.
const JITTER: i64 = 200_000;

/// Between what another clock begins with and what was before it.
const STEP: i64 = 10_000;

/// Places of pictures and sound.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    /// By how much each publisher's clock differs from ours, in microseconds: pictures, and sound.
    offsets: [Option<i64>; 2],
    /// The latest place of each.
    last: [Option<i64>; 2],
}

impl Timeline {
    /// Where something with this timestamp belongs, in milliseconds; none if it is before the beginning, which the first
    /// picture is.
    pub(super) fn place(&mut self, kind: TrackKind, timestamp: i64) -> Option<u64> {
        let at = kind as usize;
        let newest = self.last.into_iter().flatten().max();
        let Some(newest) = newest else {
            if kind == TrackKind::Sound {
                return None;
            }
            self.offsets[at] = Some(-timestamp);
            self.last[at] = Some(0);
            return Some(0);
        };
        // Pictures and their sound are of one clock, so where one has begun anew the other does so there.
        let known = [self.offsets[at], self.offsets[1 - at]].into_iter().flatten();
        let is_near = |offset: &i64| {
            let place = timestamp + offset;
            (place - newest).abs() <= LONGEST_STEP && self.last[at].is_none_or(|last| place >= last - JITTER)
        };
        let offset = known.into_iter().find(is_near).unwrap_or(newest + STEP - timestamp);
        self.offsets[at] = Some(offset);
        let place = timestamp + offset;
        let place = self.last[at].map_or(place, |last| place.max(last));
        // Sound alone may be from before the beginning.
        let ms = u64::try_from(place).ok()? / 1000;
        self.last[at] = Some(place);
        Some(ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TrackKind::{Pictures, Sound};

    fn ms(timeline: &mut Timeline, kind: TrackKind, timestamp: i64) -> Option<u64> {
        timeline.place(kind, timestamp * 1000)
    }

    #[test]
    fn pictures_and_their_sound_are_of_one_clock() {
        let mut timeline = Timeline::default();
        assert_eq!(ms(&mut timeline, Sound, 900), None, "before the first picture");
        assert_eq!(ms(&mut timeline, Pictures, 1000), Some(0));
        assert_eq!(ms(&mut timeline, Sound, 980), None);
        assert_eq!(ms(&mut timeline, Sound, 1020), Some(20));
        assert_eq!(ms(&mut timeline, Pictures, 1033), Some(33));
        assert_eq!(ms(&mut timeline, Pictures, 1030), Some(33), "never backwards");
        assert_eq!(ms(&mut timeline, Pictures, 5000), Some(4000), "a gap is one");
    }

    #[test]
    fn no_picture_behind_the_first_is_before_the_beginning() {
        let mut timeline = Timeline::default();
        let places = [1000, 950, 980, 1033].map(|at| ms(&mut timeline, Pictures, at));
        assert_eq!(places, [Some(0), Some(0), Some(0), Some(33)]);
    }

    #[test]
    fn who_was_away_goes_on_where_it_was() {
        let mut timeline = Timeline::default();
        ms(&mut timeline, Pictures, 0);
        ms(&mut timeline, Sound, 40);
        // Another clock: the sound comes first, and the pictures are in step with it.
        assert_eq!(ms(&mut timeline, Sound, 100_000), Some(50));
        assert_eq!(ms(&mut timeline, Pictures, 100_020), Some(70));
        assert_eq!(ms(&mut timeline, Pictures, 100_053), Some(103));
        // It begins anew from 0.
        assert_eq!(ms(&mut timeline, Pictures, 3), Some(113));
        assert_eq!(ms(&mut timeline, Sound, 13), Some(123));
        assert_eq!(ms(&mut timeline, Pictures, 36), Some(146));
    }

    #[test]
    fn no_clock_makes_it_run_backwards() {
        const MOST: i64 = (1 << 53) - 1;
        let mut timeline = Timeline::default();
        let mut last = [0; 2];
        let mut seed = 7_u64;
        for n in 0..10_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let kind = if seed >> 33 & 1 == 0 { Pictures } else { Sound };
            let timestamp = match seed >> 40 & 7 {
                0 => MOST,
                1 => -MOST,
                2 => (seed >> 20) as i64 % MOST,
                _ => n * 10_000,
            };
            if let Some(place) = timeline.place(kind, timestamp) {
                assert!(place >= last[kind as usize], "{place} behind {last:?}");
                last[kind as usize] = place;
            }
        }
    }
}
