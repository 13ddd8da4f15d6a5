//! How much there is of everything in an app under test.

use std::collections::BTreeMap;

use serde::Serialize;

use super::AppUnderTest;

/// One channel, as tests see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChannelCounts {
    /// Subscribed connections.
    pub subscribers: usize,
    /// Distinct members; 0 on channels without presence.
    pub members: usize,
}

/// How much there is of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Clients that are connected, signed in or not.
    pub connections: usize,
    /// Connections signed in, by user.
    pub users: BTreeMap<String, usize>,
    /// The occupied channels.
    pub channels: BTreeMap<String, ChannelCounts>,
    /// Entries in the log, by kind.
    pub logged: BTreeMap<&'static str, usize>,
    /// The number of the log's last entry: what comes later has a larger one.
    pub last: u64,
    /// Faults at work.
    pub faults: usize,
    /// By how much the clock has been advanced, in milliseconds.
    pub advanced_ms: u64,
}

impl AppUnderTest {
    /// How much there is of everything.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        {
            let roster = self.roster.lock();
            counts.connections = roster.sockets.len();
            for user_id in roster.sockets.values().filter_map(|connected| connected.user_id.as_deref()) {
                *counts.users.entry(user_id.to_owned()).or_default() += 1;
            }
        }
        let excerpt = self.log.after(0, |entry| {
            *counts.logged.entry(entry.kind.name()).or_default() += 1;
            false
        });
        counts.last = excerpt.last;
        counts.faults = self.active_faults().len();
        if let Ok((_, state)) = self.place() {
            let channels = state.channels("").into_iter().map(|channel| {
                let counts =
                    ChannelCounts { subscribers: channel.subscription_count, members: channel.user_count };
                (channel.name.to_string(), counts)
            });
            counts.channels = channels.collect();
            counts.advanced_ms = u64::try_from(state.clock().advanced().as_millis()).unwrap_or(u64::MAX);
        }
        counts
    }
}
