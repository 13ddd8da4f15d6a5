//! A sample webhook, to try an endpoint out with.

use std::time::Duration;

use crate::app::{App, Limits};
use crate::auth::webhook::signing_key;
use crate::protocol::json::string_literal;
use crate::protocol::{ChannelName, SocketId};

use super::client::{Failure, HttpClient, Reply, Signed};
use super::clock;
use super::config::{Delivery, Endpoint};
use super::event::{ClientEvent, Event, EventType, Told, body};
use super::id::Occasion;

/// What came of a sample.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// What the endpoint answered, if it did.
    pub reply: Result<Reply, Failure>,
    /// How long that took.
    pub duration: Duration,
}

/// The type that a sample for the endpoint is of if nothing else is asked for: the first one that it wants.
#[must_use]
pub fn usual_type(endpoint: &Endpoint) -> EventType {
    endpoint.events.iter().next().unwrap_or(EventType::ChannelOccupied)
}

/// An event of this type as the endpoint could be told of it.
#[must_use]
pub fn event(one: EventType, endpoint: &Endpoint) -> Option<Event> {
    let usual = match one {
        EventType::ChannelOccupied | EventType::ChannelVacated | EventType::SubscriptionCount => "sample",
        EventType::MemberAdded | EventType::MemberRemoved => "presence-sample",
        EventType::ClientEvent => "private-sample",
        EventType::CacheMiss => "cache-sample",
    };
    let name = endpoint.channels.as_ref().map_or_else(|| usual.to_owned(), |pattern| pattern.fill("sample"));
    let channel = ChannelName::parse(&name, Limits::default().channel_name_chars.max(name.len())).ok()?;
    Some(match one {
        EventType::ChannelOccupied => Event::ChannelOccupied(channel),
        EventType::ChannelVacated => Event::ChannelVacated(channel),
        EventType::MemberAdded => Event::MemberAdded(channel, "sample-user".into()),
        EventType::MemberRemoved => Event::MemberRemoved(channel, "sample-user".into()),
        EventType::ClientEvent => Event::ClientEvent(Box::new(ClientEvent {
            user_id: channel.channel_type().is_presence().then(|| "sample-user".into()),
            channel,
            event: "client-sample".into(),
            data: string_literal(r#"{"sample":true}"#).into(),
            socket_id: SocketId::new(1, 1),
        })),
        EventType::CacheMiss => Event::CacheMiss(channel),
        EventType::SubscriptionCount => Event::SubscriptionCount(channel, 1),
    })
}

/// Sends a sample once, as a webhook of this app. `None` if the app has no key that could sign it, or no channel that
/// could be in it. Must run within a runtime.
pub async fn send(
    client: &HttpClient,
    app: &App,
    delivery: &Delivery,
    endpoint: &Endpoint,
    one: EventType,
) -> Option<Sampled> {
    let millis = clock::unix_millis();
    // No node is called so: it is another than every event that happens.
    let occasion = Occasion { incarnation: 0, version: u64::try_from(millis).unwrap_or_default() };
    let told = Told { event: event(one, endpoint)?, occasion };
    let text = body(millis, [told.to_json(&app.id).as_str()]);
    let signed = Signed::new(text, signing_key(app)?, endpoint)?;
    let begun = clock::machine();
    let reply = client.send(endpoint, &signed, 1, delivery.timeout).await;
    Some(Sampled { reply, duration: clock::machine().duration_since(begun) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::pattern::Pattern;
    use crate::webhook::EventTypes;

    #[test]
    fn a_sample_is_something_the_endpoint_wants() {
        let mut endpoint = Endpoint::new("http://localhost/").unwrap();
        endpoint.channels = Some(Pattern::parse("presence-room-*").unwrap());
        for one in EventType::ALL {
            endpoint.events = [one].into_iter().collect::<EventTypes>();
            assert_eq!(usual_type(&endpoint), one);
            let event = event(one, &endpoint).unwrap();
            assert!(event.event_type() == one && endpoint.wants(one, event.channel()));
        }
        endpoint.channels = None;
        let member = event(EventType::MemberAdded, &endpoint).unwrap();
        assert!(member.channel().channel_type().is_presence());
    }
}
