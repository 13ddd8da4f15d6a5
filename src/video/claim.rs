//! That a client of one node films a track, as the nodes of a broker tell each other: who has begun, and who has done so for longer.

use crate::protocol::{ChannelName, TrackKind};

use super::wishes::TrackRequest;

/// How often a track has gone from one connection of its publisher to another: of two that are both said to be the publisher the
/// one with more is the later. It begins anew behind 63, so that of two numbers the one that is less than half of that ahead is more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrackMoves(u8);

impl TrackMoves {
    const NUMBERS: u8 = 64;

    /// The number with these bits, of which six count.
    pub(crate) fn new(bits: u8) -> Self {
        TrackMoves(bits % Self::NUMBERS)
    }

    /// It in six bits.
    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    /// One more.
    pub(super) fn next(self) -> Self {
        TrackMoves::new(self.0 + 1)
    }

    /// Whether it is more than the other.
    pub(super) fn is_ahead_of(self, other: TrackMoves) -> bool {
        let ahead = self.0.wrapping_sub(other.0) % Self::NUMBERS;
        (1..Self::NUMBERS / 2).contains(&ahead)
    }
}

/// A client of one node films a track: the nodes tell each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilmingClaim {
    /// The channel.
    pub(crate) channel: ChannelName,
    /// The track.
    pub(crate) of: TrackRequest,
    pub(crate) kind: TrackKind,
    /// What it calls itself, and the member that it is.
    pub(crate) publisher: Option<Box<str>>,
    pub(crate) user_id: Option<Box<str>>,
    /// It has done so for longer than who is told, who does as well. Else it has just begun.
    pub(crate) is_older: bool,
    /// How often the track has gone to another connection, as far as its node knows.
    pub(crate) moves: TrackMoves,
}
