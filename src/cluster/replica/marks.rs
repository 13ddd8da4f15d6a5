//! Numbers for changes that a node has not numbered: what its death and its return change elsewhere.
//!
//! Those who listen tell changes apart by them, and all nodes must give a change the same. A node that had been taken for
//! dead and comes back has its members leave and join again, so neither can have the number of the first time.

use crate::channel::ChannelVersion;

/// Which of the lives of a node it is, as others see it: it begins anew when a node comes back that had been taken for
/// dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life(u64);

/// No node makes so many changes.
const NUMBER_BITS: u32 = 40;
const LIFE_BITS: u32 = 22;
const RETURNED: u64 = 1 << 62;
const GONE: u64 = 1 << 63;

impl Life {
    /// The first one, or that which began with this heartbeat.
    pub(super) fn new(returned: u64) -> Self {
        Life(returned)
    }

    /// The number of what was true when this life began, by the number of the change that made it so.
    pub(super) fn begun(self, version: ChannelVersion) -> ChannelVersion {
        if self.0 == 0 { version } else { self.mark(RETURNED, version) }
    }

    /// The number of the end of that which the change of this number had begun.
    pub(super) fn ended(self, version: ChannelVersion) -> ChannelVersion {
        self.mark(GONE, version)
    }

    fn mark(self, mark: u64, version: ChannelVersion) -> ChannelVersion {
        let life = self.0 & ((1 << LIFE_BITS) - 1);
        let number = version.number() & ((1 << NUMBER_BITS) - 1);
        ChannelVersion::new(mark | life << NUMBER_BITS | number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_changes_have_one_number() {
        let mut seen = HashSet::new();
        for number in [1, 2, 500_000_000_000] {
            let version = ChannelVersion::new(number);
            assert_eq!(Life::new(0).begun(version), version);
            assert!(seen.insert(version));
            for life in [0, 1, 60, 4_000_000] {
                assert!(seen.insert(Life::new(life).ended(version)), "{life} {number}");
                assert!(life == 0 || seen.insert(Life::new(life).begun(version)), "{life} {number}");
            }
        }
    }
}
