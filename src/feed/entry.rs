//! One thing that happened, as viewers are told of it.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::payload::{KEPT_PAYLOAD_BYTES, KeptPayload};
use super::subject::own_socket;
use super::{FeedKind, FeedPlace, FeedSubject};
use crate::protocol::json::Data;

/// Bytes of a text that are shown: of a longer one it is said how long it is.
pub(crate) const ENTRY_TEXT_BYTES: usize = 16 * 1024;

/// What an entry says beyond its number, time and kind. Which members it has depends on `what`; those it has not are left
/// out in JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FeedDetails {
    /// What happened.
    pub(crate) what: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) app: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<Box<str>>,
    /// The connection: of an event, its sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) socket_id: Option<Box<str>>,
    /// The one connection that an event is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to_socket: Option<Box<str>>,
    /// The connection that an event is not for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) except: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<Box<str>>,
    /// Where an event came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<Cow<'static, str>>,
    /// Connections that an event was for, on all nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) receivers: Option<usize>,
    /// How many of these are on other nodes, where there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) receivers_elsewhere: Option<usize>,
    /// Connections on other nodes that it would have been for, while those cannot be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) out_of_reach: Option<usize>,
    /// The number of a channel's subscriptions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<usize>,
    /// The key that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<Box<str>>,
    /// Where a webhook goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<Box<str>>,
    /// Which attempt it was, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<u32>,
    /// Events in a webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) events: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Box<str>>,
    /// Why it was refused, where that could be proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<ShownCause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<ShownPayload>,
    /// The payload itself, where it can be fetched.
    #[serde(skip)]
    pub(crate) kept: Option<KeptPayload>,
}

/// The cause of a refusal, for people and for programs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ShownCause {
    pub(crate) name: Cow<'static, str>,
    pub(crate) sentence: Box<str>,
}

/// What is shown of a payload.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum ShownPayload {
    /// A text as subscribers are sent it, or its beginning.
    Text {
        text: Box<str>,
        /// Of the whole.
        bytes: usize,
        /// Whether this is not all.
        cut: bool,
    },
    /// What came as a binary message.
    Binary {
        /// Of its content.
        bytes: usize,
        media_type: Box<str>,
        /// What stands beside the content, as JSON.
        members: Box<str>,
        /// Where it can be fetched for a while.
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Box<str>>,
    },
}

impl ShownPayload {
    /// What is shown of this, and the payload itself if it is binary and fits.
    pub(crate) fn of(data: &Data<'_>) -> (Self, Option<KeptPayload>) {
        let Some(binary) = data.as_binary() else {
            let text = data.text();
            let shown = beginning(&text);
            let (bytes, cut) = (text.len(), shown.len() < text.len());
            return (ShownPayload::Text { text: shown.into(), bytes, cut }, None);
        };
        let (media_type, content): (Box<str>, _) = (binary.media_type().into(), binary.content());
        let members = beginning(binary.members()).into();
        let kept = (content.len() <= KEPT_PAYLOAD_BYTES).then(|| KeptPayload {
            media_type: media_type.clone(),
            content: Bytes::copy_from_slice(content),
        });
        (ShownPayload::Binary { bytes: content.len(), media_type, members, payload: None }, kept)
    }
}

/// As much of a text as is shown.
pub(crate) fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(ENTRY_TEXT_BYTES)]
}

/// One thing that happened, before it is given a number here.
#[derive(Debug)]
pub(super) struct ToldEntry {
    pub(super) at: f64,
    pub(super) kind: FeedKind,
    pub(super) place: Option<Arc<FeedPlace>>,
    pub(super) is_from_elsewhere: bool,
    pub(super) details: FeedDetails,
}

#[cfg(test)]
impl ToldEntry {
    /// An event of this node, which is alone.
    pub(super) fn of(details: FeedDetails) -> Self {
        ToldEntry { at: 0.0, kind: FeedKind::Events, place: None, is_from_elsewhere: false, details }
    }
}

