//! What is known of clients' names passes from one process to the one that succeeds it, and from that to the next.

use super::names::NamedPeer;
use super::two::{end, succeed};
use super::*;
use crate::hub::HandedKind;

const CHANNELS: [&str; 2] = ["kept-1", "kept-few"];

/// So many clients come, receive of each channel what is published then, say so, and leave.
fn are_there_and_leave(node: &TestNode, names: usize) {
    let peers: Vec<NamedPeer> = (1..=names).map(|name| node.comes(name, &CHANNELS)).collect();
    CHANNELS.iter().for_each(|channel| node.publish_to(channel, &["received"]));
    for peer in peers {
        until("it is sent both", || peer.client.events().len() == CHANNELS.len());
        peer.echoes_all();
        peer.leaves(&CHANNELS);
    }
    until("all have left", || node.counts().left == names);
}

/// Several processes follow each other, and clients are away meanwhile.
#[test]
fn who_is_away_for_the_whole_life_of_a_process_is_sent_by_the_next_one_what_it_missed() {
    let mut now = TestNode::alone(Vec::new());
    are_there_and_leave(&now, 3);
    now.publish_to("kept-1", &["1"]);
    now.publish_to("kept-few", &["1"]);
    for round in 2..=4 {
        let mut next = TestNode::alone(Vec::new());
        succeed(&mut now, &mut next);
        end(now, &mut next);
        next.publish_to("kept-1", &[&round.to_string()]);
        now = next;
    }
    assert_eq!(now.counts().left, 3);
    let figures = now.hub.upgrades().read();
    assert_eq!((figures.of(HandedKind::Name), figures.of(HandedKind::Event), figures.lost), (3, 6, [0; 3]));
    let back = now.comes(1, &CHANNELS);
    assert_eq!(
        (back.is_complete(), back.client.events()),
        (vec![true, true], texts(&["1", "2", "3", "4", "1"]))
    );
    // Another one comes while the process is still there that it has not been to, and was left to.
    let mut next = TestNode::alone(Vec::new());
    succeed(&mut now, &mut next);
    next.publish_to("kept-1", &["5"]);
    let back = next.comes(2, &CHANNELS);
    assert_eq!(back.is_complete(), [true, true]);
    assert_eq!(back.client.events(), texts(&["1", "2", "3", "4", "5", "1"]));
    // What is not kept any more is not made up for, also where that became so in the life of a process.
    next.publish_to("kept-few", &["2", "3", "4", "5", "6"]);
    end(now, &mut next);
    let mut last = TestNode::alone(Vec::new());
    succeed(&mut next, &mut last);
    end(next, &mut last);
    let back = last.comes(3, &CHANNELS);
    assert_eq!(back.is_complete(), [true, false]);
    assert_eq!(back.client.events(), texts(&["1", "2", "3", "4", "5"]));
}

/// It was there for a moment, and had subscribed to one of its channels again.
#[test]
fn who_came_back_to_a_process_for_a_part_finds_the_rest_at_the_next_one() {
    let (mut first, mut second, mut third) =
        (TestNode::alone(Vec::new()), TestNode::alone(Vec::new()), TestNode::alone(Vec::new()));
    are_there_and_leave(&first, 1);
    CHANNELS.iter().for_each(|channel| first.publish_to(channel, &["1"]));
    succeed(&mut first, &mut second);
    end(first, &mut second);
    let back = second.comes(1, &CHANNELS[..1]);
    back.echoes_all();
    back.leaves(&CHANNELS[..1]);
    until("it has left", || second.counts().left == 1);
    CHANNELS.iter().for_each(|channel| second.publish_to(channel, &["2"]));
    succeed(&mut second, &mut third);
    end(second, &mut third);
    let back = third.comes(1, &CHANNELS);
    assert_eq!(back.is_complete(), [true, true]);
    assert_eq!(back.client.events(), texts(&["2", "1", "2"]));
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
