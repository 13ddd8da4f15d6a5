//! A request for an app of its own: what its settings and its endpoints are to be.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::{self, AppConfig, ConnectionConfig};
use crate::protocol::pattern::Pattern;
use crate::webhook::{BadEndpoint, EventTypes, WebhookEndpoint};

use super::error::ControlApiError;
use super::written_channel::WrittenChannel;

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
    /// What its channels keep and deliver, instead of those of the app that it is like.
    channels: Option<Vec<WrittenChannel>>,
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
    ) -> Result<(AppConfig, Option<ConnectionConfig>), ControlApiError> {
        let credentials = [("id", self.id), ("key", self.key), ("secret", self.secret)];
        let credentials = credentials.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut settings: Vec<(String, String)> = credentials.collect();
        flatten("", &self.settings, &mut settings);
        let changed = config::with_settings(&app, connection, settings);
        let mut errors: Vec<String> = Vec::new();
        let endpoints =
            self.webhooks.map(|list| all_of("webhooks", &list, WrittenEndpoint::read, &mut errors));
        let channels = self.channels.map(|list| all_of("channels", &list, WrittenChannel::read, &mut errors));
        match changed {
            Ok((mut app, connection)) if errors.is_empty() => {
                if let Some(endpoints) = endpoints {
                    app.webhooks.endpoints = endpoints;
                }
                if let Some(channels) = channels {
                    app.app.channels = channels;
                }
                Ok((app, connection))
            }
            Ok(_) => Err(ControlApiError::App(errors)),
            Err(wrong) => Err(ControlApiError::App(wrong.into_iter().chain(errors).collect())),
        }
    }
}

/// All entries of a list, or what is wrong with some of them.
fn all_of<W, R>(
    name: &str,
    list: &[W],
    read: impl Fn(&W) -> Result<R, String>,
    errors: &mut Vec<String>,
) -> Vec<R> {
    let mut all = Vec::new();
    for (n, written) in list.iter().enumerate() {
        match read(written) {
            Ok(good) => all.push(good),
            Err(error) => errors.push(format!("{name}[{n}]: {error}")),
        }
    }
    all
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::requests::parse;
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
            "channels": [{ "pattern": "a", "history": {} }, { "pattern": "a**" , "history": {} }],
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
            "channels[1]: a channel pattern may hold one `*`",
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
}
