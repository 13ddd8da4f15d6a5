//! What one viewer has seen of a film: how late its pictures came, how many, and whether it could decode them.

use std::time::{Duration, Instant};

use crate::wire::mark::Mark;

/// A key frame comes with each of so many.
pub(crate) const GROUP: u32 = 60;

/// Publishers of a film from here on send sound; those below, a rendition each.
const FIRST_SOUND: u32 = 2;

/// The book of one viewer.
#[derive(Clone, Debug)]
pub(crate) struct Viewing {
    begun: Instant,
    /// How long after that the first picture had come.
    pub(crate) first: Option<Duration>,
    /// How late each picture came, and when.
    pub(crate) pictures: Vec<(Instant, Duration)>,
    /// Pictures whose reference it was not sent.
    pub(crate) orphans: u64,
    /// When sound came.
    pub(crate) sounds: Vec<Instant>,
    /// The rendition and the sequence of the last picture.
    last: Option<(u32, u32)>,
}

impl Viewing {
    pub(super) fn new(begun: Instant) -> Self {
        Viewing { begun, first: None, pictures: Vec::new(), orphans: 0, sounds: Vec::new(), last: None }
    }

    pub(super) fn see(&mut self, mark: &Mark, now: Instant, late: Duration) {
        if mark.publisher >= FIRST_SOUND {
            self.sounds.push(now);
            return;
        }
        self.first.get_or_insert(now - self.begun);
        let is_key = mark.sequence.is_multiple_of(GROUP);
        let follows = self.last == mark.sequence.checked_sub(1).map(|before| (mark.publisher, before));
        self.orphans += u64::from(!is_key && !follows);
        self.last = Some((mark.publisher, mark.sequence));
        self.pictures.push((now, late));
    }

    /// Forgets what it has seen so far, but what it needs to judge what comes.
    pub(crate) fn begin_anew(&mut self) {
        self.pictures.clear();
        self.sounds.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_without_its_reference_is_an_orphan() {
        let mut viewing = Viewing::new(Instant::now());
        let mut see = |publisher, sequence| {
            let mark = Mark { publisher, sequence, nanoseconds: 0, payload_bytes: 100 };
            viewing.see(&mark, Instant::now(), Duration::ZERO);
            viewing.orphans
        };
        let orphans = [(0, 60), (0, 61), (0, 63), (1, 120), (1, 121), (0, 122), (2, 7), (0, 180)];
        assert_eq!(orphans.map(|(publisher, sequence)| see(publisher, sequence)), [0, 0, 1, 1, 1, 2, 2, 2]);
        assert_eq!((viewing.pictures.len(), viewing.sounds.len()), (7, 1));
    }
}
