//! Which change names the end of what was on several nodes: of a user's stay in a channel, of a channel's occupation. Nodes
//! hear of ends on two of them in either order; so of those that follow each other closely the largest is the name, on all.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::channel::ChangeOrigin;
use crate::protocol::ChannelName;

use super::{AppState, Hub};

/// So long after one change another one is close. It is longer than nodes take to hear of each other's changes.
const CLOSE: Duration = Duration::from_secs(2);

/// Changes that are remembered. Of more, the oldest are forgotten.
const MOST: usize = 10_000;

/// In a channel of an app, a user's stay; where no user is named, the channel's occupation.
type WhatEnds = (Arc<str>, ChannelName, Option<Arc<str>>);

/// The changes of a moment ago that ended a part, where others were left.
#[derive(Debug, Default)]
pub(super) struct RecentLeaves(Mutex<Leaves>);

#[derive(Debug, Default)]
struct Leaves {
    last: HashMap<WhatEnds, (ChangeOrigin, Instant)>,
    /// By the time at which they came; of some there is a later one.
    order: VecDeque<(Instant, WhatEnds)>,
}

impl RecentLeaves {
    /// A part has ended by this change, and another one is left.
    fn note(&self, ending: WhatEnds, origin: ChangeOrigin, now: Instant) {
        let mut leaves = self.0.lock();
        leaves.forget(now);
        let name = leaves.largest(&ending, origin, now);
        leaves.last.insert(ending.clone(), (name, now));
        leaves.order.push_back((now, ending));
    }

    /// The last part has ended by this change: what names the end of the whole.
    fn name(&self, ending: &WhatEnds, origin: ChangeOrigin, now: Instant) -> ChangeOrigin {
        let mut leaves = self.0.lock();
        let name = leaves.largest(ending, origin, now);
        leaves.last.remove(ending);
        name
    }
}

impl Leaves {
    fn largest(&self, ending: &WhatEnds, origin: ChangeOrigin, now: Instant) -> ChangeOrigin {
        let close = self.last.get(ending).filter(|(_, then)| now.saturating_duration_since(*then) < CLOSE);
        close.map_or(origin, |(before, _)| if key(before) > key(&origin) { *before } else { origin })
    }

    fn forget(&mut self, now: Instant) {
        while let Some((then, _)) = self.order.front() {
            if now.saturating_duration_since(*then) < CLOSE && self.order.len() < MOST {
                return;
            }
            let Some((then, ending)) = self.order.pop_front() else { return };
            if self.last.get(&ending).is_some_and(|(_, last)| *last == then) {
                self.last.remove(&ending);
            }
        }
    }
}

impl Hub {
    /// A user's stay in a channel, or the channel's occupation, has ended by a change on one node: as a whole if `is_last`, else
    /// it goes on on another. Returns the change that names the end of the whole. Under the channel's entry.
    #[cold]
    pub(super) fn name_end(
        &self,
        app: &AppState,
        channel: &ChannelName,
        user_id: Option<&Arc<str>>,
        origin: ChangeOrigin,
        is_last: bool,
    ) -> ChangeOrigin {
        let ends = (Arc::clone(app.shared_id()), channel.clone(), user_id.cloned());
        let now = app.clock().now();
        if is_last {
            return self.recent_leaves.name(&ends, origin, now);
        }
        self.recent_leaves.note(ends, origin, now);
        origin
    }
}

fn key(origin: &ChangeOrigin) -> (u128, u64) {
    (origin.node.bits(), origin.version.number())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{ChannelVersion, NodeId};

    fn origin(node: u128, version: u64) -> ChangeOrigin {
        ChangeOrigin { node: NodeId::new(node), version: ChannelVersion::new(version) }
    }

    fn of_user(user: &str) -> WhatEnds {
        ("1".into(), ChannelName::parse("presence-a", 164).unwrap(), Some(user.into()))
    }

    #[test]
    fn whatever_comes_first_the_name_is_the_same() {
        let now = Instant::now();
        let parts = [origin(1, 90), origin(2, 5), origin(3, 1)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let leaves = RecentLeaves::default();
            let [first, second, last] = order.map(|n| parts[n]);
            leaves.note(of_user("ann"), first, now);
            leaves.note(of_user("ann"), second, now + CLOSE / 2);
            assert_eq!(leaves.name(&of_user("ann"), last, now + CLOSE), parts[2], "{order:?}");
            assert_eq!(
                leaves.name(&of_user("ann"), origin(1, 91), now + CLOSE),
                origin(1, 91),
                "another stay"
            );
        }
    }

    #[test]
    fn what_ended_long_before_or_elsewhere_is_no_name() {
        let now = Instant::now();
        let leaves = RecentLeaves::default();
        leaves.note(of_user("ann"), origin(9, 1), now);
        assert_eq!(leaves.name(&of_user("bob"), origin(1, 2), now), origin(1, 2));
        assert_eq!(leaves.name(&of_user("ann"), origin(1, 3), now + CLOSE), origin(1, 3));
    }

    #[test]
    fn few_are_remembered() {
        let now = Instant::now();
        let leaves = RecentLeaves::default();
        for n in 0..3 * MOST {
            leaves.note(of_user(&format!("u{}", n % (2 * MOST))), origin(1, n as u64), now);
        }
        let of = |leaves: &RecentLeaves| {
            let leaves = leaves.0.lock();
            (leaves.last.len(), leaves.order.len())
        };
        assert_eq!(of(&leaves), (MOST, MOST));
        leaves.note(of_user("ann"), origin(1, 1), now + CLOSE);
        assert_eq!(of(&leaves), (1, 1));
    }
}
