//! What requests to the control API hold.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::auth::request::Query;
use crate::config::{self, AppConfig, ConnectionConfig};
use crate::protocol::json;
use crate::protocol::pattern::Pattern;
use crate::test_mode::condition::Condition;
use crate::test_mode::meant::{explained, with_meant};
use crate::test_mode::{Cut, Filter, MOST_PATIENCE, PATIENCE, Sockets};
use crate::webhook::{BadEndpoint, EventTypes, WebhookEndpoint};

use super::error::ControlError;

/// Reads a body. An empty one is an empty object.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlError> {
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    let read = serde_json::from_slice(body).map_err(|error| ControlError::Body(explained(&error, &[])))?;
    match std::str::from_utf8(body).ok().and_then(json::first_rounded) {
        Some(number) => Err(ControlError::Body(rounded(number))),
        None => Ok(read),
    }
}

/// Rounded, it would be another number, and a test would wait for something else than it says.
fn rounded(number: &str) -> String {
    format!("{number} is no integer from -2^63 to 2^64-1 and has more digits than a double holds")
}

/// `POST /test/apps`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CreateRequest {
    /// The app whose settings it has where nothing else is said; without it, the first that is configured.
    pub(super) like: Option<String>,
    id: Option<String>,
    key: Option<String>,
    secret: Option<String>,
    /// As in the configuration: `client_events`, `limits.connections`; tables may be nested or dotted.
    settings: Map<String, Value>,
    /// Its endpoints, instead of those of the app that it is like.
    webhooks: Option<Vec<WrittenEndpoint>>,
}

/// An endpoint for webhooks, as `[[apps.webhooks]]` of the configuration has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEndpoint {
    url: String,
    events: Option<Vec<String>>,
    channels: Option<String>,
}

impl WrittenEndpoint {
    fn read(&self) -> Result<WebhookEndpoint, String> {
        let mut endpoint = WebhookEndpoint::new(&self.url).map_err(|error| error.to_string())?;
        if let Some(names) = &self.events {
            let types = |name: &String| {
                let unknown = || BadEndpoint::UnknownType(name.clone()).to_string();
                EventTypes::of_name(name).ok_or_else(unknown)
            };
            let types: Vec<EventTypes> = names.iter().map(types).collect::<Result<_, _>>()?;
            endpoint.events = types.into_iter().fold(EventTypes::default(), EventTypes::with);
            if endpoint.events.is_empty() {
                return Err(BadEndpoint::NoTypes.to_string());
            }
        }
        let channels = self.channels.as_deref().map(Pattern::parse).transpose();
        endpoint.channels = channels.map_err(|error| error.to_string())?;
        Ok(endpoint)
    }
}

impl CreateRequest {
    /// The app as it is asked for, and how its connections are treated, if not as the node's are.
    pub(super) fn apply(
        self,
        app: AppConfig,
        connection: &ConnectionConfig,
    ) -> Result<(AppConfig, Option<ConnectionConfig>), ControlError> {
        let credentials = [("id", self.id), ("key", self.key), ("secret", self.secret)];
        let credentials = credentials.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut settings: Vec<(String, String)> = credentials.collect();
        flatten("", &self.settings, &mut settings);
        let changed = config::with_settings(&app, connection, settings);
        let mut errors: Vec<String> = Vec::new();
        let endpoints = self.webhooks.map(|endpoints| {
            let read = endpoints
                .iter()
                .enumerate()
                .map(|(n, endpoint)| endpoint.read().map_err(|error| format!("webhooks[{n}]: {error}")));
            let (good, bad): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
            errors.extend(bad.into_iter().filter_map(Result::err));
            good.into_iter().filter_map(Result::ok).collect()
        });
        match changed {
            Ok((mut app, connection)) if errors.is_empty() => {
                if let Some(endpoints) = endpoints {
                    app.webhooks.endpoints = endpoints;
                }
                Ok((app, connection))
            }
            Ok(_) => Err(ControlError::App(errors)),
            Err(wrong) => Err(ControlError::App(wrong.into_iter().chain(errors).collect())),
        }
    }
}

