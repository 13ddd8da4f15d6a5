//! What cache channels remember when the engine has lost it, or was away: afterwards all nodes give the same to whoever comes.

use super::*;

const NAME: &str = "cache-news";

/// Waits until whoever comes to any of the nodes is given the same event, and nothing else. Returns it.
fn given_by_all(nodes: &[&TestNode]) -> String {
    let mut given = Vec::new();
    until("all give the same", || {
        given = nodes.iter().map(|node| given_by(node)).collect::<Vec<_>>();
        given[0].len() == 1 && given.iter().all(|events| *events == given[0])
    });
    given.remove(0).remove(0)
}

/// What somebody who comes is sent.
fn given_by(node: &TestNode) -> Vec<String> {
    let new = node.joined(NAME, None);
    until("it is told", || new.heard("cache_miss") == 1 || !new.events().is_empty());
    new.events()
}

#[test]
fn an_empty_engine_is_given_what_was_remembered() {
    let engine = LocalEngine::new();
    let [a, b, c]: [TestNode; 3] = nodes(&engine);
    let (here, there) = (a.joined(NAME, None), b.joined(NAME, None));
    a.publish(NAME, "0", None);
    b.publish(NAME, "1", None);
    until("all are heard", || here.events() == ["0", "1"] && there.events() == here.events());
    engine.wipe();
    assert_eq!(given_by_all(&[&a, &b, &c]), "1");
    let new = TestNode::start(&engine, "new");
    until("it knows the others", || new.knows(3));
    assert_eq!(given_by(&new), ["1"]);
    c.publish(NAME, "2", None);
    until("events cross", || here.events().ends_with(&["2".to_owned()]) && there.events() == here.events());
    assert_eq!(here.events(), ["0", "1", "2"], "nothing was told again");
    assert_eq!(given_by_all(&[&a, &b, &c, &new]), "2");
}

#[test]
fn what_nodes_have_said_alone_ends_in_one_event() {
    let engine = LocalEngine::new();
    let [a, b, c]: [TestNode; 3] = nodes(&engine);
    let clients = [a.joined(NAME, None), b.joined(NAME, None)];
    a.publish(NAME, "1", None);
    until("it is heard", || clients.iter().all(|client| client.events() == ["1"]));
    engine.halt();
    until("it is known", || [&a, &b, &c].iter().all(|node| node.status().away.is_some()));
    a.publish(NAME, "of a", None);
    b.publish(NAME, "of b", None);
    until("they are delivered", || clients.iter().all(|client| client.events().len() == 2));
    engine.go_on();
    let last = given_by_all(&[&a, &b, &c]);
    assert!(["of a", "of b"].contains(&&*last), "{last}");
    for (client, own) in clients.iter().zip(["of a", "of b"]) {
        until("it is heard", || client.events().last() == Some(&last));
        let expected = if own == last { vec!["1", own] } else { vec!["1", own, &*last] };
        assert_eq!(client.events(), expected);
    }
    c.publish(NAME, "2", None);
    until("events cross", || clients.iter().all(|client| client.events().ends_with(&["2".to_owned()])));
    assert_eq!(given_by_all(&[&a, &b, &c]), "2");
}

/// What nobody has been subscribed to for long, and what one node has said while it was cut off alone.
#[test]
fn what_is_older_does_not_take_the_place_of_what_is_newer() {
    let engine = LocalEngine::new();
    let [a, b, c]: [TestNode; 3] = nodes(&engine);
    let (here, there) = (a.joined(NAME, None), b.joined(NAME, None));
    a.publish(NAME, "1", None);
    until("all are heard", || here.events() == ["1"] && there.events() == ["1"]);
    b.faults.cut();
    until("it is known", || b.status().away.is_some());
    b.publish(NAME, "of b", None);
    until("it is delivered", || there.events() == ["1", "of b"]);
    a.publish(NAME, "2", None);
    until("it is heard", || here.events() == ["1", "2"]);
    b.faults.heal();
    until("it is made up for", || there.events() == ["1", "of b", "2"]);
    assert_eq!(given_by_all(&[&a, &b, &c]), "2");
    assert_eq!(here.events(), ["1", "2"]);
}
