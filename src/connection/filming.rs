//! What one connection may film: how many messages of tracks each second, and of how many tracks.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use crate::event::AcceptedEvent;
use crate::protocol::{ChannelName, ErrorCode, TrackKind, json};

use super::{RateLimit, Refusal};

/// Messages of tracks that a connection may send each second: two renditions at sixty frames, sound, and as much again.
const PER_SECOND: u32 = 250;

/// Tracks that a connection may send messages of, on the channels that it is subscribed to: more than any studio has cameras.
const MOST_TRACKS: usize = 64;

/// What a connection has filmed.
#[derive(Debug)]
pub(super) struct FilmingAllowance {
    rate: RateLimit,
    /// Each by its channel and what stands for its names.
    tracks: Vec<(ChannelName, u64)>,
}

impl FilmingAllowance {
    pub(super) fn new() -> Self {
        FilmingAllowance { rate: RateLimit::per_second(PER_SECOND), tracks: Vec::new() }
    }

    /// One more message of a track.
    ///
    /// # Errors
    /// If it is one too many, or of one track too many.
    pub(super) fn admit(
        &mut self,
        event: &AcceptedEvent<'_>,
        now: Instant,
        is_subscribed: impl Fn(&ChannelName) -> bool,
    ) -> Result<(), Refusal> {
        if !self.rate.admit(now) {
            let fault = format!("at most {PER_SECOND} per second and connection are allowed");
            return Err(Refusal { code: ErrorCode::ClientEventRejected, ..Refusal::track(fault) });
        }
        let Some(channel) = event.channel() else { return Ok(()) };
        let track = names_of(event);
        if self.tracks.iter().any(|(of, known)| *known == track && of == channel) {
            return Ok(());
        }
        if self.tracks.len() >= MOST_TRACKS {
            self.tracks.retain(|(of, _)| is_subscribed(of));
        }
        if self.tracks.len() >= MOST_TRACKS {
            return Err(Refusal::track(format!("at most {MOST_TRACKS} tracks of a connection are allowed")));
        }
        self.tracks.push((channel.clone(), track));
        Ok(())
    }
}

/// What stands for the kind and the names of a track, as far as its message says them.
fn names_of(event: &AcceptedEvent<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    event.name.hash(&mut hasher);
    if let Some(binary) = event.data.as_binary() {
        TrackKind::of(binary.media_type()).hash(&mut hasher);
        let [track] = json::members(binary.members(), ["track"]).unwrap_or_default();
        track.and_then(json::as_string).unwrap_or_default().hash(&mut hasher);
    }
    hasher.finish()
}
