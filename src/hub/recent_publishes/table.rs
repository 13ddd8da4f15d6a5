//! What was published of late under ids, as a value: time goes in, and what is forgotten for its age or to keep a bound.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::PublishFingerprint;
use crate::hub::AppIndex;

/// How long an id is remembered after what was published under it was answered. A publisher that has not heard an answer asks
/// again within seconds; Stripe keeps its keys for a day, and we for as long as a queue of jobs takes to try again.
pub(crate) const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// Bytes of memory that an id takes besides its answer: its places in a map and in a queue, each as large as it may have grown.
const ENTRY_BYTES: usize = 256;

/// Bytes of the ids of one app, which it reaches only by answers to `info`: 250,000 ids without, the most that
/// `limits.publish_ids` may say, fit.
const MOST_BYTES_OF_APP: usize = 64 * 1024 * 1024;

/// Bytes of the ids of all apps.
const MOST_BYTES: usize = 128 * 1024 * 1024;

/// What a publisher was answered beyond that it was published: what `info` asked for, as text.
pub(crate) type PublishAnswer = Option<Arc<str>>;

/// Something was published under the same id before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EarlierPublish {
    /// The same, and this was the answer.
    Answered(PublishAnswer),
    /// The same, and it has not been answered yet.
    UnderWay,
    /// Something else.
    OfAnother,
}

/// What stands for an id.
pub(crate) type IdDigest = [u8; 16];

/// The ids that are remembered, of all apps.
#[derive(Debug)]
pub(super) struct PublishTable {
    apps: HashMap<AppIndex, AppPublishes>,
    /// The apps by the number of what each has remembered longest.
    oldest: BTreeMap<u64, AppIndex>,
    /// How much has been answered until now.
    answered: u64,
    bytes: usize,
    most_bytes_of_app: usize,
    most_bytes: usize,
    /// How often something was asked for again and not done again.
    pub(super) repeated: u64,
    /// How many ids were forgotten before their time.
    pub(super) forgotten: u64,
}

#[derive(Debug, Default)]
struct AppPublishes {
    by_id: HashMap<IdDigest, RecentPublish>,
    /// What was answered, in that order. What has been replaced is here still.
    by_age: VecDeque<(u64, IdDigest)>,
    bytes: usize,
}

#[derive(Debug)]
struct RecentPublish {
    fingerprint: PublishFingerprint,
    /// None while it is under way.
    answered: Option<AnsweredPublish>,
}

#[derive(Debug)]
struct AnsweredPublish {
    number: u64,
    until: Instant,
    answer: PublishAnswer,
}

impl AnsweredPublish {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.answer.as_ref().map_or(0, |answer| answer.len())
    }
}

impl Default for PublishTable {
    fn default() -> Self {
        PublishTable {
            apps: HashMap::new(),
            oldest: BTreeMap::new(),
            answered: 0,
            bytes: 0,
            most_bytes_of_app: MOST_BYTES_OF_APP,
            most_bytes: MOST_BYTES,
            repeated: 0,
            forgotten: 0,
        }
    }
}

impl PublishTable {
    /// Something is about to be published under an id: it is under way from now on, until [`answer`](Self::answer) or
    /// [`release`](Self::release).
    pub(super) fn claim(
        &mut self,
        app: AppIndex,
        id: IdDigest,
        fingerprint: PublishFingerprint,
        now: Instant,
    ) -> Result<(), EarlierPublish> {
        let publishes = self.apps.entry(app).or_default();
        if let Some(earlier) = publishes.by_id.get(&id) {
            let is_over = earlier.answered.as_ref().is_some_and(|answered| answered.until <= now);
            if !is_over {
                return Err(match &earlier.answered {
                    _ if earlier.fingerprint != fingerprint => EarlierPublish::OfAnother,
                    None => EarlierPublish::UnderWay,
                    Some(answered) => {
                        self.repeated += 1;
                        EarlierPublish::Answered(answered.answer.clone())
                    }
                });
            }
        }
        let replaced = publishes.by_id.insert(id, RecentPublish { fingerprint, answered: None });
        let bytes = replaced.and_then(|replaced| replaced.answered).map_or(0, |answered| answered.bytes());
        publishes.bytes -= bytes;
        self.bytes -= bytes;
        Ok(())
    }

    /// What was claimed has been published and answered: it is remembered, one of `most` of its app.
    pub(super) fn answer(
        &mut self,
        app: AppIndex,
        id: IdDigest,
        answer: PublishAnswer,
        now: Instant,
        most: usize,
    ) {
        self.remember(app, id, (answer, now + REMEMBERED_FOR), now, most);
    }

    /// Another process has published this and remembers it until then. What is known here of the id stays.
    pub(super) fn take(
        &mut self,
        app: AppIndex,
        (id, fingerprint): (IdDigest, PublishFingerprint),
        published: (PublishAnswer, Instant),
        now: Instant,
        most: usize,
    ) {
        let is_known = self.apps.get(&app).is_some_and(|publishes| publishes.by_id.contains_key(&id));
        if !is_known && self.claim(app, id, fingerprint, now).is_ok() {
            self.remember(app, id, published, now, most);
        }
    }

