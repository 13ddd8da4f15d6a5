//! Pauses of webhooks hold on all nodes. A node learns from the others what it has not heard of: those that were there when it starts, those
//! that come back, and all of them when the bus has been away, or two operators have changed something at once.

use std::collections::BTreeSet;
use std::time::Duration;

use actix_web::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

use super::Console;
use super::answer::ConsoleError;
use super::elsewhere::{NodeRequest, SilentNode};
use super::everywhere::AskedOfApp;
use super::merged::NodeTag;
use super::nodes_to_ask::AskedNow;
use super::webhooks::{NUMBER, not_sent, number};
use crate::auth::request::Query;
use crate::channel::NodeId;
use crate::webhook::PauseChange;

/// The path of what an operator has said on a node of the endpoints of all apps.
pub(super) const PAUSES: &str = "pauses";

/// In its query: who asks has something to tell as well.
const ASK_BACK: &str = "ask_back";

/// The time between two looks at who is there.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// An endpoint of which an operator has said something. One that is configured otherwise is another one.
#[derive(Debug, Serialize, Deserialize)]
struct PausedEndpoint {
    app: String,
    index: usize,
    url: String,
    #[serde(default)]
    number: u64,
}

impl Console {
    /// Pauses an endpoint on all nodes, or has it go on; this one first.
    pub(super) async fn pause_everywhere(
        &self,
        asked: &AskedOfApp<'_>,
        index: &str,
        is_paused: bool,
    ) -> Result<Value, ConsoleError> {
        let (app, index) = (asked.app.id(), number("endpoint", index)?);
        let change = self.webhooks.pause(app, index, is_paused, 0).map_err(not_sent)?;
        let body = Map::from_iter([(NUMBER.to_owned(), change.number.into())]);
        let request = NodeRequest { body: Some(body), ..asked.elsewhere() };
        let heard = self.others.ask_all(&request).await;
        let numbers = heard.told.iter().filter_map(|(_, told)| told[NUMBER].as_u64());
        let (change, may_differ) = change.numbered_by(numbers);
        let here = self.webhooks.pause_changes(app).into_iter().find(|(place, _, _)| *place == index);
        if let Some((_, url, _)) = here {
            self.webhooks.learn_pause(app, index, &url, change);
        }
        let heard = heard.without_refusals();
        // Of two changes at the same time some nodes may have heard the one last, some the other.
        let differing = heard.told.iter().filter(|_| may_differ).map(|(node, _)| node.id.as_str());
        let ids = heard.silent.iter().filter_map(SilentNode::id).chain(differing);
        ids.for_each(|id| self.to_ask.lock().may_have_missed(id));
        Ok(self.shown_of_all(json!({ "paused": is_paused }), &heard.silent))
    }

    /// What an operator has said of the endpoints on this node, for another one. One that has something to tell as well is asked for it.
    pub(super) fn pauses_for(&self, node: NodeId, query: &str) -> Value {
        if Query::parse(query).get(ASK_BACK).is_some() {
            self.to_ask.lock().has_something_to_tell(&node.to_string());
        }
        let (paused, resumed): (Vec<_>, Vec<_>) = self.said().partition(|(_, change)| !change.goes_on);
        let shown = |said: Vec<(PausedEndpoint, PauseChange)>| -> Value {
            said.into_iter().map(|(endpoint, _)| json!(endpoint)).collect()
        };
        json!({ "paused": shown(paused), "resumed": shown(resumed) })
    }

    /// What an operator has said of the endpoints on this node, or another node has told of it.
    fn said(&self) -> impl Iterator<Item = (PausedEndpoint, PauseChange)> {
        let apps: Vec<String> = self.hub.apps().iter().map(|app| app.id().to_owned()).collect();
        apps.into_iter().flat_map(|app| {
            let said = self.webhooks.pause_changes(&app).into_iter();
            said.map(move |(index, url, change)| {
                (PausedEndpoint { app: app.clone(), index, url, number: change.number }, change)
            })
        })
    }

    /// Asks other nodes what an operator has said there, each when this node may have missed some of it, and does the same here, until it
    /// is dropped.
    pub(super) async fn learn_pauses(&self) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let Some(cluster) = self.readiness.cluster() else { return };
            let asked = {
                let mut to_ask = self.to_ask.lock();
                to_ask.look(&cluster.peers, cluster.is_settled, cluster.away.is_some());
                to_ask.begin()
            };
            if let Some(asked) = asked {
                self.ask_for_pauses(asked).await;
            }
        }
    }

    async fn ask_for_pauses(&self, asked: AskedNow) {
        let asks_back = asked.may_have_missed && self.said().next().is_some();
        let query = if asks_back { format!("{ASK_BACK}=1") } else { String::new() };
        let request = NodeRequest { path: vec![PAUSES.to_owned()], query, ..NodeRequest::default() };
        let heard = match &asked.ids[..] {
            [one] => self.others.hear_one(one, &request).await,
            _ => self.others.ask_all(&request).await,
        };
        // An older release knows no such path.
        let refused = heard.refused.iter().filter(|(_, why)| why.status() == StatusCode::NOT_FOUND);
        let answered: BTreeSet<String> = heard
            .told
            .iter()
            .map(|(node, _)| node)
            .chain(refused.map(|(node, _)| node))
            .map(|node| node.id.clone())
            .collect();
        for (node, told) in &heard.told {
            self.learn_pauses_of(node, told);
        }
        for node in self.to_ask.lock().end(&answered) {
            info!(node, "it has not told which endpoints of webhooks are paused there");
        }
    }

    /// Does what an operator has said on another node, where that is later than what is known here.
    fn learn_pauses_of(&self, node: &NodeTag, told: &Value) {
        for (list, goes_on) in [("paused", false), ("resumed", true)] {
            for endpoint in told[list].as_array().into_iter().flatten() {
                let Ok(PausedEndpoint { app, index, url, number }) = PausedEndpoint::deserialize(endpoint)
                else {
                    continue;
                };
                if self.webhooks.learn_pause(&app, index, &url, PauseChange { number, goes_on }) {
                    info!(
                        node = node.name,
                        app,
                        index,
                        paused = !goes_on,
                        "an endpoint of webhooks is as on another node"
                    );
                }
            }
        }
    }
}
