//! What every connection is told when the broker stops.

use crate::protocol::CloseCode;

/// Which of the two codes that let clients come back a stopping broker closes with.
///
/// Official clients take 4200 literally: they try again at once, and where nobody listens yet most of them then wait for
/// as long as a failed attempt makes them wait, which is 15 s. 4100 makes them wait a second first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// 4200: another broker listens at this address already.
    AtOnce,
    /// 4100: one may in a moment.
    Soon,
}

impl Farewell {
    /// The close code.
    #[must_use]
    pub const fn code(self) -> CloseCode {
        match self {
            Farewell::AtOnce => CloseCode::Reconnect,
            Farewell::Soon => CloseCode::OverCapacity,
        }
    }

    /// The reason that goes with it.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Farewell::AtOnce => CloseCode::Reconnect.sentence(),
            Farewell::Soon => "The broker is stopping, come back soon",
        }
    }
}
