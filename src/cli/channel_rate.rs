//! How much passes on a channel: the events that are told of it while it is watched, by the feed of an admin listener. Nothing
//! counts them otherwise, for that would cost each event something.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::feed_socket::FeedSocket;
use super::remote::{Remote, RemoteFailure, harmless};

/// How long the feed may take to say that it tells of the channel from then on.
const BEGINS_WITHIN: Duration = Duration::from_secs(15);

/// What has passed on a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PassedEvents {
    events: u64,
    /// There were more: some were left out, or were lost on the way, or happened where nothing is heard of.
    is_least: bool,
    /// Some nodes have not answered yet: what happens there is not counted.
    awaits_nodes: bool,
    watched: Duration,
}

impl PassedEvents {
    /// Watches a channel for so long.
    ///
    /// # Errors
    /// If it cannot be watched.
    pub(super) fn watch(
        remote: &Remote,
        app: &str,
        channel: &str,
        watched: Duration,
    ) -> Result<Self, RemoteFailure> {
        remote.block_on(async {
            let (url, token) = remote.feed();
            let mut socket = FeedSocket::open(&url, token).await?;
            let filter =
                json!({ "type": "filter", "kinds": ["events", "pipe"], "app": app, "channel": channel });
            socket.say(filter.to_string()).await?;
            let begun = timeout(BEGINS_WITHIN, begin(&mut socket)).await;
            begun.unwrap_or_else(|_| Err(RemoteFailure::not_done("the feed does not begin")))?;
            let until = Instant::now() + watched;
            let mut passed = PassedEvents { watched, ..PassedEvents::default() };
            while let Ok(heard) = timeout_at(until, socket.hear()).await {
                passed.add(&read(&heard?.ok_or_else(ended)?)?);
            }
            Ok(passed)
        })
    }

    /// Adds what the feed tells.
    fn add(&mut self, told: &Json) {
        self.events += told["entries"].as_array().map_or(0, Vec::len) as u64;
        let left_out = told["left_out"].as_object().is_some_and(|left_out| !left_out.is_empty());
        let is_missing = told["missed"].as_u64().unwrap_or_default() > 0;
        let is_silent = told["silent"].as_array().is_some_and(|silent| !silent.is_empty());
        self.is_least |= left_out || is_missing || is_silent;
        if told["type"] == "nodes" {
            self.awaits_nodes = told["awaited"].as_array().is_some_and(|awaited| !awaited.is_empty());
        }
    }

    fn is_least(&self) -> bool {
        self.is_least || self.awaits_nodes
    }

    fn per_second(&self) -> f64 {
        self.events as f64 / self.watched.as_secs_f64().max(1.0)
    }

    /// In words.
    pub(super) fn sentence(&self) -> String {
        let (least, seconds) = (if self.is_least() { "at least " } else { "" }, self.watched.as_secs());
        format!("{least}{:.1} events a second in the {seconds} s that it was watched", self.per_second())
    }

    pub(super) fn to_json(&self) -> Json {
        json!({
            "events": self.events,
            "per_second": self.per_second(),
            "at_least": self.is_least(),
            "watched_seconds": self.watched.as_secs(),
        })
    }
}

/// Hears until the feed tells of what was asked for.
async fn begin(socket: &mut FeedSocket) -> Result<(), RemoteFailure> {
    loop {
        let told = read(&socket.hear().await?.ok_or_else(ended)?)?;
        match told["type"].as_str() {
            Some("filtering") => return Ok(()),
            Some("error") => {
                let message = told["message"].as_str().unwrap_or("the feed tells nothing of it");
                return Err(RemoteFailure::not_done(harmless(message)));
            }
            _ => {}
        }
    }
}

fn read(text: &str) -> Result<Json, RemoteFailure> {
    serde_json::from_str(text).map_err(RemoteFailure::not_done)
}

fn ended() -> RemoteFailure {
    RemoteFailure::not_done("the broker has ended the feed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_counted_and_what_may_be_missing_is_told() {
        let watched = Duration::from_secs(2);
        let mut passed = PassedEvents { watched, ..PassedEvents::default() };
        passed.add(&json!({ "type": "entries", "entries": [{}, {}, {}], "left_out": {}, "missed": 0 }));
        passed.add(&json!({ "type": "nodes", "passing": [], "silent": [], "awaited": [{}] }));
        assert_eq!(passed.to_json()["at_least"], true, "of that node nothing is counted so far");
        passed.add(&json!({ "type": "nodes", "passing": [{}], "silent": [], "awaited": [] }));
        assert_eq!(passed.sentence(), "1.5 events a second in the 2 s that it was watched");
        for more in [
            json!({ "entries": [], "left_out": { "events": 1 }, "missed": 0 }),
            json!({ "entries": [], "left_out": {}, "missed": 1 }),
            json!({ "type": "nodes", "silent": [{ "name": "b" }] }),
        ] {
            let mut passed = passed.clone();
            passed.add(&more);
            assert_eq!(
                passed.sentence(),
                "at least 1.5 events a second in the 2 s that it was watched",
                "{more}"
            );
        }
        let told = passed.to_json();
        assert_eq!(
            (&told["events"], &told["per_second"], &told["at_least"]),
            (&json!(3), &json!(1.5), &json!(false))
        );
    }
}
