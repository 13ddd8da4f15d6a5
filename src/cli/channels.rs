//! `channels`: which channels are occupied, and what there is of one, as any broker tells it over its HTTP API.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value as Json, json};

use super::audience::{WhoIsThere, listed_channels, state_of};
use super::channels_by_admin::ChannelsOfAdmin;
use super::lines::{as_it_came, beginning, facts, first_of, lasting, lines_or};
use super::members::ToldMembers;
use super::remote::{AdminPlace, BrokerArguments, Remote, RemoteFailure, count, harmless, json_line};
use super::told_values::number_of;
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
    let all = listed_channels(&answer).ok_or_else(|| {
        RemoteFailure::not_done(format!("expected an object of channels, got {}", as_it_came(&answer)))
    })?;
    let mut lines: Vec<String> = all.into_iter().map(|(name, told)| listed(name, told)).collect();
    lines.sort();
    Ok(lines_or(lines, "nobody is subscribed to any channel"))
}

/// A channel of a list, with its users if they were counted.
fn listed(name: &str, told: &Json) -> String {
    let name = harmless(name);
    match told.get("user_count") {
        Some(users) => {
            let users =
                number_of(users).map_or_else(|| not_understood(users), |number| count(number, "user"));
            format!("{name}  {users}")
        }
        None => name,
    }
}

/// What stands in the place of a value that cannot be taken.
fn not_understood(value: &Json) -> String {
    format!("not understood: {}", as_it_came(value))
}

fn one(remote: &Remote, channel: &str, in_json: bool) -> Result<String, RemoteFailure> {
    // Its refusal is the one to show.
    let state = state_of(remote, channel)?;
    let audience = WhoIsThere::of_state(remote, channel, &state);
    let told = ToldChannel {
        channel,
        members: members(remote, channel, &audience),
        // Few servers have it.
        history: remote.get(&remote.app_path(&["channels", channel, "history"]), &[]).ok(),
        state,
        audience,
    };
    Ok(if in_json { format!("{}\n", json_line(&told.to_json())) } else { told.text() })
}

/// The members of a presence channel that somebody is subscribed to, if the broker tells.
fn members(remote: &Remote, channel: &str, audience: &WhoIsThere) -> Option<ToldMembers> {
    if !matches!(audience, WhoIsThere::Somebody(_)) || !ChannelType::of(channel).is_presence() {
        return None;
    }
    let answer = remote.get(&remote.app_path(&["channels", channel, "users"]), &[]).ok()?;
    ToldMembers::read(&answer)
}

/// What a broker tells of a channel.
struct ToldChannel<'a> {
    channel: &'a str,
    state: Json,
    audience: WhoIsThere,
    members: Option<ToldMembers>,
    history: Option<Json>,
}

impl ToldChannel<'_> {
    fn text(&self) -> String {
        let mut told = vec![("type", ChannelType::of(self.channel).name().to_owned())];
        for (name, member) in [("subscriptions", "subscription_count"), ("users", "user_count")] {
            let number = self.state.get(member);
            told.extend(number.map(|told| {
                (name, number_of(told).map_or_else(|| not_understood(told), |number| number.to_string()))
            }));
        }
        if let Some(ToldMembers { ids, not_understood }) = &self.members {
            let line = not_understood.line().map(|line| format!(" {line}")).unwrap_or_default();
            told.push(("members", first_of(ids, 0) + &line));
        }
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
        if let Some(ToldMembers { ids, not_understood }) = &self.members {
            let shown = &ids[..ids.len().min(MEMBERS)];
            told.insert("members".to_owned(), json!(shown));
            told.insert("members_left_out".to_owned(), (ids.len() - shown.len()).into());
            told.insert("members_not_understood".to_owned(), not_understood.number.into());
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
    let data = match &cache["data"] {
        Json::Null => return "nothing".to_owned(),
        Json::String(data) => beginning(data),
        other => as_it_came(other),
    };
    let left = number_of(&cache["ttl"])
        .map(|seconds| format!(", for {} more", lasting(seconds.saturating_mul(1000))));
    format!("{data}{}", left.unwrap_or_default())
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
            members: ToldMembers::read(&json!({ "users": [{ "id": "ann" }, { "id": 7 }, { "id": [] }] })),
            history: Some(json!({ "events": [{}], "has_more": true })),
        };
        assert_eq!(
            told.text(),
            "presence-cache-a: 3 connections are subscribed\n\
             type           presence-cache\n\
             subscriptions  3\n\
             users          2\n\
             members        ann, 7 (1 is not understood: {\"id\":[]})\n\
             cached         \u{fffd}x, for 2 min more\n\
             history        1 event and more\n"
        );
        let json = told.to_json();
        assert_eq!((&json["members"], &json["members_left_out"]), (&json!(["ann", "7"]), &json!(0)));
        assert_eq!((&json["cache"]["ttl"], &json["history"]["events"]), (&json!(130), &json!(1)));
        assert_eq!(json["members_not_understood"], 1);
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

    #[test]
    fn numbers_in_the_types_of_other_servers_are_taken_and_what_is_none_is_shown() {
        let told = ToldChannel {
            channel: "cache-a",
            state: json!({ "subscription_count": "3", "user_count": "many", "cache": { "data": { "a": 1 }, "ttl": "9" } }),
            audience: WhoIsThere::Somebody(Some(3)),
            members: None,
            history: None,
        };
        assert!(
            told.text().ends_with(
                "subscriptions  3\nusers          not understood: \"many\"\ncached         {\"a\":1}, for 9 s more\n"
            ),
            "{}",
            told.text()
        );
        assert_eq!(listed("presence-a", &json!({ "user_count": "1" })), "presence-a  1 user");
        assert_eq!(listed("presence-a", &json!({ "user_count": {} })), "presence-a  not understood: {}");
        assert_eq!(listed("a", &json!([])), "a");
    }
}
