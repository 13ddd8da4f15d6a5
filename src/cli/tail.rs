//! `tail`: what happens in the apps of a broker, while it happens, as its admin listener tells it.

use std::collections::HashMap;
use std::fmt::Write as _;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Value as Json, json};

use super::feed_socket::FeedSocket;
use super::lines::beginning;
use super::remote::{
    AdminArguments, Remote, RemoteFailure, are_subscribed, count, harmless, is_colourful, json_line, path_of,
};
use crate::config::nearest;
use crate::feed::FeedKind;

/// What is to be shown.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct TailArguments {
    #[command(flatten)]
    admin: AdminArguments,
    /// Only of this kind; may be repeated [default: all but api].
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(FeedKind::ALL.map(FeedKind::name)))]
    kind: Vec<String>,
    /// Only of channels whose names fit, with * for anything.
    #[arg(long, value_name = "PATTERN")]
    channel: Option<String>,
    /// Only events whose names fit, with * for anything.
    #[arg(long, value_name = "PATTERN")]
    event: Option<String>,
    /// Only of this connection.
    #[arg(long, value_name = "SOCKET_ID")]
    socket: Option<String>,
    /// Only of this user.
    #[arg(long, value_name = "USER_ID")]
    user: Option<String>,
    /// Only what has this text in its payload, name or reason.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Only of this node of a cluster, by its name or id.
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// End after so many lines.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    lines: Option<u64>,
}

impl TailArguments {
    /// What the feed is asked for.
    fn filter(&self) -> Json {
        let kinds: Vec<&str> = match self.kind.as_slice() {
            // What asks the broker is rarely what is looked for, and each event of the HTTP API is told by itself.
            [] => {
                FeedKind::ALL.iter().filter(|kind| **kind != FeedKind::Api).map(|kind| kind.name()).collect()
            }
            kinds => kinds.iter().map(String::as_str).collect(),
        };
        let mut filter = json!({ "type": "filter", "kinds": kinds });
        for (name, value) in [
            ("app", self.admin.given_app()),
            ("channel", self.channel.as_deref()),
            ("event", self.event.as_deref()),
            ("socket_id", self.socket.as_deref()),
            ("user_id", self.user.as_deref()),
            ("text", self.text.as_deref()),
            ("node", self.node.as_deref()),
        ] {
            if let Some(value) = value {
                filter[name] = value.into();
            }
        }
        filter
    }
}

/// Shows what happens until the broker ends, or so many lines were shown.
pub(super) fn run_tail(tail: &TailArguments) -> Result<(), RemoteFailure> {
    let style = if is_colourful() { Style::Colourful } else { Style::Plain };
    show(tail, style, &mut std::io::stdout().lock())
}

fn show(tail: &TailArguments, style: Style, out: &mut impl std::io::Write) -> Result<(), RemoteFailure> {
    let remote = Remote::admin(&tail.admin.place)?;
    let (url, token) = remote.feed();
    remote.block_on(async {
        let mut socket = FeedSocket::open(&url, token).await?;
        socket.say(tail.filter().to_string()).await?;
        if let Some(app) = tail.admin.given_app() {
            // One that is not there would be waited for without a word.
            remote.fetch(&channels_of(app), &[("limit", "1")]).await?;
        }
        let mut left = tail.lines.unwrap_or(u64::MAX);
        while let Some(text) = socket.hear().await? {
            let told: Json = serde_json::from_str(&text).map_err(RemoteFailure::not_done)?;
            if told["type"] == "error" {
                return Err(RemoteFailure::usage(harmless(told["message"].as_str().unwrap_or(&text))));
            }
            let mut channels = ChannelsAsked::default();
            for entry in told["entries"].as_array().into_iter().flatten() {
                let line = if tail.admin.json {
                    json_line(entry)
                } else {
                    line_of(entry, channels.nearest(&remote, entry).await.as_deref(), style)
                };
                // A reader that has gone wants no more.
                if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                    return Ok(());
                }
                left -= 1;
                if left == 0 {
                    return Ok(());
                }
            }
            let beside = not_shown(&told).or_else(|| silent(&told));
            if let Some(beside) = beside.filter(|_| !tail.admin.json)
                && writeln!(out, "{beside}").and_then(|()| out.flush()).is_err()
            {
                return Ok(());
            }
        }
        Err(RemoteFailure::not_done("the broker has ended the feed"))
    })
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Colourful,
}

