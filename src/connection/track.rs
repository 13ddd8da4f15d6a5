//! What has to do with the tracks of video channels: who may film, how often, and what a viewer asks for.

use std::sync::Arc;
use std::time::Instant;

use crate::event::{AcceptedEvent, Destination, Source};
use crate::protocol::client_message::ClientMessage;
use crate::protocol::{BinaryPayload, ChannelName, json};
use crate::video::{InvalidWish, TrackRequest, TrackWish};

use super::client_event::not_subscribed;
use super::filming::FilmingAllowance;
use super::{Connection, Refusal};

/// The member of a picture that makes it a still.
const STILL: &str = "still";

/// What a viewer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewerRequest {
    /// A key frame of a track: its decoder has failed.
    Keyframe(ChannelName, TrackRequest),
    /// From now on this of a channel, or of one of its tracks.
    Wish(ChannelName, Option<TrackRequest>, TrackWish),
}

/// What a binary message on a video channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FilmMessage {
    OfTrack,
    Still,
}

/// Tells whether some pipe leads an event to a video channel.
pub(crate) type PipeFilms<'p> = dyn Fn(&AcceptedEvent<'_>) -> bool + 'p;

/// What a binary message would be on a video channel, if anything special.
fn film_message(event: &AcceptedEvent<'_>) -> Option<FilmMessage> {
    if event.is_of_track() {
        return Some(FilmMessage::OfTrack);
    }
    is_still(event.data.as_binary()?).then_some(FilmMessage::Still)
}

/// Whether a binary message is a picture for those who take no tracks.
pub(crate) fn is_still(binary: &BinaryPayload<'_>) -> bool {
    if !binary.media_type().starts_with("image/") {
        return false;
    }
    let [still] = json::members(binary.members(), [STILL]).unwrap_or_default();
    still.is_some_and(|still| still.get() == "true")
}

impl Connection {
    /// Whether a binary message is one of a track, which has a rate of its own: on a video channel, or where a pipe leads it to
    /// one. On a video channel it may be sent by those who may film alone.
    pub(super) fn check_filming(
        &self,
        event: &AcceptedEvent<'_>,
        pipe_films: &PipeFilms<'_>,
    ) -> Result<bool, Refusal> {
        if !self.app.carries_tracks() {
            return Ok(false);
        }
        let on_video = match &event.to {
            Destination::Subscribers { channel, .. } => {
                self.app.video(channel).map(|settings| (channel, settings))
            }
            Destination::Listeners { .. } | Destination::Connection(_) => None,
        };
        let Some((channel, settings)) = on_video else { return Ok(pipe_films(event)) };
        let Some(message) = film_message(event) else { return Ok(false) };
        let signed_in = self.user().map(|user| Arc::clone(user.id()));
        let user_id = match &event.source {
            Source::Client { user_id, .. } => user_id.clone().or(signed_in),
            Source::Http | Source::Pipe | Source::Forwarded(_) => None,
        };
        if user_id.is_none_or(|user_id| !settings.admits(&user_id)) {
            let message = format!("only its publishers and pipes may send tracks on {channel}");
            return Err(Refusal::track(message));
        }
        Ok(message == FilmMessage::OfTrack)
    }

    /// One more message of a track.
    pub(super) fn admit_filming(&mut self, event: &AcceptedEvent<'_>, now: Instant) -> Result<(), Refusal> {
        let allowance = self.filming.get_or_insert_with(|| Box::new(FilmingAllowance::new()));
        allowance.admit(event, now, |channel| self.subscriptions.get(channel.as_str()).is_some())
    }

    /// A message with a name that is the protocol's own, where it is a viewer's. `None` if it is none of these.
    #[cold]
    pub(super) fn viewer_request(
        &self,
        message: &ClientMessage<'_>,
    ) -> Option<Result<ViewerRequest, Refusal>> {
        let name = &*message.event;
        let is_key_frame = match name {
            "pusher:keyframe_wanted" => true,
            "pusher:track_wanted" => false,
            _ => return None,
        };
        // Where no channel carries tracks, there are no such requests.
        self.app.carries_tracks().then(|| self.read_viewer_request(message, is_key_frame))
    }

    fn read_viewer_request(
        &self,
        message: &ClientMessage<'_>,
        is_key_frame: bool,
    ) -> Result<ViewerRequest, Refusal> {
        let invalid = |fault: InvalidWish| {
            Refusal::unnumbered(format!("Received an invalid {}: {fault}", message.event))
        };
        let channel = message.channel.and_then(json::as_string).unwrap_or_default();
        let (channel, _) = self.subscriptions.get(&channel).ok_or_else(|| not_subscribed(&channel))?;
        let of = TrackRequest::read(message.data, self.app.limits.event_name_chars).map_err(invalid)?;
        if !is_key_frame {
            let wish = TrackWish::read(message.data).map_err(invalid)?;
            return Ok(ViewerRequest::Wish(channel.clone(), of, wish));
        }
        let of = of.ok_or_else(|| {
            invalid(InvalidWish::Member("event", "the name of the track's events", "none".to_owned()))
        })?;
        Ok(ViewerRequest::Keyframe(channel.clone(), of))
    }
}
