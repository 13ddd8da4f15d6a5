//! A video channel's tracks, and how late its viewers are sent what they see. What is asked for here is looked up only then.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::ConsoleError;
use super::channels::name;
use super::{Console, millis};
use crate::feed::exact_ms;
use crate::hub::AppState;
use crate::protocol::{BinaryMessage, Frame, TrackKind};
use crate::video::{
    FramePace, HeldBy, LATENESS_BANDS, RenditionFigures, TrackFigures, ViewerLag, ViewerState, ViewersSeen,
};

impl Console {
    /// What there is of a video channel on this node.
    pub(super) async fn channel_video(&self, app: &Arc<AppState>, text: &str) -> Result<Value, ConsoleError> {
        let name = name(app, text)?;
        let bytes_limit = app.app().video(&name).map(|settings| settings.cache_bytes);
        let bytes_limit = bytes_limit
            .ok_or_else(|| ConsoleError::Nothing { what: "video channel", name: text.to_owned() })?;
        let tracks = self.hub.track_figures(app, &name);
        let (viewers, is_whole) = self.hub.look_at_viewers(app, &name).await;
        Ok(json!({
            "tracks": tracks.iter().map(track).collect::<Vec<_>>(),
            "cache": {
                "bytes": tracks.iter().map(|track| track.bytes).sum::<usize>(),
                "bytes_limit": bytes_limit,
            },
            "viewers": viewers_json(&viewers, is_whole),
            "node": self.node(),
            "scope": "node",
        }))
    }
}

fn track(track: &TrackFigures) -> Value {
    let TrackFigures { name, kind, holder, renditions, bytes } = track;
    let (place, socket_id, node) = match holder.place {
        HeldBy::Client(socket) => ("client", Some(socket.to_string()), None),
        HeldBy::Backend => ("backend", None, None),
        HeldBy::Elsewhere(node) => ("node", None, Some(crate::channel::NodeId::new(node.0).to_string())),
    };
    json!({
        "event": name.event,
        "track": name.track,
        "kind": match kind {
            TrackKind::Pictures => "pictures",
            TrackKind::Sound => "sound",
        },
        "holder": {
            "kind": place,
            "socket_id": socket_id,
            "node": node,
            "user_id": holder.user_id,
            "held_ms": millis(holder.since),
        },
        "cache_bytes": bytes,
        "renditions": renditions.iter().map(rendition).collect::<Vec<_>>(),
    })
}

