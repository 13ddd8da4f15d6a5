//! What an admin listener of heliostat tells of the channels of an app: more than any HTTP API does.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::audience::WhoIsThere;
use super::channel_rate::PassedEvents;
use super::lines::{beginning, facts, first_of, lasting, lines_or, silent_lines};
use super::remote::{Remote, RemoteFailure, count, harmless, json_line, path_of};

/// Subscribers that are told of one by one.
const SUBSCRIBERS: &str = "20";

/// The channels of an app.
pub(super) struct ChannelsOfAdmin {
    remote: Remote,
    app: String,
    in_json: bool,
}

impl ChannelsOfAdmin {
    pub(super) fn new(remote: Remote, app: String, in_json: bool) -> Self {
        ChannelsOfAdmin { remote, app, in_json }
    }

    fn below(&self, rest: &[&str]) -> String {
        path_of(&["console", "api", "apps", &self.app, "channels"], rest)
    }

    /// Those that somebody is subscribed to.
    pub(super) fn all(&self, prefix: Option<&str>) -> Result<String, RemoteFailure> {
        let pairs: Vec<(&str, &str)> = prefix.map(|prefix| ("prefix", prefix)).into_iter().collect();
        let (all, _) = self.remote.list(&self.below(&[]), &pairs)?;
        let named = all.iter().filter_map(|channel| Some((channel["name"].as_str()?, channel)));
        if self.in_json {
            let shown = |(name, channel): (&str, &Json)| {
                let members = ["type", "cache", "subscriptions", "users"];
                let told = members.map(|member| (member.to_owned(), channel[member].clone()));
                (name.to_owned(), Json::Object(Map::from_iter(told)))
            };
            let told = json!({ "channels": named.map(shown).collect::<Map<_, _>>() });
            return Ok(format!("{}\n", json_line(&told)));
        }
        let line = |(name, channel): (&str, &Json)| {
            let subscriptions = count(channel["subscriptions"].as_u64().unwrap_or_default(), "connection");
            let users = channel["users"].as_u64().map(|users| format!(", {}", count(users, "user")));
            format!("{}  {subscriptions}{}", harmless(name), users.unwrap_or_default())
        };
        Ok(lines_or(named.map(line).collect(), "nobody is subscribed to any channel"))
    }

    /// One of them, watched for so long.
    pub(super) fn one(&self, channel: &str, watched: Duration) -> Result<String, RemoteFailure> {
        let state = self.remote.get(&self.below(&[channel]), &[("nearest", "1")])?;
        let subscribers =
            self.remote.get(&self.below(&[channel, "subscribers"]), &[("limit", SUBSCRIBERS)])?;
        let rate =
            (!watched.is_zero()).then(|| PassedEvents::watch(&self.remote, &self.app, channel, watched));
        let shown = ShownChannel { channel, state, subscribers, rate };
        Ok(if self.in_json { format!("{}\n", json_line(&shown.to_json())) } else { shown.text() })
    }
}

/// What is told of a channel.
struct ShownChannel<'a> {
    channel: &'a str,
    state: Json,
    subscribers: Json,
    /// What passed while it was watched, if it was.
    rate: Option<Result<PassedEvents, RemoteFailure>>,
}

