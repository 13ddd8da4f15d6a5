//! Tells what is refused for what a stranger shows from what an honest client may meet, too: only the one counts where
//! the refusals of an address are bounded.

use super::ApiError;
use crate::protocol::{CloseCode, CloseStatus};

impl ApiError {
    /// Whether a stranger may be behind it: what came shows no right to ask, or asks for what is not there.
    pub(crate) fn is_of_a_stranger(&self) -> bool {
        match self {
            ApiError::Auth(_)
            | ApiError::NotFound(_)
            | ApiError::AppNotFound(_)
            | ApiError::NoSuchApp(_)
            | ApiError::MethodNotAllowed { .. }
            // No signature is asked for before any of these.
            | ApiError::KeptKey
            | ApiError::HttpStreamsOff
            | ApiError::StreamOfUser => true,
            // What stands between a client and the broker may take the upgrade out of a handshake.
            ApiError::UpgradeRequired { is_known, .. } => !is_known,
            ApiError::NotAdmitted { code, .. } => is_close_of_a_stranger(*code),
            _ => false,
        }
    }
}

/// Whether a connection is refused for what it has shown, and not because there is no place for it; nor because it came
/// without TLS: its client comes again with it.
pub(crate) fn is_close_of_a_stranger(code: CloseStatus) -> bool {
    let of_others = [CloseCode::TlsOnly, CloseCode::AppDisabled, CloseCode::OverQuota];
    (4000..4100).contains(&code.code()) && !of_others.iter().any(|other| code == *other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_honest_client_may_meet_is_not_of_a_stranger() {
        for (code, is_of_a_stranger) in [
            (CloseCode::TlsOnly, false),
            (CloseCode::UnknownApp, true),
            (CloseCode::AppDisabled, false),
            (CloseCode::OverQuota, false),
            (CloseCode::PathNotFound, true),
            (CloseCode::UnsupportedVersion, true),
            (CloseCode::Unauthorized, true),
            (CloseCode::OverCapacity, false),
            (CloseCode::Reconnect, false),
        ] {
            assert_eq!(is_close_of_a_stranger(code.into()), is_of_a_stranger, "{code:?}");
            let error = ApiError::NotAdmitted { code: code.into(), reason: String::new() };
            assert_eq!(error.is_of_a_stranger(), is_of_a_stranger, "{error:?}");
        }
        for (error, is_of_a_stranger) in [
            (ApiError::UpgradeRequired { came: String::new(), is_known: true }, false),
            (ApiError::UpgradeRequired { came: String::new(), is_known: false }, true),
            (ApiError::HttpStreamsOff, true),
            (ApiError::StreamOfUser, true),
            (ApiError::KeptKey, true),
            (ApiError::AppDisabled, false),
            (ApiError::ShuttingDown, false),
            (ApiError::ForeignOrigin(String::new()), false),
        ] {
            assert_eq!(error.is_of_a_stranger(), is_of_a_stranger, "{error:?}");
        }
    }
}
