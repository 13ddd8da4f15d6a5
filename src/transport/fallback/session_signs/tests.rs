use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::protocol::json::Data;
use crate::protocol::{ChannelName, server_message};

fn mark(number: u64) -> Frame {
    Frame::ping_with(number.to_string().as_bytes())
}

fn told(signs: &mut SessionSigns) -> Option<u64> {
    let frame = signs.take_received()?;
    Some(std::str::from_utf8(frame.payload()).unwrap().parse().unwrap())
}

fn message(frame: &Frame) -> String {
    let frame = frame.quoted();
    String::from_utf8(frame.quoted_message().unwrap().to_vec()).unwrap()
}

#[test]
fn questions_and_answers_are_told_from_everything_else() {
    let channel = ChannelName::parse("c", 164).unwrap();
    let event =
        |name: &str| message(&server_message::channel_event(name, &Data::of_text("{}"), &channel, None));
    assert!(is_question(&message(&server_message::ping())));
    assert!(is_question(&event("pusher:ping")), "clients answer it wherever it comes from");
    for other in ["pusher:pong", "pusher:pings", "ping", "pusher"] {
        assert!(!is_question(&event(other)), "{other}");
    }
    let sent =
        [r#"{"event":"pusher:pong","data":{}}"#, r#"{"event":"client-x"}"#, r#"{"event":"pusher:pong"}"#];
    assert_eq!(answers_among(&sent.map(str::to_owned)), 2);
}

#[test]
fn the_next_request_says_that_the_response_before_has_arrived() {
    let mut signs = SessionSigns::new();
    signs.requested(true);
    signs.passed(&mark(1), false);
    assert_eq!(told(&mut signs), None, "it is under way");
    signs.requested(true);
    assert_eq!(told(&mut signs), Some(1));
    signs.passed(&mark(2), true);
    assert_eq!(told(&mut signs), Some(2), "nothing of it is in this response");
    signs.passed(&mark(3), false);
    signs.requested(false);
    assert_eq!(told(&mut signs), None);
    signs.passed(&mark(4), true);
    signs.requested(true);
    assert_eq!(told(&mut signs), None, "what was in the response before that one is not known");
}

#[test]
fn the_nth_answer_says_that_the_nth_question_has_arrived() {
    let mut signs = SessionSigns::new();
    signs.requested(true);
    assert!(!signs.awaits_answer());
    signs.asked();
    signs.passed(&mark(1), false);
    signs.asked();
    signs.passed(&mark(2), false);
    signs.asked();
    signs.answered(1, Some(10));
    assert_eq!(told(&mut signs), None, "that was one for another reason");
    signs.answered(1, Some(11));
    assert_eq!(told(&mut signs), Some(1));
    signs.answered(1, Some(11));
    signs.answered(1, None);
    assert_eq!(told(&mut signs), None, "a request that was sent twice, and one that may have been");
    signs.answered(5, Some(12));
    assert_eq!(told(&mut signs), Some(2));
    assert!(!signs.awaits_answer());
}

#[test]
fn what_is_kept_of_a_session_is_bounded() {
    let mut signs = SessionSigns::new();
    signs.requested(true);
    for number in 0..MOST_QUESTIONS as u64 {
        assert!(signs.may_ask());
        signs.passed(&mark(number), false);
        signs.asked();
    }
    assert!(!signs.may_ask());
    for request in 0..MOST_REQUESTS as u64 + 10 {
        signs.answered(1, Some(2 * request));
        signs.asked();
    }
    assert_eq!(signs.requests.len(), MOST_REQUESTS);
    told(&mut signs);
    signs.passed(&mark(1000), false);
    signs.asked();
    signs.answered(1000, Some(1));
    assert_eq!(told(&mut signs), None, "one that may be forgotten");
    for _ in 0..=MOST_OTHER_QUESTIONS {
        signs.asked();
    }
    assert!(signs.is_lost && !signs.may_ask() && !signs.awaits_answer());
    signs.asked();
    assert!(signs.questions.is_empty());
}

/// What may happen next in a session.
#[derive(Clone, Copy, Debug)]
enum SignStep {
    /// An event is written, and a mark behind it.
    Mark,
    /// A `pusher:ping` is written for another reason.
    Other,
    /// The client reads so many lines of the response.
    Read(usize),
    /// A request of the client, the first, the second or the third that is under way, arrives.
    Arrive(usize),
    /// It arrives although it has arrived before.
    Again(usize),
    /// It is lost.
    Lose,
    /// The response ends, and the client asks for the next when it has read it.
    End,
}

#[derive(Clone, Copy, Debug)]
enum Line {
    Mark(u64),
    Question,
}

/// A client that answers each question with a request of its own, and these arrive in whatever order.
#[derive(Default)]
struct Reader {
    marks: u64,
    there: VecDeque<Line>,
    /// The last mark that it has read past.
    read: Option<u64>,
    requests: u64,
    under_way: Vec<u64>,
    arrived: Vec<u64>,
}

impl Reader {
    fn read(&mut self, lines: usize) {
        for _ in 0..lines {
            match self.there.pop_front() {
                Some(Line::Mark(number)) => self.read = Some(number),
                Some(Line::Question) => {
                    self.requests += 1;
                    self.under_way.push(self.requests);
                }
                None => return,
            }
        }
    }
}

fn sign_step() -> impl Strategy<Value = SignStep> {
    prop_oneof![
        4 => Just(SignStep::Mark),
        1 => Just(SignStep::Other),
        4 => (0..6usize).prop_map(SignStep::Read),
        4 => (0..3usize).prop_map(SignStep::Arrive),
        1 => (0..3usize).prop_map(SignStep::Again),
        1 => Just(SignStep::Lose),
        1 => Just(SignStep::End),
    ]
}

proptest! {
    /// Whatever is lost, sent twice or overtaken: nothing counts as received that the client has not read.
    #[test]
    fn nothing_is_taken_as_received_that_was_not_read(
        steps in proptest::collection::vec(sign_step(), 0..200),
        asks in any::<bool>(),
    ) {
        let (mut signs, mut reader) = (SessionSigns::new(), Reader::default());
        let mut untouched = true;
        signs.requested(true);
        for step in steps {
            match step {
                SignStep::Mark => {
                    reader.marks += 1;
                    signs.passed(&mark(reader.marks), false);
                    reader.there.push_back(Line::Mark(reader.marks));
                    untouched = false;
                    if asks && signs.may_ask() {
                        signs.asked();
                        reader.there.push_back(Line::Question);
                    }
                }
                SignStep::Other => {
                    signs.asked();
                    reader.there.push_back(Line::Question);
                }
                SignStep::Read(lines) => reader.read(lines),
                SignStep::Arrive(place) => {
                    if place < reader.under_way.len() {
                        let request = reader.under_way.remove(place);
                        reader.arrived.push(request);
                        signs.answered(1, Some(request));
                    }
                }
                SignStep::Again(place) => {
                    if let Some(request) = reader.arrived.iter().rev().nth(place) {
                        signs.answered(1, Some(*request));
                    }
                }
                SignStep::Lose => {
                    reader.under_way.pop();
                }
                SignStep::End if !untouched => {
                    reader.read(usize::MAX);
                    signs.requested(true);
                    untouched = true;
                    prop_assert!(signs.has_news(), "the next request tells it");
                }
                SignStep::End => {}
            }
            if let Some(received) = told(&mut signs) {
                prop_assert!(reader.read.is_some_and(|read| received <= read), "{received} {:?}", reader.read);
            }
        }
    }
}
