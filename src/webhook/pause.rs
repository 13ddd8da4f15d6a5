//! Whether what an operator has said of an endpoint has it wait, and whose word of it is the later one, where nodes have heard of
//! different ones.
//!
//! Pure. Each change is numbered by whoever makes it, with one more than any that it knows of: no clock is asked.

/// A change by an operator. The later one of two is the larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PauseChange {
    pub(crate) number: u64,
    /// The endpoint is sent to again. Of two with the same number this is the later one, so that whatever number somebody may claim, no
    /// pause has one that cannot be followed.
    pub(crate) goes_on: bool,
}

/// What was changed last of an endpoint, if an operator has changed anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndpointPause {
    last: Option<PauseChange>,
}

impl EndpointPause {
    /// Whether nothing is sent for now.
    pub(crate) fn is_paused(self) -> bool {
        self.last.is_some_and(|change| !change.goes_on)
    }

    /// The last change.
    pub(crate) fn last(self) -> Option<PauseChange> {
        self.last
    }

    /// An operator changes it, here or on a node that has numbered it: it is later than all that is known here.
    pub(super) fn change(&mut self, is_paused: bool, numbered: u64) -> PauseChange {
        let next = self.last.map_or(0, |last| last.number).saturating_add(1);
        *self.last.insert(PauseChange { number: next.max(numbered), goes_on: !is_paused })
    }

    /// Takes what another node has heard of, if it is later. Whether nothing, or something, is sent by that.
    pub(super) fn learn(&mut self, change: PauseChange) -> bool {
        let before = self.is_paused();
        self.last = self.last.max(Some(change));
        before != self.is_paused()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paused(number: u64) -> PauseChange {
        PauseChange { number, goes_on: false }
    }

    #[test]
    fn who_has_missed_a_change_learns_it_and_teaches_nobody_what_was_before() {
        let (mut here, mut missed, mut new) =
            (EndpointPause::default(), EndpointPause::default(), EndpointPause::default());
        let pause = here.change(true, 0);
        assert!(missed.learn(pause) && missed.is_paused());
        let resumed = here.change(false, 0);
        // In whichever order a new node asks the two.
        for order in [[pause, resumed], [resumed, pause]] {
            new = EndpointPause::default();
            for change in order {
                new.learn(change);
            }
            assert!(!new.is_paused(), "{order:?}");
        }
        assert!(!here.learn(pause) && !here.is_paused(), "it is of before");
        assert!(missed.learn(resumed) && !missed.is_paused());
        assert_eq!((here, missed), (new, new));
    }

    #[test]
    fn what_an_operator_says_is_later_than_what_is_known_on_any_node_that_hears_it() {
        let mut much = EndpointPause::default();
        for _ in 0..4 {
            much.change(true, 0);
        }
        let mut little = EndpointPause::default();
        let resumed = little.change(false, 0);
        assert_eq!(much.change(false, resumed.number).number, 5);
        assert_eq!(little.change(true, 9).number, 9);
    }

    #[test]
    fn no_number_that_somebody_claims_keeps_an_endpoint_paused() {
        let mut pause = EndpointPause::default();
        assert!(pause.learn(paused(u64::MAX)) && pause.is_paused());
        let resumed = pause.change(false, 0);
        assert!(!pause.is_paused());
        assert!(!pause.learn(paused(u64::MAX)) && !pause.is_paused(), "it is claimed again");
        let mut another = EndpointPause::default();
        another.learn(paused(u64::MAX));
        assert!(another.learn(resumed) && !another.is_paused(), "who has missed it learns it");
    }
}