/// One thing that happened.
#[derive(Debug, Serialize)]
pub(crate) struct FeedEntry {
    /// Counted from 1, without gaps.
    pub(crate) seq: u64,
    /// Milliseconds since 1970.
    pub(crate) at: f64,
    #[serde(serialize_with = "kind_name")]
    pub(crate) kind: FeedKind,
    /// Where it happened, unless this node is alone.
    #[serde(flatten)]
    pub(super) place: Option<Arc<FeedPlace>>,
    /// Another node has told of it.
    #[serde(skip)]
    pub(super) is_from_elsewhere: bool,
    #[serde(flatten)]
    pub(crate) details: FeedDetails,
    /// Itself as JSON, written for the first viewer.
    #[serde(skip)]
    json: OnceLock<Box<str>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn kind_name<S: serde::Serializer>(kind: &FeedKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

impl FeedEntry {
    pub(super) fn new(seq: u64, told: ToldEntry) -> Self {
        let ToldEntry { at, kind, place, is_from_elsewhere, details } = told;
        FeedEntry { seq, at, kind, place, is_from_elsewhere, details, json: OnceLock::new() }
    }

    /// The entry as viewers are sent it.
    pub(crate) fn json(&self) -> &str {
        self.json.get_or_init(|| serde_json::to_string(self).unwrap_or_default().into())
    }

    /// What it counts for in the bound of what is kept, in bytes: with its JSON, which may be written.
    pub(super) fn bytes(&self) -> usize {
        let FeedDetails { app, channel, event, socket_id, to_socket, except, user_id, .. } = &self.details;
        let FeedDetails { what, source, key, method, path, url, reason, .. } = &self.details;
        let texts =
            [app, channel, event, socket_id, to_socket, except, user_id, key, method, path, url, reason];
        let texts = texts.into_iter().flatten().map(|text| text.len()).sum::<usize>();
        let words = what.len() + source.as_ref().map_or(0, |source| source.len());
        let data = match &self.details.data {
            Some(ShownPayload::Text { text, .. }) => text.len(),
            Some(ShownPayload::Binary { media_type, members, .. }) => media_type.len() + members.len(),
            None => 0,
        };
        let cause = self.details.cause.as_ref().map_or(0, |cause| cause.name.len() + cause.sentence.len());
        // Of a text of control characters the JSON is six times as long; most have about as many bytes.
        size_of::<FeedEntry>() + 3 * (texts + words + data + cause)
    }

    /// What filters ask about.
    pub(super) fn subject(&self) -> FeedSubject<'_> {
        let FeedDetails { app, channel, event, socket_id, to_socket, user_id, .. } = &self.details;
        let socket = |text: &Option<Box<str>>| text.as_deref().and_then(own_socket);
        FeedSubject {
            kind: self.kind,
            app: app.as_deref(),
            channel: channel.as_deref(),
            event: event.as_deref(),
            socket: socket(socket_id).or_else(|| socket(to_socket)),
            user: user_id.as_deref(),
        }
    }

    /// Whether a text, in lower case, is in what is shown of it.
    pub(super) fn holds(&self, lower: &str) -> bool {
        let FeedDetails { channel, event, user_id, key, path, url, reason, socket_id, .. } = &self.details;
        let texts = [channel, event, user_id, key, path, url, reason, socket_id];
        let data = match &self.details.data {
            Some(ShownPayload::Text { text, .. }) => Some(&**text),
            Some(ShownPayload::Binary { members, .. }) => Some(&**members),
            None => None,
        };
        let cause = self.details.cause.as_ref().map(|cause| &*cause.sentence);
        let texts = texts.into_iter().filter_map(|text| text.as_deref()).chain(data).chain(cause);
        texts.into_iter().any(|text| text.to_lowercase().contains(lower))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::BinaryPayload;

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let text = "ä".repeat(ENTRY_TEXT_BYTES);
        let (shown, kept) = ShownPayload::of(&Data::of_text(&format!("a{text}")));
        let ShownPayload::Text { text: shown, bytes, cut } = shown else { panic!("{shown:?}") };
        assert_eq!((shown.len(), bytes, cut), (ENTRY_TEXT_BYTES - 1, 2 * ENTRY_TEXT_BYTES + 1, true));
        assert!(kept.is_none());
        let (short, _) = ShownPayload::of(&Data::of_text("<b>"));
        assert_eq!(serde_json::to_string(&short).unwrap(), r#"{"text":"<b>","bytes":3,"cut":false}"#);
    }

    #[test]
    fn of_binary_messages_the_content_is_kept_unless_it_is_large() {
        let kept = |bytes: usize| {
            let content = vec![7; bytes];
            let binary = BinaryPayload::new("image/png", r#"{"n":1}"#, &content).unwrap();
            let (shown, kept) = ShownPayload::of(&Data::of_binary(binary));
            let json = serde_json::to_value(shown).unwrap();
            assert_eq!((&json["bytes"], &json["members"]), (&bytes.into(), &r#"{"n":1}"#.into()));
            kept.map(|kept| kept.content.len())
        };
        assert_eq!(kept(10), Some(10));
        assert_eq!(kept(KEPT_PAYLOAD_BYTES + 1), None);
    }

    #[test]
    fn what_an_entry_does_not_have_is_left_out() {
        let details = || FeedDetails {
            what: "occupied".into(),
            channel: Some("room".into()),
            ..FeedDetails::default()
        };
        let told = || ToldEntry { at: 1.5, kind: FeedKind::Subscriptions, ..ToldEntry::of(details()) };
        let entry = FeedEntry::new(3, told());
        let expected = r#"{"seq":3,"at":1.5,"kind":"subscriptions","what":"occupied","channel":"room"}"#;
        assert_eq!(entry.json(), expected);
        let place = Some(Arc::new(FeedPlace::new("00ff", "a")));
        let in_cluster = FeedEntry::new(3, ToldEntry { place, ..told() });
        assert!(
            in_cluster.json().contains(r#""node":"00ff","node_name":"a","what""#),
            "{}",
            in_cluster.json()
        );
        assert!(entry.holds("roo") && !entry.holds("occupied"));
    }
}
