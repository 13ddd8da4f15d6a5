//! Pauses of webhooks hold on all nodes. A node that starts learns them from those that were there before.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

use super::Console;
use super::elsewhere::NodeRequest;
use super::merged::NodeTag;

/// The path of the endpoints that are paused on a node, of all apps.
pub(super) const PAUSES: &str = "pauses";

/// The time between two looks at who is there.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often a node is asked that does not answer.
const MOST_TRIES: u8 = 3;

/// An endpoint that is paused. One that is configured otherwise is another one.
#[derive(Debug, Serialize, Deserialize)]
struct PausedEndpoint {
    app: String,
    index: usize,
    url: String,
}

/// What came of asking a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PausesAsked {
    /// So often in vain.
    InVain(u8),
    /// It has told, or there is nothing that it could tell.
    Answered,
}

impl PausesAsked {
    fn is_over(self) -> bool {
        !matches!(self, PausesAsked::InVain(tries) if tries < MOST_TRIES)
    }

    fn once_more(self) -> Self {
        match self {
            PausesAsked::InVain(tries) => PausesAsked::InVain(tries.saturating_add(1)),
            PausesAsked::Answered => PausesAsked::Answered,
        }
    }
}

impl Console {
    /// The endpoints that are paused on this node.
    pub(super) fn own_pauses(&self) -> Value {
        let mut paused = Vec::new();
        for app in self.hub.apps().iter() {
            for (index, shown) in self.webhooks.shown(app.id()).into_iter().enumerate() {
                if shown.is_paused {
                    let url = shown.endpoint.url.to_string();
                    paused.push(json!(PausedEndpoint { app: app.id().to_owned(), index, url }));
                }
            }
        }
        json!({ "paused": paused })
    }

    /// Asks the nodes that are there when this one starts which endpoints are paused, each until it has answered, and pauses those
    /// here. It ends when this node has settled and none is left to ask.
    pub(super) async fn learn_pauses(&self) {
        let mut asked = BTreeMap::<String, (PausesAsked, String)>::new();
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let Some(cluster) = self.readiness.cluster() else { return };
            // Who has told this node what it has knows it, and answers it.
            for peer in cluster.peers.iter().filter(|peer| peer.is_complete || cluster.is_settled) {
                let new = || (PausesAsked::InVain(0), peer.name.to_string());
                asked.entry(peer.id.to_string()).or_insert_with(new);
            }
            asked.retain(|id, _| cluster.peers.iter().any(|peer| peer.id.to_string() == *id));
            if asked.values().any(|(asked, _)| !asked.is_over()) {
                self.ask_for_pauses(&mut asked).await;
            } else if cluster.is_settled && cluster.away.is_none() {
                break;
            }
        }
        let unheard = asked.values().filter(|(asked, _)| *asked != PausesAsked::Answered);
        unheard.for_each(|(_, node)| {
            info!(node, "it has not told which endpoints of webhooks are paused there")
        });
    }

    async fn ask_for_pauses(&self, asked: &mut BTreeMap<String, (PausesAsked, String)>) {
        let request = NodeRequest { path: vec![PAUSES.to_owned()], ..NodeRequest::default() };
        let heard = self.others.ask_all(&request).await;
        asked.values_mut().for_each(|(asked, _)| *asked = asked.once_more());
        let mut answered = |node: &NodeTag| {
            if let Some((asked, _)) = asked.get_mut(&node.id) {
                *asked = PausesAsked::Answered;
            }
        };
        for (node, told) in heard.told {
            answered(&node);
            self.pause_as(&node, &told);
        }
        // An older release knows no such path.
        heard
            .refused
            .iter()
            .filter(|(_, why)| why.status() == StatusCode::NOT_FOUND)
            .for_each(|(node, _)| answered(node));
    }

    /// Pauses what another node has paused, unless an operator has said something of it here since this node started.
    fn pause_as(&self, node: &NodeTag, told: &Value) {
        for paused in told["paused"].as_array().into_iter().flatten() {
            let Ok(PausedEndpoint { app, index, url }) = PausedEndpoint::deserialize(paused) else {
                continue;
            };
            if self.webhooks.pause_as_elsewhere(&app, index, &url) {
                info!(node = node.name, app, index, "an endpoint of webhooks is paused, as on another node");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_asked_until_it_has_answered_or_has_not_so_often() {
        let mut asked = PausesAsked::InVain(0);
        for _ in 0..MOST_TRIES {
            assert!(!asked.is_over());
            asked = asked.once_more();
        }
        assert!(asked.is_over());
        assert!(
            PausesAsked::Answered.is_over() && PausesAsked::Answered.once_more() == PausesAsked::Answered
        );
    }
}
