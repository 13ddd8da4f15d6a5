//! What has come of the upgrades of this process without an engine: whether it and another process are one broker at present, what
//! it has taken over from the one before, and what did not come from there.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Counter;

/// What a process takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandedKind {
    /// An event of a history.
    Event,
    /// An event that a cache channel remembers.
    Cached,
    /// An id that something was published under.
    PublishId,
    /// A removal that webhooks hold back.
    Removal,
    /// A client's name, with what the client has received.
    Name,
}

/// What does not come from the other process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandedLoss {
    /// A history, of which something was not told: it begins anew.
    History,
    /// A name, for which there was no room.
    Name,
    /// A word of the other process that was dropped, or could not be read.
    Word,
}

/// Counts it. Every thread may.
#[derive(Debug, Default)]
pub(crate) struct UpgradeCounts {
    is_linked: AtomicBool,
    taken: [Counter; HandedKind::ALL.len()],
    lost: [Counter; HandedLoss::ALL.len()],
    took: OnceLock<Duration>,
}

/// What is counted at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UpgradeFigures {
    pub(crate) is_linked: bool,
    /// Of each [`HandedKind`] in its order.
    pub(crate) taken: [u64; HandedKind::ALL.len()],
    /// Of each [`HandedLoss`] in its order.
    pub(crate) lost: [u64; HandedLoss::ALL.len()],
    /// How long it took until this process knew what the one before had, if there was one.
    pub(crate) took: Option<Duration>,
}

impl HandedKind {
    pub(crate) const ALL: [HandedKind; 5] =
        [HandedKind::Event, HandedKind::Cached, HandedKind::PublishId, HandedKind::Removal, HandedKind::Name];

    /// As it is called in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            HandedKind::Event => "event",
            HandedKind::Cached => "cached",
            HandedKind::PublishId => "publish_id",
            HandedKind::Removal => "removal",
            HandedKind::Name => "name",
        }
    }
}

impl HandedLoss {
    pub(crate) const ALL: [HandedLoss; 3] = [HandedLoss::History, HandedLoss::Name, HandedLoss::Word];

    /// As it is called in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            HandedLoss::History => "history",
            HandedLoss::Name => "name",
            HandedLoss::Word => "word",
        }
    }
}

impl UpgradeCounts {
    /// From now on, or no more, another process and this one are one broker.
    pub(crate) fn set_linked(&self, is_linked: bool) {
        self.is_linked.store(is_linked, Ordering::Relaxed);
    }

    /// This process knows what the one before has, after so long. That is so once in its life.
    pub(crate) fn took(&self, time: Duration) {
        self.took.get_or_init(|| time);
    }

    /// So many were taken over.
    pub(crate) fn taken(&self, kind: HandedKind, more: usize) {
        self.taken[kind as usize].add_from_anywhere(more as u64);
    }

    /// So many were lost.
    pub(crate) fn lost(&self, loss: HandedLoss, more: u64) {
        self.lost[loss as usize].add_from_anywhere(more);
    }

    /// All of it.
    pub(crate) fn read(&self) -> UpgradeFigures {
        UpgradeFigures {
            is_linked: self.is_linked.load(Ordering::Relaxed),
            taken: std::array::from_fn(|kind| self.taken[kind].get()),
            lost: std::array::from_fn(|loss| self.lost[loss].get()),
            took: self.took.get().copied(),
        }
    }
}

impl UpgradeFigures {
    /// How many of a kind were taken over.
    pub(crate) fn of(&self, kind: HandedKind) -> u64 {
        self.taken[kind as usize]
    }

    /// How many of a kind were lost.
    pub(crate) fn lost(&self, loss: HandedLoss) -> u64 {
        self.lost[loss as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_place_of_its_own_and_a_time_of_nothing_is_one() {
        let counts = UpgradeCounts::default();
        assert_eq!(counts.read(), UpgradeFigures::default());
        for (n, kind) in HandedKind::ALL.into_iter().enumerate() {
            counts.taken(kind, n + 1);
        }
        for (n, loss) in HandedLoss::ALL.into_iter().enumerate() {
            counts.lost(loss, n as u64 + 1);
        }
        counts.took(Duration::ZERO);
        counts.set_linked(true);
        let figures = counts.read();
        assert_eq!((figures.taken, figures.lost), ([1, 2, 3, 4, 5], [1, 2, 3]));
        assert_eq!((figures.is_linked, figures.took), (true, Some(Duration::ZERO)));
    }
}
