//! Publishes what an operator asks for: checked and counted as a request of the app's backend is, without its signature.

use std::sync::Arc;

use serde_json::Value;

use super::ApiError;
use super::event::{Channels, EventParameters, Publication};
use super::events::send_for;
use crate::event::Destination;
use crate::hub::{AppState, EventReach, Hub};
use crate::protocol::ChannelName;

/// What became of an event on one channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OperatorPublished {
    pub(crate) channel: ChannelName,
    /// Connections that it was for.
    pub(crate) reach: EventReach,
    /// What the event's `info` asked for.
    pub(crate) attributes: Value,
}

/// Publishes events, each written as the body of a request that publishes one. If one of them cannot be published, none is.
///
/// # Errors
/// With what speaks against one of them, or against publishing so many now.
pub(crate) async fn publish_for_operator(
    hub: &Arc<Hub>,
    app: &Arc<AppState>,
    bodies: &[String],
) -> Result<Vec<OperatorPublished>, ApiError> {
    let (published, receipts) = {
        let settings = app.app();
        let mut publications: Vec<Publication<'_>> = Vec::with_capacity(bodies.len());
        for body in bodies {
            publications.push(EventParameters::of_json(body, Channels::Several)?.check(&settings.limits)?);
        }
        // Before it is sent: a cache channel may be left by then.
        let reached: Vec<EventReach> = publications.iter().flat_map(|event| event.reach(app)).collect();
        let receipts = send_for(hub, app, &publications, false)?;
        let attributes = publications.iter().flat_map(|event| event.attributes(app));
        let published = attributes.zip(reached).map(|((channel, attributes), reach)| OperatorPublished {
            channel: channel.clone(),
            reach,
            attributes,
        });
        (published.collect(), receipts)
    };
    receipts.all().await;
    Ok(published)
}

impl Publication<'_> {
    /// The connections that it is for, channel by channel.
    fn reach<'e>(&'e self, app: &'e AppState) -> impl Iterator<Item = EventReach> + use<'e> {
        let to = |channel: &ChannelName| Destination::Subscribers {
            channel: channel.clone(),
            except: self.except,
        };
        self.channels.iter().map(move |channel| app.reach(&to(channel)))
    }
}
