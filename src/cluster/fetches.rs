//! The pages of streams that are fetched, and those that are to be.

use std::collections::VecDeque;
use std::future::pending;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::adapter::{EngineError, KeptPage, Subject};

/// How much of a stream is fetched at once: words, and bytes of them.
pub(super) const PAGE: (usize, usize) = (500, 256 * 1024);

/// A page that was asked for, by the number of the fetch.
pub(super) type FetchedPage = (Subject, u64, Result<KeptPage, EngineError>);

/// What is fetched of streams, and is to be.
#[derive(Debug, Default)]
pub(super) struct StreamFetches {
    pub(super) under_way: JoinSet<FetchedPage>,
    /// Those that wait for their turn: of a subject the last one counts.
    pub(super) wanted: VecDeque<(Subject, u64, u64)>,
    /// The number of the last one.
    pub(super) last: u64,
    /// Words that the inbox had no room for, when the chains were told.
    pub(super) dropped: u64,
    /// When they were.
    pub(super) looked: Option<Instant>,
    /// When what could not be fetched was asked for last.
    pub(super) resumed: Option<Instant>,
}

impl StreamFetches {
    /// The next page that comes.
    pub(super) async fn next(&mut self) -> Option<FetchedPage> {
        match self.under_way.join_next().await {
            Some(page) => page.ok(),
            None => pending().await,
        }
    }
}