impl ShownChannel<'_> {
    fn number(&self, member: &str) -> Option<u64> {
        self.state[member].as_u64()
    }

    fn audience(&self) -> WhoIsThere {
        if self.state["occupied"] == true {
            return WhoIsThere::Somebody(self.number("subscriptions"));
        }
        let nearest = &self.state["nearest"];
        let name = nearest["name"].as_str().map(str::to_owned);
        WhoIsThere::NobodyBut(name.map(|name| (name, nearest["subscriptions"].as_u64())))
    }

    fn text(&self) -> String {
        let text = |value: &Json| value.as_str().map(str::to_owned);
        let cache = if self.state["cache"] == true { ", cache" } else { "" };
        let of_type = text(&self.state["type"]).map(|of_type| ("type", of_type + cache));
        let decider = &self.state["decided_by"];
        let decider = text(&decider["node_name"]).or_else(|| text(&decider["node"]));
        let facts = facts(
            &[
                of_type,
                self.subscriptions().map(|told| ("subscriptions", told)),
                self.subscribers().map(|told| ("subscribers", told)),
                self.number("users").map(|users| ("users", users.to_string())),
                self.members().map(|told| ("members", told)),
                (!cache.is_empty()).then(|| ("cached", self.cached())),
                self.rate.as_ref().map(|rate| ("rate", rate_in_words(rate))),
                self.history().map(|told| ("history", told)),
                (self.state["video"] == true).then(|| ("video", "it carries tracks".to_owned())),
                decider.map(|node| ("webhooks", format!("told of by node {node}"))),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>(),
        );
        let silent = self.subscribers["silent"].as_array().map_or(&[][..], Vec::as_slice);
        let sentence = self.audience().sentence(self.channel);
        format!("{}: {sentence}\n{facts}{}", harmless(self.channel), silent_lines(silent))
    }

    fn subscriptions(&self) -> Option<String> {
        let all = self.number("subscriptions")?;
        let here = self.number("subscriptions_here").filter(|here| *here != all);
        Some(here.map_or_else(
            || all.to_string(),
            |here| format!("{all}, {here} of them on the node that was asked"),
        ))
    }

    /// The first connections that are subscribed, each with its user and its node, where they have one.
    fn subscribers(&self) -> Option<String> {
        let items = self.subscribers["items"].as_array().filter(|items| !items.is_empty())?;
        let one = |item: &Json| {
            let text = |member: &str| item[member].as_str();
            let beside: Vec<&str> = [text("user_id"), text("node_name")].into_iter().flatten().collect();
            let id = text("socket_id").unwrap_or("-");
            if beside.is_empty() { id.to_owned() } else { format!("{id} ({})", beside.join(", ")) }
        };
        let all: Vec<String> = items.iter().map(one).collect();
        Some(first_of(&all, self.subscribers_left_out()))
    }

    fn subscribers_left_out(&self) -> u64 {
        let shown = self.subscribers["items"].as_array().map_or(0, Vec::len) as u64;
        self.subscribers["total"].as_u64().unwrap_or(shown).saturating_sub(shown)
    }

    fn members(&self) -> Option<String> {
        let members = self.state["members"].as_array().filter(|members| !members.is_empty())?;
        let ids = members.iter().filter_map(|member| member["user_id"].as_str().map(str::to_owned));
        Some(first_of(&ids.collect::<Vec<_>>(), self.number("members_left_out").unwrap_or_default()))
    }

    fn cached(&self) -> String {
        let cached = &self.state["cached"];
        let Some(data) = cached["data"].as_str() else { return "nothing".to_owned() };
        format!("{}, for {} more", beginning(data), lasting(cached["left_ms"].as_u64().unwrap_or_default()))
    }

    fn history(&self) -> Option<String> {
        let history = self.state["history"].as_object()?;
        let (bounds, held, now) = (&history["bounds"], &history["held"], history["now"].as_u64()?);
        let most = count(bounds["events"].as_u64()?, "event");
        let (events, bytes) = (held["events"].as_u64()?, count(held["bytes"].as_u64()?, "byte"));
        let newest = held["newest_ms"].as_u64().filter(|_| events > 0);
        let newest = newest.map(|at| format!("; the last one came {} ago", lasting(now.saturating_sub(at))));
        Some(format!("{events} of at most {most}, {bytes}{}", newest.unwrap_or_default()))
    }

    /// As the console tells of it, with what was asked for besides.
    fn to_json(&self) -> Json {
        let mut told = self.state.as_object().cloned().unwrap_or_default();
        told.insert("subscribers".to_owned(), self.subscribers["items"].clone());
        told.insert("subscribers_left_out".to_owned(), self.subscribers_left_out().into());
        told.insert("silent".to_owned(), self.subscribers["silent"].clone());
        if let Some(rate) = &self.rate {
            let told_rate =
                rate.as_ref().map_or_else(|why| json!({ "unknown": why.told }), PassedEvents::to_json);
            told.insert("rate".to_owned(), told_rate);
        }
        Json::Object(told)
    }
}

/// The rate, or why it is not known.
fn rate_in_words(rate: &Result<PassedEvents, RemoteFailure>) -> String {
    match rate {
        Ok(passed) => passed.sentence(),
        Err(why) => format!("not known: {}", why.told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_admin_listener_tells_of_a_channel_is_lines_or_json() {
        let mut shown = ShownChannel {
            channel: "presence-cache-a",
            state: json!({
                "name": "presence-cache-a", "type": "presence", "cache": true, "occupied": true, "subscriptions": 3,
                "subscriptions_here": 1, "users": 30, "members": [{ "user_id": "ann" }, { "user_id": "b\u{1b}" }],
                "members_left_out": 28, "cached": { "data": "{\"a\":1}", "left_ms": 65_000 }, "video": true,
                "history": { "bounds": { "events": 9, "bytes": 100, "age_ms": 1 }, "now": 5000,
                    "held": { "events": 2, "bytes": 7, "oldest_ms": 1, "newest_ms": 3000 } },
                "decided_by": { "node": "00ff", "node_name": "b" },
            }),
            subscribers: json!({
                "items": [{ "socket_id": "1.2", "user_id": "ann", "node_name": "a" }, { "socket_id": "3.4", "user_id": null }],
                "total": 3, "silent": [{ "name": "c", "why": "it is slow" }],
            }),
            rate: Some(Err(RemoteFailure::not_done("too many are watching"))),
        };
        assert_eq!(
            shown.text(),
            "presence-cache-a: 3 connections are subscribed\n\
             type           presence, cache\n\
             subscriptions  3, 1 of them on the node that was asked\n\
             subscribers    1.2 (ann, a), 3.4 and 1 more\n\
             users          30\n\
             members        ann, b\u{fffd} and 28 more\n\
             cached         {\"a\":1}, for 65 s more\n\
             rate           not known: too many are watching\n\
             history        2 of at most 9 events, 7 bytes; the last one came 2 s ago\n\
             video          it carries tracks\n\
             webhooks       told of by node b\n\
             without c: it is slow\n"
        );
        let told = shown.to_json();
        assert_eq!((&told["subscribers_left_out"], &told["silent"][0]["name"]), (&json!(1), &json!("c")));
        assert_eq!(told["rate"], json!({ "unknown": "too many are watching" }));
        shown.state = json!({ "type": "public", "cache": false, "occupied": false, "subscriptions": 0, "subscriptions_here": 0,
            "nearest": { "name": "other", "subscriptions": 1 }, "history": null });
        (shown.subscribers, shown.rate) =
            (json!({ "items": [], "total": 0, "silent": [] }), Some(Ok(PassedEvents::default())));
        assert_eq!(
            shown.text(),
            "presence-cache-a: nobody is subscribed to presence-cache-a; 1 connection is subscribed to other\n\
             type           public\n\
             subscriptions  0\n\
             rate           0.0 events a second in the 0 s that it was watched\n"
        );
    }
}
