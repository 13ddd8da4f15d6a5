//! Whether a viewer's line takes the full rendition: it is moved down when it is late, and up again when it has not been for
//! long enough.

use std::time::{Duration, Instant};

use super::playback::{LATE, VERY_LATE};

/// How long a line must have been in time.
const CALM: Duration = Duration::from_secs(10);

/// The same for one that has been moved up in vain over and over again.
const LONGEST_CALM: Duration = Duration::from_secs(120);

/// Who is moved down so soon after it was moved up was moved up in vain.
const IN_VAIN: Duration = Duration::from_secs(60);

/// The quality that a line takes.
#[derive(Clone, Debug, Default)]
pub(super) struct LineQuality {
    is_low: bool,
    /// Since when it has been in time.
    calm_since: Option<Instant>,
    calm: Duration,
    raised_at: Option<Instant>,
}

/// What has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QualityChange {
    Down,
    Up,
}

impl LineQuality {
    /// Whether it is to be sent the small rendition.
    pub(super) fn is_low(&self) -> bool {
        self.is_low
    }

    /// It is so far behind.
    pub(super) fn judge(&mut self, behind: Duration, now: Instant) -> Option<QualityChange> {
        if behind > VERY_LATE && !self.is_low {
            let in_vain = self.raised_at.is_some_and(|at| at + IN_VAIN > now);
            self.calm = if in_vain { (self.calm * 2).min(LONGEST_CALM) } else { CALM };
            (self.is_low, self.calm_since) = (true, None);
            return Some(QualityChange::Down);
        }
        if !self.is_low {
            return None;
        }
        if behind > LATE {
            self.calm_since = None;
            return None;
        }
        if *self.calm_since.get_or_insert(now) + self.calm > now {
            return None;
        }
        (self.is_low, self.raised_at) = (false, Some(now));
        Some(QualityChange::Up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_up_after_ten_seconds_in_time_and_later_where_that_was_in_vain() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let (late, in_time) = (Duration::from_millis(501), Duration::from_millis(100));
        let mut quality = LineQuality::default();
        assert_eq!(quality.judge(in_time, at(0)), None);
        assert_eq!(quality.judge(late, at(1)), Some(QualityChange::Down));
        assert_eq!(quality.judge(late, at(2)), None);
        assert_eq!(quality.judge(in_time, at(3)), None);
        assert_eq!(quality.judge(Duration::from_millis(300), at(9)), None, "late again");
        assert_eq!(quality.judge(in_time, at(10)), None);
        assert_eq!(quality.judge(in_time, at(20)), Some(QualityChange::Up));
        assert_eq!(quality.judge(late, at(25)), Some(QualityChange::Down));
        assert_eq!((quality.judge(in_time, at(26)), quality.judge(in_time, at(45))), (None, None));
        assert_eq!(quality.judge(in_time, at(46)), Some(QualityChange::Up), "twice as long");
        assert_eq!(quality.judge(late, at(200)), Some(QualityChange::Down));
        assert_eq!(quality.judge(in_time, at(201)), None);
        assert_eq!(quality.judge(in_time, at(211)), Some(QualityChange::Up), "it was well for long");
    }
}
