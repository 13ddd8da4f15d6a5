//! What one app allows its clients and its backend: sizes, counts and rates.

/// The limits of one app. Every default is hosted Pusher's own value, so that an application that fits here
/// fits there; a camera app raises the ones it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of one event's `data` published over HTTP, after JSON unescaping. Over it: HTTP 413.
    pub event_payload_bytes: usize,
    /// Characters in an event name, over HTTP and from clients. Over it: HTTP 400, or a `pusher:error`.
    pub event_name_chars: usize,
    /// Distinct channels in one published event. Over it: HTTP 400.
    pub channels_per_event: usize,
    /// Events in one `batch_events` request. Over it: HTTP 400.
    pub events_per_batch: usize,
    /// Characters in a channel name, prefixes included. Over it: HTTP 400, or a `pusher:error`.
    pub channel_name_chars: usize,
    /// Bytes of one client event's `data`, as delivered. Over it: `pusher:error` 4301.
    pub client_event_payload_bytes: usize,
    /// Client events per second and connection, and the burst allowed at once; 0 lifts the limit.
    /// Over it: each excess event is rejected with `pusher:error` 4301.
    pub client_events_per_second: u32,
    /// Events per second that the app's backend may publish over HTTP, all workers of the node together, and the burst
    /// allowed at once; 0 lifts the limit. An event counts once for each of its channels, a batch as its events do. Over
    /// it: HTTP 429; a request that alone has more than this: HTTP 400.
    pub backend_events_per_second: u32,
    /// Ids that its backend gives to what it publishes over HTTP and that are remembered at once; 0: none, and they are
    /// passed over. Over it: the oldest is forgotten.
    pub publish_ids: usize,
    /// Requests per second for the state of channels over HTTP, all workers of the node together, and the burst allowed at
    /// once; 0 lifts the limit. Over it: HTTP 429.
    pub read_requests_per_second: u32,
    /// Distinct members of one presence channel. Over it: the subscription is refused.
    pub presence_members_per_channel: usize,
    /// Characters in a presence `user_id`. Over it: the subscription is refused.
    pub presence_user_id_chars: usize,
    /// Bytes of a presence member's `channel_data`. Over it: the subscription is refused.
    pub presence_member_bytes: usize,
    /// Channels one connection may be subscribed to at once; 0 lifts the limit. Over it: the subscription is
    /// refused. Hosted Pusher states no such limit.
    pub subscriptions_per_connection: usize,
    /// Simultaneous connections of the app; 0 lifts the limit. Over it: close 4004.
    pub connections: usize,
    /// Bytes that may wait for one slow reader of this app; 0: as many as for those of the whole node
    /// (`connection.outbox_bytes`). Over it: close 4100.
    pub outbox_bytes: usize,
    /// Frames that may wait for one slow reader of this app; 0: as many as for those of the whole node
    /// (`connection.outbox_frames`). Over it: close 4100.
    pub outbox_frames: usize,
    /// Bytes of one inbound WebSocket message. Over it: close 1009. The broker raises it by itself where the
    /// client-event or pipe limits need more (see [`Limits::inbound_message_bytes`]).
    pub message_bytes: usize,
    /// Users whom one connection may watch. Of a longer watchlist the first ones count; `pusher:error` 4302.
    pub watchlist_users: usize,
    /// Cache channels that remember an event at once. Over it: the oldest is forgotten.
    pub cached_channels: usize,
    /// Bytes of all remembered events together. Over it: the oldest are forgotten.
    pub cached_bytes: usize,
    /// Bytes that the histories of all channels of the app may hold together on this node. Over it: the oldest events go.
    pub history_bytes: usize,
    /// Bytes of one message that only a pipe hears (an event without the `client-` prefix).
    /// Over it: `pusher:error` 4301.
    pub pipe_message_bytes: usize,
    /// Backends that may be connected to the pipe's wire at once; 0 lifts the limit. Over it: close 4004. They do not
    /// count as connections of the app.
    pub pipe_connections: usize,
    /// Bytes of one binary message, its header included, from a connection that may send them (`docs/binary.md`).
    /// Over it: `pusher:error` 4301; far over it: close 1009.
    pub binary_message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            event_payload_bytes: 10_240,
            event_name_chars: 200,
            channels_per_event: 100,
            events_per_batch: 10,
            channel_name_chars: 164,
            client_event_payload_bytes: 10_240,
            client_events_per_second: 10,
            backend_events_per_second: 0,
            publish_ids: 100_000,
            read_requests_per_second: 0,
            presence_members_per_channel: 100,
            presence_user_id_chars: 128,
            presence_member_bytes: 1024,
            subscriptions_per_connection: 10_000,
            connections: 0,
            outbox_bytes: 0,
            outbox_frames: 0,
            message_bytes: 128 * 1024,
            watchlist_users: 100,
            cached_channels: 10_000,
            cached_bytes: 64 * 1024 * 1024,
            history_bytes: 64 * 1024 * 1024,
            pipe_message_bytes: 1024 * 1024,
            pipe_connections: 100,
            binary_message_bytes: 1024 * 1024,
        }
    }
}

/// What a message holds besides a payload.
const ENVELOPE_BYTES: usize = 4096;

impl Limits {
    /// The bytes one inbound message may have, so that every payload the other limits allow fits with its
    /// envelope. JSON escaping may double a payload of quotes; more than that is not provided for.
    pub fn inbound_message_bytes(&self, pipe_listens: bool) -> usize {
        let client_event = self.client_event_payload_bytes.saturating_mul(2).saturating_add(ENVELOPE_BYTES);
        let piped = if pipe_listens { self.pipe_message_bytes.saturating_add(ENVELOPE_BYTES) } else { 0 };
        self.message_bytes.max(client_event).max(piped)
    }

    /// The bytes one inbound message may have on a connection that may send binary ones: `text`, or as much as makes a
    /// binary message that is a little too large worth an answer.
    pub fn inbound_bytes_with_binary(&self, text: usize) -> usize {
        text.max(self.binary_message_bytes.saturating_add(ENVELOPE_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_may_hold_every_payload_the_other_limits_allow() {
        let pushers = Limits::default();
        assert_eq!(pushers.inbound_message_bytes(false), 128 * 1024);
        assert_eq!(pushers.inbound_message_bytes(true), 1024 * 1024 + 4096);
        let camera = Limits { client_event_payload_bytes: 1 << 20, ..Limits::default() };
        assert_eq!(camera.inbound_message_bytes(false), (2 << 20) + 4096);
    }
}