/// The channels of apps, each asked for once for all entries that are told together.
#[derive(Debug, Default)]
struct ChannelsAsked(HashMap<String, Json>);

impl ChannelsAsked {
    /// Where an event that nobody received may have been meant for: a sentence.
    async fn nearest(&mut self, remote: &Remote, entry: &Json) -> Option<String> {
        let (app, channel) = (entry["app"].as_str()?, entry["channel"].as_str()?);
        if entry["kind"] != "events" || entry["receivers"] != 0 {
            return None;
        }
        if !self.0.contains_key(app) {
            let answer = remote.fetch(&channels_of(app), &[("limit", "500")]).await.unwrap_or_default();
            self.0.insert(app.to_owned(), answer);
        }
        let items = self.0.get(app)?["items"].as_array()?;
        let names = items.iter().filter_map(|item| item["name"].as_str()).filter(|name| *name != channel);
        let alike = nearest(channel, names)?;
        let number = items.iter().find(|item| item["name"] == alike.as_str())?["subscriptions"].as_u64()?;
        Some(format!("{} to {}", are_subscribed(number), harmless(&alike)))
    }
}

/// The path of an app's channels.
fn channels_of(app: &str) -> String {
    path_of(&["console", "api", "apps", app, "channels"], &[])
}

/// One entry as a line.
fn line_of(entry: &Json, alike: Option<&str>, style: Style) -> String {
    let text = |name: &str| entry[name].as_str().map(harmless);
    let mut line = format!("{}  {}", time_of(&entry["at"]), what_of(entry, style));
    for name in
        ["node_name", "app", "socket_id", "user_id", "channel", "to_socket", "event", "method", "path", "url"]
    {
        if let Some(value) = text(name) {
            let _ = write!(line, "  {value}");
        }
    }
    for name in ["count", "code", "status", "attempt"] {
        if let Some(number) = entry[name].as_u64() {
            let _ = write!(line, "  {name} {number}");
        }
    }
    if let Some(reason) = text("reason") {
        let _ = write!(line, "  {reason}");
    }
    if let Some(cause) = entry["cause"]["sentence"].as_str() {
        let _ = write!(line, "  because {}", harmless(cause));
    }
    match (entry["receivers"].as_u64(), alike) {
        (Some(0), None) => line.push_str("  received by nobody"),
        (Some(0), Some(alike)) => {
            let _ = write!(line, "  nobody: {alike}");
        }
        (Some(number), _) => {
            let _ = write!(line, "  received by {number}");
            if let Some(others @ 1..) = entry["receivers_elsewhere"].as_u64() {
                let _ = write!(line, " ({others} on other nodes)");
            }
        }
        (None, _) => {}
    }
    if let Some(lost) = entry["out_of_reach"].as_u64() {
        let _ = write!(line, "  {} on other nodes out of reach", count(lost, "connection"));
    }
    if let Some(data) = entry["data"]["text"].as_str() {
        let _ = write!(line, "  {}", harmless(&beginning(data)));
    } else if let Some(bytes) = entry["data"]["bytes"].as_u64() {
        let _ = write!(line, "  {}", count(bytes, "byte"));
    }
    line
}

/// What happened, in a column.
fn what_of(entry: &Json, style: Style) -> String {
    let what = harmless(entry["what"].as_str().unwrap_or("-"));
    let what = if entry["kind"] == "refusals" { "refused".to_owned() } else { what };
    let padded = format!("{what:12}");
    let colour = match entry["kind"].as_str() {
        Some("refusals") => 31,
        Some("events" | "pipe") => 32,
        Some("connections") => 34,
        Some("webhooks" | "api") => 35,
        _ => 36,
    };
    match style {
        Style::Plain => padded,
        Style::Colourful => format!("\u{1b}[{colour}m{padded}\u{1b}[0m"),
    }
}

