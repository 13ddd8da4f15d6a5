//! The latest entries, within bounds: viewers read them, each at its own pace.

use std::collections::VecDeque;
use std::sync::Arc;

use super::entry::{FeedEntry, ShownPayload, ToldEntry};
use super::payload::{KeptPayload, payload_path};

/// Entries that are kept for viewers that are behind. Over it: the oldest are forgotten.
const RING_ENTRIES: usize = 8192;

/// Bytes that they hold together. Over it: the oldest are forgotten.
const RING_BYTES: usize = 16 * 1024 * 1024;

/// Payloads that can be fetched, and their bytes together. Over it: the oldest are forgotten.
const PAYLOADS: usize = 64;
const PAYLOAD_BYTES: usize = 8 * 1024 * 1024;

/// The latest entries.
#[derive(Debug, Default)]
pub(super) struct FeedRing {
    entries: VecDeque<Arc<FeedEntry>>,
    bytes: usize,
    payloads: VecDeque<(u64, KeptPayload)>,
    payload_bytes: usize,
    /// The number of the last entry.
    last: u64,
    /// The number of the last entry that is no longer there.
    forgotten: u64,
}

/// Entries of the ring, in order.
#[derive(Debug, Default)]
pub(super) struct FeedExcerpt {
    pub(super) entries: Vec<Arc<FeedEntry>>,
    /// Entries that should have been looked at, but had been forgotten.
    pub(super) missed: u64,
}

impl FeedRing {
    /// Adds an entry.
    pub(super) fn push(&mut self, mut told: ToldEntry) {
        self.last += 1;
        if let Some(kept) = told.details.kept.take()
            && let Some(ShownPayload::Binary { payload, .. }) = &mut told.details.data
        {
            *payload = Some(payload_path(told.place.as_deref(), self.last));
            self.payload_bytes += kept.content.len();
            self.payloads.push_back((self.last, kept));
        }
        while self.payloads.len() > PAYLOADS || self.payload_bytes > PAYLOAD_BYTES {
            let Some((_, oldest)) = self.payloads.pop_front() else { break };
            self.payload_bytes -= oldest.content.len();
        }
        let entry = FeedEntry::new(self.last, told);
        self.bytes += entry.bytes();
        self.entries.push_back(Arc::new(entry));
        while self.entries.len() > RING_ENTRIES || self.bytes > RING_BYTES {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.bytes();
            self.forgotten = oldest.seq;
        }
    }

    /// Forgets everything: nobody watches any more. Numbers go on where they were.
    pub(super) fn clear(&mut self) {
        *self = FeedRing { last: self.last, forgotten: self.last, ..FeedRing::default() };
    }

    /// The first entries after number `after`, so many at the most.
    pub(super) fn after(&self, after: u64, most: usize) -> FeedExcerpt {
        let from = self.entries.partition_point(|entry| entry.seq <= after);
        let entries = self.entries.range(from..).take(most).cloned().collect();
        FeedExcerpt { entries, missed: self.forgotten.saturating_sub(after) }
    }

    /// The number of the last entry.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The payload of an entry, while it is kept.
    pub(super) fn payload(&self, seq: u64) -> Option<KeptPayload> {
        self.payloads.iter().find(|(of, _)| *of == seq).map(|(_, kept)| kept.clone())
    }

    /// Bytes that all of this holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.payload_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::FeedDetails;
    use super::*;

    #[test]
    fn a_full_ring_forgets_the_oldest_and_says_so() {
        let mut ring = FeedRing::default();
        for _ in 0..RING_ENTRIES + 7 {
            ring.push(ToldEntry::of(FeedDetails::default()));
        }
        let all = ring.after(0, usize::MAX);
        assert_eq!((all.entries.len(), all.missed), (RING_ENTRIES, 7));
        let few = ring.after(0, 3).entries;
        assert_eq!(few.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [8, 9, 10], "the first of them");
        assert_eq!(ring.after(5, usize::MAX).missed, 2);
        assert_eq!(ring.after(50, usize::MAX).missed, 0);
        let reason: Box<str> = "x".repeat(RING_BYTES / 4).into();
        let mut push_long = || {
            let details = FeedDetails { reason: Some(reason.clone()), ..FeedDetails::default() };
            ring.push(ToldEntry::of(details));
        };
        push_long();
        push_long();
        assert_eq!(ring.after(0, usize::MAX).entries.len(), 1, "two would be too many bytes");
        let last = ring.last();
        ring.clear();
        ring.push(ToldEntry::of(FeedDetails::default()));
        assert_eq!(
            (ring.after(last, usize::MAX).missed, ring.after(last, usize::MAX).entries[0].seq),
            (0, last + 1)
        );
    }

    #[test]
    fn the_latest_payloads_can_be_fetched() {
        let mut ring = FeedRing::default();
        let push = |ring: &mut FeedRing, bytes: usize| {
            let media_type: Box<str> = "image/png".into();
            let data = ShownPayload::Binary {
                bytes,
                media_type: media_type.clone(),
                members: "".into(),
                payload: None,
            };
            let kept = Some(KeptPayload { media_type, content: vec![0; bytes].into() });
            ring.push(ToldEntry::of(FeedDetails { data: Some(data), kept, ..FeedDetails::default() }));
            ring.last()
        };
        let first = push(&mut ring, 10);
        assert!(
            ring.after(0, usize::MAX).entries[0].json().contains(r#""payload":"/console/live/payloads/1""#)
        );
        let second = push(&mut ring, PAYLOAD_BYTES - 10);
        assert!(ring.payload(first).is_some() && ring.payload(second).is_some());
        let third = push(&mut ring, 1);
        assert!(ring.payload(first).is_none() && ring.payload(third).is_some());
        for _ in 0..PAYLOADS {
            push(&mut ring, 0);
        }
        assert!(ring.payload(third).is_none());
    }
}
