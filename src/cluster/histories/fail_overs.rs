//! Histories of an engine that is failed over, while the nodes follow one after the other and everybody who was there stays.

use super::*;

/// So many seconds after a fail-over each node has followed it, in the tests of them; a second more, and it would take those for
/// dead who have followed it before.
const FOLLOWS_WITHIN: usize = 4;

/// What happens within a second while nodes follow a fail-over one after the other, and everybody who was there stays.
fn steps_of_a_second() -> impl Strategy<Value = Vec<HistoryStep>> {
    let node = || 0..NODES;
    let step = prop_oneof![
        // Others come, on another channel.
        4 => (node(), 0_u8..3).prop_map(|(node, user)| HistoryStep::Join(node, 1, user)),
        2 => (node(), 0_u32..4).prop_map(|(node, count)| HistoryStep::Subscribers(node, count)),
        6 => (node(), 1_usize..12).prop_map(|(node, words)| HistoryStep::Deliver(node, words)),
        6 => node().prop_map(HistoryStep::Repeat),
        1 => Just(HistoryStep::Copy),
    ];
    vec(step, 0..8)
}

impl Simulation {
    /// Everybody knows of those who were on the first channel in the beginning, and nobody has died.
    fn check_who_stays(&self) {
        for node in &self.nodes {
            let stays = node.union.members.keys().filter(|(channel, ..)| channel.as_str() == "presence-0");
            assert_eq!((stays.count(), node.died.len()), (NODES - 1, 0), "{}", node.id);
        }
    }
}

proptest! {
    /// The engine is failed over again and again, and the nodes follow one after the other, whatever is lost with the connections
    /// to the server before, and whatever that goes on to hand out. Nobody dies, and nobody is told that somebody left who stays.
    #[test]
    fn nobody_leaves_because_the_engine_is_failed_over(
        rounds in vec(
            (vec((0..=FOLLOWS_WITHIN, 0_usize..6), NODES), vec(steps_of_a_second(), FOLLOWS_WITHIN + 1)),
            1..4,
        ),
    ) {
        let mut simulation = Simulation::new();
        (0..NODES).for_each(|node| simulation.step(HistoryStep::Join(node, 0, node as u8)));
        simulation.calm();
        for (follows, seconds) in rounds {
            simulation.step(HistoryStep::FailOver);
            for (second, steps) in seconds.into_iter().enumerate() {
                for (node, (after, lost)) in follows.iter().enumerate() {
                    if *after == second {
                        simulation.step(HistoryStep::Follow(node, *lost));
                    }
                }
                for step in steps {
                    simulation.step(step);
                    simulation.check_who_stays();
                }
                simulation.pass_a_second();
            }
        }
        simulation.calm();
        simulation.check_who_stays();
        simulation.check();
    }
}

/// That nobody is taken for dead rests on the time within which nodes learn of a fail-over.
#[test]
fn one_that_does_not_follow_a_fail_over_takes_the_others_for_dead() {
    for seconds in 0..=FOLLOWS_WITHIN + 1 {
        let mut simulation = Simulation::new();
        simulation.calm();
        simulation.step(HistoryStep::FailOver);
        (1..NODES).for_each(|node| simulation.step(HistoryStep::Follow(node, 0)));
        for _ in 0..seconds {
            simulation.pass_a_second();
            (0..NODES).for_each(|node| simulation.deliver(node, usize::MAX));
        }
        let died = if seconds > FOLLOWS_WITHIN { NODES - 1 } else { 0 };
        assert_eq!(simulation.nodes[0].died.len(), died, "after {seconds} s");
    }
}
