//! `channels`: which channels are occupied, and what there is of one, as any broker tells it over its HTTP API.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value as Json, json};

use super::audience::{WhoIsThere, state_of};
use super::channels_by_admin::ChannelsOfAdmin;
use super::lines::{beginning, facts, first_of, lasting, lines_or};
use super::remote::{AdminPlace, BrokerArguments, Remote, RemoteFailure, count, harmless, json_line};
use crate::protocol::ChannelType;

/// How long a channel is watched for its rate.
const WATCHED_SECONDS: u64 = 2;

/// Members that are told of in JSON.
const MEMBERS: usize = 100;

/// Which channels.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct ChannelsArguments {
    #[command(flatten)]
    broker: BrokerArguments,
    #[command(flatten)]
    admin: AdminPlace,
    /// One channel, with what is told of it.
    #[arg(value_name = "CHANNEL")]
    channel: Option<String>,
    /// Only channels whose names begin like this.
    #[arg(long, value_name = "PREFIX", conflicts_with = "channel")]
    prefix: Option<String>,
    /// How long to watch what passes on it, which an admin listener shows; 0: not at all [default: 2].
    #[arg(long, value_name = "SECONDS", requires = "channel", value_parser = clap::value_parser!(u64).range(..=60))]
    watch: Option<u64>,
}

/// Returns what to print.
pub(super) fn run_channels(arguments: &ChannelsArguments) -> Result<String, RemoteFailure> {
    let ChannelsArguments { broker, admin, channel, prefix, watch } = arguments;
    if admin.is_named() {
        if broker.is_named() {
            return Err(RemoteFailure::usage("expected --url or an admin listener, got both"));
        }
        let of_admin = ChannelsOfAdmin::new(Remote::admin(admin)?, broker.app.id()?, broker.json);
        return match channel {
            Some(channel) => of_admin.one(channel, Duration::from_secs(watch.unwrap_or(WATCHED_SECONDS))),
            None => of_admin.all(prefix.as_deref()),
        };
    }
    if watch.is_some() {
        let told =
            "--watch: expected an admin listener, which tells what passes, got none: give --admin or --token";
        return Err(RemoteFailure::usage(told));
    }
    let remote = Remote::broker(broker)?;
    match channel {
        Some(channel) => one(&remote, channel, broker.json),
        None => all(&remote, prefix.as_deref(), broker.json),
    }
}

fn all(remote: &Remote, prefix: Option<&str>, in_json: bool) -> Result<String, RemoteFailure> {
    let is_counted = prefix.is_some_and(|prefix| prefix.starts_with("presence-"));
    let mut pairs: Vec<(&str, &str)> =
        prefix.map(|prefix| ("filter_by_prefix", prefix)).into_iter().collect();
    pairs.extend(is_counted.then_some(("info", "user_count")));
    let answer = remote.get(&remote.app_path(&["channels"]), &pairs)?;
    if in_json {
        return Ok(format!("{}\n", json_line(&answer)));
    }
    let all = answer["channels"].as_object().into_iter().flatten();
    let line = |(name, told): (&String, &Json)| match told["user_count"].as_u64() {
        Some(number) => format!("{}  {}", harmless(name), count(number, "user")),
        None => harmless(name),
    };
    let mut lines: Vec<String> = all.map(line).collect();
    lines.sort();
    Ok(lines_or(lines, "nobody is subscribed to any channel"))
}

fn one(remote: &Remote, channel: &str, in_json: bool) -> Result<String, RemoteFailure> {
    // Its refusal is the one to show.
    let state = state_of(remote, channel)?;
    let audience = WhoIsThere::of_state(remote, channel, &state);
    let told = ToldChannel {
        channel,
        members: members(remote, channel, &state),
        // Few servers have it.
        history: remote.get(&remote.app_path(&["channels", channel, "history"]), &[]).ok(),
        state,
        audience,
    };
    Ok(if in_json { format!("{}\n", json_line(&told.to_json())) } else { told.text() })
}

/// The members of a presence channel that somebody is subscribed to, if the broker tells.
fn members(remote: &Remote, channel: &str, state: &Json) -> Option<Vec<String>> {
    if state["occupied"] != true || !ChannelType::of(channel).is_presence() {
        return None;
    }
    let answer = remote.get(&remote.app_path(&["channels", channel, "users"]), &[]).ok()?;
    let id = |user: &Json| match &user["id"] {
        Json::String(id) => Some(id.clone()),
        Json::Number(id) => Some(id.to_string()),
        _ => None,
    };
    Some(answer["users"].as_array()?.iter().filter_map(id).collect())
}

