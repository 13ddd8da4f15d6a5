//! What the client of a session has received, as far as what it does tells. Pure.
//!
//! Behind the events of channels with a history go marks: the pings that a WebSocket would carry. Over HTTP none of them is
//! sent. Two signs say that a client has come past one:
//!
//! * The request for the next response. Clients make it when they have read the one before to its end, and take a response
//!   that broke off for the end of the connection.
//! * The answer to a `pusher:ping`, by which a stream asks behind each mark. Clients answer each, and say `pusher:pong` for no
//!   other reason: so as many answers as there are, so many of the questions have arrived, and what was before them. An
//!   answer that is lost makes the others say less than they could, never more. So a request that a browser has sent twice may
//!   not count twice, and every `pusher:ping` counts as a question, whoever says it and why.

use std::collections::{BTreeSet, VecDeque};

use crate::protocol::Frame;

/// Questions that may be unanswered. With so many no more is asked behind a mark.
const MOST_QUESTIONS: usize = 64;

/// Questions, also those for another reason, that may be unanswered. With one more, answers say nothing any more.
const MOST_OTHER_QUESTIONS: usize = 1024;

/// Requests of which it is remembered that they brought an answer. None of an older number counts.
const MOST_REQUESTS: usize = 64;

/// How a message begins that is a question, in the form that sessions take.
const QUESTION: &str = r#""{\"event\":\"pusher:ping\""#;

/// How a message begins that is an answer, as clients write it.
const ANSWER: &str = r#"{"event":"pusher:pong""#;

/// Whether this message, a JSON string, is one that clients answer.
pub(super) fn is_question(message: &str) -> bool {
    message.starts_with(QUESTION)
}

/// How many of these messages are answers.
pub(super) fn answers_among(messages: &[String]) -> usize {
    messages.iter().filter(|message| message.starts_with(ANSWER)).count()
}

/// What is known of one session.
#[derive(Debug)]
pub(super) struct SessionSigns {
    /// The last mark behind which all was written.
    last: Option<PassedMark>,
    /// The same, if the next request will say that it has arrived.
    written: Option<PassedMark>,
    /// Each request until now has said that all of the responses before have arrived.
    is_certain: bool,
    /// For each question that is not answered, the mark that it is behind.
    questions: VecDeque<Option<PassedMark>>,
    /// Requests that have brought an answer.
    requests: BTreeSet<u64>,
    /// The largest number of those that are forgotten.
    forgotten: Option<u64>,
    /// There were too many questions.
    is_lost: bool,
    /// What has been received up to, and was not yet told.
    received: Option<PassedMark>,
}

/// A mark that was written past: how many were before, and what it carries.
#[derive(Clone, Debug)]
struct PassedMark {
    number: u64,
    frame: Frame,
}

impl SessionSigns {
    /// Nothing was written yet.
    pub(super) fn new() -> Self {
        SessionSigns {
            last: None,
            written: None,
            is_certain: true,
            questions: VecDeque::new(),
            requests: BTreeSet::new(),
            forgotten: None,
            is_lost: false,
            received: None,
        }
    }

    /// A request to receive has come. `is_next`: it was made when all of the responses before had been read, or it is the
    /// first. Once one was not, requests say nothing any more.
    pub(super) fn requested(&mut self, is_next: bool) {
        self.is_certain &= is_next;
        if let Some(mark) = self.written.take().filter(|_| self.is_certain) {
            self.receive(mark);
        }
    }

    /// All before this mark has been written, and none of it into the current response if that is `untouched`.
    pub(super) fn passed(&mut self, frame: &Frame, untouched: bool) {
        let number = self.last.as_ref().map_or(0, |last| last.number + 1);
        let mark = PassedMark { number, frame: frame.clone() };
        self.last = Some(mark.clone());
        if untouched && self.is_certain {
            self.receive(mark);
        } else {
            self.written = Some(mark);
        }
    }

    /// Whether a question may be written behind a mark.
    pub(super) fn may_ask(&self) -> bool {
        !self.is_lost && self.questions.len() < MOST_QUESTIONS
    }

    /// A question was written.
    pub(super) fn asked(&mut self) {
        if self.questions.len() >= MOST_OTHER_QUESTIONS {
            self.is_lost = true;
            self.questions = VecDeque::new();
        }
        if !self.is_lost {
            self.questions.push_back(self.last.clone());
        }
    }

    /// Whether an answer would say something.
    pub(super) fn awaits_answer(&self) -> bool {
        !self.questions.is_empty()
    }

    /// So many answers came with the request of this number.
    pub(super) fn answered(&mut self, answers: usize, request: Option<u64>) {
        let is_new = request.is_some_and(|request| {
            self.forgotten.is_none_or(|forgotten| request > forgotten) && self.requests.insert(request)
        });
        if !is_new {
            return;
        }
        if self.requests.len() > MOST_REQUESTS {
            self.forgotten = self.requests.pop_first();
        }
        let answered = answers.min(self.questions.len());
        let newest = self.questions.drain(..answered).next_back().flatten();
        if let Some(mark) = newest {
            self.receive(mark);
        }
    }

    /// Whether something is to be told.
    pub(super) fn has_news(&self) -> bool {
        self.received.is_some()
    }

    /// The mark up to which everything has been received, if that was not told before.
    pub(super) fn take_received(&mut self) -> Option<Frame> {
        self.received.take().map(|mark| mark.frame)
    }

    fn receive(&mut self, mark: PassedMark) {
        if self.received.as_ref().is_none_or(|received| received.number < mark.number) {
            self.received = Some(mark);
        }
    }
}

#[cfg(test)]
mod tests;