fn rendition(figures: &RenditionFigures) -> Value {
    let RenditionFigures {
        rendition,
        is_alive,
        newest_ago,
        sequence,
        key_ago,
        key_interval,
        pace,
        kept: (kept_frames, kept_bytes),
        key,
    } = figures;
    let pace = pace.map(|FramePace { frames, bytes }| (tenths(frames), bytes.round()));
    let mut shown = json!({
        "rendition": rendition.name(),
        "alive": is_alive,
        "newest_ms": exact_ms(*newest_ago),
        "sequence": sequence,
        "key_frame_ms": key_ago.map(exact_ms),
        "key_frame_interval_ms": key_interval.map(exact_ms),
        "frames_per_second": pace.map(|(frames, _)| frames),
        "bytes_per_second": pace.map(|(_, bytes)| bytes),
        "kept_frames": kept_frames,
        "kept_bytes": kept_bytes,
    });
    if let (Some(shown), Some(decoder)) = (shown.as_object_mut(), key.as_ref().and_then(decoder)) {
        shown.extend(decoder);
    }
    shown
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// What a message with a decoder's configuration says of itself.
fn decoder(frame: &Frame) -> Option<serde_json::Map<String, Value>> {
    let BinaryMessage { payload, .. } = BinaryMessage::parse(frame.payload()).ok()?;
    let members = serde_json::from_str::<Value>(payload.members()).ok()?;
    let config = &members["config"];
    let shown = [
        ("codec", "codec"),
        ("width", "codedWidth"),
        ("height", "codedHeight"),
        ("sample_rate", "sampleRate"),
        ("sound_channels", "numberOfChannels"),
    ];
    // Of what is shown only the kind that is expected: a camera may say anything.
    let shown = shown.into_iter().map(|(name, member)| {
        let value = &config[member];
        let fits = if member == "codec" { value.is_string() } else { value.is_u64() };
        (name.to_owned(), if fits { value.clone() } else { Value::Null })
    });
    Some(shown.chain([("media_type".to_owned(), payload.media_type().into())]).collect())
}

fn viewers_json(viewers: &ViewersSeen, is_whole: bool) -> Value {
    let ViewersSeen { without, bands, states, latest } = viewers;
    let until = LATENESS_BANDS.iter().map(|band| Some(millis(*band))).chain([None::<u64>]);
    let bands = until.zip(bands).map(|(until, viewers)| json!({ "until_ms": until, "viewers": viewers }));
    let states =
        ViewerState::ALL.iter().zip(states).map(|(state, count)| (state.name().to_owned(), (*count).into()));
    let latest = latest.iter().map(|(socket, ViewerLag { late, waiting_bytes, state })| {
        json!({
            "socket_id": socket.to_string(),
            "late_ms": millis(*late),
            "waiting_bytes": waiting_bytes,
            "sees": state.name(),
        })
    });
    json!({
        "count": viewers.states.iter().sum::<usize>(),
        "without_frames": without,
        "bands": bands.collect::<Vec<_>>(),
        "see": Value::Object(states.collect()),
        "latest": latest.collect::<Vec<_>>(),
        "whole": is_whole,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::{BinaryPayload, ChannelName, Rendition, SocketId, server_message};

    fn key(config: &str) -> Frame {
        let members = format!(r#"{{"sequence":7,"timestamp":0,"key":true,"config":{config}}}"#);
        let payload = BinaryPayload::new("video/webcodecs", &members, b"content").unwrap();
        server_message::binary_event("camera", &payload, &ChannelName::parse("film", 164).unwrap(), None)
    }

    #[test]
    fn a_rendition_is_told_with_what_its_key_frame_says() {
        let shown = rendition(&RenditionFigures {
            rendition: Rendition::Small,
            is_alive: true,
            newest_ago: Duration::from_micros(12_500),
            sequence: 41,
            key_ago: Some(Duration::from_millis(300)),
            key_interval: None,
            pace: Some(FramePace { frames: 29.96, bytes: 123_456.4 }),
            kept: (9, 10_000),
            key: Some(key(r#"{"codec":"vp8","codedWidth":320,"codedHeight":180}"#)),
        });
        let expected = json!({
            "rendition": "small", "alive": true, "newest_ms": 12.5, "sequence": 41, "key_frame_ms": 300.0,
            "key_frame_interval_ms": null, "frames_per_second": 30.0, "bytes_per_second": 123_456.0,
            "kept_frames": 9, "kept_bytes": 10_000, "media_type": "video/webcodecs", "codec": "vp8",
            "width": 320, "height": 180, "sample_rate": null, "sound_channels": null,
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn viewers_are_told_by_bands_and_the_latest_by_name() {
        let mut seen = ViewersSeen::default();
        let late = Duration::from_millis(700);
        let lag = ViewerLag { late, waiting_bytes: 5, state: ViewerState::Small };
        seen.add(SocketId::new(1, 2), Some(lag));
        seen.add(SocketId::new(1, 3), None);
        let shown = viewers_json(&seen, true);
        assert_eq!(
            (&shown["count"], &shown["without_frames"], &shown["whole"]),
            (&json!(1), &json!(1), &json!(true))
        );
        assert_eq!(shown["bands"][4], json!({ "until_ms": 1000, "viewers": 1 }));
        assert_eq!(shown["bands"][5], json!({ "until_ms": null, "viewers": 0 }));
        assert_eq!(shown["see"], json!({ "full": 0, "small": 1, "waiting": 0, "still": 0 }));
        assert_eq!(
            shown["latest"][0],
            json!({ "socket_id": "1.2", "late_ms": 700, "waiting_bytes": 5, "sees": "small" })
        );
    }
}
