//! `POST /apps/{id}/events`, and the older `POST /apps/{id}/channels/{name}/events`; and what they share with batches.

use std::pin::Pin;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::Map;

use crate::event::BackendCall;
use crate::hub::{AppState, Hub, PublishClaim, RateExceeded, Receipts};
use crate::protocol::json::Data;

use super::ApiError;
use super::answer::{text_of_json, whole_seconds};
use super::authentication::Authenticated;
use super::event::{Channels, EventParameters, Publication, channel_name};
use super::idempotency::{ClaimedPublish, PublishKind, again, claim, id_of, query_text};

/// A request that publishes and may be carried out.
pub(crate) enum Publishing<'r> {
    /// It was.
    Done(Published),
    /// It is when its ids have been claimed. Apart, because most have none: every request would have the room for it moved along.
    Claiming(Pin<Box<dyn Future<Output = Result<Published, ApiError>> + 'r>>),
}

impl Publishing<'_> {
    /// The answer, when everything has been done for it.
    pub(crate) async fn answer(self) -> Result<HttpResponse, ApiError> {
        let published = match self {
            Publishing::Done(published) => published,
            Publishing::Claiming(published) => published.await?,
        };
        Ok(published.answer().await)
    }
}

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
    async fn answer(self) -> HttpResponse {
        if !self.receipts.is_empty() {
            // Apart, because most brokers have no other nodes: every request would have the room for it moved along.
            Box::pin(self.receipts.all()).await;
        }
        drop(self.claims);
        self.response
    }
}

/// Publishes one event to one or more channels. Parameters may also come in the query, with an empty body.
pub(crate) fn publish<'r>(request: &'r Authenticated<'_>) -> Result<Publishing<'r>, ApiError> {
    let body = request.body_text()?;
    let mut parameters = if body.is_empty() {
        EventParameters::of_query(request.query)
    } else {
        EventParameters::of_json(body, Channels::Several)?
    };
    let id = parameters.id.take();
    let publication = parameters.check(&request.app.app().limits)?;
    let Some(id) = id_of(request, id)? else {
        return Ok(Publishing::Done(publish_event(request, &publication, None)?));
    };
    Ok(Publishing::Claiming(Box::pin(async move {
        let query = if body.is_empty() { query_text(request.query) } else { String::new() };
        match claim(request, &id, PublishKind::Event, &[&query, body]).await? {
            ClaimedPublish::Now(claim) => publish_event(request, &publication, Some(claim)),
            ClaimedPublish::Before(answer) => Ok(Published::before(text_of_json(answer.as_deref()))),
        }
    })))
}

fn publish_event(
    request: &Authenticated<'_>,
    publication: &Publication<'_>,
    mut claim: Option<PublishClaim>,
) -> Result<Published, ApiError> {
    let receipts = send(request, std::slice::from_ref(publication))?;
    let answer = publication.info.map(|_| {
        let attributes = publication.attributes(&request.app);
        let channels: Map<_, _> = attributes.map(|(name, value)| (name.to_string(), value)).collect();
        serde_json::json!({ "channels": channels }).to_string()
    });
    let response = text_of_json(answer.as_deref());
    if let Some(claim) = &mut claim {
        claim.published(answer.map(Into::into));
    }
    Ok(Published::now(response, receipts, claim.into_iter().collect()))
}

/// Publishes the body itself, any text, under the name in the query.
pub(crate) fn publish_body<'r>(
    request: &'r Authenticated<'_>,
    channel: &'r str,
) -> Result<Publishing<'r>, ApiError> {
    let limits = &request.app.app().limits;
    channel_name(channel, limits)?;
    let body = request.body_text()?;
    let mut parameters = EventParameters {
        data: Some(Data::of_text(body)),
        channels: vec![channel.into()],
        info: None,
        ..EventParameters::of_query(request.query)
    };
    let id = parameters.id.take();
    let publication = parameters.check(limits)?;
    let response = || HttpResponse::build(StatusCode::ACCEPTED).finish();
    let Some(id) = id_of(request, id)? else {
        let receipts = send(request, std::slice::from_ref(&publication))?;
        return Ok(Publishing::Done(Published::now(response(), receipts, Vec::new())));
    };
    Ok(Publishing::Claiming(Box::pin(async move {
        let query = query_text(request.query);
        match claim(request, &id, PublishKind::Body, &[channel, &query, body]).await? {
            ClaimedPublish::Now(mut claim) => {
                let receipts = send(request, std::slice::from_ref(&publication))?;
                claim.published(None);
                Ok(Published::now(response(), receipts, vec![claim]))
            }
            ClaimedPublish::Before(_) => Ok(Published::before(response())),
        }
    })))
}

/// Publishes what has been checked, if the app may publish so many events now. That is the last thing that is asked: what is
/// refused for another reason takes nothing of the rate.
pub(super) fn send(
    request: &Authenticated<'_>,
    publications: &[Publication<'_>],
) -> Result<Receipts, ApiError> {
    send_for(request.hub(), &request.app, publications, request.is_relayed)
}

/// The same, whoever asks for it.
pub(super) fn send_for(
    hub: &Arc<Hub>,
    app: &Arc<AppState>,
    publications: &[Publication<'_>],
    is_relayed: bool,
) -> Result<Receipts, ApiError> {
    // Asked in the turn that publishes, as for every request: its ids may have been waited for.
    if hub.shutdown().is_some() {
        return Err(ApiError::ShuttingDown);
    }
    let events = publications.iter().map(|publication| publication.channels.len()).sum();
    let limit = app.app().limits.backend_events_per_second;
    app.admit_backend_events(events, limit).map_err(|exceeded| match exceeded {
        RateExceeded::After(wait) => ApiError::TooManyEvents { limit, seconds: whole_seconds(wait) },
        RateExceeded::Never => ApiError::MoreEventsThanASecond { got: events, limit },
    })?;
    let mut receipts = Receipts::default();
    publications.iter().for_each(|publication| publication.publish(hub, app, &mut receipts));
    if app.hears_calls() {
        let events: Vec<_> = publications.iter().map(Publication::as_published).collect();
        app.hand_on(&BackendCall::Publish(&events), is_relayed);
    }
    Ok(receipts)
}
