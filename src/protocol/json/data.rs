//! The `data` of an event, as a JSON string that every client can parse, or as the payload of a binary message.

use std::borrow::Cow;

use memchr::memchr;
use serde_json::value::RawValue;

use super::relay::{Unrelayable, relay};
use super::strings::string_literal;
use crate::protocol::BinaryPayload;

/// The `data` of an event in the form in which every client accepts it: a JSON string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data<'a>(DataForm<'a>);

/// How the data came.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DataForm<'a> {
    Text {
        literal: Cow<'a, str>,
        bytes: usize,
    },
    /// It came as a binary message, and is made a string when that is first needed.
    Binary(Box<BinaryPayload<'a>>),
}

impl<'a> Data<'a> {
    /// A string passes unchanged; any other value becomes the string of its compact JSON text.
    ///
    /// # Errors
    /// If the value holds what some client could not parse.
    pub fn relay(value: &'a RawValue) -> Result<Self, Unrelayable> {
        let (literal, bytes) = relay(value)?;
        Ok(Data::of_literal(literal, bytes))
    }

    fn of_literal(literal: Cow<'a, str>, bytes: usize) -> Self {
        Data(DataForm::Text { literal, bytes })
    }

    /// The data of a binary message.
    pub fn of_binary(payload: BinaryPayload<'a>) -> Self {
        Data(DataForm::Binary(Box::new(payload)))
    }

    /// The binary payload, if it came as one.
    pub fn as_binary(&self) -> Option<&BinaryPayload<'a>> {
        match &self.0 {
            DataForm::Text { .. } => None,
            DataForm::Binary(payload) => Some(payload),
        }
    }

    /// The same, without a copy of it.
    pub fn borrowed(&self) -> Data<'_> {
        match &self.0 {
            DataForm::Text { literal, bytes } => Data::of_literal(Cow::Borrowed(literal), *bytes),
            DataForm::Binary(payload) => Data::of_binary(payload.borrowed()),
        }
    }

    /// The same, for keeping.
    pub fn into_owned(self) -> Data<'static> {
        match self.0 {
            DataForm::Text { literal, bytes } => Data::of_literal(Cow::Owned(literal.into_owned()), bytes),
            DataForm::Binary(payload) => Data::of_binary(payload.into_owned()),
        }
    }

    /// The data of an event whose payload is `text`, to be delivered as it is.
    pub fn of_text(text: &str) -> Data<'static> {
        Data::of_literal(Cow::Owned(string_literal(text)), text.len())
    }

    /// The payload itself, every escape resolved.
    pub fn text(&self) -> Cow<'_, str> {
        let literal = self.literal();
        let inner = &literal[1..literal.len() - 1];
        match memchr(b'\\', inner.as_bytes()) {
            None => Cow::Borrowed(inner),
            // The literal is valid JSON and holds no half characters, so it can always be read.
            Some(_) => Cow::Owned(serde_json::from_str(literal).unwrap_or_default()),
        }
    }

    /// The JSON string, quotes included.
    pub fn literal(&self) -> &str {
        match &self.0 {
            DataForm::Text { literal, .. } => literal,
            DataForm::Binary(payload) => payload.literal(),
        }
    }

    /// Bytes of the payload itself: without quotes, and with every escape resolved; of a binary payload, its content.
    pub fn bytes(&self) -> usize {
        match &self.0 {
            DataForm::Text { bytes, .. } => *bytes,
            DataForm::Binary(payload) => payload.content().len(),
        }
    }
}
