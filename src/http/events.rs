//! `POST /apps/{id}/events`, and the older `POST /apps/{id}/channels/{name}/events`; and what they share with batches.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::Map;

use crate::event::BackendCall;
use crate::hub::{PublishClaim, RateExceeded, Receipts};
use crate::protocol::json::Data;

use super::ApiError;
use super::answer::{text_of_json, whole_seconds};
use super::authentication::Authenticated;
use super::event::{Channels, EventParameters, Publication, channel_name};
use super::idempotency::{ClaimedPublish, PublishKind, again, claim, id_of, query_text};

/// What was published, to be answered.
pub(crate) struct Published {
    response: HttpResponse,
    receipts: Receipts,
    /// The ids that it was published under, which are under way until the answer.
    claims: Vec<PublishClaim>,
}

impl Published {
    /// This was published now, under these ids, and is to be answered so.
    pub(super) fn now(response: HttpResponse, receipts: Receipts, claims: Vec<PublishClaim>) -> Self {
        Published { response, receipts, claims }
    }

    /// Nothing was: it was published before, and answered so.
    pub(super) fn before(response: HttpResponse) -> Self {
        Published::now(again(response), Receipts::default(), Vec::new())
    }

    /// The answer, when the engine that carries events to other nodes has taken all, where there is one.
    pub(crate) async fn answer(self) -> HttpResponse {
        if !self.receipts.is_empty() {
            // Apart, because most brokers have no other nodes: every request would have the room for it moved along.
            Box::pin(self.receipts.all()).await;
        }
        drop(self.claims);
        self.response
    }
}

/// Publishes one event to one or more channels. Parameters may also come in the query, with an empty body.
pub(crate) fn publish(request: &Authenticated<'_>) -> Result<Published, ApiError> {
    let body = request.body_text()?;
    let mut parameters = if body.is_empty() {
        EventParameters::of_query(request.query)
    } else {
        EventParameters::of_json(body, Channels::Several)?
    };
    let mut claims = Vec::new();
    if let Some(id) = id_of(request, parameters.id.take())? {
        let query = if body.is_empty() { query_text(request.query) } else { String::new() };
        match claim(request, &id, PublishKind::Event, &[&query, body])? {
            ClaimedPublish::Now(claim) => claims.push(claim),
            ClaimedPublish::Before(answer) => return Ok(Published::before(text_of_json(answer.as_deref()))),
        }
    }
    let publication = parameters.check(&request.app.app().limits)?;
    let receipts = send(request, std::slice::from_ref(&publication))?;
    let answer = publication.info.map(|_| {
        let attributes = publication.attributes(&request.app);
        let channels: Map<_, _> = attributes.map(|(name, value)| (name.to_string(), value)).collect();
        serde_json::json!({ "channels": channels }).to_string()
    });
    let response = text_of_json(answer.as_deref());
    claims.iter_mut().for_each(|claim| claim.published(answer.as_deref().map(Into::into)));
    Ok(Published { response, receipts, claims })
}

/// Publishes the body itself, any text, under the name in the query.
pub(crate) fn publish_body(request: &Authenticated<'_>, channel: &str) -> Result<Published, ApiError> {
    let limits = &request.app.app().limits;
    channel_name(channel, limits)?;
    let body = request.body_text()?;
    let mut parameters = EventParameters {
        data: Some(Data::of_text(body)),
        channels: vec![channel.into()],
        info: None,
        ..EventParameters::of_query(request.query)
    };
    let response = || HttpResponse::build(StatusCode::ACCEPTED).finish();
    let mut claims = Vec::new();
    if let Some(id) = id_of(request, parameters.id.take())? {
        match claim(request, &id, PublishKind::Body, &[channel, &query_text(request.query), body])? {
            ClaimedPublish::Now(claim) => claims.push(claim),
            ClaimedPublish::Before(_) => return Ok(Published::before(response())),
        }
    }
    let publication = parameters.check(limits)?;
    let receipts = send(request, std::slice::from_ref(&publication))?;
    claims.iter_mut().for_each(|claim| claim.published(None));
    Ok(Published { response: response(), receipts, claims })
}

/// Publishes what has been checked, if the app may publish so many events now. That is the last thing that is asked: what is
/// refused for another reason takes nothing of the rate.
pub(super) fn send(
    request: &Authenticated<'_>,
    publications: &[Publication<'_>],
) -> Result<Receipts, ApiError> {
    let events = publications.iter().map(|publication| publication.channels.len()).sum();
    let limit = request.app.app().limits.backend_events_per_second;
    request.app.admit_backend_events(events, limit).map_err(|exceeded| match exceeded {
        RateExceeded::After(wait) => ApiError::TooManyEvents { limit, seconds: whole_seconds(wait) },
        RateExceeded::Never => ApiError::MoreEventsThanASecond { got: events, limit },
    })?;
    let mut receipts = Receipts::default();
    publications
        .iter()
        .for_each(|publication| publication.publish(request.hub(), &request.app, &mut receipts));
    if request.app.hears_calls() {
        let events: Vec<_> = publications.iter().map(Publication::as_published).collect();
        request.app.hand_on(&BackendCall::Publish(&events), request.is_relayed);
    }
    Ok(receipts)
}
