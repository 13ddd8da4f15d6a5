//! What is said on the link, as bytes: a request for the engine, or what the engine answers or hands out.

use std::time::Duration;

use bytes::Bytes;

use super::super::adapter::{EngineError, Remembered, Subject, Word};
use super::super::envelope::{FieldReader, FieldWriter, Malformed};
use crate::protocol::ChannelName;

/// Bytes of a channel's name. The app's own limit was checked where it was first used.
const CHANNEL_BYTES: usize = 1024;

/// Something that is asked of the engine. The number is that of the answer; 0 where nobody waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkRequest {
    pub(super) number: u64,
    pub(super) asked: EngineAsk,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EngineAsk {
    Publish { subject: Subject, bytes: Bytes },
    Remember { subject: Subject, bytes: Bytes, expiry: Duration },
    Restore { subject: Subject, bytes: Bytes, expiry: Duration, over: u64 },
    Recall { subject: Subject },
    NoteMiss { subject: Subject, expiry: Duration },
    Subscribe { subject: Subject },
    Unsubscribe { subject: Subject },
}

/// What the engine says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LinkReply {
    /// Which engine it is: first of all, and when it is another one, or there again.
    Engine(String),
    /// It cannot be reached at present.
    Away(String),
    /// Something was said on a subject.
    Word { subject: Subject, bytes: Bytes, number: Option<u64> },
    /// What was asked with this number is done.
    Answer { number: u64, answer: EngineAnswer },
}

/// How it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EngineAnswer {
    Done,
    Recalled(Option<Remembered>),
    Missed { is_first: bool },
    Restored { is_done: bool },
    Failed(EngineError),
}

impl LinkRequest {
    pub(super) fn encode(&self) -> Bytes {
        let mut to = FieldWriter::default();
        to.number(self.number);
        match &self.asked {
            EngineAsk::Publish { subject, bytes } => {
                to.byte(0);
                write_subject(&mut to, subject);
                to.bytes(bytes);
            }
            EngineAsk::Remember { subject, bytes, expiry } => {
                to.byte(1);
                write_subject(&mut to, subject);
                to.bytes(bytes);
                write_time(&mut to, *expiry);
            }
            EngineAsk::Recall { subject } => {
                to.byte(2);
                write_subject(&mut to, subject);
            }
            EngineAsk::NoteMiss { subject, expiry } => {
                to.byte(3);
                write_subject(&mut to, subject);
                write_time(&mut to, *expiry);
            }
            EngineAsk::Subscribe { subject } => {
                to.byte(4);
                write_subject(&mut to, subject);
            }
            EngineAsk::Unsubscribe { subject } => {
                to.byte(5);
                write_subject(&mut to, subject);
            }
            EngineAsk::Restore { subject, bytes, expiry, over } => {
                to.byte(6);
                write_subject(&mut to, subject);
                to.bytes(bytes);
                write_time(&mut to, *expiry);
                to.number(*over);
            }
        }
        to.finish()
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let from = &mut FieldReader::new(bytes);
        let number = from.number()?;
        let kind = from.byte()?;
        let subject = read_subject(from)?;
        let asked = match kind {
            0 => EngineAsk::Publish { subject, bytes: from.bytes()? },
            1 => EngineAsk::Remember { subject, bytes: from.bytes()?, expiry: read_time(from)? },
            2 => EngineAsk::Recall { subject },
            3 => EngineAsk::NoteMiss { subject, expiry: read_time(from)? },
            4 => EngineAsk::Subscribe { subject },
            5 => EngineAsk::Unsubscribe { subject },
            6 => {
                let (bytes, expiry) = (from.bytes()?, read_time(from)?);
                EngineAsk::Restore { subject, bytes, expiry, over: from.number()? }
            }
            _ => return Err(Malformed),
        };
        Ok(LinkRequest { number, asked })
    }
}

