//! What those who run the broker ask a node through another one, and what it answers, as bytes.

use bytes::Bytes;

use super::super::questions::NodeAnswer;
use super::Unreadable;
use super::fields::{FieldReader, FieldWriter};

/// A question, or its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum QuestionWord {
    Asked(Bytes),
    Answered(NodeAnswer),
}

const ASKED: u8 = 0;
const TOLD: u8 = 1;
const NOBODY: u8 = 2;
const BUSY: u8 = 3;

impl QuestionWord {
    /// About as many bytes as it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            QuestionWord::Asked(text) | QuestionWord::Answered(NodeAnswer::Told(text)) => text.len(),
            QuestionWord::Answered(NodeAnswer::Nobody | NodeAnswer::Busy) => 0,
        }
    }

    pub(super) fn write(&self, out: &mut FieldWriter) {
        match self {
            QuestionWord::Asked(asked) => {
                out.byte(ASKED);
                out.bytes(asked);
            }
            QuestionWord::Answered(NodeAnswer::Told(told)) => {
                out.byte(TOLD);
                out.bytes(told);
            }
            QuestionWord::Answered(NodeAnswer::Nobody) => out.byte(NOBODY),
            QuestionWord::Answered(NodeAnswer::Busy) => out.byte(BUSY),
        }
    }

    pub(super) fn read(fields: &mut FieldReader<'_>) -> Result<Self, Unreadable> {
        Ok(match fields.byte()? {
            ASKED => QuestionWord::Asked(fields.bytes()?),
            TOLD => QuestionWord::Answered(NodeAnswer::Told(fields.bytes()?)),
            NOBODY => QuestionWord::Answered(NodeAnswer::Nobody),
            BUSY => QuestionWord::Answered(NodeAnswer::Busy),
            other => return Err(Unreadable::Kind(other)),
        })
    }
}
