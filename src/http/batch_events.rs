//! `POST /apps/{id}/batch_events`.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::value::RawValue;

use crate::app::Limits;
use crate::event::PublishId;
use crate::hub::{PublishClaim, Receipts};
use crate::protocol::json;

use super::ApiError;
use super::answer::text_of_json;
use super::authentication::Authenticated;
use super::event::{Channels, EventParameters, Publication, text_id};
use super::events::{Published, Publishing, send};
use super::idempotency::{ClaimedPublish, PublishKind, claim, id_in_body, id_of};

/// What is told of an event that did not ask for anything.
const NOTHING: &str = "{}";

/// An event of a batch that may be published.
struct BatchItem<'a> {
    publication: Publication<'a>,
    text: &'a str,
    id: Option<PublishId>,
}

/// Publishes several events. If one of them cannot be published, none is. Those that were published before, under ids of
/// their own, are not published again.
pub(crate) fn publish_batch<'r>(request: &'r Authenticated<'_>) -> Result<Publishing<'r>, ApiError> {
    let body = request.body_text()?;
    let [batch, id] =
        json::members(body, ["batch", "id"]).map_err(|error| ApiError::InvalidJson(error.to_string()))?;
    let items = items(request, batch.ok_or(ApiError::Missing("batch"))?)?;
    let id = id_of(request, id.and_then(text_id))?;
    if id.is_none() && items.iter().all(|item| item.id.is_none()) {
        let claimed = items.iter().map(|_| None).collect();
        return Ok(Publishing::Done(publish_items(request, items, claimed, None)?));
    }
    Ok(Publishing::Claiming(Box::pin(async move {
        let mut whole = None;
        if let Some(id) = id {
            match claim(request, &id, PublishKind::Batch, &[body]).await? {
                ClaimedPublish::Now(claim) => whole = Some(claim),
                ClaimedPublish::Before(answer) => {
                    return Ok(Published::before(text_of_json(answer.as_deref())));
                }
            }
        }
        // All at once: each may wait for the engine.
        let claimed = join_all(items.iter().map(async |item| match &item.id {
            Some(id) => claim(request, id, PublishKind::EventOfBatch, &[item.text]).await.map(Some),
            None => Ok(None),
        }));
        let claimed = claimed.await.into_iter().collect::<Result<_, ApiError>>()?;
        publish_items(request, items, claimed, whole)
    })))
}

/// Publishes the events of a batch that were not published before, and answers for all of them.
fn publish_items(
    request: &Authenticated<'_>,
    items: Vec<BatchItem<'_>>,
    claimed: Vec<Option<ClaimedPublish>>,
    whole: Option<PublishClaim>,
) -> Result<Published, ApiError> {
    let has_info = items.iter().any(|item| item.publication.info.is_some());
    let is_before = |claimed: &Option<ClaimedPublish>| matches!(claimed, Some(ClaimedPublish::Before(_)));
    let fresh = items.into_iter().zip(&claimed).filter(|(_, claimed)| !is_before(claimed));
    let publications: Vec<_> = fresh.map(|(item, _)| item.publication).collect();
    let is_repeated = publications.is_empty();
    let receipts = if is_repeated { Receipts::default() } else { send(request, &publications)? };
    // Asked when all of them have been published.
    let mut published = publications.iter().map(|event| event.attributes(&request.app).next());
    let (mut claims, mut answers) = (Vec::new(), Vec::with_capacity(claimed.len()));
    for event in claimed {
        if let Some(ClaimedPublish::Before(answer)) = event {
            answers.push(answer.as_deref().unwrap_or(NOTHING).to_owned());
            continue;
        }
        let attributes = published.next().flatten().map(|(_, attributes)| attributes.to_string());
        if let Some(ClaimedPublish::Now(mut claim)) = event {
            claim.published(attributes.as_deref().filter(|answer| *answer != NOTHING).map(Into::into));
            claims.push(claim);
        }
        answers.push(attributes.unwrap_or_else(|| NOTHING.to_owned()));
    }
    let answer = has_info.then(|| format!("{{\"batch\":[{}]}}", answers.join(",")));
    if let Some(mut claim) = whole {
        claim.published(answer.as_deref().map(Into::into));
        claims.push(claim);
    }
    let response = text_of_json(answer.as_deref());
    Ok(if is_repeated { Published::before(response) } else { Published::now(response, receipts, claims) })
}

/// Makes sure that a batch has as many events as it may have.
pub(crate) fn check_size(got: usize, limits: &Limits) -> Result<(), ApiError> {
    let limit = limits.events_per_batch;
    match got {
        0 => Err(ApiError::BatchEmpty),
        _ if got > limit => Err(ApiError::BatchTooLarge { got, limit }),
        _ => Ok(()),
    }
}

/// The events of a batch, if all of them may be published.
fn items<'a>(request: &Authenticated<'_>, batch: &'a RawValue) -> Result<Vec<BatchItem<'a>>, ApiError> {
    let wrong = ApiError::WrongType { parameter: "batch", expected: "an array of objects" };
    let items: Vec<&RawValue> = serde_json::from_str(batch.get()).map_err(|_| wrong.clone())?;
    let limits = &request.app.app().limits;
    check_size(items.len(), limits)?;
    let (mut checked, mut ids) = (Vec::with_capacity(items.len()), HashSet::new());
    for item in items {
        let text = item.get();
        if !text.starts_with('{') {
            return Err(wrong);
        }
        let mut parameters = EventParameters::of_json(text, Channels::One)?;
        let id = parameters.id.take();
        let publication = parameters.check(limits)?;
        let id = id_in_body(request, id)?;
        if let Some(id) = &id
            && !ids.insert(id.clone())
        {
            return Err(ApiError::PublishIdTwice(id.to_string()));
        }
        checked.push(BatchItem { publication, text, id });
    }
    Ok(checked)
}
