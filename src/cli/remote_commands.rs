//! `trigger`, `channels`, `users`, `connections`, `terminate` and `webhooks attempts`: what any broker is asked over its
//! HTTP API, and what only an admin listener tells.

use std::io::Read;

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value as Json, json};

use super::audience::WhoIsThere;
use super::channels::{ChannelsArguments, run_channels};
use super::doctor::{DoctorArguments, run_doctor};
use super::lines::{NotUnderstood, lines_or, members_of, silent_lines};
use super::members::run_users;
use super::remote::{
    AdminArguments, BrokerArguments, Remote, RemoteFailure, count, harmless, json_line, path_of,
};
use super::signed_things::{SignAction, WhyAction, run_sign, run_why};
use super::tail::{TailArguments, run_tail};

/// Bytes that are read of standard input, as no broker takes more in one event.
const INPUT_BYTES: u64 = 16 * 1024 * 1024;

const EXIT_CODES: &str = "Exit code 0: done; 1: it was not, with the reason; 2: it could not be asked for.";

#[derive(Subcommand, Clone, Debug, PartialEq, Eq)]
pub(super) enum RemoteCommand {
    /// Sign what a backend signs, and show the string that was signed.
    ///
    /// Nothing is sent to anybody. Exit code 0: signed; 2: not.
    Sign {
        #[command(subcommand)]
        action: SignAction,
    },
    /// Say why a signature was refused: what it was made of instead, if that can be proved.
    ///
    /// Nothing is sent to anybody. Exit code 0: the signature is right; 1: it is not, with what differs; 2: it cannot be told.
    Why {
        #[command(subcommand)]
        action: WhyAction,
    },
    /// Examine a server and the way to it: what was tried, what came, what to change.
    ///
    /// It looks the name up, connects, looks at the certificate, opens a WebSocket as clients do, signs requests as backends do,
    /// sends an event to itself on a private channel of its own, and tries the HTTP fallbacks, and what a proxy may do to them. It works against any server of the Pusher Channels protocol, and shows
    /// no secret. Exit code 0: there is no fault; 1: there is one, or something was not tried; 2: it could not be examined.
    Doctor(DoctorArguments),
    /// Publish an event, and say whether anybody is subscribed.
    #[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
    Trigger {
        #[command(flatten)]
        broker: BrokerArguments,
        #[arg(value_name = "CHANNEL")]
        channel: String,
        #[arg(value_name = "EVENT")]
        event: String,
        /// The payload, as it is; - reads it from standard input [default: {}].
        #[arg(value_name = "DATA", allow_hyphen_values = true)]
        data: Option<String>,
        /// The connection that is not sent it.
        #[arg(long, value_name = "SOCKET_ID")]
        except: Option<String>,
    },
    /// Show the channels that somebody is subscribed to, or what there is of one.
    ///
    /// Any server tells whether it is occupied, how many are subscribed, its members, and what a cache channel remembers, as far as
    /// the app has that switched on. An admin listener of heliostat, which --admin or --token has it ask, tells of each channel;
    /// of one also which connections are subscribed, what it keeps, and how much passes while the command watches.
    #[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
    Channels(ChannelsArguments),
    /// Show the members of a presence channel.
    #[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
    Users {
        #[command(flatten)]
        broker: BrokerArguments,
        #[arg(value_name = "CHANNEL", value_parser = NonEmptyStringValueParser::new())]
        channel: String,
    },
    /// End all connections of a user, or one connection.
    #[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
    Terminate {
        #[command(flatten)]
        broker: BrokerArguments,
        #[arg(value_name = "USER_ID", value_parser = NonEmptyStringValueParser::new())]
        user_id: String,
    },
    /// Show what happens while it happens: events, refusals, connections; of heliostat, by its admin listener.
    ///
    /// Of each event it says how many connections received it, and where nobody did, what channel was perhaps meant; of each
    /// refusal what it came from. Exit code 0: so many lines were shown as were asked for; 1: the broker has ended it; 2: it
    /// could not be asked for.
    Tail(TailArguments),
    /// Show the connections of an app, or one of them; of heliostat, by its admin listener.
    #[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
    Connections {
        #[command(flatten)]
        admin: AdminArguments,
        #[arg(value_name = "SOCKET_ID", value_parser = NonEmptyStringValueParser::new())]
        socket_id: Option<String>,
        /// End this connection; its client may come back.
        #[arg(long, requires = "socket_id")]
        close: bool,
    },
}

