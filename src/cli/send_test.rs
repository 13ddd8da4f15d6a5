//! `heliostat webhooks send-test`: sends a signed sample to endpoints and says what they answered.

use std::fmt::Write;

use crate::config::{AppConfig, Config, nearest};
use crate::outbound::{ConnectorError, HttpClient, Reply};
use crate::webhook::sample::{self, SampleResult};
use crate::webhook::{self, EndpointUrl, EventType, WebhookEndpoint};

/// Which endpoints are to be sent a sample of what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WantedSample {
    /// The id of the app; every app if absent.
    pub(super) app: Option<String>,
    /// The URL as it is configured; every endpoint if absent.
    pub(super) endpoint: Option<String>,
    /// The type of the event, and only endpoints that want it; of each endpoint the first one it wants if absent.
    pub(super) event_type: Option<String>,
}

/// Why no sample was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum NothingSent {
    /// No such app.
    #[error("no app has the id {id:?}; there are {}", .known.join(", "))]
    UnknownApp {
        /// What was asked for.
        id: String,
        /// The ids of the apps that there are.
        known: Vec<String>,
    },
    /// No such type of event.
    #[error("{name:?} is no type of webhook event{}; there are {}", meant(.nearest), names().join(", "))]
    UnknownType {
        /// What was asked for.
        name: String,
        /// The type that it resembles most.
        nearest: Option<String>,
    },
    /// No endpoint is all that.
    #[error(
        "no webhook is configured that matches; begin one with [[apps.webhooks]], see print-config --template"
    )]
    NoEndpoint,
    /// TLS, or a file that is needed for it.
    #[error(transparent)]
    Client(#[from] ConnectorError),
    /// The system did not give what is needed.
    #[error("samples cannot be sent: {0}")]
    System(#[from] std::io::Error),
}

fn names() -> Vec<&'static str> {
    EventType::ALL.into_iter().map(EventType::name).collect()
}

fn meant(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default()
}

/// Sends a sample to each endpoint that is wanted, one after the other, and gives `say` a text about each. Whether all
/// of them answered with a 2xx status.
///
/// # Errors
/// If nothing was sent to anybody.
pub(super) fn send_test(
    config: &Config,
    wanted: &WantedSample,
    mut say: impl FnMut(&str),
) -> Result<bool, NothingSent> {
    let targets = targets(config, wanted)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut all_taken = true;
    for (app, endpoint, one) in targets {
        let delivery = &app.webhooks.delivery;
        let client = HttpClient::new(webhook::trusted_file(delivery))?;
        let sent = sample::send(&client, &app.app, delivery, endpoint, one);
        // An app that was configured has a key that can sign, and a pattern that some name matches.
        let Some(sampled) = runtime.block_on(sent) else { continue };
        all_taken &= sampled.reply.as_ref().is_ok_and(|reply| (200..300).contains(&reply.status));
        say(&describe(&app.app.id, endpoint, one, &sampled));
    }
    // A name that is being looked up may take its time.
    runtime.shutdown_background();
    Ok(all_taken)
}

/// The endpoints that are wanted, each with the type of its sample.
fn targets<'c>(
    config: &'c Config,
    wanted: &WantedSample,
) -> Result<Vec<(&'c AppConfig, &'c WebhookEndpoint, EventType)>, NothingSent> {
    if let Some(id) = &wanted.app
        && !config.apps.iter().any(|app| app.app.id == *id)
    {
        let known = config.apps.iter().map(|app| app.app.id.clone()).collect();
        return Err(NothingSent::UnknownApp { id: id.clone(), known });
    }
    let one = match &wanted.event_type {
        None => None,
        Some(name) => Some(EventType::of_name(name).ok_or_else(|| {
            let nearest = nearest(name, names());
            NothingSent::UnknownType { name: name.clone(), nearest }
        })?),
    };
    // The same URL may be written in several ways.
    let url = wanted.endpoint.as_deref();
    let url = url
        .map(|text| EndpointUrl::parse(text).map_or_else(|_| text.to_owned(), |url| url.as_str().to_owned()));
    let apps = config.apps.iter().filter(|app| wanted.app.as_ref().is_none_or(|id| app.app.id == *id));
    let endpoints = apps.flat_map(|app| app.webhooks.endpoints.iter().map(move |endpoint| (app, endpoint)));
    let endpoints = endpoints.filter(|(_, endpoint)| {
        let here = url.as_ref().is_none_or(|url| endpoint.url.as_str() == url);
        here && one.is_none_or(|one| endpoint.events.contains(one))
    });
    let targets: Vec<_> = endpoints
        .map(|(app, endpoint)| (app, endpoint, one.unwrap_or_else(|| sample::usual_type(endpoint))))
        .collect();
    if targets.is_empty() { Err(NothingSent::NoEndpoint) } else { Ok(targets) }
}

