//! What holds for WebSockets across nodes holds for every other transport: the same scenarios, with clients of all nodes
//! on it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use heliostat_protocol_tests::Transport;

use crate::{cache, events, joins, presence, users};

/// One scenario by its name.
type Scenario = (&'static str, fn());

const SCENARIOS: &[Scenario] = &[
    ("every subscriber, every event", events::every_subscriber_on_every_node_gets_every_event_once),
    ("client events", events::client_events_cross_in_order),
    ("exclusion", events::the_sender_is_excluded_on_whatever_node_it_is),
    ("right after the success", joins::the_first_subscriber_hears_what_is_published_right_after_its_success),
    ("behind a waiting join", joins::what_follows_a_waiting_join_queues_behind_it),
    ("rosters", presence::a_roster_holds_the_members_of_all_nodes),
    ("counts", presence::subscriptions_are_counted_across_nodes),
    ("events of users", users::a_users_events_reach_the_user_on_every_node),
    ("ends of users", users::a_users_connections_end_on_every_node),
    ("remembered events", cache::the_last_event_waits_on_every_node),
];

fn all_over(transport: Transport) {
    let mut failed = Vec::new();
    for (name, scenario) in SCENARIOS {
        if catch_unwind(AssertUnwindSafe(|| transport.carry(scenario))).is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "over {transport:?} failed: {failed:?}");
}

/// Over a stream of lines.
///
/// Proves: N1, N2, N5, N8, N9.
#[test]
fn over_xhr_streaming() {
    all_over(Transport::XhrStreaming);
}

/// Over polls.
///
/// Proves: N1, N2, N5, N8, N9.
#[test]
fn over_xhr_polling() {
    all_over(Transport::XhrPolling);
}

/// Over SockJS's stream.
///
/// Proves: N1, N2, N5, N8, N9.
#[test]
fn over_sockjs_streaming() {
    all_over(Transport::SockJsStreaming);
}

/// Over SockJS's WebSocket.
///
/// Proves: N1, N2, N5, N8, N9.
#[test]
fn over_sockjs_web_socket() {
    all_over(Transport::SockJsWebSocket);
}
