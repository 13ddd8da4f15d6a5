use super::super::chain::ChainPage;
use super::super::chain::tests::{TIMES, word};
use super::*;
use crate::protocol::ChannelName;

fn subject(n: usize) -> Subject {
    Subject::Channel { app: "1".into(), channel: ChannelName::parse(&format!("c{n}"), 164).unwrap() }
}

/// Those of one subject, which is known up to 20 and has it handed on.
fn known() -> Chains {
    let chains = Chains::new(100, 1 << 20);
    chains.open(&subject(0), 1);
    let begun = chains.lock().of(&subject(0), 1).unwrap().0.does(|chain, steps| chain.begin(None, steps));
    assert!(matches!(begun[..], [ChainStep::Fetch { behind: 0 }]));
    let page = ChainPage { words: vec![word(20, 0)], last: Some(20), now: 10_000, has_more: false };
    chains
        .lock()
        .of(&subject(0), 1)
        .map(|(of, room)| of.does(|chain, steps| chain.take_page(page, &TIMES, room, steps)));
    assert!(!chains.is_known(&subject(0)), "it has not been handed on");
    chains.has_handed_on(&subject(0));
    chains
}

#[test]
fn a_subject_is_known_when_all_that_was_reached_is_handed_on() {
    let chains = known();
    assert!(chains.is_known(&subject(0)));
    let (steps, _) = chains.hear(&subject(0), 1, word(30, 20), &TIMES);
    assert!(matches!(steps[..], [ChainStep::Deliver(_)]) && !chains.is_known(&subject(0)));
    chains.has_handed_on(&subject(0));
    assert!(chains.is_known(&subject(0)));
    let (_, was_there) = chains.hear(&subject(0), 1, word(30, 20), &TIMES);
    assert!(was_there && chains.is_known(&subject(0)), "nothing is to be done");
    // Events that wait for changes of members.
    chains.park(&subject(0), true);
    chains.park(&subject(0), true);
    chains.park(&subject(0), false);
    assert!(!chains.is_known(&subject(0)));
    chains.park(&subject(0), false);
    assert!(chains.is_known(&subject(0)));
    // They go on waiting where another one begins.
    chains.park(&subject(0), true);
    chains.end(&subject(0), 1);
    assert!(!matches!(chains.next_deed(), Some(ChainDeed::End { .. })), "it is not known up to its end");
    chains.park(&subject(0), true);
    chains.park(&subject(0), false);
    assert!(!chains.is_known(&subject(0)));
    assert_eq!(chains.lock().parked.len(), 1);
    chains.park(&subject(0), false);
    assert!(chains.lock().parked.is_empty());
}

#[test]
fn what_is_asked_of_chains_is_asked_of_each_once_and_of_all_before() {
    let chains = known();
    chains.open(&subject(1), 2);
    for _ in 0..3 {
        let _settled = chains.begin(&subject(1), 2);
        chains.be_late(&subject(1), 2);
        chains.look_again();
    }
    chains.be_late(&subject(0), 1);
    chains.be_late(&subject(0), 7);
    chains.change_engine(8);
    chains.change_engine(9);
    chains.end(&subject(0), 1);
    let deeds: Vec<_> = std::iter::from_fn(|| chains.next_deed()).collect();
    match &deeds[..] {
        [
            ChainDeed::ChangeEngine { epoch: 9 },
            ChainDeed::LookAgain,
            ChainDeed::End { reached: 20, subject: ended },
            ChainDeed::Begin { subject: begun, subscription: 2, .. },
            ChainDeed::BeLate { subject: late, subscription: 2 },
        ] => assert_eq!((ended, begun, late), (&subject(0), &subject(1), &subject(1))),
        deeds => panic!("{deeds:?}"),
    }
}

#[test]
fn what_is_asked_while_nobody_does_it_takes_bounded_room() {
    let chains = known();
    for n in 1..=10 * MOST_ENDED {
        let subscription = n as u64;
        chains.open(&subject(n), subscription);
        let settled = chains.begin(&subject(n), subscription);
        chains.be_late(&subject(n), subscription);
        chains.end(&subject(n), subscription);
        assert!(settled.blocking_recv().is_err(), "whoever waited for it need not any more");
        let table = chains.lock();
        assert!(table.asked.len() <= 2 * (table.of.len() + 1) + LOOKED_THROUGH_AT);
    }
    assert!(chains.next_deed().is_none(), "of those that were not known nothing is told");
    let mut table = chains.lock();
    table.ended = (0..MOST_ENDED).map(|n| (subject(n), 1)).collect();
    drop(table);
    chains.end(&subject(0), 1);
    let ended = chains.lock().ended.len();
    assert_eq!((ended, chains.sizes().chains), (MOST_ENDED, 0));
}
