//! Starts and ends the relays of all apps: the thread that they send on, and a task for each.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use indexmap::IndexMap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tracing::error;

use crate::hub::Listener;
use crate::outbound::{ConnectorError, SenderThread, connector};

use super::counts::{RelayCounts, RelayFigures};
use super::listener::RelayListener;
use super::losses::Losses;
use super::sender::{Producer, RelaySender};
use super::settings::RelaySettings;

/// So many apps that have no relay any more keep their counts: those whose relays were begun last.
const MOST_WITHOUT_RELAY: usize = 100;

/// How long the relays may take to say what is left.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// All relays of a broker. Clones are the same.
#[derive(Clone)]
pub(crate) struct Relays {
    shared: Arc<RelaysShared>,
}

/// What the clones of [`Relays`] share.
struct RelaysShared {
    /// Drawn at the start: what this broker's own requests are known by.
    node: u128,
    /// Until when what is left may be sent, once the broker ends.
    end: watch::Sender<Option<Instant>>,
    /// An app has had a relay.
    have_begun: AtomicBool,
    state: Mutex<RelaysState>,
}

#[derive(Default)]
struct RelaysState {
    /// None until an app has a relay.
    thread: Option<SenderThread>,
    /// By the app's id. They outlive the relays of an app that has none any more, [`MOST_WITHOUT_RELAY`] such apps at most.
    counts: IndexMap<String, Arc<RelayCounts>>,
    /// All that may still have something to send.
    senders: Vec<Weak<RelaySender>>,
}

/// What a request says of its way here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RelayMark {
    /// Another server has relayed it.
    Others,
    /// This broker has, to the same app.
    Own,
}

/// Finds out whether events could be relayed by these settings.
///
/// # Errors
/// If a file that they name cannot be used.
pub(crate) fn check(relays: &[RelaySettings]) -> Result<(), ConnectorError> {
    relays.iter().try_for_each(|settings| connector(settings.trusted_file()).map(drop))
}

impl Relays {
    /// None yet, and no thread.
    pub(crate) fn new() -> Self {
        let (end, _) = watch::channel(None);
        let shared = RelaysShared {
            node: rand::random(),
            end,
            have_begun: AtomicBool::new(false),
            state: Mutex::default(),
        };
        Relays { shared: Arc::new(shared) }
    }

    /// What hands on what the backends of this app ask for; `None` if it has no relay. A relay that was there before, to the
    /// same app of the same server, goes on with what waits, in its order; one that is there no more sends that to its end.
    pub(crate) fn listener(&self, app_id: &str, relays: &[RelaySettings]) -> Option<Arc<dyn Listener>> {
        let mut state = self.shared.state.lock();
        let RelaysState { thread, counts, senders } = &mut *state;
        senders.retain(|sender| sender.strong_count() > 0);
        if relays.is_empty() || self.shared.end.borrow().is_some() {
            return None;
        }
        let thread = match thread.take().map_or_else(|| SenderThread::start("relays"), Ok) {
            Ok(started) => thread.insert(started),
            Err(error) => {
                error!(app = app_id, %error, "nothing can be relayed: the system gives no thread");
                return None;
            }
        };
        self.shared.have_begun.store(true, Ordering::Relaxed);
        let known: Vec<Arc<RelaySender>> = senders.iter().filter_map(Weak::upgrade).collect();
        let known = |settings: &RelaySettings| {
            let mut own = known.iter().filter(|sender| sender.app_id() == app_id && sender.is_for(settings));
            let (own, producer) = own.find_map(|sender| Some((sender, Producer::of(sender)?)))?;
            own.adopt(settings);
            Some(producer)
        };
        let mut started = Vec::new();
        forget_old(counts, senders);
        let counts = Arc::clone(counts.entry(app_id.to_owned()).or_default());
        let producers = relays.iter().map(|settings| {
            known(settings).unwrap_or_else(|| {
                let losses = Losses::new(app_id.to_owned(), Arc::clone(&counts));
                let sender = RelaySender::new(app_id, self.mark(app_id), settings.clone(), losses);
                let sender = Arc::new(sender);
                let producer = Producer::first_of(&sender);
                started.push(Arc::downgrade(&sender));
                thread.spawn(sender.run(self.shared.end.subscribe()));
                producer
            })
        });
        let relays = producers.collect();
        senders.append(&mut started);
        Some(Arc::new(RelayListener { relays }))
    }

