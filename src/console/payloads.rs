//! Payloads that entries of the live feed name: of this node, and of others.
//!
//! Another node is asked for what it keeps, a part at a time, as an answer holds no more. Whatever it says, a page is given nothing
//! but what it could be given of this node.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Console;
use super::answer::ConsoleError;
use super::elsewhere::{NodeRequest, OtherNodes, UNREADABLE};
use crate::feed::{KEPT_PAYLOAD_BYTES, KeptPayload};
use crate::protocol::BinaryPayload;

/// The path of a payload, of which the number of its entry and the byte that a part begins with are to follow.
pub(super) const PAYLOADS: &str = "payloads";

/// Bytes of a part. In Base64 it fits into an answer.
const PART_BYTES: usize = 256 * 1024;

/// Payloads of other nodes that are fetched at once. Further ones wait.
const FETCHED_AT_ONCE: usize = 2;

/// How long a page waits for one.
const FETCHED_WITHIN: Duration = Duration::from_secs(5);

/// A part of a payload, as a node answers it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct PayloadPart {
    media_type: String,
    /// Of the whole.
    bytes: usize,
    /// In Base64.
    content: String,
}

/// What has come of a payload.
#[derive(Debug, Default)]
struct FetchedPayload {
    media_type: String,
    content: Vec<u8>,
}

/// Which payloads of other nodes are being fetched.
#[derive(Debug)]
pub(super) struct PayloadFetches(Semaphore);

impl PayloadFetches {
    pub(super) fn new() -> Self {
        PayloadFetches(Semaphore::new(FETCHED_AT_ONCE))
    }

    /// The payload of an entry of another node.
    async fn fetch(&self, others: &OtherNodes, node: &str, seq: u64) -> Result<KeptPayload, ConsoleError> {
        let fetched = async {
            // It is never closed.
            let _turn = self.0.acquire().await;
            fetch(others, node, seq).await
        };
        let late = |_| unavailable(format!("it has not come within {} s", FETCHED_WITHIN.as_secs()));
        timeout(FETCHED_WITHIN, fetched).await.map_err(late)?
    }
}

impl Console {
    /// A payload that an entry names, of this node or of another one.
    pub(super) async fn payload(&self, node: &str, seq: &str) -> Result<HttpResponse, ConsoleError> {
        let kept = if node == self.node() {
            self.kept(seq)?
        } else {
            let seq = seq.parse().map_err(|_| nothing(seq))?;
            self.fetches.fetch(&self.others, node, seq).await?
        };
        Ok(shown(kept))
    }

    /// A part of a payload of this node, for another one.
    pub(super) fn payload_part(&self, seq: &str, from: &str) -> Result<Value, ConsoleError> {
        let kept = self.kept(seq)?;
        let part = PayloadPart::of(&kept, from)?;
        serde_json::to_value(part).map_err(|error| unavailable(error.to_string()))
    }

    fn kept(&self, seq: &str) -> Result<KeptPayload, ConsoleError> {
        seq.parse().ok().and_then(|seq| self.feed().payload(seq)).ok_or_else(|| nothing(seq))
    }
}

impl PayloadPart {
    /// The part that begins with this byte.
    fn of(kept: &KeptPayload, from: &str) -> Result<Self, ConsoleError> {
        let bytes = kept.content.len();
        let begins = from.parse().ok().filter(|begins| *begins <= bytes);
        let begins: usize = begins.ok_or_else(|| {
            ConsoleError::parameter("where a part begins", format!("0 to {bytes}"), format_args!("{from:?}"))
        })?;
        let content = STANDARD.encode(&kept.content[begins..bytes.min(begins + PART_BYTES)]);
        Ok(PayloadPart { media_type: kept.media_type.as_ref().into(), bytes, content })
    }
}

impl FetchedPayload {
    /// Takes the next part; whether that was the last one. None if it is not what a node would say.
    fn take(&mut self, part: PayloadPart) -> Option<bool> {
        let PayloadPart { media_type, bytes, content } = part;
        let begins = self.content.len();
        if bytes > KEPT_PAYLOAD_BYTES || (begins > 0 && media_type != self.media_type) {
            return None;
        }
        let content = STANDARD.decode(content).ok()?;
        if content.len() != bytes.checked_sub(begins)?.min(PART_BYTES) {
            return None;
        }
        BinaryPayload::new(&media_type, "", &content).ok()?;
        self.media_type = media_type;
        self.content.extend_from_slice(&content);
        Some(self.content.len() == bytes)
    }
}

async fn fetch(others: &OtherNodes, node: &str, seq: u64) -> Result<KeptPayload, ConsoleError> {
    let mut fetched = FetchedPayload::default();
    loop {
        let path = [PAYLOADS.to_owned(), seq.to_string(), fetched.content.len().to_string()];
        let request = NodeRequest { path: path.into(), ..NodeRequest::default() };
        let told = others.ask_one(node, &request).await.map_err(|error| refused(error, seq))?;
        let part = serde_json::from_value(told).ok();
        match part.and_then(|part| fetched.take(part)) {
            None => return Err(unavailable(UNREADABLE.to_owned())),
            Some(false) => {}
            Some(true) => {
                let FetchedPayload { media_type, content } = fetched;
                return Ok(KeptPayload { media_type: media_type.into(), content: Bytes::from(content) });
            }
        }
    }
}

