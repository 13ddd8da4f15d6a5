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
use crate::cluster::status::PeerStatus;

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

/// The nodes that are there when this one starts, by their ids, each with its name.
#[derive(Debug, Default)]
struct NodesToAsk(BTreeMap<String, (PausesAsked, String)>);

/// What is to be done after a look at who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookedAround {
    /// Some are to be asked.
    Ask,
    /// Others may come.
    Wait,
    /// All have been asked.
    Over,
}

impl NodesToAsk {
    /// Takes who is there, as far as this node knows, which has settled or has not; and whether the bus between them is away.
    fn look(&mut self, peers: &[PeerStatus], is_settled: bool, is_away: bool) -> LookedAround {
        if is_away {
            // That they have not answered is no fault of theirs.
            self.0.retain(|_, (asked, _)| *asked == PausesAsked::Answered);
            return LookedAround::Wait;
        }
        // Who has told this node what it has knows it, and answers it.
        for peer in peers.iter().filter(|peer| peer.is_complete || is_settled) {
            let new = || (PausesAsked::InVain(0), peer.name.to_string());
            self.0.entry(peer.id.to_string()).or_insert_with(new);
        }
        self.0.retain(|id, _| peers.iter().any(|peer| peer.id.to_string() == *id));
        if self.0.values().any(|(asked, _)| !asked.is_over()) {
            LookedAround::Ask
        } else if is_settled {
            LookedAround::Over
        } else {
            LookedAround::Wait
        }
    }

    /// All have been asked once more.
    fn ask(&mut self) {
        self.0.values_mut().for_each(|(asked, _)| *asked = asked.once_more());
    }

    fn answered(&mut self, node: &NodeTag) {
        if let Some((asked, _)) = self.0.get_mut(&node.id) {
            *asked = PausesAsked::Answered;
        }
    }

    /// The names of those that have not answered.
    fn unheard(&self) -> impl Iterator<Item = &str> {
        let unheard = self.0.values().filter(|(asked, _)| *asked != PausesAsked::Answered);
        unheard.map(|(_, name)| name.as_str())
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
        let mut nodes = NodesToAsk::default();
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let Some(cluster) = self.readiness.cluster() else { return };
            match nodes.look(&cluster.peers, cluster.is_settled, cluster.away.is_some()) {
                LookedAround::Ask => self.ask_for_pauses(&mut nodes).await,
                LookedAround::Wait => {}
                LookedAround::Over => break,
            }
        }
        for node in nodes.unheard() {
            info!(node, "it has not told which endpoints of webhooks are paused there");
        }
    }

    async fn ask_for_pauses(&self, nodes: &mut NodesToAsk) {
        let request = NodeRequest { path: vec![PAUSES.to_owned()], ..NodeRequest::default() };
        let heard = self.others.ask_all(&request).await;
        nodes.ask();
        for (node, told) in heard.told {
            nodes.answered(&node);
            self.pause_as(&node, &told);
        }
        // An older release knows no such path.
        for (node, why) in &heard.refused {
            if why.status() == StatusCode::NOT_FOUND {
                nodes.answered(node);
            }
        }
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
    use crate::channel::NodeId;
    use crate::cluster::status::ReplicaSize;

    fn peer(id: u128, is_complete: bool) -> PeerStatus {
        PeerStatus {
            id: NodeId::new(id),
            name: format!("n{id}").into(),
            address: None,
            release: "1".into(),
            silent_for: Duration::ZERO,
            is_complete,
            size: ReplicaSize::default(),
            is_namesake: false,
            differing: Vec::new(),
        }
    }

    fn tag(id: u128) -> NodeTag {
        NodeTag { id: NodeId::new(id).to_string(), name: format!("n{id}") }
    }

    #[test]
    fn a_node_is_asked_until_it_has_answered_or_has_not_so_often() {
        let mut nodes = NodesToAsk::default();
        assert_eq!(
            nodes.look(&[peer(1, false)], false, false),
            LookedAround::Wait,
            "it may not know this one"
        );
        let there = [peer(1, true), peer(2, true)];
        for _ in 0..MOST_TRIES {
            assert_eq!(nodes.look(&there, false, false), LookedAround::Ask);
            nodes.ask();
            nodes.answered(&tag(1));
            nodes.answered(&tag(3));
        }
        assert_eq!(nodes.look(&there, false, false), LookedAround::Wait, "others may come");
        assert_eq!(nodes.look(&there, true, false), LookedAround::Over);
        assert_eq!(nodes.unheard().collect::<Vec<_>>(), ["n2"]);
        assert_eq!(nodes.look(&there[..1], true, false), LookedAround::Over);
        assert_eq!(nodes.unheard().count(), 0, "it has gone");
        assert_eq!(nodes.look(&[peer(4, false)], true, false), LookedAround::Ask);
    }

    /// The bus goes away just when a node has started.
    #[test]
    fn who_could_not_be_heard_is_asked_again_when_the_bus_is_back() {
        let (mut nodes, there) = (NodesToAsk::default(), [peer(1, true), peer(2, true)]);
        nodes.look(&there, true, false);
        for _ in 0..MOST_TRIES {
            nodes.ask();
        }
        nodes.answered(&tag(2));
        assert_eq!(nodes.look(&there, true, true), LookedAround::Wait);
        assert_eq!(nodes.look(&[], true, true), LookedAround::Wait);
        assert_eq!(nodes.look(&there, true, false), LookedAround::Ask);
        assert_eq!(nodes.unheard().collect::<Vec<_>>(), ["n1"]);
    }
}