impl LinkReply {
    pub(super) fn encode(&self) -> Bytes {
        let mut to = FieldWriter::default();
        match self {
            LinkReply::Engine(engine) => {
                to.byte(0);
                to.text(engine);
            }
            LinkReply::Away(reason) => {
                to.byte(3);
                to.text(reason);
            }
            LinkReply::Word { subject, bytes, number } => {
                to.byte(1);
                write_subject(&mut to, subject);
                to.bytes(bytes);
                to.byte(number.is_some().into());
                to.number(number.unwrap_or_default());
            }
            LinkReply::Answer { number, answer } => {
                to.byte(2);
                to.number(*number);
                write_answer(&mut to, answer);
            }
        }
        to.finish()
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let from = &mut FieldReader::new(bytes);
        Ok(match from.byte()? {
            0 => LinkReply::Engine(from.text()?.to_owned()),
            1 => {
                let (subject, bytes) = (read_subject(from)?, from.bytes()?);
                let is_numbered = from.flag()?;
                let number = Some(from.number()?).filter(|_| is_numbered);
                LinkReply::Word { subject, bytes, number }
            }
            3 => LinkReply::Away(from.text()?.to_owned()),
            2 => LinkReply::Answer { number: from.number()?, answer: read_answer(from)? },
            _ => return Err(Malformed),
        })
    }

    /// What was said, to be handed on.
    pub(super) fn of(word: Word) -> Self {
        let Word { subject, bytes, number, .. } = word;
        LinkReply::Word { subject, bytes, number }
    }
}

fn write_answer(to: &mut FieldWriter, answer: &EngineAnswer) {
    match answer {
        EngineAnswer::Done => to.byte(0),
        EngineAnswer::Recalled(None) => to.byte(1),
        EngineAnswer::Recalled(Some(Remembered { bytes, number, expires_in })) => {
            to.byte(2);
            to.bytes(bytes);
            to.number(*number);
            write_time(to, *expires_in);
        }
        EngineAnswer::Missed { is_first } => {
            to.byte(3);
            to.byte((*is_first).into());
        }
        EngineAnswer::Restored { is_done } => {
            to.byte(6);
            to.byte((*is_done).into());
        }
        EngineAnswer::Failed(EngineError::Away) => to.byte(4),
        EngineAnswer::Failed(EngineError::Refused(why)) => {
            to.byte(5);
            to.text(why);
        }
    }
}

fn read_answer(from: &mut FieldReader<'_>) -> Result<EngineAnswer, Malformed> {
    Ok(match from.byte()? {
        0 => EngineAnswer::Done,
        1 => EngineAnswer::Recalled(None),
        2 => {
            let (bytes, number, expires_in) = (from.bytes()?, from.number()?, read_time(from)?);
            EngineAnswer::Recalled(Some(Remembered { bytes, number, expires_in }))
        }
        3 => EngineAnswer::Missed { is_first: from.flag()? },
        6 => EngineAnswer::Restored { is_done: from.flag()? },
        4 => EngineAnswer::Failed(EngineError::Away),
        5 => EngineAnswer::Failed(EngineError::Refused(from.text()?.to_owned())),
        _ => return Err(Malformed),
    })
}

fn write_subject(to: &mut FieldWriter, subject: &Subject) {
    match subject {
        Subject::State => to.byte(0),
        Subject::Node(node) => {
            to.byte(1);
            to.node(*node);
        }
        Subject::Channel { app, channel } => {
            to.byte(2);
            to.text(app);
            to.text(channel.as_str());
        }
        Subject::Pipe { app } => {
            to.byte(3);
            to.text(app);
        }
        Subject::Documents => to.byte(4),
    }
}

fn read_subject(from: &mut FieldReader<'_>) -> Result<Subject, Malformed> {
    Ok(match from.byte()? {
        0 => Subject::State,
        1 => Subject::Node(from.node()?),
        2 => {
            let app = from.text()?.into();
            let channel = ChannelName::parse(from.text()?, CHANNEL_BYTES).map_err(|_| Malformed)?;
            Subject::Channel { app, channel }
        }
        3 => Subject::Pipe { app: from.text()?.into() },
        4 => Subject::Documents,
        _ => return Err(Malformed),
    })
}

fn write_time(to: &mut FieldWriter, time: Duration) {
    to.number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
}

fn read_time(from: &mut FieldReader<'_>) -> Result<Duration, Malformed> {
    from.number().map(Duration::from_millis)
}
