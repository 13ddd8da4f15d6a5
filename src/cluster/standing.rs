//! What a node is among the others: one of any number, or one of the two processes of an upgrade. Of these, one tells what there
//! is to tell: the one that was there before, until it is about to end; then the one that succeeds it, from when on it has heard
//! that, and says so. Pure.

/// What a node is among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// One of any number, on any machines.
    OneOfMany,
    /// The process that is succeeded by another one on this machine.
    Before,
    /// The process that succeeds it.
    After,
}

/// The other of two processes, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TheOther {
    /// It is not there, not yet or no more.
    IsAbsent,
    /// It is there. It says that it tells, or that it does not.
    IsThere { tells: bool },
}

impl Standing {
    /// Whether it is one of two processes, between which nothing is lost but with one of them.
    pub(super) fn is_of_two(self) -> bool {
        self != Standing::OneOfMany
    }

    /// Of one of two: whether it tells a change that was made here, or at the other one. `is_leaving`: it is about to end.
    pub(super) fn tells(self, is_own: bool, other: TheOther, is_leaving: bool) -> bool {
        match (self, other) {
            (Standing::OneOfMany, _) | (_, TheOther::IsAbsent) => true,
            // What the other one has changed before it has heard that it is to tell, it leaves to this one.
            (Standing::Before, TheOther::IsThere { tells }) => !is_leaving || !is_own && !tells,
            (Standing::After, TheOther::IsThere { tells }) => !tells,
        }
    }

    /// Of one of two: whether the other one goes on telling when this one ends.
    pub(super) fn is_survived(self, other: TheOther) -> bool {
        match (self, other) {
            (Standing::Before, TheOther::IsThere { .. }) => true,
            (Standing::After | Standing::OneOfMany, TheOther::IsThere { tells }) => tells,
            (_, TheOther::IsAbsent) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: TheOther = TheOther::IsThere { tells: false };
    const TELLS: TheOther = TheOther::IsThere { tells: true };

    /// Whether it tells what was made here, and what was made there.
    fn told(standing: Standing, other: TheOther, is_leaving: bool) -> [bool; 2] {
        [true, false].map(|is_own| standing.tells(is_own, other, is_leaving))
    }

    #[test]
    fn of_two_one_tells_and_whoever_is_alone_does() {
        use Standing::{After, Before};
        for standing in [Before, After] {
            for is_leaving in [false, true] {
                assert_eq!(told(standing, TheOther::IsAbsent, is_leaving), [true, true]);
            }
        }
        // It has come, and both go on.
        assert_eq!((told(Before, QUIET, false), told(After, TELLS, false)), ([true, true], [false, false]));
        // The first one is about to end, and the other has not heard it.
        assert_eq!((told(Before, QUIET, true), told(After, TELLS, false)), ([false, true], [false, false]));
        // It has heard it, and the first one does not know.
        assert_eq!((told(Before, QUIET, true), told(After, QUIET, false)), ([false, true], [true, true]));
        assert_eq!((told(Before, TELLS, true), told(After, QUIET, false)), ([false, false], [true, true]));
    }

    #[test]
    fn what_is_held_back_is_left_to_who_survives() {
        assert!(Standing::Before.is_survived(QUIET) && Standing::Before.is_survived(TELLS));
        assert!(Standing::After.is_survived(TELLS) && !Standing::After.is_survived(QUIET));
        assert!(!Standing::Before.is_survived(TheOther::IsAbsent));
    }
}
