//! The one list: what is proved over the WebSocket holds over every other transport, because a transport only carries
//! frames. Each scenario is a test of its own file, run again with its clients on another transport.
//!
//! Not in the list is what concerns the WebSocket itself, the sizes of its messages, and how TCP connections end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use heliostat_protocol_tests::Transport;

use crate::{
    authorise, authorized, cache, channel_names, client_events, counts, http_events, isolation, pipe_rule,
    presence,
};
use crate::{presence_limits, refusals, subscribe, users, versions, watchlists};

/// One scenario by its name.
type Scenario = (&'static str, fn());

macro_rules! scenarios {
    ($($file:ident::$scenario:ident),* $(,)?) => {
        &[$((concat!(stringify!($file), "::", stringify!($scenario)), $file::$scenario)),*]
    };
}

const SCENARIOS: &[Scenario] = scenarios![
    authorise::a_signed_private_subscription_succeeds,
    authorise::one_wrong_digit_fails_without_telling_the_right_one,
    authorise::a_signature_for_another_socket_or_channel_fails,
    authorise::missing_auth_fails,
    authorise::channel_data_is_signed_as_it_was_sent,
    authorized::who_does_not_authorize_itself_is_closed_with_4009,
    authorized::one_proof_is_enough_for_life,
    cache::the_last_event_waits_for_those_who_come_later,
    cache::other_channels_remember_nothing,
    cache::ciphertext_is_remembered_untouched,
    cache::client_events_are_not_remembered,
    cache::joining_in_the_middle_loses_and_repeats_nothing,
    channel_names::every_forbidden_character_is_refused,
    channel_names::each_type_asks_for_its_authorisation,
    client_events::the_others_get_it_and_the_sender_does_not,
    client_events::the_same_users_other_connection_gets_it,
    client_events::data_arrives_as_a_string,
    client_events::a_value_arrives_as_the_same_value,
    client_events::the_sender_is_named_on_presence_channels_only,
    client_events::with_the_flag_off_nothing_is_delivered,
    client_events::only_subscribers_may_send,
    client_events::of_several_faults_the_first_in_order_is_told,
    client_events::events_arrive_in_order,
    client_events::encrypted_payloads_arrive_byte_for_byte,
    counts::every_change_is_told_to_every_subscriber,
    counts::presence_channels_are_told_no_count,
    http_events::an_event_for_several_channels_arrives_in_each,
    http_events::data_arrives_untouched,
    http_events::one_connection_can_be_left_out,
    http_events::an_event_stays_in_its_app,
    isolation::channels_of_the_same_name_are_two_channels,
    isolation::rosters_hold_the_own_apps_members,
    pipe_rule::payloads_go_on_unchanged,
    pipe_rule::add_merges_members_into_objects,
    pipe_rule::what_no_rule_hears_is_unsupported,
    presence::the_roster_holds_everybody,
    presence::a_numeric_id_is_the_same_user_as_its_digits,
    presence::the_others_hear_who_came,
    presence::user_info_arrives_unchanged,
    presence::a_user_has_gone_with_its_last_connection,
    presence::leaving_and_joining_again_is_announced_each_time,
    presence::roster_and_announcements_agree,
    presence::old_protocols_see_connections_instead_of_users,
    presence::closing_leaves_every_channel,
    presence_limits::channel_data_without_a_user_id_is_refused,
    presence_limits::user_info_must_be_an_object,
    refusals::an_unknown_key_is_closed_with_4001,
    refusals::an_unsupported_protocol_is_closed_with_4007,
    refusals::an_unreadable_version_is_closed_with_4006,
    refusals::a_disabled_app_is_closed_with_4003,
    refusals::what_keeps_a_connection_open_is_no_close_code,
    subscribe::a_public_subscription_succeeds,
    subscribe::credentials_are_ignored_where_none_are_needed,
    subscribe::a_second_subscription_is_refused_and_changes_nothing,
    subscribe::unsubscribing_ends_delivery_without_a_reply,
    subscribe::unsubscribing_an_unknown_channel_is_an_error,
    subscribe::a_channel_can_be_subscribed_again,
    subscribe::a_subscription_without_a_channel_is_an_error,
    subscribe::subscriptions_end_with_their_connection,
    subscribe::old_protocols_get_no_success_on_public_and_private_channels,
    subscribe::a_failure_is_also_told_on_the_channel,
    users::a_sign_in_is_confirmed_with_what_was_sent,
    users::a_faulty_sign_in_is_told_why,
    users::a_users_events_reach_the_users_connections,
    users::a_users_connections_can_be_ended,
    users::old_protocols_are_told_by_an_error,
    users::a_signed_in_user_is_a_member_without_saying_so,
    versions::each_named_version_gets_its_own_first_frame,
    versions::the_version_of_the_library_implies_the_protocol,
    versions::a_named_protocol_wins_over_the_version,
    versions::a_client_that_names_no_version_gets_both_first_frames,
    versions::the_oldest_library_subscribes_in_its_url,
    versions::every_version_is_pinged_ponged_and_subscribed_alike,
    watchlists::a_watchlist_is_replaced_by_signing_in_again,
    watchlists::a_long_watchlist_counts_as_far_as_a_hundred,
];

/// Runs the whole list over one transport, and tells of every scenario that fails.
fn run(transport: Transport) {
    let failed: Vec<&str> = SCENARIOS
        .iter()
        .filter(|(_, scenario)| catch_unwind(AssertUnwindSafe(|| transport.carry(*scenario))).is_err())
        .map(|(name, _)| *name)
        .collect();
    assert!(
        failed.is_empty(),
        "over {transport:?} {} of {} fail: {failed:#?}",
        failed.len(),
        SCENARIOS.len()
    );
}

/// pusher-js's stream.
///
/// Proves: 230, 232.
#[test]
fn everything_works_over_xhr_streaming() {
    run(Transport::XhrStreaming);
}

/// pusher-js's polls.
///
/// Proves: 232, 234.
#[test]
fn everything_works_over_xhr_polling() {
    run(Transport::XhrPolling);
}

/// SockJS's stream.
///
/// Proves: 240, 242.
#[test]
fn everything_works_over_sockjs_streaming() {
    run(Transport::SockJsStreaming);
}

/// SockJS's polls.
///
/// Proves: 240, 242.
#[test]
fn everything_works_over_sockjs_polling() {
    run(Transport::SockJsPolling);
}

/// SockJS's WebSocket.
///
/// Proves: 240.
#[test]
fn everything_works_over_a_sockjs_websocket() {
    run(Transport::SockJsWebSocket);
}

/// SockJS's WebSocket without framing.
///
/// Proves: 240.
#[test]
fn everything_works_over_a_raw_sockjs_websocket() {
    run(Transport::SockJsRawWebSocket);
}
