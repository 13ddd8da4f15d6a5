//! The close codes: one table of code, sentence, and what a client does next.

use std::fmt;

/// Why the broker ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// The client left, or the connection is over in the ordinary way.
    Normal,
    /// The peer broke the WebSocket protocol.
    ProtocolError,
    /// A binary message; the protocol is text.
    UnsupportedData,
    /// A text message that is not UTF-8.
    InvalidUtf8,
    /// A message over the limit.
    MessageTooBig,
    /// The app accepts TLS only.
    TlsOnly,
    /// No app has this key.
    UnknownApp,
    /// The app is switched off.
    AppDisabled,
    /// The app has all the connections it may have.
    OverQuota,
    /// An upgrade on a path that is no endpoint.
    PathNotFound,
    /// The version parameters cannot be understood.
    InvalidVersion,
    /// The version is not served.
    UnsupportedVersion,
    /// No version was given and one is demanded.
    VersionMissing,
    /// The connection may not stay.
    Unauthorized,
    /// The node has no room, or this reader was too slow for what it subscribed to.
    OverCapacity,
    /// Come back at once: shutdown, or a fault of ours.
    Reconnect,
    /// A ping went unanswered.
    PongMissing,
    /// Silent for a day, with no way to be asked.
    Inactive,
}

/// What a client should do after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnection {
    /// Not with the same parameters.
    Never,
    /// After a second or more.
    BackOff,
    /// At once.
    Immediately,
    /// The WebSocket's own codes leave it to the client.
    ClientsChoice,
}

impl CloseCode {
    /// Every code that the broker closes with of its own accord.
    pub const ALL: [CloseCode; 18] = {
        use CloseCode::*;
        [
            Normal,
            ProtocolError,
            UnsupportedData,
            InvalidUtf8,
            MessageTooBig,
            TlsOnly,
            UnknownApp,
            AppDisabled,
            OverQuota,
            PathNotFound,
            InvalidVersion,
            UnsupportedVersion,
            VersionMissing,
            Unauthorized,
            OverCapacity,
            Reconnect,
            PongMissing,
            Inactive,
        ]
    };

    /// The number on the wire, and the sentence that goes with it where no more is known.
    pub const fn row(self) -> (u16, &'static str) {
        match self {
            CloseCode::Normal => (1000, "Connection closed"),
            CloseCode::ProtocolError => (1002, "WebSocket protocol error"),
            CloseCode::UnsupportedData => (1003, "Binary messages are not part of the protocol, send text"),
            CloseCode::InvalidUtf8 => (1007, "Text messages must be UTF-8"),
            CloseCode::MessageTooBig => (1009, "Message too big"),
            CloseCode::TlsOnly => (4000, "This app accepts TLS connections only, use wss"),
            CloseCode::UnknownApp => (4001, "Could not find app"),
            CloseCode::AppDisabled => (4003, "The app is disabled"),
            CloseCode::OverQuota => (4004, "Account over quota"),
            CloseCode::PathNotFound => (4005, "Path not found, expected /app/{key}"),
            CloseCode::InvalidVersion => (4006, "Invalid version"),
            CloseCode::UnsupportedVersion => (4007, "Unsupported protocol version"),
            CloseCode::VersionMissing => (4008, "No protocol version supplied"),
            CloseCode::Unauthorized => (4009, "Connection not authorized within timeout"),
            CloseCode::OverCapacity => (4100, "Over capacity, come back later"),
            CloseCode::Reconnect => (4200, "Please reconnect immediately"),
            CloseCode::PongMissing => (4201, "Pong reply not received"),
            CloseCode::Inactive => (4202, "Closed after 24 hours of inactivity"),
        }
    }

    /// The number on the wire.
    pub const fn code(self) -> u16 {
        self.row().0
    }

    /// The sentence to send where no more is known.
    pub const fn sentence(self) -> &'static str {
        self.row().1
    }

    /// What official clients do when they are closed with this code.
    pub const fn reconnection(self) -> Reconnection {
        match self.code() {
            4000..=4099 => Reconnection::Never,
            4100..=4199 => Reconnection::BackOff,
            4200..=4299 => Reconnection::Immediately,
            _ => Reconnection::ClientsChoice,
        }
    }
}

/// The status code of a close frame, as it is on the wire: that of a row of the table, or, where faults are injected, any
/// that a close frame may have.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseStatus(u16);

/// The name of the row, as the log shows how a connection ended; a number where no row has it.
impl fmt::Debug for CloseStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match CloseCode::ALL.iter().find(|row| *self == **row) {
            Some(row) => row.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

impl CloseStatus {
    /// A status code that no row stands for. It must be one that a close frame may have.
    pub const fn injected(code: u16) -> Self {
        CloseStatus(code)
    }

    /// The number on the wire.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// Whether the code is the protocol's own, and not the WebSocket's.
    pub const fn is_protocols_own(self) -> bool {
        self.0 >= 4000
    }
}

impl From<CloseCode> for CloseStatus {
    fn from(code: CloseCode) -> Self {
        CloseStatus(code.code())
    }
}

impl PartialEq<CloseCode> for CloseStatus {
    fn eq(&self, code: &CloseCode) -> bool {
        *self == CloseStatus::from(*code)
    }
}

/// An error that leaves the connection open: the `code` of a `pusher:error` frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// `null`: the protocol has no number for it.
    Unnumbered,
    /// 4301: a client event over a limit.
    ClientEventRejected,
    /// 4302: a watchlist over the limit, of which the first users count.
    WatchlistTooLong,
}

impl ErrorCode {
    /// The number on the wire, `None` for `null`.
    pub const fn code(self) -> Option<u16> {
        match self {
            ErrorCode::Unnumbered => None,
            ErrorCode::ClientEventRejected => Some(4301),
            ErrorCode::WatchlistTooLong => Some(4302),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_status_is_shown_by_its_row() {
        assert_eq!(format!("{:?}", CloseStatus::from(CloseCode::UnknownApp)), "UnknownApp");
        assert_eq!(format!("{:?}", CloseStatus::injected(4321)), "4321");
    }

    #[test]
    fn every_code_is_distinct_and_its_sentence_fits_a_close_frame() {
        let codes: HashSet<u16> = CloseCode::ALL.iter().map(|c| c.code()).collect();
        assert_eq!(codes.len(), CloseCode::ALL.len());
        for close in CloseCode::ALL {
            assert!(!close.sentence().is_empty() && close.sentence().len() <= 123, "{close:?}");
        }
    }

    /// Clients take a close with 43xx for a refusal, so none may exist.
    #[test]
    fn no_close_code_is_in_the_error_range() {
        assert!(CloseCode::ALL.iter().all(|c| !(4300..4400).contains(&c.code())));
    }

    #[test]
    fn a_fault_of_ours_never_tells_a_client_to_stay_away() {
        for close in [CloseCode::Reconnect, CloseCode::OverCapacity, CloseCode::PongMissing] {
            assert_ne!(close.reconnection(), Reconnection::Never, "{close:?}");
        }
    }
}
