use bytes::Bytes;

use super::super::questions::{AskedNodes, NodeAnswer, PutQuestion, QUESTION_BYTES};
use super::*;

/// Whom a node has asked, by their names, and what they answer until all have.
fn answers(asked: AskedNodes) -> Vec<(Arc<str>, NodeAnswer)> {
    let AskedNodes { nodes, mut answers, unknown } = asked;
    assert_eq!(unknown, None);
    let mut told = Vec::new();
    while let Some((id, answer)) = answers.blocking_recv() {
        let name = nodes.iter().find(|(of, _)| *of == id).map(|(_, name)| Arc::clone(name));
        told.push((name.unwrap(), answer));
    }
    told.sort_by(|(one, _), (other, _)| one.cmp(other));
    told
}

/// What a node answers by turning it round.
fn turned(text: &str) -> NodeAnswer {
    NodeAnswer::Told(Bytes::from(text.chars().rev().collect::<String>()))
}

impl TestNode {
    fn view(&self) -> &dyn crate::cluster::ClusterView {
        &**self.running.as_ref().unwrap().view()
    }

    /// Has what others ask turned round, for as long as the node is there.
    fn turns_round(&self) {
        let (put, mut questions) = mpsc::channel(4);
        self.view().answer_by(put);
        thread::spawn(move || {
            while let Some(PutQuestion { asked, reply, .. }) = questions.blocking_recv() {
                reply.answer(turned(std::str::from_utf8(&asked).unwrap()));
            }
        });
    }
}

#[test]
fn a_node_asks_all_others_or_one() {
    let engine = LocalEngine::new();
    let [a, b, c]: [TestNode; 3] = nodes(&engine);
    b.turns_round();
    let told = answers(a.view().ask(None, &Bytes::from_static(b"abc")));
    assert_eq!(told, [("node-1".into(), turned("abc")), ("node-2".into(), NodeAnswer::Nobody)]);
    c.turns_round();
    let told = answers(a.view().ask(Some(c.hub.node_id()), &Bytes::from_static(b"xyz")));
    assert_eq!(told, [("node-2".into(), turned("xyz"))]);
    // Nobody is asked who is not there, nor anything that is too long.
    assert!(a.view().ask(Some(a.hub.node_id()), &Bytes::new()).nodes.is_empty());
    let mut long = b.view().ask(None, &Bytes::from(vec![b'x'; QUESTION_BYTES + 1]));
    assert!(long.nodes.len() == 2 && long.answers.blocking_recv().is_none());
}

#[test]
fn who_does_not_answer_is_named_and_so_are_all_while_the_bus_is_away() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let (put, mut questions) = mpsc::channel(1);
    b.view().answer_by(put);
    let mut asked = a.view().ask(None, &Bytes::from_static(b"abc"));
    let question = questions.blocking_recv().unwrap();
    assert_eq!((question.from, &question.asked[..]), (a.hub.node_id(), &b"abc"[..]));
    assert!(asked.answers.try_recv().is_err() && &*asked.nodes[0].1 == "node-1");
    a.faults.cut();
    until("the bus is away", || a.status().away.is_some());
    let mut asked = a.view().ask(None, &Bytes::from_static(b"abc"));
    assert_eq!((&*asked.nodes[0].1, asked.answers.blocking_recv()), ("node-1", None));
}
