//! Asks other nodes what those who run the broker want to know, and has answered what others ask.

use bytes::Bytes;

use crate::channel::NodeId;

use super::adapter::{Adapter, Subject};
use super::envelope::{Content, QuestionWord};
use super::node::ClusterNode;
use super::questions::{ANSWER_BYTES, AnswerReply, AskedNodes, NodeAnswer, PutQuestion, QUESTION_BYTES};
use super::status::{Loss, WordKind};

impl<A: Adapter> ClusterNode<A> {
    /// Puts a question to one node, or to all that count as alive. Those that cannot be reached are named all the same.
    pub(super) fn ask_nodes(&self, of: Option<NodeId>, question: &Bytes) -> AskedNodes {
        let mut nodes: Vec<_> = {
            let peers = self.peers.lock();
            let asked = peers.iter().filter(|(id, _)| of.is_none_or(|of| of == *id));
            asked.map(|(id, peer)| (id, peer.heartbeat.name.clone())).collect()
        };
        nodes.sort_by(|one, other| (&one.1, one.0).cmp(&(&other.1, other.0)));
        let ids: Vec<NodeId> = nodes.iter().map(|(id, _)| *id).collect();
        let is_put = !self.is_away() && !self.is_in_trouble() && question.len() <= QUESTION_BYTES;
        let (number, answers) = self.questions.begin(if is_put { &ids } else { &[] });
        if let Some(number) = number {
            for node in &ids {
                let content = Content::Question { number, word: QuestionWord::Asked(question.clone()) };
                self.say(&Subject::Node(*node), WordKind::Question, content, None);
            }
        }
        let unknown = (!*self.settled.borrow()).then_some(AskedNodes::NOT_SETTLED);
        AskedNodes { nodes, answers, unknown }
    }

    /// Another node asks something, or has answered.
    pub(super) fn take_question_word(&self, from: NodeId, number: u64, word: QuestionWord) {
        match word {
            QuestionWord::Asked(asked) => self.take_question(from, number, asked),
            QuestionWord::Answered(NodeAnswer::Told(told)) if told.len() > ANSWER_BYTES => {
                self.counts.lost(Loss::Unreadable, 1);
            }
            QuestionWord::Answered(answer) => {
                let answer = match answer {
                    NodeAnswer::Told(told) => NodeAnswer::Told(apart(&told)),
                    other => other,
                };
                self.questions.answered(from, number, answer);
            }
        }
    }

    /// Whether this is a node that is there. What anybody else says is counted: who has just come may know this node before it is
    /// known here.
    pub(super) fn is_peer(&self, from: NodeId) -> bool {
        let is_peer = self.peers.lock().peer(from).is_some();
        if !is_peer {
            self.counts.lost(Loss::Departed, 1);
        }
        is_peer
    }

    fn take_question(&self, from: NodeId, number: u64, asked: Bytes) {
        if asked.len() > QUESTION_BYTES {
            return self.counts.lost(Loss::Unreadable, 1);
        }
        if !self.is_peer(from) {
            return;
        }
        let this = self.this.clone();
        let reply = AnswerReply::new(move |answer| {
            if let Some(this) = this.upgrade() {
                this.say_answer(from, number, answer);
            }
        });
        self.questions.put(PutQuestion { from, asked: apart(&asked), reply });
    }

    fn say_answer(&self, to: NodeId, number: u64, answer: NodeAnswer) {
        let content = Content::Question { number, word: QuestionWord::Answered(answer) };
        self.say(&Subject::Node(to), WordKind::Question, content, None);
    }
}

/// A copy: what is a part of a message would hold the whole of it for as long as it waits.
fn apart(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
