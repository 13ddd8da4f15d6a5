//! `POST /apps/{id}/events`, `POST /apps/{id}/batch_events`, and the older `POST /apps/{id}/channels/{name}/events`.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::app::Limits;
use crate::event::BackendCall;
use crate::hub::{RateExceeded, Receipts};
use crate::protocol::json::{self, Data};

use super::ApiError;
use super::answer::{empty_object, json_response, whole_seconds};
use super::authentication::Authenticated;
use super::event::{Channels, EventParameters, Publication, channel_name};

/// What was published, to be answered.
pub(crate) struct Published {
    response: HttpResponse,
    receipts: Receipts,
}

impl Published {
    /// The answer, when the engine that carries events to other nodes has taken all, where there is one.
    pub(crate) async fn answer(self) -> HttpResponse {
        if !self.receipts.is_empty() {
            // Apart, because most brokers have no other nodes: every request would have the room for it moved along.
            Box::pin(self.receipts.all()).await;
        }
        self.response
    }
}

/// Publishes one event to one or more channels. Parameters may also come in the query, with an empty body.
pub(crate) fn publish(request: &Authenticated<'_>) -> Result<Published, ApiError> {
    let body = request.body_text()?;
    let parameters = if body.is_empty() {
        EventParameters::of_query(request.query)
    } else {
        EventParameters::of_json(body, Channels::Several)?
    };
    let limits = &request.app.app().limits;
    let publication = parameters.check(limits)?;
    admit(request, limits, publication.channels.len())?;
    let mut receipts = Receipts::default();
    publication.publish(request.hub(), &request.app, &mut receipts);
    hand_on(request, std::slice::from_ref(&publication));
    let response = match publication.info {
        None => empty_object(),
        Some(_) => {
            let attributes = publication.attributes(&request.app);
            let channels: Map<_, _> = attributes.map(|(name, value)| (name.to_string(), value)).collect();
            json_response(&serde_json::json!({ "channels": channels }))
        }
    };
    Ok(Published { response, receipts })
}

/// Publishes several events. If one of them cannot be published, none is.
pub(crate) fn publish_batch(request: &Authenticated<'_>) -> Result<Published, ApiError> {
    let [batch] = json::members(request.body_text()?, ["batch"])
        .map_err(|error| ApiError::InvalidJson(error.to_string()))?;
    let wrong = ApiError::WrongType { parameter: "batch", expected: "an array of objects" };
    let batch = batch.ok_or(ApiError::Missing("batch"))?;
    let items: Vec<&RawValue> = serde_json::from_str(batch.get()).map_err(|_| wrong.clone())?;
    let limits = &request.app.app().limits;
    let got = items.len();
    let limit = limits.events_per_batch;
    if got == 0 {
        return Err(ApiError::BatchEmpty);
    }
    if got > limit {
        return Err(ApiError::BatchTooLarge { got, limit });
    }
    let mut publications: Vec<Publication<'_>> = Vec::with_capacity(got);
    for item in items {
        if !item.get().starts_with('{') {
            return Err(wrong);
        }
        publications.push(EventParameters::of_json(item.get(), Channels::One)?.check(limits)?);
    }
    admit(request, limits, publications.iter().map(|publication| publication.channels.len()).sum())?;
    let mut receipts = Receipts::default();
    publications
        .iter()
        .for_each(|publication| publication.publish(request.hub(), &request.app, &mut receipts));
    hand_on(request, &publications);
    if publications.iter().all(|publication| publication.info.is_none()) {
        return Ok(Published { response: empty_object(), receipts });
    }
    let attributes =
        |publication: &Publication<'_>| publication.attributes(&request.app).map(|(_, value)| value).next();
    let batch: Vec<Value> = publications.iter().filter_map(attributes).collect();
    let response = json_response(&serde_json::json!({ "batch": batch }));
    Ok(Published { response, receipts })
}

/// Publishes the body itself, any text, under the name in the query.
pub(crate) fn publish_body(request: &Authenticated<'_>, channel: &str) -> Result<Published, ApiError> {
    let limits = &request.app.app().limits;
    channel_name(channel, limits)?;
    let parameters = EventParameters {
        data: Some(Data::of_text(request.body_text()?)),
        channels: vec![channel.into()],
        info: None,
        ..EventParameters::of_query(request.query)
    };
    let publication = parameters.check(limits)?;
    admit(request, limits, publication.channels.len())?;
    let mut receipts = Receipts::default();
    publication.publish(request.hub(), &request.app, &mut receipts);
    hand_on(request, std::slice::from_ref(&publication));
    let response = HttpResponse::build(StatusCode::ACCEPTED).finish();
    Ok(Published { response, receipts })
}

/// Makes sure that the app may publish so many events now. It is the last thing that is asked: what is refused for another
/// reason takes nothing of the rate.
fn admit(request: &Authenticated<'_>, limits: &Limits, events: usize) -> Result<(), ApiError> {
    let limit = limits.backend_events_per_second;
    request.app.admit_backend_events(events, limit).map_err(|exceeded| match exceeded {
        RateExceeded::After(wait) => ApiError::TooManyEvents { limit, seconds: whole_seconds(wait) },
        RateExceeded::Never => ApiError::MoreEventsThanASecond { got: events, limit },
    })
}

/// Hands what was published to those who want it as a whole.
fn hand_on(request: &Authenticated<'_>, publications: &[Publication<'_>]) {
    if request.app.hears_calls() {
        let events: Vec<_> = publications.iter().map(Publication::as_published).collect();
        request.app.hand_on(&BackendCall::Publish(&events), request.is_relayed);
    }
}
