//! Requests, for the fuzz targets.

use crate::app::Limits;

use super::Dialect;
use super::request::PipeRequest;

/// What was read of a request.
#[derive(Debug)]
pub struct ReadRequest {
    /// Its id, as it is repeated in the answer.
    pub id: Option<String>,
    /// The command, as `Debug` prints it; or the code and the sentence of the answer.
    pub command: Result<String, (u16, String)>,
}

pub fn read(text: &str, dialect: Dialect) -> ReadRequest {
    let request = PipeRequest::parse(text, dialect, &Limits::default());
    let command = request.command.map(|command| format!("{command:?}"));
    ReadRequest {
        id: request.id.map(|id| id.get().to_owned()),
        command: command.map_err(|error| (error.code(), error.to_string())),
    }
}