impl RemoteCommand {
    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            RemoteCommand::Sign { .. } => "sign",
            RemoteCommand::Why { .. } => "why",
            RemoteCommand::Doctor(_) => "doctor",
            RemoteCommand::Trigger { .. } => "trigger",
            RemoteCommand::Channels(_) => "channels",
            RemoteCommand::Users { .. } => "users",
            RemoteCommand::Terminate { .. } => "terminate",
            RemoteCommand::Connections { .. } => "connections",
            RemoteCommand::Tail(_) => "tail",
        }
    }
}

/// What to print, and whether all is well.
pub(super) fn run_remote(command: &RemoteCommand) -> Result<(String, bool), RemoteFailure> {
    let done = |text: String| (text, true);
    match command {
        RemoteCommand::Sign { action } => run_sign(action).map(done),
        RemoteCommand::Why { action } => run_why(action),
        RemoteCommand::Doctor(doctor) => run_doctor(doctor).map(|is_well| (String::new(), is_well)),
        RemoteCommand::Trigger { broker, channel, event, data, except } => {
            let data = match data.as_deref() {
                Some("-") => standard_input()?,
                other => other.unwrap_or("{}").to_owned(),
            };
            trigger(broker, channel, event, &data, except.as_deref()).map(done)
        }
        RemoteCommand::Channels(arguments) => run_channels(arguments).map(done),
        RemoteCommand::Users { broker, channel } => run_users(broker, channel).map(done),
        RemoteCommand::Terminate { broker, user_id } => {
            let remote = Remote::broker(broker)?;
            let path = remote.app_path(&["users", user_id, "terminate_connections"]);
            let answer = remote.post(&path, &json!({}))?;
            let told = format!("the connections of {} are ended\n", harmless(user_id));
            Ok(done(if broker.json { format!("{}\n", json_line(&answer)) } else { told }))
        }
        RemoteCommand::Tail(tail) => run_tail(tail).map(|()| done(String::new())),
        RemoteCommand::Connections { admin, socket_id, close } => {
            connections(admin, socket_id.as_deref(), *close).map(done)
        }
    }
}

fn standard_input() -> Result<String, RemoteFailure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(INPUT_BYTES).read_to_string(&mut text);
    read.map_err(|error| RemoteFailure::usage(format!("standard input cannot be read: {error}")))?;
    Ok(text)
}

fn trigger(
    broker: &BrokerArguments,
    channel: &str,
    event: &str,
    data: &str,
    except: Option<&str>,
) -> Result<String, RemoteFailure> {
    let remote = Remote::broker(broker)?;
    let mut body = json!({ "name": event, "channel": channel, "data": data });
    if let Some(except) = except {
        body["socket_id"] = except.into();
    }
    let answer = remote.post(&remote.app_path(&["events"]), &body)?;
    let audience = WhoIsThere::of(&remote, channel);
    if broker.json {
        let told = json!({ "answer": answer, "channel": channel, "audience": audience.as_json() });
        return Ok(format!("{}\n", json_line(&told)));
    }
    Ok(format!("sent {} to {}: {}\n", harmless(event), harmless(channel), audience.sentence(channel)))
}

fn connections(
    admin: &AdminArguments,
    socket_id: Option<&str>,
    close: bool,
) -> Result<String, RemoteFailure> {
    let (remote, app) = (Remote::admin(&admin.place)?, admin.app_id()?);
    let below = |rest: &[&str]| path_of(&["console", "api", "apps", &app, "connections"], rest);
    let Some(socket_id) = socket_id else {
        let (all, silent) = remote.list(&below(&[]), &[])?;
        if admin.json {
            let ids: Vec<&Json> = all.iter().map(|item| &item["socket_id"]).collect();
            let told = json!({ "connections": ids, "silent": silent });
            return Ok(format!("{}\n", json_line(&told)));
        }
        return Ok(connection_lines(&all) + &silent_lines(&silent));
    };
    if close {
        let answer = remote.post(&below(&[socket_id, "close"]), &json!({}))?;
        let told = format!("{} is closed\n", harmless(socket_id));
        return Ok(if admin.json { format!("{}\n", json_line(&answer)) } else { told });
    }
    let found = remote.get(&below(&[socket_id]), &[])?;
    Ok(if admin.json { format!("{}\n", json_line(&found)) } else { members_of(&found) })
}