/// What a page is told where another node has refused: whatever that has said, it is not there, or not to be had.
fn refused(error: ConsoleError, seq: u64) -> ConsoleError {
    match error {
        ConsoleError::Refused(StatusCode::NOT_FOUND, _) => nothing(&seq.to_string()),
        ConsoleError::Refused(_, why) => unavailable(why),
        other => other,
    }
}

fn nothing(seq: &str) -> ConsoleError {
    ConsoleError::Nothing { what: "payload of the entry", name: seq.to_owned() }
}

fn unavailable(why: String) -> ConsoleError {
    ConsoleError::Refused(StatusCode::SERVICE_UNAVAILABLE, why)
}

/// A payload as it is answered. It is what some client sent, so it is nothing but a picture at the most.
fn shown(kept: KeptPayload) -> HttpResponse {
    let plain = kept.media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_picture = ["png", "jpeg", "webp", "gif", "avif"].iter().any(|of| plain == format!("image/{of}"));
    let content_type = if is_picture || plain.starts_with("video/") {
        header::HeaderValue::from_str(&plain).ok()
    } else {
        None
    };
    let plain = header::HeaderValue::from_static("application/octet-stream");
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, content_type.unwrap_or(plain)))
        .insert_header((
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; sandbox; frame-ancestors 'none'",
        ))
        .body(kept.content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: usize) -> KeptPayload {
        let content: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
        KeptPayload { media_type: "image/png".into(), content: content.into() }
    }

    fn part(kept: &KeptPayload, from: usize) -> PayloadPart {
        PayloadPart::of(kept, &from.to_string()).unwrap()
    }

    #[test]
    fn a_payload_is_put_together_of_its_parts() {
        for (bytes, parts) in [(0, 1), (1, 1), (PART_BYTES, 1), (PART_BYTES + 1, 2), (KEPT_PAYLOAD_BYTES, 4)]
        {
            let (kept, mut fetched, mut taken) = (kept(bytes), FetchedPayload::default(), 1);
            while !fetched.take(part(&kept, fetched.content.len())).unwrap() {
                taken += 1;
            }
            assert_eq!((taken, &fetched.content[..]), (parts, &kept.content[..]), "{bytes}");
            assert_eq!(fetched.media_type, "image/png");
        }
        for from in ["2", "-1", "one", ""] {
            assert!(PayloadPart::of(&kept(1), from).is_err(), "{from}");
        }
    }

    #[test]
    fn a_part_fits_into_an_answer() {
        let part = serde_json::to_value(part(&kept(KEPT_PAYLOAD_BYTES), 0)).unwrap();
        assert!(super::super::elsewhere::written(&Ok(part)).len() < crate::cluster::questions::ANSWER_BYTES);
    }

    #[test]
    fn what_no_node_would_say_is_not_taken() {
        let good = part(&kept(PART_BYTES + 9), 0);
        let mut begun = FetchedPayload::default();
        assert_eq!(begun.take(good.clone()), Some(false));
        let short = |bytes: usize, content: &str| PayloadPart {
            media_type: "image/png".to_owned(),
            bytes,
            content: content.to_owned(),
        };
        for bad in [
            PayloadPart { bytes: PART_BYTES + 9, ..short(3, "AAAA") },
            short(KEPT_PAYLOAD_BYTES + 1, ""),
            short(usize::MAX, "AAAA"),
            short(3, "AAA"),
            short(3, "no Base64"),
            short(2, "AAAA"),
            PayloadPart { media_type: "text/html\r\nSet-Cookie: a=b".to_owned(), ..short(3, "AAAA") },
            PayloadPart { media_type: String::new(), ..short(3, "AAAA") },
        ] {
            assert_eq!(FetchedPayload::default().take(bad.clone()), None, "{bad:?}");
        }
        let rest = part(&kept(PART_BYTES + 9), PART_BYTES);
        for bad in [
            PayloadPart { media_type: "video/webm".to_owned(), ..rest.clone() },
            PayloadPart { bytes: PART_BYTES + 8, ..rest.clone() },
            PayloadPart { bytes: 9, ..rest.clone() },
            good,
        ] {
            assert_eq!(begun.take(bad.clone()), None, "{} of {}", bad.content.len(), bad.bytes);
        }
        assert_eq!(begun.take(rest), Some(true));
    }

    #[test]
    fn a_page_is_told_no_status_of_another_node() {
        let told = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            refused(ConsoleError::Refused(status, "why".to_owned()), 7).status().as_u16()
        };
        assert_eq!([404, 401, 302, 503, 100].map(told), [404, 503, 503, 503, 503]);
    }

    #[test]
    fn nothing_but_a_picture_is_served_as_what_it_is() {
        let of = |media_type: &str| {
            let answer = shown(KeptPayload { media_type: media_type.into(), content: Bytes::new() });
            answer.headers().get(header::CONTENT_TYPE).unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(of("IMAGE/PNG; a=b"), "image/png");
        assert_eq!(of("video/vp8"), "video/vp8");
        for other in ["text/html", "image/svg+xml", "video/a\r\nb", ""] {
            assert_eq!(of(other), "application/octet-stream", "{other:?}");
        }
    }
}