    fn remember(
        &mut self,
        app: AppIndex,
        id: IdDigest,
        (answer, until): (PublishAnswer, Instant),
        now: Instant,
        most: usize,
    ) {
        let number = self.answered + 1;
        let Some(publishes) = self.apps.get_mut(&app) else { return };
        let Some(publish) = publishes.by_id.get_mut(&id).filter(|publish| publish.answered.is_none()) else {
            return;
        };
        let answered = AnsweredPublish { number, until, answer };
        let bytes = answered.bytes();
        publish.answered = Some(answered);
        self.answered = number;
        publishes.bytes += bytes;
        self.bytes += bytes;
        if publishes.by_age.is_empty() {
            self.oldest.insert(number, app);
        }
        publishes.by_age.push_back((number, id));
        while self.apps.get(&app).is_some_and(|publishes| {
            publishes.by_age.len() > most || publishes.bytes > self.most_bytes_of_app
        }) {
            self.forget_oldest_of(app, now);
        }
        while self.bytes > self.most_bytes
            && let Some((_, oldest)) = self.oldest.first_key_value()
        {
            self.forget_oldest_of(*oldest, now);
        }
    }

    /// What was claimed has not been published.
    pub(super) fn release(&mut self, app: AppIndex, id: IdDigest) {
        if let Some(publishes) = self.apps.get_mut(&app) {
            if publishes.by_id.get(&id).is_some_and(|publish| publish.answered.is_none()) {
                publishes.by_id.remove(&id);
            }
            self.drop_if_empty(app);
        }
    }

    /// The ids under which an app's backends have published something, the oldest first.
    pub(super) fn published(&self, app: AppIndex) -> Vec<IdDigest> {
        let publishes = self.apps.get(&app);
        publishes.map_or_else(Vec::new, |publishes| publishes.by_age.iter().map(|(_, id)| *id).collect())
    }

    /// What was published under an id, the answer, and for how much longer that is remembered.
    pub(super) fn recall(
        &self,
        app: AppIndex,
        id: IdDigest,
        now: Instant,
    ) -> Option<(PublishFingerprint, PublishAnswer, Duration)> {
        let publish = self.apps.get(&app)?.by_id.get(&id)?;
        let answered = publish.answered.as_ref()?;
        let left = answered.until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some((publish.fingerprint, answered.answer.clone(), left))
    }

    /// Forgets what is old enough of an app, at most so many ids. Returns how many there were.
    pub(super) fn expire(&mut self, app: AppIndex, now: Instant, most: usize) -> usize {
        let mut count = 0;
        while count < most && self.oldest_of(app).is_some_and(|until| until.is_none_or(|until| until <= now))
        {
            self.forget_oldest_of(app, now);
            count += 1;
        }
        count
    }

    /// Forgets everything of an app.
    pub(super) fn forget_app(&mut self, app: AppIndex) {
        if let Some(publishes) = self.apps.remove(&app) {
            self.bytes -= publishes.bytes;
            if let Some((number, _)) = publishes.by_age.front() {
                self.oldest.remove(number);
            }
        }
    }

    /// Whether nothing is remembered or under way.
    pub(super) fn is_empty(&self) -> bool {
        self.apps.is_empty()
    }

    /// How many ids are remembered or under way, and the bytes of memory for them.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.apps.values().map(|publishes| publishes.by_id.len()).sum(), self.bytes)
    }

    /// Until when what an app has remembered longest is to be remembered, if it has not been replaced.
    fn oldest_of(&self, app: AppIndex) -> Option<Option<Instant>> {
        let publishes = self.apps.get(&app)?;
        let (number, id) = publishes.by_age.front()?;
        let answered = publishes.by_id.get(id).and_then(|publish| publish.answered.as_ref());
        Some(answered.filter(|answered| answered.number == *number).map(|answered| answered.until))
    }

    fn forget_oldest_of(&mut self, app: AppIndex, now: Instant) {
        let Some(publishes) = self.apps.get_mut(&app) else { return };
        let Some((number, id)) = publishes.by_age.pop_front() else { return };
        let answered = publishes.by_id.get(&id).and_then(|publish| publish.answered.as_ref());
        if let Some(answered) = answered.filter(|answered| answered.number == number) {
            let bytes = answered.bytes();
            self.forgotten += u64::from(answered.until > now);
            publishes.bytes -= bytes;
            self.bytes -= bytes;
            publishes.by_id.remove(&id);
        }
        self.oldest.remove(&number);
        if let Some((next, _)) = publishes.by_age.front() {
            self.oldest.insert(*next, app);
        }
        // What a busy hour took is given back in the quiet one that follows.
        if publishes.by_id.capacity() > 64 + 4 * publishes.by_id.len() {
            publishes.by_id.shrink_to(2 * publishes.by_id.len());
            publishes.by_age.shrink_to(2 * publishes.by_age.len());
        }
        self.drop_if_empty(app);
    }

    fn drop_if_empty(&mut self, app: AppIndex) {
        if self
            .apps
            .get(&app)
            .is_some_and(|publishes| publishes.by_id.is_empty() && publishes.by_age.is_empty())
        {
            self.apps.remove(&app);
        }
    }
}

#[cfg(test)]
mod tests;