/// The settings as dotted keys with their values as text.
fn flatten(prefix: &str, settings: &Map<String, Value>, out: &mut Vec<(String, String)>) {
    for (name, value) in settings {
        let key = format!("{prefix}{name}");
        match value {
            Value::Object(table) => flatten(&format!("{key}."), table, out),
            Value::String(text) => out.push((key, text.clone())),
            other => out.push((key, other.to_string())),
        }
    }
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
    pub(super) fn chosen(self) -> Result<Advance, ControlError> {
        match (self.advance_ms, self.to.as_deref()) {
            (Some(ms), None) => Ok(Advance::By(Duration::from_millis(ms))),
            (None, Some("next")) => Ok(Advance::ToNext),
            (None, Some(other)) => {
                Err(ControlError::Body(format!("expected \"to\" to be \"next\", got {other:?}")))
            }
            _ => Err(ControlError::Body("expected either \"advance_ms\" or \"to\": \"next\"".to_owned())),
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
    pub(super) fn chosen(self) -> Result<(Sockets, Cut), ControlError> {
        let CloseRequest { socket_id, user_id, channel, share, seed, code, reason, abrupt } = self;
        let cut = match (abrupt, code) {
            (true, None) if reason.is_none() => Cut::Abrupt,
            (true, _) => {
                let why = "expected either \"abrupt\": true or a \"code\" with a \"reason\", got both";
                return Err(ControlError::Body(why.to_owned()));
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
    pub(super) fn parse(body: &[u8]) -> Result<Self, ControlError> {
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
            return Err(ControlError::Body(format!("expected to wait at most {most} ms, got {got} ms")));
        }
        Ok(WaitRequest { condition, patience, holds })
    }
}

/// `GET /test/apps/{id}/log`.
#[derive(Debug)]
pub(super) struct LogRequest {
    pub(super) filter: Filter,
    pub(super) after: u64,
    pub(super) limit: Option<usize>,
}

impl LogRequest {
    /// The query has the members of a filter, several kinds separated by commas, and `data` as JSON.
    pub(super) fn parse(query: &Query) -> Result<Self, ControlError> {
        let wrong = |error: String| ControlError::Query(error);
        let number = |name: &str| {
            let parse = |text: &str| {
                text.parse::<u64>()
                    .map_err(|_| wrong(format!("expected {name} to be a number, got {text:?}")))
            };
            query.get(name).map(parse).transpose()
        };
        const TEXTS: [&str; 7] = ["socket_id", "user_id", "channel", "name", "source", "reason", "path"];
        const NUMBERS: [&str; 3] = ["code", "status", "fault"];
        const OTHERS: [&str; 4] = ["type", "data", "after", "limit"];
        let known = || TEXTS.iter().chain(&NUMBERS).chain(&OTHERS).copied();
        // What is passed over would make the filter wider than it was meant.
        if let Some(unknown) = query.names().find(|name| !known().any(|known| known == *name)) {
            let names: Vec<&str> = known().collect();
            let said = format!("unknown parameter {unknown:?}, expected one of {}", names.join(", "));
            return Err(wrong(with_meant(said, config::nearest(unknown, names))));
        }
        let mut filter = Map::new();
        for name in TEXTS {
            if let Some(text) = query.get(name) {
                filter.insert(name.to_owned(), text.into());
            }
        }
        for name in NUMBERS {
            if let Some(value) = number(name)? {
                filter.insert(name.to_owned(), value.into());
            }
        }
        if let Some(kinds) = query.get("type") {
            filter.insert("type".to_owned(), kinds.split(',').map(str::trim).collect::<Vec<_>>().into());
        }
        if let Some(data) = query.get("data") {
            if let Some(number) = json::first_rounded(data) {
                return Err(wrong(format!("data: {}", rounded(number))));
            }
            let data = serde_json::from_str(data).map_err(|error| wrong(format!("data: {error}")))?;
            filter.insert("data".to_owned(), data);
        }
        let filter = serde_json::from_value(filter.into()).map_err(|error| wrong(explained(&error, &[])))?;
        let limit = number("limit")?.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(LogRequest { filter, after: number("after")?.unwrap_or(0), limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_app_is_made_with_the_settings_asked_for() {
        let asked = json!({
            "id": "42",
            "settings": { "client_events": false, "limits": { "connections": 3 }, "limits.message_bytes": 5000 },
        });
        let asked: CreateRequest = parse(asked.to_string().as_bytes()).unwrap();
        let app = asked.apply(AppConfig::development(), &ConnectionConfig::default()).unwrap().0.app;
        assert_eq!((app.id.as_str(), app.client_events), ("42", false));
        assert_eq!((app.limits.connections, app.limits.message_bytes), (3, 5000));
        for (settings, expected) in [
            (json!({ "client_event": true }), "client_event"),
            (json!({ "limits": { "connections": -1 } }), "limits.connections must be an integer from 0"),
        ] {
            let asked: CreateRequest = parse(json!({ "settings": settings }).to_string().as_bytes()).unwrap();
            let error = asked.apply(AppConfig::development(), &ConnectionConfig::default());
            let error = error.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_what_was_meant() {
        let asked = json!({
            "settings": {
                "client_event": true, "limits.conections": 3, "message_bytes": 5, "connection.outbox_byte": 9,
                "connection.outbox_frames": 0, "zzz": 1,
            },
            "webhooks": [{ "url": "http://localhost/" }, { "url": "localhost" }],
        });
        let asked: CreateRequest = parse(asked.to_string().as_bytes()).unwrap();
        let error = asked.apply(AppConfig::development(), &ConnectionConfig::default());
        let error = error.unwrap_err().to_string();
        for expected in [
            "\"client_event\"; did you mean \"client_events\"?",
            "\"limits.conections\"; did you mean \"limits.connections\"?",
            "\"message_bytes\"; did you mean \"limits.message_bytes\"?",
            "\"connection.outbox_byte\"; did you mean \"connection.outbox_bytes\"?",
            "connection.outbox_frames must be an integer from 1",
            "\"zzz\", expected one of id, ",
            "webhooks[1]: ",
        ] {
            assert!(error.contains(expected), "{expected} in {error}");
        }
    }

    #[test]
    fn an_app_may_have_bounds_and_ping_times_of_its_own() {
        let made = |settings: Value| {
            let asked: CreateRequest = parse(json!({ "settings": settings }).to_string().as_bytes()).unwrap();
            asked.apply(AppConfig::development(), &ConnectionConfig::default()).unwrap().1
        };
        assert_eq!(made(json!({ "client_events": true })), None);
        let own = made(json!({ "connection": { "outbox_bytes": 2048, "ping_after_seconds": 3 } })).unwrap();
        let expected = ConnectionConfig {
            outbox_bytes: 2048,
            ping_after: Duration::from_secs(3),
            ..ConnectionConfig::default()
        };
        assert_eq!(own, expected);
    }

    #[test]
    fn an_app_is_made_with_endpoints_of_its_own() {
        let mut like = AppConfig::development();
        like.webhooks.endpoints = vec![WebhookEndpoint::new("http://localhost/others").unwrap()];
        let made = |webhooks: Value| {
            let asked: CreateRequest =
                parse(json!({ "webhooks": webhooks }).to_string().as_bytes()).map_err(|e| e.to_string())?;
            let made = asked.apply(like.clone(), &ConnectionConfig::default());
            made.map(|(app, _)| app.webhooks.endpoints).map_err(|error| error.to_string())
        };
        assert_eq!(made(json!(null)), Ok(like.webhooks.endpoints.clone()));
        assert_eq!(made(json!([])), Ok(Vec::new()));
        let own =
            made(json!([{ "url": "http://localhost/", "events": ["presence"], "channels": "presence-*" }]));
        let own = own.unwrap();
        assert_eq!(own[0].events.iter().count(), 2);
        assert!(own[0].channels.is_some() && own.len() == 1);
        for (bad, expected) in [
            (json!([{ "url": "localhost" }]), "localhost"),
            (json!([{ "url": "http://localhost/", "events": ["presense"] }]), "presense"),
            (json!([{ "url": "http://localhost/", "events": [] }]), "type"),
            (json!([{ "url": "http://localhost/", "header": {} }]), "unknown field `header`"),
        ] {
            let error = made(bad).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_query_is_a_filter() {
        let text = "type=event,delivered&channel=room&code=4100&after=7&data=[{\"path\":\"a\",\"equals\":1}]";
        let asked = LogRequest::parse(&Query::parse(text)).unwrap();
        assert_eq!((asked.after, asked.filter.code, asked.filter.data.len()), (7, Some(4100), 1));
        for (bad, expected) in [
            ("after=x", "after"),
            ("chanel=room", "unknown parameter \"chanel\", expected one of socket_id,"),
            ("chanel=room", "did you mean \"channel\"?"),
            ("type=delivred", "did you mean \"delivered\"?"),
            ("data=[{\"pth\":\"a\"}]", "did you mean \"path\"?"),
            ("type=nothing", "a type of entry"),
            ("data=x", "data"),
            ("data=[{\"equals\":18446744073709551616}]", "18446744073709551616 is no integer"),
        ] {
            let error = LogRequest::parse(&Query::parse(bad)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

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
