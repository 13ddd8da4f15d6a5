//! Reads and writes the Pusher protocol, as values. It knows no sockets, no clock and no state.
//!
//! Names, ids and versions are parsed once, here; past that they are right by type.

mod binary;
mod broadcast;
mod channel_name;
pub mod client_message;
mod close_code;
pub mod deflate;
pub mod event_name;
mod frame;
mod frame_event;
pub mod frame_reader;
pub mod json;
pub mod pattern;
mod positioned;
pub mod quoted;
mod rewind;
pub mod server_message;
mod socket_id;
mod track_message;
mod version;

pub use binary::{BinaryMessage, BinaryPayload, DATA_URL, InvalidBinary};
pub use broadcast::{Audience, Broadcast, Form, LatestKey, SpecialDelivery};
pub use channel_name::{ChannelName, ChannelType, InvalidChannelName, SERVER_TO_USER_PREFIX};
pub use close_code::{CloseCode, CloseStatus, ErrorCode, Reconnection};
pub use frame::Frame;
pub use rewind::{BadRewind, Rewind};
pub use socket_id::{
    InvalidSocketId, SocketId, SocketIdHash, SocketIdHasher, SocketIdMap, SocketIdSet, SocketTag,
    WrittenSocketId,
};
pub use track_message::{InvalidTrackMessage, Rendition, TrackFrame, TrackKind, TrackMessage, TrackName};
pub(crate) use track_message::{TRACK_NAME_BYTES, without_publisher};
pub use version::{Negotiated, ProtocolVersion, VersionError, WithoutVersion};

/// A name that came from outside, as far as it helps in a message.
pub fn quote(name: &str) -> std::borrow::Cow<'_, str> {
    const QUOTED_CHARS: usize = 200;
    shorten(name, QUOTED_CHARS)
}

/// The beginning of a text, with an ellipsis where something was cut.
fn shorten(text: &str, chars: usize) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}
