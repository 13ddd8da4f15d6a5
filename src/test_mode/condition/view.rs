//! An app as conditions see it: how many there are of what, and who.

use std::collections::BTreeSet;

/// What an app looks like now, as far as conditions ask.
pub(crate) trait View {
    /// Connections subscribed to a channel.
    fn subscribers(&self, channel: &str) -> usize;
    /// Distinct members of a presence channel.
    fn members(&self, channel: &str) -> BTreeSet<String>;
    /// Connections signed in as the user.
    fn signed_in(&self, user_id: &str) -> usize;
    /// Connections of the app.
    fn connections(&self) -> usize;
    /// The occupied channels, with their subscribers.
    fn channels(&self) -> Vec<(String, usize)>;
    /// The users that connections are signed in as.
    fn users(&self) -> BTreeSet<String>;
}
