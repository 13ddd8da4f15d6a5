use super::*;
use std::collections::BTreeSet;

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn members_of_all_nodes_are_one_roster() {
    let engine = LocalEngine::new();
    let [a, b, c]: [TestNode; 3] = nodes(&engine);
    let ann = a.joined("presence-room", Some("ann"));
    let bob = b.joined("presence-room", Some("bob"));
    let eve = c.joined("presence-room", Some("eve"));
    let all = [&ann, &bob, &eve];
    until("one roster", || all.iter().all(|client| client.roster() == names(["ann", "bob", "eve"])));
    // A user who is on two nodes leaves with the second connection.
    let second = b.joined("presence-room", Some("ann"));
    until("that is known there", || {
        let status = c.status();
        status.peers[1].size.members == 2 && status.figures.untold_changes == 0
    });
    ann.disconnect("presence-room");
    a.publish("presence-room", "after", None);
    until("the event", || eve.events() == ["after"] && bob.events() == ["after"]);
    until("it is known", || c.status().peers[0].size.members == 0);
    assert_eq!(eve.roster(), names(["ann", "bob", "eve"]));
    second.disconnect("presence-room");
    until("ann is gone", || [&bob, &eve].iter().all(|client| client.roster() == names(["bob", "eve"])));
    assert_eq!(eve.members().iter().filter(|told| *told == "-ann").count(), 1);
}

#[test]
fn a_node_that_starts_later_knows_what_there_is() {
    const MEMBERS: usize = 2000;
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let _many: Vec<_> = (0..MEMBERS)
        .map(|n| {
            let client = a.client();
            client.join("presence-room", Some(&format!("user-{n}")));
            client
        })
        .collect();
    let _bob = b.joined("presence-room", Some("bob"));
    until("all are known", || b.status().peers[0].size.members == MEMBERS);
    let c = TestNode::start(&engine, "late");
    until("it knows the others", || c.knows(2));
    let late = c.joined("presence-room", Some("late"));
    assert_eq!(late.roster().len(), MEMBERS + 2);
    assert!(c.status().figures.snapshots_taken >= 2);
}

#[test]
fn no_event_of_a_member_precedes_it() {
    const ROUNDS: usize = 100;
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let witness = b.joined("presence-room", Some("witness"));
    for n in 0..ROUNDS {
        let user = format!("user-{n}");
        let client = a.joined("presence-room", Some(&user));
        a.publish("presence-room", &user, Some(client.socket));
    }
    until("all events", || witness.events().len() == ROUNDS);
    let frames = witness.sent.0.lock().clone();
    for n in 0..ROUNDS {
        let place = |what: &str| frames.iter().position(|frame| frame.contains(what)).unwrap();
        let (added, event) = (format!("{{\\\"user_id\\\":\\\"user-{n}\\\"}}"), format!("\"user-{n}\""));
        assert!(place(&added) < place(&event), "{n}: {frames:?}");
    }
    assert_eq!(b.status().figures.lost[super::super::status::Loss::StateLate as usize], 0);
}

#[test]
fn an_app_that_is_added_here_later_is_told_what_there_is_of_it_elsewhere() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let _ann = a.joined("presence-room", Some("ann"));
    until("it is known", || b.status().peers[0].size.members == 1);
    b.hub.set_apps(Vec::new()).unwrap();
    b.hub.set_apps(vec![(app(), Some(Vec::new()))]).unwrap();
    let b = TestNode { app: b.hub.state_by_key("k").unwrap(), ..b };
    let bob = b.client();
    bob.join("presence-room", Some("bob"));
    until("one roster", || bob.roster() == names(["ann", "bob"]));
}

#[test]
fn of_an_app_that_is_removed_and_added_again_the_new_one_alone_is_told_of() {
    let engine = LocalEngine::new();
    let [mut a, b]: [TestNode; 2] = nodes(&engine);
    let old = [a.joined("news", None), a.joined("news", None)];
    let ann = a.joined("presence-room", Some("ann"));
    // Else the witness hears of her when it is there.
    until("b knows her", || b.app.user_ids(&channel("presence-room")) == ["ann"]);
    let witness = b.joined("presence-room", Some("bob"));
    until("b knows", || b.app.subscription_count(&channel("news")) == 2);
    a.hub.set_apps(Vec::new()).unwrap();
    a.hub.set_apps(vec![(app(), Some(Vec::new()))]).unwrap();
    a.app = a.hub.state_by_key("k").unwrap();
    let _new = a.joined("news", None);
    until("who was there has gone", || b.app.subscription_count(&channel("news")) == 1);
    until("the member, too", || witness.members() == ["-ann"]);
    old.iter().for_each(|client| client.disconnect("news"));
    ann.disconnect("presence-room");
    // What is told later is heard later.
    let _later = a.joined("later", None);
    until("all has been heard", || b.app.subscription_count(&channel("later")) == 1);
    assert_eq!([&a, &b].map(|node| node.app.subscription_count(&channel("news"))), [1, 1]);
    assert_eq!(witness.members(), ["-ann"]);
}

#[test]
fn what_is_left_of_a_removed_app_ends_on_the_other_nodes_also_where_nobody_comes_back() {
    let engine = LocalEngine::new();
    let [mut a, b]: [TestNode; 2] = nodes(&engine);
    let old = a.joined("news", None);
    until("b knows", || b.app.subscription_count(&channel("news")) == 1);
    a.hub.set_apps(Vec::new()).unwrap();
    a.hub.set_apps(vec![(app(), Some(Vec::new()))]).unwrap();
    a.app = a.hub.state_by_key("k").unwrap();
    old.disconnect("news");
    until("nobody is there", || b.app.channel_count() == 0);
    let _new = a.joined("news", None);
    until("somebody is", || b.app.subscription_count(&channel("news")) == 1);
}
