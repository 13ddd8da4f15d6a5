//! Publishing under an id of the publisher's own: where a request says it, what it stands for, and what is answered where
//! something was published under it before.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};

use crate::auth::request::Query;
use crate::event::{PublishFingerprint, PublishId};
use crate::hub::{EarlierPublish, PublishAnswer, PublishClaim};
use crate::protocol::quote;

use super::ApiError;
use super::authentication::Authenticated;

/// Where a request says its id (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Says of an answer that it is the one of before, and nothing was done for it. Stripe has this name for it.
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What is published under an id. The same bytes are something else at another endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PublishKind {
    Event,
    Batch,
    EventOfBatch,
    Body,
}

/// What becomes of something that has an id.
#[derive(Debug)]
pub(super) enum ClaimedPublish {
    /// It is to be published.
    Now(PublishClaim),
    /// It was published before, and answered with this.
    Before(PublishAnswer),
}

/// The id of a request: by its header, by its body, or by both.
///
/// # Errors
/// If one of them is no id, or if they differ.
pub(super) fn id_of(
    request: &Authenticated<'_>,
    in_body: Option<Cow<'_, str>>,
) -> Result<Option<PublishId>, ApiError> {
    if in_body.is_none() && !request.headers.contains_key(IDEMPOTENCY_KEY) {
        return Ok(None);
    }
    let mut id = id_in_body(request, in_body)?;
    for header in request.headers.get_all(IDEMPOTENCY_KEY).filter(|_| are_remembered(request)) {
        let other = PublishId::of_header(header.as_bytes()).map_err(|error| {
            let got = quote(&String::from_utf8_lossy(header.as_bytes())).into_owned();
            ApiError::PublishId { place: "Idempotency-Key", error, got }
        })?;
        match &id {
            Some(id) if *id != other => {
                return Err(ApiError::PublishIdsDiffer { one: id.to_string(), other: other.to_string() });
            }
            _ => id = Some(other),
        }
    }
    Ok(id)
}

/// An id as a body says it.
///
/// # Errors
/// If it is none.
pub(super) fn id_in_body(
    request: &Authenticated<'_>,
    text: Option<Cow<'_, str>>,
) -> Result<Option<PublishId>, ApiError> {
    let Some(text) = text.filter(|_| are_remembered(request)) else { return Ok(None) };
    let id = PublishId::parse(&text);
    id.map(Some).map_err(|error| ApiError::PublishId { place: "id", error, got: quote(&text).into_owned() })
}

/// Whether the app's ids are remembered. Where they are not, it is as if nobody had one.
fn are_remembered(request: &Authenticated<'_>) -> bool {
    request.app.app().limits.publish_ids > 0
}

/// Claims an id, on all nodes, for what is to be published under it, which is this text as it came.
///
/// # Errors
/// If something else was published under the id, or if the same is being published.
pub(super) async fn claim(
    request: &Authenticated<'_>,
    id: &PublishId,
    kind: PublishKind,
    texts: &[&str],
) -> Result<ClaimedPublish, ApiError> {
    let kind = match kind {
        PublishKind::Event => "event",
        PublishKind::Batch => "batch",
        PublishKind::EventOfBatch => "event of a batch",
        PublishKind::Body => "body",
    };
    let fingerprint = PublishFingerprint::of([kind].iter().chain(texts).map(|text| text.as_bytes()));
    let claimed = match request.app.claim_publish(id, fingerprint) {
        Ok(claim) => claim.everywhere(request.hub()).await,
        Err(earlier) => Err(earlier),
    };
    match claimed {
        Ok(claim) => Ok(ClaimedPublish::Now(claim)),
        Err(EarlierPublish::Answered(answer)) => Ok(ClaimedPublish::Before(answer)),
        Err(EarlierPublish::UnderWay) => Err(ApiError::PublishUnderWay(id.to_string())),
        Err(EarlierPublish::OfAnother) => Err(ApiError::PublishIdOfAnother(id.to_string())),
    }
}

/// What a query says, the signature and what belongs to it apart: that differs each time.
pub(super) fn query_text(query: &Query) -> String {
    let mut text = String::new();
    for (name, value) in query.own_pairs() {
        text.extend([name, "\0", value, "\0"]);
    }
    text
}

/// An answer that was given before.
pub(super) fn again(mut response: HttpResponse) -> HttpResponse {
    response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    response
}
