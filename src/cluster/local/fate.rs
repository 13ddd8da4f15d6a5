//! What becomes of words on their way to a member, and what is on its way.

use tokio::time::Instant;

use crate::cluster::adapter::{EngineTicket, Subject, Word};

/// What becomes of a word on its way to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    IsLost,
    ArrivesTwice,
}

/// Decides the fate of each word. It is called under the engine's lock.
pub(super) type FateOf = Box<dyn FnMut(&Word) -> Fate + Send>;

/// What takes time on its way.
pub(super) enum Late {
    Word { due: Instant, word: Word },
    Want { due: Instant, subject: Subject, wants: bool, ticket: Option<EngineTicket> },
}