/// The connections of a list, a line each.
fn connection_lines(all: &[Json]) -> String {
    let (mut lines, mut not_understood) = (Vec::new(), NotUnderstood::default());
    for item in all {
        match connection_line(item) {
            Some(line) => lines.push(line),
            None => not_understood.add(item),
        }
    }
    lines.extend(not_understood.line());
    lines_or(lines, "nobody is connected")
}

/// A connection in a list, with its node where there are several.
fn connection_line(item: &Json) -> Option<String> {
    let shown = |name: &str| item[name].as_str().map(harmless);
    let id = shown("socket_id")?;
    Some(shown("node_name").map_or_else(|| id.clone(), |node| format!("{id}  {node}")))
}

/// What webhooks were sent last, as the admin listener remembers it.
pub(super) fn webhook_attempts(admin: &AdminArguments) -> Result<String, RemoteFailure> {
    let (remote, app) = (Remote::admin(&admin.place)?, admin.app_id()?);
    let answer = remote.get(&path_of(&["console", "api", "apps", &app, "webhooks"], &[]), &[])?;
    if admin.json {
        return Ok(format!("{}\n", json_line(&answer)));
    }
    let endpoints = answer["endpoints"].as_array().ok_or_else(|| remote.no_list())?;
    let lines = endpoints.iter().flat_map(endpoint_lines).collect();
    let silent = answer["silent"].as_array().map_or(&[][..], Vec::as_slice);
    Ok(lines_or(lines, "the app has no webhooks") + &silent_lines(silent))
}

fn endpoint_lines(endpoint: &Json) -> Vec<String> {
    let number = |value: &Json, name: &str| value[name].as_u64().unwrap_or_default();
    let url = harmless(endpoint["url"].as_str().unwrap_or("-"));
    let [waiting, delivered, failed] =
        ["waiting", "delivered", "failed_of_latest"].map(|name| number(endpoint, name));
    let mut lines = vec![format!("{url}  {waiting} waiting, {delivered} delivered, {failed} failed")];
    let attempts = endpoint["attempts"].as_array().into_iter().flatten();
    lines.extend(attempts.map(|attempt| {
        let outcome = match (attempt["status"].as_u64(), attempt["error"].as_str()) {
            (Some(status), _) => status.to_string(),
            (None, error) => harmless(error.unwrap_or("no answer")),
        };
        let (events, millis) = (count(number(attempt, "events"), "event"), number(attempt, "duration_ms"));
        let node = attempt["node_name"].as_str().map(|node| format!(", by {}", harmless(node)));
        let node = node.unwrap_or_default();
        format!("    attempt {}: {events}, {outcome} in {millis} ms{node}", number(attempt, "number"))
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_are_lines() {
        let endpoint = json!({
            "url": "http://h/\u{1b}[2J", "waiting": 1, "delivered": 2, "failed_of_latest": 3,
            "attempts": [
                { "number": 1, "events": 2, "status": 500, "duration_ms": 7 },
                { "number": 2, "events": 1, "status": null, "error": "refused", "duration_ms": 1, "node_name": "b" },
            ],
        });
        assert_eq!(
            endpoint_lines(&endpoint),
            [
                "http://h/\u{fffd}[2J  1 waiting, 2 delivered, 3 failed",
                "    attempt 1: 2 events, 500 in 7 ms",
                "    attempt 2: 1 event, refused in 1 ms, by b",
            ]
        );
        let all = [json!({ "socket_id": "1.2", "node_name": "b" }), json!({ "socket_id": "3.4" }), json!(5)];
        assert_eq!(connection_lines(&all), "1.2  b\n3.4\n(1 is not understood: 5)\n");
        assert_eq!(connection_lines(&[]), "nobody is connected\n");
    }
}
