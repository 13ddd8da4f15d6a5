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

impl PauseChange {
    /// The change as other nodes have numbered it, which do the same; and whether one of them knew of another change that was not known
    /// where this one was made. Then nodes may differ in what they know, and have to ask each other.
    pub(crate) fn numbered_by(self, nodes: impl Iterator<Item = u64>) -> (PauseChange, bool) {
        let number = nodes.fold(self.number, u64::max);
        (PauseChange { number, ..self }, number > self.number)
    }
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

    /// A step of what becomes of a change that an operator makes.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Step {
        Made,
        /// A node hears of it.
        Heard(usize),
        /// Whoever has made it hears what the nodes have answered.
        Answered,
    }

    /// All orders in which the steps of two operators may happen, each told by who makes the next one.
    fn orders(left: [usize; 2]) -> Vec<Vec<usize>> {
        let next = |who: usize| {
            let mut left = left;
            left[who] -= 1;
            orders(left).into_iter().map(move |rest| [vec![who], rest].concat())
        };
        match left {
            [0, 0] => vec![Vec::new()],
            _ => (0..2).filter(|who| left[*who] > 0).flat_map(next).collect(),
        }
    }

    /// One operator pauses an endpoint at the first of three nodes, another one has it go on at the second.
    fn both_at_once(order: &[usize], steps: &[[Step; 4]; 2]) -> ([EndpointPause; 3], [bool; 2]) {
        let (mut nodes, mut differ) = ([EndpointPause::default(); 3], [false; 2]);
        let (mut said, mut told) = ([paused(0); 2], [vec![], vec![]]);
        let mut next = steps.each_ref().map(|steps| steps.iter());
        for who in order.iter().copied() {
            match next[who].next().unwrap() {
                Step::Made => said[who] = nodes[who].change(who == 0, 0),
                Step::Heard(node) => told[who].push(nodes[*node].change(who == 0, said[who].number).number),
                Step::Answered => {
                    let (change, is_else) = said[who].numbered_by(told[who].iter().copied());
                    nodes[who].learn(change);
                    differ[who] = is_else;
                }
            }
        }
        (nodes, differ)
    }

    #[test]
    fn two_changes_at_once_are_one_on_all_nodes_when_those_have_asked_who_saw_that_they_may_differ() {
        use Step::{Answered, Heard, Made};
        let ways =
            |other| [[Made, Heard(other), Heard(2), Answered], [Made, Heard(2), Heard(other), Answered]];
        let mut different = 0;
        for (one, another) in ways(1).iter().flat_map(|one| ways(0).map(|another| (*one, another))) {
            for order in orders([4, 4]) {
                let (mut nodes, differ) = both_at_once(&order, &[one, another]);
                different += usize::from(nodes.iter().any(|node| *node != nodes[0]));
                for asks in (0..2).filter(|who| differ[*who]) {
                    // It asks all, which ask it.
                    for last in nodes.map(EndpointPause::last).into_iter().flatten() {
                        nodes[asks].learn(last);
                    }
                    let last = nodes[asks].last().unwrap();
                    for node in &mut nodes {
                        node.learn(last);
                    }
                }
                assert!(
                    nodes.iter().all(|node| *node == nodes[0]),
                    "{order:?} {one:?} {another:?} {nodes:?}"
                );
            }
        }
        assert!(different > 0, "they do not differ before");
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
