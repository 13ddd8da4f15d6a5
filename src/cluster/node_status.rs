//! What a node tells of its cluster to those who ask.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::adapter::Adapter;
use super::node::ClusterNode;
use super::peers::{IgnoredPeers, LivePeer};
use super::questions::{AskedNodes, PutQuestion};
use super::replica::Replica;
use super::status::{BusTrouble, ClusterFigures, ClusterStatus, Loss, PeerStatus, ReplicaSize};
use super::view::ClusterView;
use super::views::Views;
use crate::channel::NodeId;
use crate::protocol::ChannelName;

impl<A: Adapter> ClusterView for ClusterNode<A> {
    fn status(&self) -> ClusterStatus {
        let now = Instant::now().into_std();
        // Who has the views may have them for long; the peers, others wait for.
        let (mut of_peers, away, ignored) = {
            let peers = self.peers.lock();
            let of_peers = peers.iter().map(|(id, peer)| self.peer_status(id, peer, now));
            (of_peers.collect::<Vec<PeerStatus>>(), peers.bus_trouble(), peers.ignored())
        };
        let away = self.failure.get().or(away);
        let views = self.views.lock();
        for peer in &mut of_peers {
            let replica = views.of(peer.id);
            peer.is_complete = replica.is_some_and(Replica::is_in_step);
            peer.size = replica.map(Replica::size).unwrap_or_default();
        }
        of_peers.sort_by(|one, other| (&one.name, one.id).cmp(&(&other.name, other.id)));
        let outgoing = self.adapter.outbox().waiting;
        let (chains, owed) = (self.chains.sizes(), self.owed.sizes());
        let figures = ClusterFigures {
            followed_channels: chains.chains,
            chained_events: chains.waiting,
            owed_events: owed.events,
            owed_bytes: owed.bytes,
            waiting_joins: self.claims.waiting(),
            claimed_channels: self.claims.len(),
            inbox_words: self.inbox.waiting_words(),
            inbox_bytes: self.inbox.waiting_bytes(),
            outgoing_words: outgoing.0,
            outgoing_bytes: outgoing.1,
            waiting_events: views.parked.backlog().events,
            untold_changes: views.steps(),
            unsaid_facts: self.telling.unsaid(),
            ..self.figures(ignored, &views)
        };
        drop(views);
        let link = self.adapter.link().borrow().clone();
        ClusterStatus {
            me: self.me,
            name: self.config.node_name.clone(),
            is_settled: self.is_settled(),
            link,
            away,
            peers: of_peers,
            own: self.telling.size(),
            figures,
        }
    }

    fn is_settled(&self) -> bool {
        *self.settled.borrow()
    }

    fn trouble(&self) -> Option<BusTrouble> {
        self.failure.get().or_else(|| self.peers.lock().bus_trouble())
    }

    fn decider(&self, app_id: &str, channel: &ChannelName) -> Option<NodeId> {
        self.decider_of(app_id, channel)
    }

    fn ask(&self, of: Option<NodeId>, question: &Bytes) -> AskedNodes {
        self.ask_nodes(of, question)
    }

    fn answer_by(&self, answers: mpsc::Sender<PutQuestion>) {
        self.questions.answer_by(answers);
    }
}

impl<A: Adapter> ClusterNode<A> {
    /// Without what is known of its state.
    fn peer_status(&self, id: NodeId, peer: &LivePeer, now: std::time::Instant) -> PeerStatus {
        let heartbeat = &peer.heartbeat;
        PeerStatus {
            id,
            name: heartbeat.name.clone(),
            address: heartbeat.address.clone(),
            release: heartbeat.release.clone(),
            silent_for: now.saturating_duration_since(peer.heard),
            is_complete: false,
            size: ReplicaSize::default(),
            is_namesake: peer.is_namesake,
            differing: self.settings.differing(&heartbeat.settings),
        }
    }

    /// What was counted.
    pub(super) fn figures(&self, ignored: IgnoredPeers, views: &Views) -> ClusterFigures {
        let mut figures = self.counts.read();
        let counts = views.counts();
        let outbox = self.adapter.outbox();
        for (loss, more) in [
            (Loss::Away, outbox.lost),
            (Loss::Refused, outbox.refused),
            (Loss::InboxFull, self.inbox.dropped().0),
            (Loss::Unreadable, self.adapter.foreign_words()),
            (Loss::Unknown, counts.unknown),
            (Loss::Departed, ignored.departed),
            (Loss::NoRoom, counts.refused + counts.not_held + ignored.too_many),
            (Loss::Forged, ignored.forged),
        ] {
            figures.lost[loss as usize] += more;
        }
        figures.state_gaps = counts.gaps;
        figures.snapshots_taken = counts.snapshots;
        figures
    }
}
