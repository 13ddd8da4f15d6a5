//! The black-box suite over the raw wire: one file per behaviour, one function per thing a client can observe.
//!
//! The line `Proves:` that ends each function's comment names the statements of the conformance checklist
//! (`docs/conformance.md`) which that function proves.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports its failure")]

mod activation;
mod admin;
mod admin_apps;
mod admin_apps_described;
mod admission;
mod apps_command;
mod authorise;
mod authorized;
mod bad_frames;
mod binary;
mod bounds_metrics;
mod cache;
mod certificates;
mod channel_names;
mod client_address;
mod client_event_limits;
mod client_events;
mod command_line;
mod compose;
mod connection;
mod console;
mod console_channels;
mod console_live;
mod console_pipe;
mod console_reload;
mod counts;
mod development;
mod exec;
mod fallback_bad;
mod fallback_native;
mod frames;
mod framing;
mod heartbeat;
mod history;
mod http_api_page;
mod http_auth;
mod http_bad;
mod http_batch;
mod http_channels;
mod http_ends;
mod http_events;
mod http_legacy;
mod http_once;
mod http_rates;
mod http_unread;
mod import;
mod isolation;
mod lan;
mod latest_only;
mod listeners;
mod log;
mod log_callers;
mod log_doors;
mod log_events;
mod log_quiet;
mod log_streams;
mod long_turns;
mod open_files;
mod origins;
mod pipe_experiment;
mod pipe_rule;
mod pipe_rule_rates;
mod pipe_wire;
mod pipe_wire_modern;
mod pipe_wire_safety;
mod presence;
mod presence_faults;
mod presence_limits;
mod proxy_protocol;
mod quotas;
mod readiness;
mod recovery;
mod recovery_names;
mod recovery_sessions;
mod refusals;
mod relay;
mod reload;
mod rewind;
mod sdk;
mod shutdown;
mod sockjs;
mod storm;
mod streams;
mod streams_resumed;
mod subscribe;
mod test_clock;
mod test_faults;
mod test_mode;
mod test_next_due;
mod test_resumed;
mod test_webhooks;
mod transports;
mod upgrade;
mod upgrade_link;
mod upgrade_moments;
mod upgrade_recovery;
mod usage;
mod users;
mod versions;
mod video;
mod video_lines;
mod video_paths;
mod video_reload;
mod video_renditions;
mod video_strangers;
mod watchlists;
mod webhook_delivery;
mod webhooks;
mod webhooks_churn;
mod webm;
mod websocket_cases;
mod why;

use std::time::Instant;

use heliostat_protocol_tests::{Socket, Target, patience, unique};
use serde_json::Value;

/// Tries again until `attempt` succeeds, and answers what it answered. An attempt asks the server, so the tries
/// pace themselves.
#[track_caller]
fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {:?}: {what}", patience());
    }
}

/// Asserts that nothing was delivered to these subscribers of `channel` that they have not read: one more event is
/// published, and since the events of a channel arrive in their order, it must be the next thing each one hears. A
/// ping would not do: its answer says nothing of what other connections have under way to this one.
#[track_caller]
fn fence<'s>(target: &Target, channel: &str, subscribers: impl IntoIterator<Item = &'s mut Socket>) {
    let name = unique("fence-");
    target.publish(channel, &name, "");
    for socket in subscribers {
        socket.expect_on(channel, &name);
    }
}

/// Publishes an event and has these subscribers of `channel` read everything up to it, whatever that is.
#[track_caller]
fn settle<'s>(target: &Target, channel: &str, subscribers: impl IntoIterator<Item = &'s mut Socket>) {
    let name = unique("settle-");
    target.publish(channel, &name, "");
    for socket in subscribers {
        while socket.message().event != name {}
    }
}

/// The members' names of a JSON object, sorted.
#[track_caller]
fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
