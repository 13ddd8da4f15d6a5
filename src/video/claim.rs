//! That a client of one node films a track, as the nodes of a broker tell each other: who has begun, and who has done so for longer.

use crate::protocol::{ChannelName, TrackKind};

use super::wishes::TrackRequest;

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
}
