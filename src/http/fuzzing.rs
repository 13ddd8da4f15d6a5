//! Publish requests, for the fuzz targets.

use crate::app::Limits;
use crate::auth::request::Query;

use super::event::{Channels, EventParameters, Publication};

/// An event that was read of a request and may be published.
#[derive(Debug, PartialEq, Eq)]
pub struct ReadEvent {
    pub name: String,
    /// Its payload, every escape resolved.
    pub data: String,
    /// Where it goes.
    pub channels: Vec<String>,
}

/// The event that a body describes, if it may be published; `several`: it may name several channels.
pub fn event_of_body(body: &str, several: bool) -> Option<ReadEvent> {
    let channels = if several { Channels::Several } else { Channels::One };
    let publication = EventParameters::of_json(body, channels).ok()?.check(&Limits::default()).ok()?;
    Some(read_event(&publication))
}

/// The event that a query describes, if it may be published.
pub fn event_of_query(query: &Query) -> Option<ReadEvent> {
    EventParameters::of_query(query)
        .check(&Limits::default())
        .ok()
        .map(|publication| read_event(&publication))
}

fn read_event(publication: &Publication<'_>) -> ReadEvent {
    ReadEvent {
        name: publication.name.to_string(),
        data: publication.data.text().into_owned(),
        channels: publication.channels.iter().map(ToString::to_string).collect(),
    }
}
