//! All that is true on a node, as facts in parts.

use std::sync::Arc;

use crate::channel::{ChannelVersion, Fact, Member};

use super::super::envelope::{FactList, FactListBuilder, SnapshotPart};
use super::state::{Occupants, ReplicaState, as_count};

/// What was true on a node at one moment. Parts are shared, not copied: it may be given to several that ask.
#[derive(Clone, Debug)]
pub(crate) struct NodeSnapshot {
    number: u64,
    parts: Vec<FactList>,
}

impl NodeSnapshot {
    pub(super) fn of(state: &ReplicaState, number: u64, part_bytes: usize) -> Self {
        let (mut parts, mut builder) = (Vec::new(), FactListBuilder::default());
        for (app, part) in &state.apps {
            let mut say = |fact: Fact| {
                builder.push(app, &fact);
                if builder.bytes() >= part_bytes {
                    parts.push(builder.take());
                }
            };
            for (channel, occupants) in &part.channels {
                let channel = || channel.clone();
                let Occupants { plain, version, members } = occupants;
                if *plain > 0 {
                    say(Fact::Subscribers { channel: channel(), count: *plain, version: *version });
                }
                let mut members: Vec<(&ChannelVersion, &Member)> =
                    members.iter().flat_map(|of| of.iter()).collect();
                members.sort_unstable_by_key(|(version, _)| **version);
                for (version, member) in members {
                    say(Fact::Joined { channel: channel(), version: *version, member: member.clone() });
                }
            }
            part.users.iter().for_each(|user_id| say(Fact::SignedIn { user_id: user_id.clone() }));
            if part.connections > 0 {
                say(Fact::Connections { count: part.connections });
            }
            if let Some(demand) = &part.backends {
                say(Fact::Backends { demand: Arc::clone(demand) });
            }
        }
        // There is a last part, also of nothing.
        if parts.is_empty() || !builder.is_empty() {
            parts.push(builder.take());
        }
        NodeSnapshot { number, parts }
    }

    /// What answers a request, in its order.
    pub(crate) fn answer(&self, request: u64) -> impl ExactSizeIterator<Item = SnapshotPart> + '_ {
        let last = self.parts.len() - 1;
        self.parts.iter().enumerate().map(move |(part, facts)| SnapshotPart {
            request,
            number: self.number,
            part: as_count(part),
            is_last: part == last,
            facts: facts.clone(),
        })
    }
}
