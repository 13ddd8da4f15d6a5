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

    /// Of how many parts it is: at least one.
    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// One part of what answers a request; one that has nothing beyond the last.
    pub(crate) fn part(&self, part: usize, request: u64) -> SnapshotPart {
        SnapshotPart {
            request,
            number: self.number,
            part: as_count(part),
            is_last: part + 1 >= self.parts.len(),
            facts: self.parts.get(part).cloned().unwrap_or_default(),
        }
    }

    /// All that answers a request, in its order.
    #[cfg(test)]
    pub(crate) fn answer(&self, request: u64) -> impl ExactSizeIterator<Item = SnapshotPart> + '_ {
        (0..self.parts()).map(move |part| self.part(part, request))
    }
}
