//! Requests, for the fuzz targets.

use crate::app::Limits;

use super::Dialect;
use super::request::Request;

/// What was read of a request.
#[derive(Debug)]
pub struct Read {
    /// Its id, as it is repeated in the answer.
    pub id: Option<String>,
    /// What to do, in words for people; or the code and the sentence of the answer.
    pub command: Result<String, (u16, String)>,
}

/// Reads a request.
#[must_use]
pub fn read(text: &str, dialect: Dialect) -> Read {
    let request = Request::parse(text, dialect, &Limits::default());
    let command = request.command.map(|command| format!("{command:?}"));
    Read {
        id: request.id.map(|id| id.get().to_owned()),
        command: command.map_err(|fault| (fault.code(), fault.to_string())),
    }
}
