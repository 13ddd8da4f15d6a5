//! What requests to the control API hold.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::protocol::json;
use crate::test_mode::condition::Condition;
use crate::test_mode::meant::explained;
use crate::test_mode::{Cut, MOST_PATIENCE, PATIENCE, Sockets};

use super::error::ControlApiError;

/// Reads a body. An empty one is an empty object.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlApiError> {
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    let read = serde_json::from_slice(body).map_err(|error| ControlApiError::Body(explained(&error, &[])))?;
    match std::str::from_utf8(body).ok().and_then(json::first_rounded) {
        Some(number) => Err(ControlApiError::Body(rounded(number))),
        None => Ok(read),
    }
}

/// Rounded, it would be another number, and a test would wait for something else than it says.
pub(super) fn rounded(number: &str) -> String {
    format!("{number} is no integer from -2^63 to 2^64-1 and has more digits than a double holds")
}

/// `POST /test/reset`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ResetRequest {
    pub(super) app_id: Option<String>,
    /// On: connections are closed, too, with 4200.
    pub(super) connections: bool,
}

/// `POST /test/apps/{id}/clock`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdvanceRequest {
    advance_ms: Option<u64>,
    to: Option<String>,
}

/// How far a clock is to be advanced.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Advance {
    /// By so much.
    By(Duration),
    /// To what is due next.
    ToNext,
}

impl AdvanceRequest {
    /// How far.
    pub(super) fn chosen(self) -> Result<Advance, ControlApiError> {
        match (self.advance_ms, self.to.as_deref()) {
            (Some(ms), None) => Ok(Advance::By(Duration::from_millis(ms))),
            (None, Some("next")) => Ok(Advance::ToNext),
            (None, Some(other)) => {
                Err(ControlApiError::Body(format!("expected \"to\" to be \"next\", got {other:?}")))
            }
            _ => Err(ControlApiError::Body("expected either \"advance_ms\" or \"to\": \"next\"".to_owned())),
        }
    }
}

/// `POST /test/apps/{id}/close`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CloseRequest {
    socket_id: Option<String>,
    user_id: Option<String>,
    channel: Option<String>,
    share: Option<f64>,
    seed: Option<u64>,
    code: Option<u16>,
    reason: Option<String>,
    abrupt: bool,
}

impl CloseRequest {
    /// Which connections, and how.
    pub(super) fn chosen(self) -> Result<(Sockets, Cut), ControlApiError> {
        let CloseRequest { socket_id, user_id, channel, share, seed, code, reason, abrupt } = self;
        let cut = match (abrupt, code) {
            (true, None) if reason.is_none() => Cut::Abrupt,
            (true, _) => {
                let why = "expected either \"abrupt\": true or a \"code\" with a \"reason\", got both";
                return Err(ControlApiError::Body(why.to_owned()));
            }
            (false, code) => {
                Cut::Close(code.unwrap_or(4200), reason.unwrap_or_else(|| "A test asked for this".to_owned()))
            }
        };
        Ok((Sockets { socket_id, user_id, channel, share, seed }, cut))
    }
}

/// `POST /test/apps/{id}/wait`.
#[derive(Debug)]
pub(super) struct WaitRequest {
    pub(super) condition: Condition,
    pub(super) patience: Duration,
    pub(super) holds: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWait {
    until: Value,
    timeout_ms: Option<u64>,
    #[serde(default)]
    holds_ms: u64,
}

impl WaitRequest {
    pub(super) fn parse(body: &[u8]) -> Result<Self, ControlApiError> {
        let WrittenWait { until, timeout_ms, holds_ms } = parse(body)?;
        let condition = Condition::parse(&until)?;
        let patience = timeout_ms.map_or(PATIENCE, Duration::from_millis);
        let holds = Duration::from_millis(holds_ms);
        let span = match &condition {
            Condition::Nothing { span, .. } => *span,
            _ => Duration::ZERO,
        };
        let longest = patience.max(holds).max(span);
        if longest > MOST_PATIENCE {
            let (most, got) = (MOST_PATIENCE.as_millis(), longest.as_millis());
            return Err(ControlApiError::Body(format!("expected to wait at most {most} ms, got {got} ms")));
        }
        Ok(WaitRequest { condition, patience, holds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_number_that_would_be_rounded_is_refused() {
        let read = |number: &str| {
            let text =
                format!(r#"{{"until":{{"type":"event","data":[{{"path":"id","equals":{number}}}]}}}}"#);
            parse::<Value>(text.as_bytes()).map_err(|error| error.to_string())
        };
        assert!(read("18446744073709551615").is_ok() && read("0.1").is_ok() && read("\"1e999\"").is_ok());
        for number in ["18446744073709551616", "175928847299117063.5"] {
            let error = read(number).unwrap_err();
            assert!(error.contains(&format!("{number} is no integer")), "{error}");
        }
    }

    #[test]
    fn a_clock_is_advanced_by_a_time_or_to_what_is_next() {
        let asked = |json: Value| {
            let asked: AdvanceRequest = parse(json.to_string().as_bytes()).unwrap();
            asked.chosen().map_err(|error| error.to_string())
        };
        assert_eq!(asked(json!({ "advance_ms": 7 })), Ok(Advance::By(Duration::from_millis(7))));
        assert_eq!(asked(json!({ "to": "next" })), Ok(Advance::ToNext));
        for (bad, expected) in [
            (json!({}), "expected either"),
            (json!({ "advance_ms": 7, "to": "next" }), "expected either"),
            (json!({ "to": "then" }), "expected \"to\" to be \"next\", got \"then\""),
        ] {
            let error = asked(bad).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn connections_end_in_one_way_or_the_other() {
        let close = |json: Value| parse::<CloseRequest>(json.to_string().as_bytes()).unwrap().chosen();
        assert_eq!(close(json!({ "abrupt": true })).unwrap().1, Cut::Abrupt);
        assert!(matches!(close(json!({ "code": 4100 })).unwrap().1, Cut::Close(4100, _)));
        assert!(close(json!({ "abrupt": true, "code": 4100 })).is_err());
    }
}
