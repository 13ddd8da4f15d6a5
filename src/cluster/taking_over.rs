//! A node that succeeds another process takes over what that hands over. Of some channels the process before keeps the last events: it
//! tells each of them, in its order, and that is how they are delivered and kept here; so what both keep is the same. What is accepted here
//! is awaited until it comes so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::hub::{
    AppState, ArrivedEvent, HandedEvents, HandedHistoryEvent, HandedKind, HandedLoss, HandedOver, Hub,
    KeptAs, LiveEvent, RememberedAs,
};
use crate::protocol::ChannelName;
use crate::recovery::{ClientName, TakenName};

use super::adapter::{Adapter, Subject};
use super::envelope::Content;
use super::event_numbers::EventNumber;
use super::node::ClusterNode;
use super::standing::Standing;
use super::status::WordKind;

/// So long an event is awaited that the process before is to tell.
const TOLD_AFTER: Duration = Duration::from_secs(5);

impl<A: Adapter> ClusterNode<A> {
    /// Whether the process before tells what is published on a channel.
    pub(super) fn is_kept_before(&self, subject: &Subject) -> bool {
        let Subject::Channel { app, channel } = subject else { return false };
        self.standing == Standing::After && self.kept_before.has(app, channel)
    }

    /// Whether an event that is awaited may still be told by the process before.
    pub(super) fn may_be_told(&self, subject: &Subject, now: Instant) -> bool {
        let then = now.checked_sub(TOLD_AFTER);
        self.is_kept_before(subject) && !then.is_some_and(|then| self.awaited.is_late(subject, then))
    }

    /// Takes over what the process before has handed over.
    pub(super) fn take_handed(&self, hub: &Hub, app: &Arc<str>, handed: HandedOver) {
        if let HandedOver::Kept { channel, events, .. } = &handed
            && hub.history_reached(app, channel).is_some_and(|reached| reached < events.behind.number)
        {
            // Something was not told, because there was no room for it or no time.
            hub.history_hole(app, channel);
            hub.upgrades().lost(HandedLoss::History, 1);
        }
        match handed {
            HandedOver::Kept { channel, events, live: Some(live) } => {
                hub.take_over(app, HandedOver::begun(&channel, events.behind));
                self.take_live(hub, app, &channel, events, live);
            }
            HandedOver::Histories { ref kept, .. } => {
                self.kept_before.put(app, kept.clone());
                hub.take_over(app, handed);
            }
            HandedOver::NameGiven { asked, note } => {
                hub.upgrades().taken(HandedKind::Name, usize::from(note.is_some()));
                self.asked_names.told(asked, note.as_ref());
            }
            handed => hub.take_over(app, handed),
        }
    }

    /// Asks the process before what it knows of a name, if that hands over what it knows. It has no answer for a name that is none.
    pub(super) fn ask_for_name(
        &self,
        app: &AppState,
        key: &str,
        name: Option<&ClientName>,
    ) -> Option<oneshot::Receiver<TakenName>> {
        let before = self.peers.lock().iter().next().map(|(node, _)| node)?;
        if !self.kept_before.has_app(app.id()) || self.is_away() {
            return None;
        }
        let (asked, told) = self.asked_names.ask();
        let name = name.map_or("", ClientName::as_str).into();
        let handed = HandedOver::NameAsked { asked, key: key.into(), name };
        let content = Content::HandedOver { app: Arc::clone(app.shared_id()), handed };
        self.say(&Subject::Node(before), WordKind::Snapshot, content, None);
        if self.is_away() {
            self.asked_names.end();
        }
        Some(told)
    }

    /// The process before has just kept an event.
    fn take_live(
        &self,
        hub: &Hub,
        app: &Arc<str>,
        channel: &ChannelName,
        HandedEvents { events, .. }: HandedEvents,
        LiveEvent { is_remembered, said_as, .. }: LiveEvent,
    ) {
        let expiry = hub.apps().by_id(app).map(|app| app.app().cache_ttl).filter(|_| is_remembered);
        let remembered =
            expiry.map(|expires_in| RememberedAs { number: None, is_recalled: false, expires_in });
        let subject = Subject::Channel { app: Arc::clone(app), channel: channel.clone() };
        for HandedHistoryEvent { number, frame, except, .. } in events {
            let deliver = |frame, except, kept, remembered| {
                let event = ArrivedEvent { channel, frame, latest: None, except, remembered, kept };
                hub.deliver_from_elsewhere(app, &event);
            };
            let own = said_as.map(|(epoch, number)| EventNumber { epoch, number });
            // One of this node that is not awaited any more has been delivered.
            let mut is_delivered = own.is_some();
            if let Some(own) = own {
                self.awaited.take_until(&subject, own, |awaited| {
                    let is_it = awaited.number == own;
                    is_delivered &= !is_it;
                    let kept = is_it.then_some(KeptAs { number, is_delivered: false });
                    let expiry = awaited.expiry;
                    let remembered = expiry.map(|expires_in| RememberedAs {
                        number: None,
                        is_recalled: false,
                        expires_in,
                    });
                    deliver(awaited.frame, awaited.except, kept, remembered);
                });
            }
            if own.is_none() || is_delivered {
                deliver(frame, except, Some(KeptAs { number, is_delivered }), remembered);
            }
        }
    }
}
