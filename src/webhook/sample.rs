//! Sends a sample webhook, to try an endpoint out with.

use std::time::Duration;

use crate::app::{App, Limits};
use crate::auth::webhook::signing_key;
use crate::channel::{ChangeOrigin, ChannelVersion, NodeId};
use crate::outbound::{HttpClient, Reply, SendError};
use crate::protocol::json::string_literal;
use crate::protocol::{ChannelName, SocketId};

use super::clock;
use super::config::DeliverySettings;
use super::endpoint::WebhookEndpoint;
use super::event::{WebhookClientEvent, WebhookEvent, body};
use super::event_id::IdentifiedEvent;
use super::event_type::EventType;
use super::signed::SignedWebhook;

/// The result of sending a sample.
#[derive(Clone, Debug)]
pub(crate) struct SampleResult {
    /// What the endpoint answered, if it did.
    pub reply: Result<Reply, SendError>,
    /// How long that took.
    pub duration: Duration,
}

/// The type that a sample for the endpoint is of if nothing else is asked for: the first one that it wants.
pub(crate) fn usual_type(endpoint: &WebhookEndpoint) -> EventType {
    endpoint.events.iter().next().unwrap_or(EventType::ChannelOccupied)
}

/// An event of this type as the endpoint could be told of it.
pub(crate) fn event(event_type: EventType, endpoint: &WebhookEndpoint) -> Option<WebhookEvent> {
    let usual = match event_type {
        EventType::ChannelOccupied | EventType::ChannelVacated | EventType::SubscriptionCount => "sample",
        EventType::MemberAdded | EventType::MemberRemoved => "presence-sample",
        EventType::ClientEvent => "private-sample",
        EventType::CacheMiss => "cache-sample",
    };
    let name = endpoint.channels.as_ref().map_or_else(|| usual.to_owned(), |pattern| pattern.fill("sample"));
    let channel = ChannelName::parse(&name, Limits::default().channel_name_chars.max(name.len())).ok()?;
    Some(match event_type {
        EventType::ChannelOccupied => WebhookEvent::ChannelOccupied(channel),
        EventType::ChannelVacated => WebhookEvent::ChannelVacated(channel),
        EventType::MemberAdded => WebhookEvent::MemberAdded(channel, "sample-user".into()),
        EventType::MemberRemoved => WebhookEvent::MemberRemoved(channel, "sample-user".into()),
        EventType::ClientEvent => WebhookEvent::ClientEvent(Box::new(WebhookClientEvent {
            user_id: channel.channel_type().is_presence().then(|| "sample-user".into()),
            channel,
            event: "client-sample".into(),
            data: string_literal(r#"{"sample":true}"#).into(),
            socket_id: SocketId::new(1, 1),
        })),
        EventType::CacheMiss => WebhookEvent::CacheMiss(channel),
        EventType::SubscriptionCount => WebhookEvent::SubscriptionCount(channel, 1),
    })
}

/// Sends a sample once, as a webhook of this app. `None` if the app has no key that could sign it, or no channel that
/// could be in it. Must run within a runtime.
pub(crate) async fn send(
    client: &HttpClient,
    app: &App,
    delivery: &DeliverySettings,
    endpoint: &WebhookEndpoint,
    event_type: EventType,
) -> Option<SampleResult> {
    let millis = clock::unix_millis();
    // No node is called so: it is another than every event that happens.
    let origin = ChangeOrigin {
        node: NodeId::new(0),
        version: ChannelVersion::new(u64::try_from(millis).unwrap_or_default()),
    };
    let identified = IdentifiedEvent { event: event(event_type, endpoint)?, origin };
    let text = body(millis, [identified.to_json(&app.id).as_str()]);
    let signed = SignedWebhook::new(text, signing_key(app)?, endpoint)?;
    let begun = clock::system_now();
    let reply = client.send(signed.request(endpoint, 1), delivery.timeout).await;
    Some(SampleResult { reply, duration: clock::system_now().duration_since(begun) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::pattern::Pattern;
    use crate::webhook::EventTypes;

    #[test]
    fn a_sample_is_something_the_endpoint_wants() {
        let mut endpoint = WebhookEndpoint::new("http://localhost/").unwrap();
        endpoint.channels = Some(Pattern::parse("presence-room-*").unwrap());
        for event_type in EventType::ALL {
            endpoint.events = [event_type].into_iter().collect::<EventTypes>();
            assert_eq!(usual_type(&endpoint), event_type);
            let event = event(event_type, &endpoint).unwrap();
            assert!(event.event_type() == event_type && endpoint.wants(event_type, event.channel()));
        }
        endpoint.channels = None;
        let member = event(EventType::MemberAdded, &endpoint).unwrap();
        assert!(member.channel().channel_type().is_presence());
    }
}
