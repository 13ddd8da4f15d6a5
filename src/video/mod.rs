//! Video channels: what the broker keeps of their tracks, who holds these, and what a viewer is sent of them.
//!
//! It knows a message of a track by what that says of itself, never by what is in it. It is pure: whoever calls it says what
//! time it is, and sends what it hands back.

mod claim;
mod config;
mod doubt;
mod figures;
mod holder;
mod message_queue;
mod pace;
mod playback;
mod positions;
mod quality;
mod sequence;
#[cfg(test)]
mod tests;
mod to_filmer;
mod tracks;
mod viewer;
mod webm;
mod wishes;

pub(crate) use claim::{FilmingClaim, TrackMoves};
pub use config::VideoConfig;
pub(crate) use figures::{
    LATENESS_BANDS, RenditionFigures, TrackFigures, ViewerLag, ViewerState, ViewersSeen,
};
pub(crate) use holder::{Filmer, HeldBy, OtherNode};
pub(crate) use pace::FramePace;
pub(crate) use playback::{Beginning, KeyframeWish};
pub(crate) use to_filmer::{KeyframesWanted, ToFilmer};
pub(crate) use tracks::{ChannelTracks, NotTaken, TakenMessage, TakingTerms, TrackRoom};
pub(crate) use viewer::{ForViewer, FrameFates, Viewer};
pub(crate) use webm::{WebmEnd, WebmPictures, WebmSound, WebmTracks, WebmWriter};
pub(crate) use wishes::InvalidWish;
pub(crate) use wishes::{TrackRequest, TrackWish};
