//! The streams that an engine within the process keeps.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use crate::cluster::adapter::{Keeping, KeptPage, KeptWord, Subject};
use crate::cluster::engine_time::micros;

/// By subject.
#[derive(Default)]
pub(super) struct LocalStreams(HashMap<Subject, LocalStream>);

struct LocalStream {
    /// Each with the time at which it was said.
    words: VecDeque<(KeptWord, Instant)>,
    bytes: u64,
    /// Until when anything is kept.
    kept_until: Instant,
    last: u64,
    /// Until when the last number is known.
    known_until: Instant,
}

impl LocalStreams {
    /// Keeps a word under a number that is larger than the last one of all, and lets go of what is beyond the bounds.
    pub(super) fn keep(
        &mut self,
        subject: &Subject,
        bytes: Bytes,
        keeping: &Keeping,
        (last_of_all, now): (u64, Instant),
    ) -> KeptWord {
        self.0.retain(|_, stream| stream.known_until > now);
        let known_until = now + keeping.last_known_for.max(keeping.time);
        let stream = self.0.entry(subject.clone()).or_insert_with(|| LocalStream {
            words: VecDeque::new(),
            bytes: 0,
            kept_until: now,
            last: 0,
            known_until,
        });
        stream.expire(now);
        let number = clock().max(last_of_all + 1);
        let word = KeptWord { number, previous: stream.last, bytes };
        (stream.last, stream.known_until, stream.kept_until) = (number, known_until, now + keeping.time);
        stream.bytes += word.bytes.len() as u64;
        stream.words.push_back((word.clone(), now));
        while stream.words.front().is_some_and(|(_, said)| {
            let is_old = now.saturating_duration_since(*said) > keeping.time;
            is_old || stream.words.len() as u64 > keeping.events || stream.bytes > keeping.bytes
        }) {
            stream.forget_oldest();
        }
        word
    }

    pub(super) fn page(
        &mut self,
        subject: &Subject,
        behind: u64,
        (most_words, most_bytes): (usize, usize),
        now: Instant,
    ) -> KeptPage {
        let mut page = KeptPage { words: Vec::new(), last: None, now: clock(), has_more: false };
        let Some(stream) = self.0.get_mut(subject).filter(|stream| stream.known_until > now) else {
            return page;
        };
        stream.expire(now);
        page.last = Some(stream.last);
        let mut bytes = 0;
        for (word, _) in stream.words.iter().filter(|(word, _)| word.number > behind) {
            bytes += word.bytes.len();
            page.has_more =
                page.words.len() >= most_words.max(1) || (bytes > most_bytes && !page.words.is_empty());
            if page.has_more {
                break;
            }
            page.words.push(word.clone());
        }
        page
    }
}

impl LocalStream {
    fn expire(&mut self, now: Instant) {
        if self.kept_until <= now {
            self.words.clear();
            self.bytes = 0;
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((word, _)) = self.words.pop_front() {
            self.bytes -= word.bytes.len() as u64;
        }
    }
}

/// Microseconds since 1970.
fn clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    micros(since)
}
