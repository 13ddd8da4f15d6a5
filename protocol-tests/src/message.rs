//! What arrives on a connection, held against the rules all server frames share.
//!
//! These rules are checked on every frame in the whole suite: a JSON object with a string `event`, `data` present
//! and a string (an object only in `pusher:error`), and never a top-level `socket_id`.

use serde_json::Value;

/// The Close frame a connection ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// 1005 if the frame carried none.
    pub code: u16,
    /// May be empty for codes below 4000.
    pub reason: String,
}

/// What can arrive on a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// A text message.
    Message(Message),
    /// A WebSocket Ping.
    Ping(Vec<u8>),
    /// A WebSocket Pong.
    Pong(Vec<u8>),
    /// The closing handshake.
    Close(Closed),
    /// TCP ended, after a Close or without one.
    End,
}

/// One protocol frame from the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its name.
    pub event: String,
    /// The channel it belongs to, if any.
    pub channel: Option<String>,
    /// Its payload as it stands in the frame: a string, or an object in `pusher:error`.
    pub data: Value,
    /// The whole frame.
    pub whole: Value,
}

impl Message {
    /// Reads a server frame.
    ///
    /// # Errors
    /// With a sentence, if it breaks a rule that all server frames keep.
    pub fn parse(text: &str) -> Result<Message, String> {
        let whole: Value = serde_json::from_str(text).map_err(|e| format!("the server sent no JSON: {e}"))?;
        let rule = |holds: bool, rule: &str| if holds { Ok(()) } else { Err(format!("{rule}: {whole}")) };
        rule(whole["event"].is_string(), "a frame must have a string `event`")?;
        rule(whole.get("data").is_some(), "a frame must have `data`")?;
        rule(whole.get("socket_id").is_none(), "a frame must not have a top-level `socket_id`")?;
        rule(whole.get("channel").is_none_or(Value::is_string), "`channel` must be a string")?;
        rule(whole.get("user_id").is_none_or(Value::is_string), "`user_id` must be a string")?;
        if whole["event"] == "pusher:error" {
            let data = &whole["data"];
            rule(data["message"].is_string(), "an error must have a string `message`")?;
            rule(data.get("code").is_some(), "an error must have a `code`")?;
            rule(data["code"].is_null() || data["code"].is_u64(), "an error's `code` is an integer or null")?;
        } else {
            rule(whole["data"].is_string(), "`data` must be a string")?;
        }
        Ok(Message {
            event: whole["event"].as_str().unwrap_or_default().to_owned(),
            channel: whole["channel"].as_str().map(str::to_owned),
            data: whole["data"].clone(),
            whole,
        })
    }

    /// Reads a message to a pipe client; `event` is what it notifies of, and empty in an answer.
    ///
    /// # Errors
    /// With a sentence, if it breaks a rule that all messages to pipe clients keep.
    pub fn parse_pipe(text: &str) -> Result<Message, String> {
        let whole: Value = serde_json::from_str(text).map_err(|e| format!("the server sent no JSON: {e}"))?;
        let mut keys: Vec<&str> =
            whole.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        if keys != ["error", "id", "result"] {
            return Err(format!("a message to a pipe has id, error and result, and nothing else: {whole}"));
        }
        if whole["error"].is_null() == whole["result"].is_null() {
            return Err(format!("of error and result one is null, and not both: {whole}"));
        }
        let error = &whole["error"];
        let sound = error["code"].is_u64() && error["message"].is_string();
        if !error.is_null() && !sound {
            return Err(format!("an error has a code and a message: {whole}"));
        }
        let event = whole["result"]["event"].as_str().filter(|_| whole["id"].is_null());
        let (event, data) = (event.unwrap_or_default().to_owned(), whole["result"]["data"].clone());
        Ok(Message { event, channel: None, data, whole })
    }

    /// The payload with its inner JSON read.
    ///
    /// # Panics
    /// If `data` is no string, or the string is no JSON.
    #[must_use]
    #[track_caller]
    pub fn decoded(&self) -> Value {
        let text = self.data.as_str().unwrap_or_else(|| panic!("data is no string: {}", self.whole));
        serde_json::from_str(text).unwrap_or_else(|e| panic!("data holds no JSON ({e}): {}", self.whole))
    }
}
