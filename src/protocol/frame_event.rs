//! What a reader of frames hands on, and how a peer can break the WebSocket protocol.

use super::CloseCode;

/// A whole message or control frame that arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameEvent<'a> {
    /// A text message, all fragments together.
    Text(&'a str),
    /// A binary message, all fragments together, from a peer that may send them.
    Binary(&'a [u8]),
    /// A ping, to be answered with its payload.
    Ping(&'a [u8]),
    /// An answer to a ping, asked for or not, and what it carries.
    Pong(&'a [u8]),
    /// The peer's last frame, with the code it gave. What follows is not read.
    Close(Option<u16>),
}

impl FrameEvent<'_> {
    /// Bytes of its message, once decompressed.
    pub fn bytes(&self) -> usize {
        match self {
            FrameEvent::Text(text) => text.len(),
            FrameEvent::Binary(payload) | FrameEvent::Ping(payload) => payload.len(),
            FrameEvent::Pong(_) | FrameEvent::Close(_) => 0,
        }
    }
}

/// How the peer broke the WebSocket protocol; the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Close code 1002.
    #[error("WebSocket protocol error: frames from a client must be masked")]
    Unmasked,
    /// Close code 1002. No extension was negotiated.
    #[error("WebSocket protocol error: reserved bits are set")]
    ReservedBits,
    /// Close code 1002.
    #[error("WebSocket protocol error: unknown opcode {0}")]
    UnknownOpcode(u8),
    /// Close code 1002.
    #[error("WebSocket protocol error: a control frame must be whole and hold at most 125 bytes")]
    BadControlFrame,
    /// Close code 1002.
    #[error("WebSocket protocol error: a message began before the last one ended")]
    Interleaved,
    /// Close code 1002.
    #[error("WebSocket protocol error: a continuation without a beginning")]
    NothingToContinue,
    /// Close code 1002.
    #[error("WebSocket protocol error: a close frame must hold nothing, or a code that an endpoint may send")]
    BadClose,
    /// Close code 1003.
    #[error("Binary messages are not part of the protocol, send text or connect with binary=1")]
    Binary,
    /// Close code 1007.
    #[error("The compressed message is damaged")]
    DamagedCompression,
    /// Close code 1007.
    #[error("Text messages must be UTF-8")]
    NotUtf8,
    /// Close code 1009.
    #[error("Message too big: at most {limit} bytes are allowed, got {bytes} or more")]
    TooBig {
        /// The limit, in bytes.
        limit: usize,
        /// What was announced so far.
        bytes: u64,
    },
}

impl FrameError {
    /// The code that a connection is ended with whose peer broke the protocol in this way.
    pub fn close_code(self) -> CloseCode {
        match self {
            FrameError::Unmasked
            | FrameError::ReservedBits
            | FrameError::UnknownOpcode(_)
            | FrameError::BadControlFrame
            | FrameError::Interleaved
            | FrameError::NothingToContinue
            | FrameError::BadClose => CloseCode::ProtocolError,
            FrameError::Binary => CloseCode::UnsupportedData,
            FrameError::NotUtf8 | FrameError::DamagedCompression => CloseCode::InvalidUtf8,
            FrameError::TooBig { .. } => CloseCode::MessageTooBig,
        }
    }
}

/// What a reader is to do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterEvent {
    /// The next event.
    GoOn,
    /// Nothing for now: what has been read and not handed on is kept for the next `FrameReader::feed`.
    Pause,
    /// Nothing any more.
    Stop,
}

impl From<bool> for AfterEvent {
    fn from(go_on: bool) -> Self {
        if go_on { AfterEvent::GoOn } else { AfterEvent::Stop }
    }
}