/// The time of day, of UTC, of milliseconds since 1970.
fn time_of(at: &Json) -> String {
    let millis = at.as_f64().unwrap_or_default().max(0.0) as u64;
    let (seconds, millis) = (millis / 1000 % 86_400, millis % 1000);
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// What is not shown, and why, if anything is.
fn not_shown(told: &Json) -> Option<String> {
    let left_out =
        told["left_out"].as_object().into_iter().flatten().filter_map(|(_, number)| number.as_u64());
    let number = |name: &str| told[name].as_u64().unwrap_or_default();
    let reasons = [
        (left_out.fold(0, u64::saturating_add), "too many in this second"),
        (number("missed").saturating_sub(number("lost")), "this command was too slow for them"),
        (number("lost"), "lost on the way between the nodes"),
    ];
    let told = reasons.into_iter().filter(|(number, _)| *number > 0);
    let told: Vec<_> = told.map(|(number, why)| format!("{number} more not shown: {why}")).collect();
    (!told.is_empty()).then(|| format!("({})", told.join("; ")))
}

/// Of which nodes nothing is heard, if that has just been told.
fn silent(told: &Json) -> Option<String> {
    let silent = told["silent"].as_array().filter(|silent| !silent.is_empty())?;
    let names: Vec<String> = silent.iter().filter_map(|node| node["name"].as_str()).map(harmless).collect();
    let why = silent.iter().find_map(|node| node["why"].as_str()).map(harmless).unwrap_or_default();
    Some(format!("(nothing is heard of what happens on {}: {why})", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Tailing {
        #[command(flatten)]
        tail: TailArguments,
    }

    /// Reads the head of a request.
    fn head(stream: &mut TcpStream) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// A frame of a client, which is short and masked.
    fn heard(stream: &mut TcpStream) -> String {
        let mut start = [0; 2];
        stream.read_exact(&mut start).unwrap();
        let mut length = usize::from(start[1] & 127);
        if length == 126 {
            let mut more = [0; 2];
            stream.read_exact(&mut more).unwrap();
            length = usize::from(u16::from_be_bytes(more));
        }
        let mut rest = vec![0; 4 + length];
        stream.read_exact(&mut rest).unwrap();
        let (mask, payload) = rest.split_at(4);
        let bytes = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        String::from_utf8(bytes).unwrap()
    }

    /// A text of a server.
    fn frame(text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).unwrap();
        [&[0x81, 126], length.to_be_bytes().as_slice(), text.as_bytes()].concat()
    }

    /// An admin listener that tells this, and of the channels that there are as often as it is asked.
    fn admin_listener(told: Json, asked: usize) -> (String, thread::JoinHandle<(String, String)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = thread::spawn(move || {
            let (mut feed, _) = listener.accept().unwrap();
            let request = head(&mut feed);
            let key = request.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
            let accept = actix_http::ws::hash_key(key.as_bytes());
            let accept = std::str::from_utf8(&accept).unwrap();
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            feed.write_all(answer.as_bytes()).unwrap();
            feed.write_all(&frame("{\"type\":\"hello\"}")).unwrap();
            let filter = heard(&mut feed);
            feed.write_all(&frame(&told.to_string())).unwrap();
            let questions = (0..asked).map(|_| {
                let (mut asked, _) = listener.accept().unwrap();
                let question = head(&mut asked);
                let body = json!({ "items": [{ "name": "my-channel", "subscriptions": 1 }] }).to_string();
                let length = body.len();
                let head =
                    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
                asked.write_all((head + &body).as_bytes()).unwrap();
                question
            });
            (request + &questions.collect::<String>(), filter)
        });
        (url, served)
    }

    #[test]
    fn what_the_feed_tells_is_shown_until_so_many_lines() {
        let unheard = json!({ "at": 0, "kind": "events", "what": "event", "app": "7", "channel": "my-chanel",
            "event": "e", "receivers": 0 });
        let (url, served) = admin_listener(json!({ "type": "entries", "entries": [unheard, unheard] }), 2);
        let arguments =
            ["tail", "--admin", &url, "--token=t", "--app=7", "--kind=events", "--channel=my-*", "--lines=2"];
        let tail = Tailing::try_parse_from(arguments).unwrap().tail;
        let mut out = Vec::new();
        show(&tail, Style::Plain, &mut out).unwrap();
        let told =
            "00:00:00.000  event         7  my-chanel  e  nobody: 1 connection is subscribed to my-channel\n";
        assert_eq!(String::from_utf8(out).unwrap(), told.repeat(2), "the channels are asked for once");
        let (requests, filter) = served.join().unwrap();
        assert!(
            requests.starts_with("GET /console/live HTTP/1.1\r\n") && requests.contains("Bearer t"),
            "{requests}"
        );
        assert!(requests.contains("GET /console/api/apps/7/channels?limit=500 "), "{requests}");
        let expected = json!({ "type": "filter", "kinds": ["events"], "app": "7", "channel": "my-*" });
        assert_eq!(serde_json::from_str::<Json>(&filter).unwrap(), expected);
    }

    #[test]
    fn a_filter_that_is_none_is_told() {
        let (url, served) = admin_listener(json!({ "type": "error", "message": "expected a socket id" }), 0);
        let tail =
            Tailing::try_parse_from(["tail", "--admin", &url, "--token=t", "--socket=x"]).unwrap().tail;
        let failure = show(&tail, Style::Plain, &mut Vec::new()).unwrap_err();
        assert_eq!(failure, RemoteFailure::usage("expected a socket id"));
        served.join().unwrap();
        assert!(Tailing::try_parse_from(["tail", "--lines=0"]).is_err());
    }

    #[test]
    fn entries_are_lines() {
        let event = json!({
            "seq": 1, "at": 1_764_000_000_123.4, "kind": "events", "what": "event", "app": "1001", "source": "http",
            "channel": "a", "event": "e", "receivers": 2, "data": { "text": "{\"a\":1}", "bytes": 7, "cut": false },
        });
        assert_eq!(
            line_of(&event, None, Style::Plain),
            "16:00:00.123  event         1001  a  e  received by 2  {\"a\":1}"
        );
        let mut unheard = event.clone();
        unheard["receivers"] = 0.into();
        let alike = Some("1 connection is subscribed to my-channel");
        assert!(
            line_of(&unheard, alike, Style::Plain)
                .contains("  nobody: 1 connection is subscribed to my-channel  ")
        );
        let refusal = json!({
            "at": 0, "kind": "refusals", "what": "message", "app": "1001", "socket_id": "1.2", "channel": "private-a",
            "reason": "Invalid \u{1b}signature", "cause": { "name": "other_socket", "sentence": "it was" },
        });
        assert_eq!(
            line_of(&refusal, None, Style::Plain),
            "00:00:00.000  refused       1001  1.2  private-a  Invalid \u{fffd}signature  because it was"
        );
        let coloured = line_of(&refusal, None, Style::Colourful);
        assert!(coloured.contains("\u{1b}[31mrefused     \u{1b}[0m"), "{coloured}");
        let told = json!({ "entries": [], "left_out": { "events": 3 }, "missed": 2 });
        let expected = "(3 more not shown: too many in this second; 2 more not shown: this command was too slow for them)";
        assert_eq!(not_shown(&told).unwrap(), expected);
        let lost = json!({ "entries": [], "left_out": {}, "missed": 1, "lost": 1 });
        assert_eq!(not_shown(&lost).unwrap(), "(1 more not shown: lost on the way between the nodes)");
        assert_eq!(not_shown(&json!({ "left_out": {}, "missed": 0 })), None);
        let endless = json!({ "left_out": { "events": u64::MAX, "api": 1 } });
        assert_eq!(
            not_shown(&endless).unwrap(),
            format!("({} more not shown: too many in this second)", u64::MAX)
        );
    }

    #[test]
    fn entries_name_their_node_and_nodes_of_which_nothing_is_heard_are_told() {
        let event = json!({
            "at": 0, "kind": "events", "what": "event", "node": "00ff", "node_name": "b\u{1b}", "app": "1001",
            "channel": "a", "event": "e", "receivers": 3, "receivers_elsewhere": 2,
        });
        assert_eq!(
            line_of(&event, None, Style::Plain),
            "00:00:00.000  event         b\u{fffd}  1001  a  e  received by 3 (2 on other nodes)"
        );
        let mut cut_off = event.clone();
        (cut_off["receivers"], cut_off["receivers_elsewhere"], cut_off["out_of_reach"]) =
            (1.into(), 0.into(), 2.into());
        let told = line_of(&cut_off, None, Style::Plain);
        assert!(told.ends_with("  received by 1  2 connections on other nodes out of reach"), "{told}");
        let nodes = json!({ "type": "nodes", "passing": [], "silent": [
            { "node": "1", "name": "b", "why": "it is too busy" }, { "node": "2", "name": "c", "why": "it is too busy" },
        ] });
        assert_eq!(silent(&nodes).unwrap(), "(nothing is heard of what happens on b, c: it is too busy)");
        assert_eq!(silent(&json!({ "type": "nodes", "silent": [] })), None);
    }
}