/// What a broker tells of a channel.
struct ToldChannel<'a> {
    channel: &'a str,
    state: Json,
    audience: WhoIsThere,
    members: Option<Vec<String>>,
    history: Option<Json>,
}

impl ToldChannel<'_> {
    fn text(&self) -> String {
        let mut told = vec![("type", ChannelType::of(self.channel).name().to_owned())];
        for (name, member) in [("subscriptions", "subscription_count"), ("users", "user_count")] {
            told.extend(self.state[member].as_u64().map(|number| (name, number.to_string())));
        }
        told.extend(self.members.as_ref().map(|members| ("members", first_of(members, 0))));
        told.extend(self.state.get("cache").map(|cache| ("cached", cached(cache))));
        told.extend(self.history().map(|(events, has_more)| {
            let more = if has_more { " and more" } else { "" };
            ("history", format!("{}{more}", count(events, "event")))
        }));
        format!("{}: {}\n{}", harmless(self.channel), self.audience.sentence(self.channel), facts(&told))
    }

    /// How many events it keeps, of one page, and whether there are more.
    fn history(&self) -> Option<(u64, bool)> {
        let history = self.history.as_ref()?;
        Some((history["events"].as_array()?.len() as u64, history["has_more"] == true))
    }

    /// As the broker has told of it, with what was asked for besides.
    fn to_json(&self) -> Json {
        let mut told: Map<String, Json> = self.state.as_object().cloned().unwrap_or_default();
        told.insert("channel".to_owned(), self.channel.into());
        told.insert("type".to_owned(), ChannelType::of(self.channel).name().into());
        if let Some(members) = &self.members {
            let shown = &members[..members.len().min(MEMBERS)];
            told.insert("members".to_owned(), json!(shown));
            told.insert("members_left_out".to_owned(), (members.len() - shown.len()).into());
        }
        if let Some((events, has_more)) = self.history() {
            told.insert("history".to_owned(), json!({ "events": events, "has_more": has_more }));
        }
        if let Some(nearest) = self.audience.as_json().get("nearest") {
            told.insert("nearest".to_owned(), nearest.clone());
        }
        Json::Object(told)
    }
}

/// What a cache channel remembers.
fn cached(cache: &Json) -> String {
    let Some(data) = cache["data"].as_str() else { return "nothing".to_owned() };
    let left =
        cache["ttl"].as_u64().map(|seconds| format!(", for {} more", lasting(seconds.saturating_mul(1000))));
    format!("{}{}", beginning(data), left.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_tells_of_a_channel_is_lines_or_json() {
        let told = ToldChannel {
            channel: "presence-cache-a",
            state: json!({ "occupied": true, "subscription_count": 3, "user_count": 2, "cache": { "data": "\u{1b}x", "ttl": 130 } }),
            audience: WhoIsThere::Somebody(Some(3)),
            members: Some(vec!["ann".to_owned(), "bob".to_owned()]),
            history: Some(json!({ "events": [{}], "has_more": true })),
        };
        assert_eq!(
            told.text(),
            "presence-cache-a: 3 connections are subscribed\n\
             type           presence-cache\n\
             subscriptions  3\n\
             users          2\n\
             members        ann, bob\n\
             cached         \u{fffd}x, for 2 min more\n\
             history        1 event and more\n"
        );
        let json = told.to_json();
        assert_eq!((&json["members"], &json["members_left_out"]), (&json!(["ann", "bob"]), &json!(0)));
        assert_eq!((&json["cache"]["ttl"], &json["history"]["events"]), (&json!(130), &json!(1)));
        // What some other server tells.
        let other = ToldChannel {
            channel: "my-chanel",
            state: json!([]),
            audience: WhoIsThere::NobodyBut(Some(("my-channel".to_owned(), None))),
            members: None,
            history: Some(json!("nonsense")),
        };
        assert!(
            other.text().ends_with("; somebody is subscribed to my-channel\ntype  public\n"),
            "{}",
            other.text()
        );
        assert_eq!(
            other.to_json(),
            json!({ "channel": "my-chanel", "type": "public", "nearest": "my-channel" })
        );
        assert_eq!(cached(&json!(null)), "nothing");
    }
}
