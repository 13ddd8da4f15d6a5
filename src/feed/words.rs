//! What nodes say to each other of what happens: what the viewers of one want, and what others pass on to it.
//!
//! It is JSON, as viewers are told it: what a release does not know of an entry it passes over. Whatever the bytes are, reading them
//! takes no memory beyond a small multiple of their length.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::entry::{ShownPayload, ToldEntry};
use super::payload::passed_path;
use super::{FeedDetails, FeedEntry, FeedKind, FeedPlace, VIEWERS, WrittenFilter};

/// Bytes of one word. A longer one is not said, and not read.
pub(crate) const WORD_BYTES: usize = 64 * 1024;

/// The last time that a page can show, in milliseconds since 1970.
const LATEST_MS: f64 = 8.64e15;

/// What a word of entries has beside these, at the most.
const HEAD_BYTES: usize = 1024;

/// Bytes of a filter that is told to other nodes. For a longer one everything is wanted of them: what passes is looked at here, too.
const FILTER_BYTES: usize = 4 * 1024;

/// What the viewers of a node want of others, until it is said again, for some seconds. No filters: nothing any more.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FeedWanted {
    /// It is repeated in what is passed on, and grows when viewers want something else.
    pub(super) version: u64,
    pub(super) filters: Vec<WrittenFilter>,
}

impl FeedWanted {
    /// It as bytes.
    pub(super) fn encode(mut self) -> Bytes {
        for filter in &mut self.filters {
            let bytes = serde_json::to_string(filter).map_or(usize::MAX, |text| text.len());
            if bytes > FILTER_BYTES {
                *filter = WrittenFilter::default();
            }
        }
        serde_json::to_vec(&self).unwrap_or_default().into()
    }

    /// Reads it; none if it is not what a node would say.
    pub(super) fn decode(word: &[u8]) -> Option<Self> {
        let wanted: Self = read(word)?;
        (wanted.filters.len() <= VIEWERS).then_some(wanted)
    }
}

/// What a node has told another one in all, since it began to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PassedSoFar {
    /// Which of the times it is that this node passes something on.
    pub(super) passing: u64,
    /// The last version that it has heard.
    pub(super) version: u64,
    /// Entries before those of this word.
    pub(super) told: u64,
    /// Entries that were left out, by kind.
    pub(super) left_out: BTreeMap<String, u64>,
    /// Entries that were gone before they could be passed on.
    pub(super) missed: u64,
}

/// What a node passes on at once.
#[derive(Debug, Deserialize)]
pub(super) struct PassedBatch {
    #[serde(flatten)]
    pub(super) so_far: PassedSoFar,
    pub(super) entries: Vec<PassedEntry>,
}

/// One entry of another node.
#[derive(Debug, Deserialize)]
pub(super) struct PassedEntry {
    at: f64,
    kind: String,
    #[serde(flatten)]
    details: FeedDetails,
}

impl PassedBatch {
    /// Reads it; none if it is not what a node would say.
    pub(super) fn decode(word: &[u8]) -> Option<Self> {
        read(word)
    }

    /// These as words that are no longer than one may be, each with its entries.
    pub(super) fn encode(
        mut so_far: PassedSoFar,
        entries: Vec<Arc<FeedEntry>>,
    ) -> Vec<(Bytes, Vec<Arc<FeedEntry>>)> {
        let mut words = vec![Vec::<Arc<FeedEntry>>::new()];
        let mut bytes = 0;
        for entry in entries {
            let more = entry.json().len() + 1;
            if bytes + more > WORD_BYTES - HEAD_BYTES {
                bytes = 0;
                words.push(Vec::new());
            }
            bytes += more;
            words.last_mut().into_iter().for_each(|word| word.push(Arc::clone(&entry)));
        }
        let words = words.into_iter().map(|entries| {
            let word = written(&so_far, &entries);
            so_far.told += entries.len() as u64;
            (word, entries)
        });
        words.collect()
    }
}

fn written(so_far: &PassedSoFar, entries: &[Arc<FeedEntry>]) -> Bytes {
    let mut head = serde_json::to_string(so_far).unwrap_or_default();
    head.truncate(head.len().saturating_sub(1));
    let entries: Vec<&str> = entries.iter().map(|entry| entry.json()).collect();
    format!("{head},\"entries\":[{}]}}", entries.join(",")).into()
}

impl PassedEntry {
    /// It as an entry here; none if it is of a kind that this release does not know.
    pub(super) fn told_at(self, place: &Arc<FeedPlace>) -> Option<ToldEntry> {
        let PassedEntry { at, kind, mut details } = self;
        let kind = FeedKind::parse(&kind)?;
        // What is no time of a page would keep it from showing anything.
        if !(0.0..=LATEST_MS).contains(&at) {
            return None;
        }
        // A page asks for whatever it says, so it may say only what that node keeps.
        if let Some(ShownPayload::Binary { payload, .. }) = &mut details.data {
            *payload = payload.take().and_then(|path| passed_path(&path, place));
        }
        Some(ToldEntry { at, kind, place: Some(Arc::clone(place)), is_from_elsewhere: true, details })
    }
}

impl FeedEntry {
    /// Whether it fits into a word.
    pub(super) fn can_be_passed(&self) -> bool {
        self.json().len() < WORD_BYTES - HEAD_BYTES
    }
}

fn read<'w, T: Deserialize<'w>>(word: &'w [u8]) -> Option<T> {
    if word.len() > WORD_BYTES { None } else { serde_json::from_slice(word).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_an_unknown_kind_or_at_no_time_is_passed_over() {
        let place = Arc::new(FeedPlace::new("1", "a"));
        let told = |at: &str, kind: &str| {
            let so_far = r#""passing":1,"version":1,"told":0,"left_out":{},"missed":0"#;
            let word = format!(r#"{{{so_far},"entries":[{{"at":{at},"kind":"{kind}","what":"event"}}]}}"#);
            let entries = PassedBatch::decode(word.as_bytes()).unwrap().entries;
            entries.into_iter().filter_map(|entry| entry.told_at(&place)).count()
        };
        assert_eq!((told("1796018637514.5", "events"), told("1", "later")), (1, 0));
        assert_eq!([told("1e300", "events"), told("-1", "events")], [0, 0]);
    }
}
