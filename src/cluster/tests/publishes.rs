//! Ids under which something is published: what one node has published, no other one does.

use super::super::adapter::{Adapter, NoteName};
use super::*;
use crate::event::{PublishFingerprint, PublishId};
use crate::hub::{EarlierPublish, PublishClaim};

fn claim(node: &TestNode, id: &str, text: &str) -> Result<PublishClaim, EarlierPublish> {
    let fingerprint = PublishFingerprint::of([text.as_bytes()]);
    let here = node.app.claim_publish(&PublishId::parse(id).unwrap(), fingerprint)?;
    block_on(here.everywhere(&node.hub))
}

/// Publishes under an id that is free.
fn publish_as(node: &TestNode, id: &str, answer: Option<&str>) {
    let mut claimed = claim(node, id, "x").unwrap();
    claimed.published(answer.map(Into::into));
}

/// What is known of an id on a node, once it is no longer under way.
fn known(node: &TestNode, id: &str, text: &str) -> EarlierPublish {
    let mut known = EarlierPublish::UnderWay;
    until("it is settled", || {
        known = claim(node, id, text).expect_err("it is known");
        known != EarlierPublish::UnderWay
    });
    known
}

#[test]
fn what_one_node_has_published_no_other_publishes() {
    let engine = LocalEngine::new();
    let [a, b, c]: [TestNode; 3] = nodes(&engine);
    let under_way = claim(&a, "1", "x").unwrap();
    for node in [&a, &b, &c] {
        assert_eq!(claim(node, "1", "x").unwrap_err(), EarlierPublish::UnderWay);
        assert_eq!(claim(node, "1", "y").unwrap_err(), EarlierPublish::OfAnother);
    }
    drop(under_way);
    let mut free = None;
    until("it is free again", || {
        free = claim(&b, "1", "y").ok();
        free.is_some()
    });
    let mut claimed = free.unwrap();
    claimed.published(Some("told".into()));
    drop(claimed);
    for node in [&a, &b, &c] {
        assert_eq!(known(node, "1", "y"), EarlierPublish::Answered(Some("told".into())));
        assert_eq!(known(node, "1", "x"), EarlierPublish::OfAnother);
    }
}

#[test]
fn of_nodes_that_publish_at_once_one_does() {
    let engine = LocalEngine::new();
    let nodes: [TestNode; 3] = nodes(&engine);
    for round in 0..20 {
        let id = format!("round-{round}");
        let claims = thread::scope(|scope| {
            let claiming: Vec<_> = nodes.iter().map(|node| scope.spawn(|| claim(node, &id, "x"))).collect();
            claiming.into_iter().map(|claiming| claiming.join().unwrap()).collect::<Vec<_>>()
        });
        let (first, others): (Vec<_>, Vec<_>) = claims.into_iter().partition(Result::is_ok);
        assert_eq!(first.len(), 1);
        assert!(others.into_iter().all(|other| other.unwrap_err() == EarlierPublish::UnderWay));
    }
}

#[test]
fn while_the_engine_is_away_each_node_stands_alone() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    publish_as(&a, "before", None);
    assert_eq!(known(&b, "before", "x"), EarlierPublish::Answered(None));
    engine.halt();
    until("it is known", || [&a, &b].iter().all(|node| node.status().away.is_some()));
    publish_as(&b, "before", None);
    publish_as(&a, "alone", None);
    publish_as(&b, "alone", None);
    assert_eq!(known(&a, "alone", "x"), EarlierPublish::Answered(None));
    engine.go_on();
    until("it is known", || [&a, &b].iter().all(|node| node.status().away.is_none()));
    publish_as(&a, "after", None);
    assert_eq!(known(&b, "after", "x"), EarlierPublish::Answered(None));
}

/// What was claimed while the engine was away and is answered when it is back, the others know, too.
#[test]
fn what_could_not_be_claimed_is_made_known() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    a.faults.cut();
    until("it is known", || a.status().away.is_some());
    let mut claimed = claim(&a, "1", "x").unwrap();
    a.faults.heal();
    until("it is known", || a.status().away.is_none());
    claimed.published(None);
    drop(claimed);
    // Who looks by a claim of its own might be in the way.
    let looks = engine.join(inbox(1, 1).0);
    let name = NoteName { app: "1".into(), number: PublishId::parse("1").unwrap().digest() };
    let seen = || block_on(looks.write_note(&name, Some("?".into()), None)).unwrap().unwrap_err();
    until("it is made known", || seen().0.is_some());
    assert_eq!(known(&b, "1", "x"), EarlierPublish::Answered(None));
}
