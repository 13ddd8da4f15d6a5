//! An app under test as conditions see it.

use std::collections::BTreeSet;

use crate::hub::AppState;
use crate::protocol::ChannelName;
use crate::test_mode::condition::View;

use super::AppUnderTest;

impl View for AppUnderTest {
    fn subscribers(&self, channel: &str) -> usize {
        self.channel(channel, |state, name| {
            state.channel(name).map_or(0, |channel| channel.subscription_count)
        })
    }

    fn members(&self, channel: &str) -> BTreeSet<String> {
        self.channel(channel, |state, name| state.user_ids(name).into_iter().collect())
    }

    fn signed_in(&self, user_id: &str) -> usize {
        let roster = self.roster.lock();
        roster.sockets.values().filter(|connected| connected.user_id.as_deref() == Some(user_id)).count()
    }

    fn connections(&self) -> usize {
        self.roster.lock().sockets.len()
    }

    fn channels(&self) -> Vec<(String, usize)> {
        let Ok((_, state)) = self.place() else { return Vec::new() };
        let channels = state.channels("").into_iter();
        channels.map(|channel| (channel.name.to_string(), channel.subscription_count)).collect()
    }

    fn users(&self) -> BTreeSet<String> {
        let roster = self.roster.lock();
        roster
            .sockets
            .values()
            .filter_map(|connected| connected.user_id.as_deref())
            .map(str::to_owned)
            .collect()
    }
}

impl AppUnderTest {
    fn channel<T: Default>(&self, name: &str, ask: impl FnOnce(&AppState, &ChannelName) -> T) -> T {
        let Ok((_, state)) = self.place() else { return T::default() };
        match ChannelName::parse(name, usize::MAX) {
            Ok(name) => ask(&state, &name),
            Err(_) => T::default(),
        }
    }
}
