//! What a process that is succeeded hands over to the one that succeeds it, beside what is true of its connections: what its
//! cache channels remember, which were missed, the removals that its listeners hold back, and what was published under ids.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::histories_elsewhere::KeptTime;
use super::{
    AppState, ArrivedEvent, HandedEvents, HandedHistoryEvent, HandedKind, HandedOver, HeldRemoval, Hub,
    KeptAs, RememberedAs, StreamEvent, StreamPart,
};

/// How long a listener may take to tell what it holds back.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

impl Hub {
    /// What this process hands over of an app. It is read piece by piece, while everything goes on.
    pub(crate) fn to_hand_over(&self, app: &Arc<AppState>) -> impl Iterator<Item = HandedOver> + use<> {
        let (remembering, missed) = {
            let cache = app.cache.lock();
            (cache.remembering(), cache.missed())
        };
        let (app, published) = (Arc::clone(app), app.published());
        let remembered = remembering.into_iter().filter_map(move |channel| {
            let now = app.clock().now();
            let entry = app.channels.get(&channel)?;
            let cached = entry.recall(now)?;
            let number = cached.number.map_or(0, |number| number.number);
            let (frame, expires_in) = (cached.frame.clone(), cached.expires - now);
            drop(entry);
            Some(HandedOver::Remembered { channel, frame, number, expires_in })
        });
        let missed = missed.into_iter().map(|channel| HandedOver::Missed { channel });
        let published =
            published.map(|(id, note, expires_in)| HandedOver::Published { id, note, expires_in });
        remembered.chain(missed).chain(published)
    }

    /// The removals that those who listen to an app hold back, with all that has been announced until now.
    pub(crate) async fn held_removals(&self, app: &Arc<AppState>) -> Vec<HeldRemoval> {
        let asked: Vec<_> = app.listeners().iter().filter_map(|listener| listener.held_removals()).collect();
        let mut held = Vec::new();
        for told in asked {
            match timeout(TOLD_WITHIN, told).await {
                Ok(Ok(removals)) => held.extend(removals),
                _ => tracing::warn!(
                    app = app.id(),
                    "what webhooks hold back is not handed over: it was not told in time"
                ),
            }
        }
        held
    }

    /// Takes over what the process before has handed over.
    pub(crate) fn take_over(&self, app_id: &str, handed: HandedOver) {
        let apps = self.apps();
        let Some(app) = apps.by_id(app_id) else { return };
        self.count_taken_over(&handed);
        match handed {
            HandedOver::Remembered { channel, frame, number, expires_in } => {
                // What has come of the channel since then is newer, and has a larger number.
                let remembered = RememberedAs { number: Some(number), is_recalled: true, expires_in };
                let remembered = Some(remembered);
                let event = ArrivedEvent {
                    channel: &channel,
                    frame,
                    latest: None,
                    except: None,
                    remembered,
                    kept: None,
                };
                self.deliver_from_elsewhere(app_id, &event);
            }
            HandedOver::Missed { channel } => self.missed_elsewhere(app_id, &channel),
            HandedOver::Published { id, note, expires_in } => app.take_published(id, &note, expires_in),
            HandedOver::Histories { run, .. } => {
                self.set_run_before(run);
                // What came until now is told again.
                app.forget_events();
            }
            HandedOver::Kept { channel, events, .. } => {
                self.fill_history(app_id, &channel, part_of(events));
            }
            HandedOver::Name { number, note } => self.take_left_name(app, number, note),
            // Who carries it asks and answers.
            HandedOver::NameAsked { .. } | HandedOver::NameGiven { .. } => {}
            HandedOver::Held(removal) => {
                app.listeners().iter().for_each(|listener| listener.take_held(app, &removal));
            }
        }
    }
}

impl Hub {
    fn count_taken_over(&self, handed: &HandedOver) {
        let (kind, count) = match handed {
            HandedOver::Remembered { .. } => (HandedKind::Cached, 1),
            HandedOver::Published { .. } => (HandedKind::PublishId, 1),
            HandedOver::Held(_) => (HandedKind::Removal, 1),
            HandedOver::Kept { events, .. } => (HandedKind::Event, events.events.len()),
            // Whether there is room for a name is seen where it is kept.
            HandedOver::Name { .. }
            | HandedOver::Missed { .. }
            | HandedOver::Histories { .. }
            | HandedOver::NameAsked { .. }
            | HandedOver::NameGiven { .. } => return,
        };
        self.upgrades.taken(kind, count);
    }
}

/// Events that are handed over, as a part of the stream that they are to this process.
fn part_of(HandedEvents { behind, events }: HandedEvents) -> StreamPart {
    let mut reached = behind.number;
    let part = |HandedHistoryEvent { number, ago, time_ms, frame, except }| {
        let previous = std::mem::replace(&mut reached, number);
        let kept = KeptAs { number, is_delivered: false };
        StreamEvent { kept, previous, frame, except, time: Some(KeptTime { ago, time_ms }) }
    };
    let events = events.into_iter().map(part).collect();
    StreamPart { events, reached, now: reached }
}
