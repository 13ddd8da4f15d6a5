//! A node that is succeeded by another process hands over what no other node of a cluster would need.

use std::cell::Cell;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::channel::{ChannelVersion, NodeId};
use crate::hub::{AppState, HandedEvents, HandedOver, HistoryFollower, KeptChannels, LiveEvent, Told};
use crate::protocol::ChannelName;

use super::adapter::{Adapter, Subject};
use super::envelope::Content;
use super::event_numbers::EventNumber;
use super::node::ClusterNode;
use super::status::WordKind;

/// How long the other process may leave no room.
const ROOM_WITHIN: Duration = Duration::from_secs(5);

/// How long it may take to hand over what channels keep of their last events: the other process serves nobody before, and has a
/// minute until it does.
const HISTORIES_WITHIN: Duration = Duration::from_secs(20);

/// Tells the process that succeeds this one what channels keep from now on.
struct HistoryTeller<A> {
    node: Weak<ClusterNode<A>>,
    to: NodeId,
}

thread_local! {
    /// What the process that succeeds this one has called the event that this thread is about to deliver.
    static SAID_AS: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// Delivers an event that another node has said as this one.
pub(super) fn delivering(number: EventNumber, deliver: impl FnOnce()) {
    SAID_AS.set(Some((number.epoch, number.number)));
    deliver();
    SAID_AS.set(None);
}

impl<A: Adapter> HistoryFollower for HistoryTeller<A> {
    fn kept(&self, app: &Arc<str>, channel: &ChannelName, events: HandedEvents, live: Option<LiveEvent>) {
        let Some(node) = self.node.upgrade() else { return };
        let said_as = SAID_AS.get();
        // What a client of the other process has sent waits for nothing there.
        let waits = said_as.is_none() && channel.channel_type().is_presence();
        let state = if waits { node.telling.last() } else { 0 };
        let live = live.map(|live| LiveEvent { said_as, state, ..live });
        let handed = HandedOver::Kept { channel: channel.clone(), events, live };
        let content = Content::HandedOver { app: Arc::clone(app), handed };
        node.say(&Subject::Node(self.to), WordKind::Snapshot, content, None);
    }
}

impl<A: Adapter> ClusterNode<A> {
    /// Hands over to the node that has asked for what this one has.
    pub(super) async fn hand_over(&self, to: NodeId) {
        let Some(hub) = self.hub.upgrade() else { return };
        let apps: Vec<_> = hub.apps().iter().cloned().collect();
        let until = Instant::now() + HISTORIES_WITHIN;
        // Whoever asks again has been told, and is told what comes.
        let is_first = self.succeeded_by.set(to).is_ok();
        for app in &apps {
            let held = hub.held_removals(app).await.into_iter().map(HandedOver::Held);
            for handed in hub.to_hand_over(app).chain(held) {
                if timeout(ROOM_WITHIN, self.adapter.room()).await.is_err() {
                    tracing::warn!("what cache channels remember was not handed over: there was no room");
                    return;
                }
                let content = Content::HandedOver { app: Arc::clone(app.shared_id()), handed };
                self.say(&Subject::Node(to), WordKind::Snapshot, content, None);
            }
            // What cache channels remember is no event of a history that comes later.
            if is_first {
                self.hand_histories_over(app, to, until).await;
            }
        }
    }

    /// Hands over what an app's channels keep, and tells from then on what comes. What cannot be handed over in time is told to be
    /// lost.
    async fn hand_histories_over(&self, app: &Arc<AppState>, to: NodeId, until: Instant) {
        let kept = KeptChannels::of(&app.app());
        if !kept.is_any() {
            return;
        }
        let run = self.hub.upgrade().map_or(0, |hub| hub.history_epoch());
        let handed = HandedOver::Histories { run, kept };
        let content = Content::HandedOver { app: Arc::clone(app.shared_id()), handed };
        self.say(&Subject::Node(to), WordKind::Snapshot, content, None);
        let teller = HistoryTeller { node: self.this.clone(), to };
        let mut lost = 0_usize;
        for channel in app.follow_histories(Some(Arc::new(teller))) {
            let mut behind = Some(ChannelVersion::default());
            while let Some(version) = behind {
                let has_time = lost == 0 && Instant::now() < until;
                let has_room = has_time && timeout(ROOM_WITHIN, self.adapter.room()).await.is_ok();
                lost += usize::from(!has_room);
                let told = if has_room { Told::InParts } else { Told::AsLost };
                behind = app.tell_kept(&channel, version, told);
            }
        }
        if lost > 0 {
            tracing::warn!(
                app = app.id(),
                channels = lost,
                "histories were not handed over: it took too long"
            );
        }
    }

    /// Tells the process that succeeds this one of a name.
    pub(super) fn say_name(&self, to: NodeId, app: Arc<str>, handed: HandedOver) {
        self.say(&Subject::Node(to), WordKind::Snapshot, Content::HandedOver { app, handed }, None);
    }

    /// Leaves the names of all clients to the process that succeeds this one, which is about to end.
    pub(super) async fn leave_names(&self) {
        let (Some(hub), Some(to)) = (self.hub.upgrade(), self.succeeded_by.get()) else { return };
        for (app, handed) in hub.names_to_leave() {
            if timeout(ROOM_WITHIN, self.adapter.room()).await.is_err() {
                tracing::warn!("what clients have received was not handed over: there was no room");
                return;
            }
            self.say_name(*to, app, handed);
        }
    }
}
