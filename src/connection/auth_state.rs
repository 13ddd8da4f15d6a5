//! Whether a connection has authorized itself, and as whom it is signed in.

use std::time::Instant;

use super::SignedInUser;

/// The state of a connection that must authorize itself, or has signed in.
#[derive(Clone, Debug)]
pub(super) enum AuthState {
    /// The app demands that connections authorize themselves, and this one has until this time.
    Waiting(Instant),
    SignedIn(SignedInUser),
}

impl AuthState {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            AuthState::Waiting(deadline) => Some(*deadline),
            AuthState::SignedIn(_) => None,
        }
    }

    pub(super) fn user(&self) -> Option<&SignedInUser> {
        match self {
            AuthState::Waiting(_) => None,
            AuthState::SignedIn(user) => Some(user),
        }
    }
}
