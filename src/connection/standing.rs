//! What is known of whoever is at the other end.

use std::time::Instant;

use super::User;

/// What a connection has shown, or has yet to show, of itself.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// The app demands that connections authorize themselves, and this one has until then.
    Waiting(Instant),
    /// It is signed in.
    SignedIn(User),
}

impl Standing {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Standing::Waiting(deadline) => Some(*deadline),
            Standing::SignedIn(_) => None,
        }
    }

    pub(super) fn user(&self) -> Option<&User> {
        match self {
            Standing::Waiting(_) => None,
            Standing::SignedIn(user) => Some(user),
        }
    }
}