/// One line on what came of it, and the beginning of the answer's body.
fn describe(app_id: &str, endpoint: &WebhookEndpoint, one: EventType, sampled: &SampleResult) -> String {
    const SHOWN_LINES: usize = 10;
    const SHOWN_CHARS: usize = 200;
    let (url, name, millis) = (&endpoint.url, one.name(), sampled.duration.as_millis());
    let mut text = format!("app {app_id}, {name} to {url}: ");
    // Writing to a String cannot fail.
    let _ = match &sampled.reply {
        Ok(Reply { status, .. }) => writeln!(text, "{status} in {millis} ms"),
        Err(failure) => writeln!(text, "failed after {millis} ms: {failure}"),
    };
    if let Ok(Reply { body, .. }) = &sampled.reply {
        let body = String::from_utf8_lossy(body);
        for line in body.lines().take(SHOWN_LINES) {
            // What an endpoint answers must not move a terminal's cursor.
            let shown: String = line.chars().take(SHOWN_CHARS).filter(|c| !c.is_control()).collect();
            let _ = writeln!(text, "    {shown}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::webhook::{self, EventTypes};

    fn config() -> Config {
        let app = |id: &str, endpoints: &[(&str, &str)]| {
            let endpoint = |(url, types): &(&str, &str)| {
                let events = EventTypes::of_name(types).unwrap();
                WebhookEndpoint { events, ..WebhookEndpoint::new(url).unwrap() }
            };
            let endpoints = endpoints.iter().map(endpoint).collect();
            let webhooks = webhook::WebhookConfig { endpoints, ..webhook::WebhookConfig::default() };
            AppConfig { webhooks, ..AppConfig::new(App::new(id, format!("key-{id}"), "s")) }
        };
        let first = [("http://localhost:1/a", "presence"), ("http://localhost:1/b", "cache_miss")];
        let apps = vec![app("1", &first), app("2", &[("http://localhost:1/a", "cache_miss")]), app("3", &[])];
        Config { apps, ..Config::default() }
    }

    fn found(
        app: Option<&str>,
        endpoint: Option<&str>,
        event_type: Option<&str>,
    ) -> Result<Vec<String>, String> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let wanted = WantedSample { app: own(app), endpoint: own(endpoint), event_type: own(event_type) };
        let config = config();
        let targets = targets(&config, &wanted).map_err(|error| error.to_string())?;
        let shown = |(app, endpoint, one): &(&AppConfig, &WebhookEndpoint, EventType)| {
            let path = endpoint.url.as_str().rsplit('/').next().unwrap_or_default();
            format!("{} {path} {}", app.app.id, one.name())
        };
        Ok(targets.iter().map(shown).collect())
    }

    #[test]
    fn what_matches_is_sent_to() {
        let all = ["1 a member_added", "1 b cache_miss", "2 a cache_miss"];
        assert_eq!(found(None, None, None).unwrap(), all);
        assert_eq!(found(Some("1"), None, None).unwrap(), all[..2]);
        assert_eq!(found(None, Some("http://LOCALHOST:1/a"), None).unwrap(), [all[0], all[2]]);
        assert_eq!(found(None, None, Some("cache_miss")).unwrap(), all[1..]);
        assert_eq!(found(Some("1"), None, Some("member_removed")).unwrap(), ["1 a member_removed"]);
    }

    #[test]
    fn what_does_not_exist_is_named() {
        assert_eq!(found(Some("7"), None, None).unwrap_err(), "no app has the id \"7\"; there are 1, 2, 3");
        let unknown = found(None, None, Some("chanel_occupied")).unwrap_err();
        assert!(unknown.contains("did you mean \"channel_occupied\"?"), "{unknown}");
        let none = found(Some("3"), None, None).unwrap_err();
        assert!(none.contains("no webhook is configured that matches"), "{none}");
    }

    #[test]
    fn an_answer_is_shown_without_control_characters() {
        let endpoint = WebhookEndpoint::new("http://localhost/?token=hush").unwrap();
        let body = format!("no\u{1b}[2J\n{}\n{}", "x".repeat(500), "y\n".repeat(50)).into();
        let sampled =
            SampleResult { reply: Ok(Reply { status: 418, body }), duration: std::time::Duration::ZERO };
        let text = describe("1", &endpoint, EventType::CacheMiss, &sampled);
        assert!(
            text.starts_with("app 1, cache_miss to http://localhost/?…: 418 in 0 ms\n    no[2J\n    xxx")
        );
        assert!(text.len() < 400 && text.lines().count() == 11, "{text}");
    }
}
