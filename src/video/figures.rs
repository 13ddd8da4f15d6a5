//! What there is of the tracks of a channel and of its viewers, for whoever looks.

use std::sync::Arc;
use std::time::Duration;

use crate::protocol::{Frame, Rendition, SocketId, TrackKind, TrackName};

use super::holder::HeldBy;
use super::pace::FramePace;

/// Viewers that are named: those who are sent what they see latest.
const MOST_NAMED: usize = 20;

/// How late those are at the most who are counted together, each band behind the one before. Behind the last there is one more.
pub(crate) const LATENESS_BANDS: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1000),
];

/// One track.
#[derive(Clone, Debug)]
pub(crate) struct TrackFigures {
    pub(crate) name: Arc<TrackName>,
    pub(crate) kind: TrackKind,
    pub(crate) holder: HolderFigures,
    /// Those of which something has come.
    pub(crate) renditions: Vec<RenditionFigures>,
    /// Bytes that it counts as.
    pub(crate) bytes: usize,
}

/// Who holds a track.
#[derive(Clone, Debug)]
pub(crate) struct HolderFigures {
    pub(crate) place: HeldBy,
    pub(crate) user_id: Option<Arc<str>>,
    /// For how long.
    pub(crate) since: Duration,
}

/// One of a track's sequences.
#[derive(Clone, Debug)]
pub(crate) struct RenditionFigures {
    pub(crate) rendition: Rendition,
    /// Something has come lately.
    pub(crate) is_alive: bool,
    /// How long ago the newest message came, and which one that was.
    pub(crate) newest_ago: Duration,
    pub(crate) sequence: u64,
    /// How long ago the last key frame came, and how long that was after the one before.
    pub(crate) key_ago: Option<Duration>,
    pub(crate) key_interval: Option<Duration>,
    /// How fast messages come, once that is known.
    pub(crate) pace: Option<FramePace>,
    /// What is kept for those who join: messages, and the bytes that they count as.
    pub(crate) kept: (usize, usize),
    /// A message that has the decoder's configuration with it, if one is kept.
    pub(crate) key: Option<Frame>,
}

/// What a viewer sees of a channel's pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ViewerState {
    /// A track in the full rendition.
    Full,
    /// The small rendition, and no track in the full one.
    Small,
    /// Nothing until the next key frame.
    Waiting,
    /// It does not want frames.
    Still,
}

/// How late one viewer is sent what it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ViewerLag {
    pub(crate) late: Duration,
    /// Bytes that wait for it, of whichever channel.
    pub(crate) waiting_bytes: usize,
    pub(crate) state: ViewerState,
}

/// The viewers of a channel, as far as they have been looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct ViewersSeen {
    /// Subscribers who are sent no frames: they take none, or none has come.
    pub(crate) without: usize,
    /// By how late they are: in the order of [`LATENESS_BANDS`], and behind the last.
    pub(crate) bands: [usize; LATENESS_BANDS.len() + 1],
    /// By what they see, in the order of [`ViewerState::ALL`].
    pub(crate) states: [usize; ViewerState::ALL.len()],
    /// Those who are latest, the latest first.
    pub(crate) latest: Vec<(SocketId, ViewerLag)>,
}

impl ViewerState {
    /// All of them.
    pub(crate) const ALL: [ViewerState; 4] =
        [ViewerState::Full, ViewerState::Small, ViewerState::Waiting, ViewerState::Still];

    /// What it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            ViewerState::Full => "full",
            ViewerState::Small => "small",
            ViewerState::Waiting => "waiting",
            ViewerState::Still => "still",
        }
    }
}

impl ViewersSeen {
    /// One subscriber more.
    pub(crate) fn add(&mut self, socket: SocketId, lag: Option<ViewerLag>) {
        let Some(lag) = lag else {
            self.without += 1;
            return;
        };
        self.bands[LATENESS_BANDS.partition_point(|most| *most < lag.late)] += 1;
        self.states[lag.state as usize] += 1;
        let at = self.latest.partition_point(|(_, other)| other.late >= lag.late);
        if at < MOST_NAMED {
            self.latest.truncate(MOST_NAMED - 1);
            self.latest.insert(at, (socket, lag));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_named_and_all_are_counted() {
        let mut seen = ViewersSeen::default();
        for n in 0..100_u32 {
            let late = Duration::from_millis(u64::from(n * 37 % 100) * 12);
            let state = ViewerState::ALL[n as usize % 4];
            seen.add(SocketId::new(1, n), Some(ViewerLag { late, waiting_bytes: 0, state }));
        }
        seen.add(SocketId::new(2, 1), None);
        assert_eq!((seen.without, seen.states), (1, [25; 4]));
        assert_eq!(seen.bands, [5, 4, 12, 21, 42, 16]);
        let latest = seen.latest.iter().map(|(_, lag)| lag.late.as_millis() / 12).collect::<Vec<_>>();
        assert_eq!(latest, (80..100).rev().collect::<Vec<_>>());
    }
}
