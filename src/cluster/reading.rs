//! Reads a part of a channel's stream, for whoever asks for what this node does not follow.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::hub::{AppState, BusAway, KeptAs, StreamEvent, StreamPart};
use crate::protocol::ChannelName;

use super::adapter::{Adapter, KeptPage};
use super::engine_time::micros;
use super::envelope::{Content, Envelope};
use super::keeping::LEAST_KNOWN_FOR;
use super::node::{ClusterNode, subject_of};

/// How long the engine has to tell.
const READS_WITHIN: Duration = Duration::from_secs(1);

impl<A: Adapter> ClusterNode<A> {
    /// What the stream of a channel has behind a number, and whether there is more. Where events are lost, or this release
    /// cannot read what is there, it begins behind that.
    pub(super) async fn read_stream(
        &self,
        app: &AppState,
        channel: &ChannelName,
        mut behind: u64,
        most: (usize, usize),
    ) -> Result<(StreamPart, bool), BusAway> {
        let until = Instant::now() + READS_WITHIN;
        loop {
            let (part, has_more) = self.read_page(app, channel, behind, (most, until)).await?;
            if !has_more || !part.events.is_empty() {
                return Ok((part, has_more));
            }
            behind = part.reached;
        }
    }

    async fn read_page(
        &self,
        app: &AppState,
        channel: &ChannelName,
        behind: u64,
        (most, until): ((usize, usize), Instant),
    ) -> Result<(StreamPart, bool), BusAway> {
        if self.is_away() {
            return Err(BusAway);
        }
        let kept = timeout_at(until, self.adapter.kept(&subject_of(app, channel), behind, most)).await;
        let Ok(Ok(KeptPage { words, last, now, has_more })) = kept else { return Err(BusAway) };
        self.engine_time.lock().hear(now, Instant::now().into_std());
        let longest = micros(LEAST_KNOWN_FOR);
        let of_page = words.last().map(|word| word.number).filter(|_| has_more);
        let reached = of_page.or(last).unwrap_or(now.saturating_sub(longest));
        let mut events = Vec::with_capacity(words.len());
        for word in words {
            let Ok(Envelope { content: Content::Event(event), .. }) = Envelope::decode(&word.bytes) else {
                events.clear();
                continue;
            };
            let is_known = word.previous > 0;
            let previous = if is_known { word.previous } else { word.number.saturating_sub(longest) };
            let kept = KeptAs { number: word.number, is_delivered: false };
            let (frame, except) = (event.frame, event.except);
            events.push(StreamEvent { kept, previous, frame, except, time: None });
        }
        Ok((StreamPart { events, reached, now }, has_more))
    }
}
