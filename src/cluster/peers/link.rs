//! What the link to the engine has been through, as far as it matters to the peers: for how long nobody dies, and whether
//! the bus counts as away although an engine answers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::channel::NodeId;

use super::super::adapter::{EngineId, Link};
use super::super::status::BusTrouble;

/// So long nobody dies after the engine has become another one: the others have to find it as well.
const AFTER_ANOTHER_ENGINE: Duration = Duration::from_secs(30);

/// So long nobody dies after the engine was away: the others have to find it again. They may have begun to connect just before
/// it came back, and give that up first.
const AFTER_AWAY: Duration = Duration::from_secs(10);

/// The link to the engine, and what it was before.
#[derive(Debug, Default)]
pub(super) struct LinkHistory {
    /// The engine that was there last.
    engine: Option<EngineId>,
    /// It does not answer.
    away: Option<BusTrouble>,
    lenient_until: Option<Instant>,
    /// It has become another one, then.
    changed: Option<Instant>,
    /// Those who were peers then and have not been heard with this engine.
    unheard: BTreeSet<NodeId>,
}

impl LinkHistory {
    /// The link is this now. Whether the peers have had no chance to be heard lately.
    pub(super) fn set(&mut self, link: &Link, peers: impl Iterator<Item = NodeId>, now: Instant) -> bool {
        match link {
            Link::Away { since, reason } => {
                // Why it cannot be had again tells more than why it went.
                let since = self.away.as_ref().map_or(*since, |away| away.since);
                self.away = Some(BusTrouble { since, reason: reason.clone() });
                false
            }
            Link::Up { engine, .. } => {
                let was_away = self.away.take().is_some();
                let is_another = self.engine.as_ref().is_some_and(|known| known != engine);
                self.engine = Some(engine.clone());
                if is_another {
                    self.changed = Some(now);
                    self.unheard = peers.collect();
                    self.be_lenient_until(now + AFTER_ANOTHER_ENGINE);
                } else if was_away {
                    self.be_lenient_until(now + AFTER_AWAY);
                }
                was_away || is_another
            }
        }
    }

    /// A peer was heard that sees this engine.
    pub(super) fn heard(&mut self, node: NodeId, engine: Option<&EngineId>) {
        if engine.is_some() && engine == self.engine.as_ref() {
            self.unheard.remove(&node);
        }
    }

    /// A node is no peer any more.
    pub(super) fn departed(&mut self, node: NodeId) {
        self.unheard.remove(&node);
    }

    /// Whether nobody dies at present.
    pub(super) fn is_lenient(&self, now: Instant) -> bool {
        self.away.is_some() || self.lenient_until.is_some_and(|until| now < until)
    }

    /// Why the bus counts as away, if it does.
    pub(super) fn trouble(&self) -> Option<BusTrouble> {
        if let Some(away) = &self.away {
            return Some(away.clone());
        }
        // Those who are not there die in time, so it ends.
        let since = self.changed?;
        let missing = self.unheard.len();
        (missing > 0).then(|| BusTrouble {
            since,
            reason: format!(
                "the engine is another one, and {missing} of the other nodes have not been heard there"
            )
            .into(),
        })
    }

    fn be_lenient_until(&mut self, until: Instant) {
        self.lenient_until = self.lenient_until.max(Some(until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_since_its_beginning_by_its_latest_reason() {
        let (mut link, now) = (LinkHistory::default(), Instant::now());
        for (seconds, reason) in [(1, "it was closed"), (2, "WRONGPASS")] {
            let since = now + Duration::from_secs(seconds);
            link.set(&Link::Away { since, reason: reason.into() }, std::iter::empty(), since);
        }
        let trouble = link.trouble().unwrap();
        assert_eq!((trouble.since, &*trouble.reason), (now + Duration::from_secs(1), "WRONGPASS"));
    }
}
