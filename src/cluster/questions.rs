//! What a node asks other nodes for those who run the broker, until they have answered. Of what is asked and answered the
//! cluster knows nothing but the bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::channel::NodeId;

/// Questions of this node that wait for answers. Who asks more hears that nobody has answered.
const MOST_ASKED: usize = 32;

/// Questions of other nodes that wait to be answered here. Who asks more is told that there are too many.
pub(crate) const MOST_TO_ANSWER: usize = 64;

/// Bytes of a question, and of an answer. Longer ones are not read.
pub(crate) const QUESTION_BYTES: usize = 16 * 1024;
pub(crate) const ANSWER_BYTES: usize = 512 * 1024;

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeAnswer {
    /// This.
    Told(Bytes),
    /// Nobody there answers questions.
    Nobody,
    /// Too many are asked there at once.
    Busy,
}

/// A question that was put to other nodes.
#[derive(Debug)]
pub(crate) struct AskedNodes {
    /// Whom it was put to, with their names.
    pub(crate) nodes: Vec<(NodeId, Arc<str>)>,
    /// What they answer, each once. It ends when all have, and where none can be reached.
    pub(crate) answers: mpsc::Receiver<(NodeId, NodeAnswer)>,
    /// Why there may be other nodes than those.
    pub(crate) unknown: Option<&'static str>,
}

impl AskedNodes {
    /// Why a node may not know of all others.
    pub(super) const NOT_SETTLED: &str = "this node has not yet been told which other nodes there are";

    /// Nobody, while it is not known whom there would be to ask.
    pub(crate) fn unknown() -> Self {
        AskedNodes { nodes: Vec::new(), answers: mpsc::channel(1).1, unknown: Some(Self::NOT_SETTLED) }
    }
}

/// A question of another node, with where its answer goes. It is dropped where there is none.
pub(crate) struct PutQuestion {
    pub(crate) from: NodeId,
    pub(crate) asked: Bytes,
    pub(crate) reply: AnswerReply,
}

/// Takes the answer to a question.
pub(crate) struct AnswerReply(Box<dyn FnOnce(NodeAnswer) + Send>);

impl AnswerReply {
    pub(super) fn new(tell: impl FnOnce(NodeAnswer) + Send + 'static) -> Self {
        AnswerReply(Box::new(tell))
    }

    /// Answers.
    pub(crate) fn answer(self, answer: NodeAnswer) {
        (self.0)(answer);
    }
}

impl fmt::Debug for PutQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutQuestion").field("bytes", &self.asked.len()).finish_non_exhaustive()
    }
}

/// The questions of this node, and who answers those of others.
#[derive(Debug, Default)]
pub(super) struct Questions {
    asked: Mutex<QuestionsAsked>,
    answers: Mutex<Option<mpsc::Sender<PutQuestion>>>,
}

#[derive(Debug, Default)]
struct QuestionsAsked {
    last: u64,
    waiting: BTreeMap<u64, WaitingQuestion>,
}

/// A question that some have not answered.
#[derive(Debug)]
struct WaitingQuestion {
    left: BTreeSet<NodeId>,
    tell: mpsc::Sender<(NodeId, NodeAnswer)>,
}

impl Questions {
    /// Something is to be asked of these: by which number, if there is room, and where their answers come.
    pub(super) fn begin(&self, of: &[NodeId]) -> (Option<u64>, mpsc::Receiver<(NodeId, NodeAnswer)>) {
        let (tell, answers) = mpsc::channel(of.len().max(1));
        let mut asked = self.asked.lock();
        asked.waiting.retain(|_, question| !question.tell.is_closed());
        if of.is_empty() || asked.waiting.len() >= MOST_ASKED {
            return (None, answers);
        }
        asked.last += 1;
        let number = asked.last;
        asked.waiting.insert(number, WaitingQuestion { left: of.iter().copied().collect(), tell });
        (Some(number), answers)
    }

    /// A node has answered. What was not asked of it, or is answered again, or too late, is passed over.
    pub(super) fn answered(&self, by: NodeId, number: u64, answer: NodeAnswer) {
        let mut asked = self.asked.lock();
        let Some(question) = asked.waiting.get_mut(&number) else { return };
        if !question.left.remove(&by) {
            return;
        }
        // There is room for one of each; whoever asked may have gone.
        let _ = question.tell.try_send((by, answer));
        if question.left.is_empty() {
            asked.waiting.remove(&number);
        }
    }

    /// What others ask is put there from now on.
    pub(super) fn answer_by(&self, answers: mpsc::Sender<PutQuestion>) {
        *self.answers.lock() = Some(answers);
    }

    /// Has a question of another node answered.
    pub(super) fn put(&self, question: PutQuestion) {
        let Some(answers) = self.answers.lock().clone() else {
            return question.reply.answer(NodeAnswer::Nobody);
        };
        match answers.try_send(question) {
            Ok(()) => {}
            Err(TrySendError::Full(question)) => question.reply.answer(NodeAnswer::Busy),
            Err(TrySendError::Closed(question)) => question.reply.answer(NodeAnswer::Nobody),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [NodeId; 2] = [NodeId::new(1), NodeId::new(2)];

    fn told(text: &'static str) -> NodeAnswer {
        NodeAnswer::Told(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn each_node_answers_once_what_it_was_asked() {
        let questions = Questions::default();
        let (number, mut answers) = questions.begin(&NODES);
        let number = number.unwrap();
        questions.answered(NODES[0], number + 1, told("another question"));
        questions.answered(NodeId::new(3), number, told("nobody has asked it"));
        questions.answered(NODES[0], number, told("a"));
        questions.answered(NODES[0], number, told("again"));
        questions.answered(NODES[1], number, NodeAnswer::Nobody);
        assert_eq!(answers.try_recv(), Ok((NODES[0], told("a"))));
        assert_eq!(answers.try_recv(), Ok((NODES[1], NodeAnswer::Nobody)));
        assert!(answers.try_recv().is_err());
        assert!(questions.asked.lock().waiting.is_empty());
        questions.answered(NODES[1], number, told("too late"));
    }

    #[test]
    fn so_many_wait_and_whoever_has_gone_makes_room() {
        let questions = Questions::default();
        let mut waiting: Vec<_> = (0..MOST_ASKED).map(|_| questions.begin(&NODES)).collect();
        assert!(waiting.iter().all(|(number, _)| number.is_some()));
        let (number, mut answers) = questions.begin(&NODES);
        assert!(number.is_none() && answers.blocking_recv().is_none());
        waiting.pop();
        assert!(questions.begin(&NODES).0.is_some());
        assert!(questions.begin(&[]).0.is_none(), "there is nobody to ask");
    }

    #[test]
    fn who_cannot_be_answered_is_told_so() {
        let questions = Questions::default();
        let (tell, told) = std::sync::mpsc::channel();
        let put = || {
            let tell = tell.clone();
            let reply = AnswerReply::new(move |answer| tell.send(answer).unwrap());
            questions.put(PutQuestion { from: NODES[0], asked: Bytes::new(), reply });
        };
        put();
        assert_eq!(told.try_recv(), Ok(NodeAnswer::Nobody));
        let (sender, mut taken) = mpsc::channel(1);
        questions.answer_by(sender);
        put();
        put();
        assert_eq!(told.try_recv(), Ok(NodeAnswer::Busy));
        taken.try_recv().unwrap().reply.answer(NodeAnswer::Busy);
        assert_eq!(told.try_recv(), Ok(NodeAnswer::Busy));
        drop(taken);
        put();
        assert_eq!(told.try_recv(), Ok(NodeAnswer::Nobody));
    }
}