    /// Whether any app has had a relay since the broker began: only then can a request have the header of this broker.
    pub(crate) fn have_begun(&self) -> bool {
        self.shared.have_begun.load(Ordering::Relaxed)
    }

    /// What the header of a request to this app says.
    pub(crate) fn read_mark(&self, app_id: &str, header: &[u8]) -> RelayMark {
        if header == self.mark(app_id).as_bytes() { RelayMark::Own } else { RelayMark::Others }
    }

    /// What requests of this broker say that relay events of this app. Nobody else can say it without having heard it.
    fn mark(&self, app_id: &str) -> HeaderValue {
        let digest =
            Sha256::new().chain_update(self.shared.node.to_be_bytes()).chain_update(app_id).finalize();
        // Hexadecimal digits can stand in a header.
        HeaderValue::from_str(&hex::encode(&digest[..16])).unwrap_or_else(|_| HeaderValue::from_static("1"))
    }

    /// What became of the events of each app that has had a relay, and what waits; by the app's id.
    pub(crate) fn figures(&self) -> BTreeMap<String, RelayFigures> {
        let state = self.shared.state.lock();
        let counted = state.counts.iter().map(|(id, counts)| (id.clone(), RelayFigures::of(counts)));
        let mut figures: BTreeMap<String, RelayFigures> = counted.collect();
        for sender in state.senders.iter().filter_map(Weak::upgrade) {
            let Some(figures) = figures.get_mut(sender.app_id()) else { continue };
            let (waiting, bytes, oldest) = sender.backlog();
            figures.waiting += waiting;
            figures.waiting_bytes += bytes;
            figures.oldest = figures.oldest.max(oldest);
        }
        figures
    }

    /// Nothing more will be published: waits until all that was is relayed, at most until `deadline`, and gives up what is
    /// left.
    pub(crate) async fn finish(&self, deadline: Instant) {
        self.shared.end.send_replace(Some(deadline));
        let Some(thread) = self.shared.state.lock().thread.take() else { return };
        thread.finish(deadline + LAST_WORDS, |_| ()).await;
    }
}

/// Forgets the counts of apps that have had no relay for longest, where there are too many of them.
fn forget_old(counts: &mut IndexMap<String, Arc<RelayCounts>>, senders: &[Weak<RelaySender>]) {
    // Most brokers have fewer apps.
    if counts.len() <= MOST_WITHOUT_RELAY {
        return;
    }
    let senders: Vec<_> = senders.iter().filter_map(Weak::upgrade).collect();
    let with_relay: HashSet<&str> = senders.iter().map(|sender| sender.app_id()).collect();
    let without = counts.keys().filter(|id| !with_relay.contains(id.as_str())).count();
    let mut too_many = without.saturating_sub(MOST_WITHOUT_RELAY);
    counts.retain(|id, _| {
        let is_forgotten = too_many > 0 && !with_relay.contains(id.as_str());
        too_many -= usize::from(is_forgotten);
        !is_forgotten
    });
}

impl fmt::Debug for Relays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relays").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Key, Secret};
    use crate::relay::RelayUrl;

    #[test]
    fn apps_that_have_gone_are_forgotten_in_the_end() {
        let relays = Relays::new();
        let key = Key { key: "key".to_owned(), secret: Secret::new("secret") };
        let url = RelayUrl::parse("http://127.0.0.1:1").unwrap();
        let settings = [RelaySettings::new(url, "7", key)];
        let kept = relays.listener("kept", &settings);
        for number in 0..MOST_WITHOUT_RELAY + 50 {
            let id = number.to_string();
            let listener = relays.listener(&id, &settings);
            let senders: Vec<_> = relays.shared.state.lock().senders.clone();
            drop(listener);
            // Its task ends soon after.
            let begun = Instant::now();
            while senders.iter().filter_map(Weak::upgrade).any(|sender| sender.app_id() == id) {
                assert!(begun.elapsed() < Duration::from_secs(60), "{id} has not ended");
                std::thread::yield_now();
            }
        }
        let figures = relays.figures();
        assert!(figures.contains_key("kept") && figures.contains_key("149") && !figures.contains_key("0"));
        assert!(figures.len() <= MOST_WITHOUT_RELAY + 2, "{}", figures.len());
        drop(kept);
    }
}
