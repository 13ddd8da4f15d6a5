//! The channels of an app: which there are, and what there is of one.

use std::sync::Arc;

use actix_web::web;
use serde_json::{Value, json};

use super::answer::ConsoleError;
use super::list::{ListRequest, ListScope, given, page};
use super::nearest::nearest_channels;
use super::{Console, millis};
use crate::app::HistoryBounds;
use crate::auth::request::Query;
use crate::channel::HeldHistory;
use crate::event::Glob;
use crate::http::channel_name;
use crate::hub::{AppState, ListedChannel, unix_ms};
use crate::protocol::{ChannelName, ChannelType};

/// Members that are shown of a channel. Of more it is told how many there are.
const MEMBERS: usize = 100;

/// Which channels are asked for.
struct WantedChannels {
    prefix: String,
    pattern: Option<Glob>,
    types: Option<Vec<String>>,
}

impl WantedChannels {
    fn read(query: &Query) -> Result<Self, ConsoleError> {
        let pattern = |text: String| {
            let expected = "a pattern with one * at the most";
            Glob::parse(&text)
                .ok_or_else(|| ConsoleError::parameter("pattern", expected, format_args!("{text:?}")))
        };
        let pattern = given(query, "pattern").map(pattern).transpose()?;
        let types = given(query, "type").map(|types| types.split(',').map(str::to_owned).collect::<Vec<_>>());
        let known = ["public", "private", "presence", "encrypted", "cache"];
        if let Some(other) = types.iter().flatten().find(|name| !known.contains(&name.as_str())) {
            let expected = format!("one of {}", known.join(", "));
            return Err(ConsoleError::parameter("type", expected, format_args!("{other:?}")));
        }
        Ok(WantedChannels { prefix: given(query, "prefix").unwrap_or_default(), pattern, types })
    }

    fn wants(&self, name: &ChannelName) -> bool {
        let (its_type, text) = (name.channel_type(), name.as_str());
        let is_of =
            |wanted: &String| wanted == type_name(its_type) || wanted == "cache" && its_type.is_cache();
        its_type.is_listed()
            && text.starts_with(&self.prefix)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(text))
            && self.types.as_ref().is_none_or(|types| types.iter().any(is_of))
    }
}

/// What a channel's type is called, whether it is a cache channel or not.
fn type_name(its_type: ChannelType) -> &'static str {
    if its_type.is_presence() {
        "presence"
    } else if its_type.is_encrypted() {
        "encrypted"
    } else if matches!(its_type, ChannelType::Private | ChannelType::PrivateCache) {
        "private"
    } else {
        "public"
    }
}

fn listed(channel: &ListedChannel) -> Value {
    let ListedChannel { summary, subscriptions_here } = channel;
    let its_type = summary.name.channel_type();
    json!({
        "name": summary.name.as_str(),
        "type": type_name(its_type),
        "cache": its_type.is_cache(),
        "subscriptions": summary.subscription_count,
        "users": its_type.is_presence().then_some(summary.user_count),
        "subscriptions_here": subscriptions_here,
    })
}

/// The name of a channel that an app can have.
pub(super) fn name(app: &AppState, name: &str) -> Result<ChannelName, ConsoleError> {
    Ok(channel_name(name, &app.app().limits)?)
}

/// How much a channel may keep, and what this node holds of it.
pub(super) fn kept(app: &AppState, name: &ChannelName, bounds: &HistoryBounds) -> Value {
    let HeldHistory { events, bytes, oldest_ms, newest_ms } = app.held_history(name);
    json!({
        "bounds": { "events": bounds.events, "bytes": bounds.bytes, "age_ms": millis(bounds.time) },
        "held": { "events": events, "bytes": bytes, "oldest_ms": oldest_ms, "newest_ms": newest_ms },
        "now": unix_ms(),
    })
}

impl Console {
    /// A page of the channels of an app.
    pub(super) async fn list_channels(
        &self,
        app: &Arc<AppState>,
        query: &Query,
    ) -> Result<Value, ConsoleError> {
        let (asked, wanted) = (ListRequest::read(query)?, WantedChannels::read(query)?);
        let app = Arc::clone(app);
        let found = blocking(move || {
            app.list_channels(asked.after.as_deref(), asked.limit, |name| wanted.wants(name))
        });
        let key = |channel: &ListedChannel| channel.summary.name.to_string();
        Ok(page(&found.await?, (&self.node(), ListScope::Cluster), key, listed))
    }

    /// One channel, whether it is occupied or not; if it is not, on request with the one that may be meant.
    pub(super) async fn channel(
        &self,
        app: &Arc<AppState>,
        text: &str,
        query: &Query,
    ) -> Result<Value, ConsoleError> {
        let name = name(app, text)?;
        let its_type = name.channel_type();
        let found = app.listed_channel(&name);
        let is_occupied = found.is_some();
        let found = found.unwrap_or_else(|| ListedChannel::vacant(&name));
        let mut shown = listed(&found);
        shown["occupied"] = is_occupied.into();
        if !is_occupied && given(query, "nearest").is_some() {
            let (app, names) = (Arc::clone(app), [text.to_owned()]);
            let near = blocking(move || nearest_channels(&app, &names)).await?;
            shown["nearest"] = near.first().and_then(Option::as_ref).map_or(Value::Null, listed);
        }
        shown["node"] = self.node().into();
        shown["decided_by"] = self.decided_by(app, &name);
        if its_type.is_presence() {
            let members = app.list_members(&name, MEMBERS);
            let users = found.summary.user_count;
            shown["members_left_out"] = users.saturating_sub(members.len()).into();
            let member = |(id, info): &(String, Option<String>)| json!({ "user_id": id, "user_info": info });
            shown["members"] = members.iter().map(member).collect();
        }
        let cached = if its_type.is_cache() { self.hub.recall(app, &name).await } else { None };
        let recalled = |(data, left)| json!({ "data": data, "left_ms": millis(left) });
        shown["cached"] = cached.map_or(Value::Null, recalled);
        let bounds = app.app().history(&name);
        shown["history"] = bounds.map_or(Value::Null, |bounds| kept(app, &name, &bounds));
        shown["video"] = app.app().video(&name).is_some().into();
        Ok(shown)
    }

    /// The node that tells webhooks of a channel, where there are several.
    fn decided_by(&self, app: &AppState, name: &ChannelName) -> Value {
        let Some(cluster) = self.others.cluster() else { return Value::Null };
        let Some(decider) = cluster.decider(app.id(), name) else { return Value::Null };
        let status = cluster.status();
        let peer = status.peers.iter().find(|peer| peer.id == decider).map(|peer| &peer.name);
        let of_name = (decider == status.me).then_some(&status.name).or(peer);
        json!({ "node": decider.to_string(), "node_name": of_name.map(|name| &**name) })
    }

    /// A page of the connections that are subscribed to a channel.
    pub(super) async fn subscribers(
        &self,
        app: &Arc<AppState>,
        text: &str,
        query: &Query,
    ) -> Result<Value, ConsoleError> {
        let (name, asked) = (name(app, text)?, ListRequest::read(query)?);
        let (app, after) = (Arc::clone(app), asked.after_socket()?);
        let found = blocking(move || app.list_subscribers(&name, after, asked.limit)).await?;
        Ok(page(
            &found,
            (&self.node(), ListScope::Node),
            |(socket, _)| socket.to_string(),
            |(socket, user_id)| json!({ "socket_id": socket.to_string(), "user_id": user_id }),
        ))
    }
}

/// Does what takes long where there is much, on a thread where that keeps nobody waiting.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ConsoleError> {
    web::block(work).await.map_err(|_| {
        let status = actix_web::http::StatusCode::SERVICE_UNAVAILABLE;
        ConsoleError::Refused(status, "it could not be looked up".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_wanted_by_name_and_type() {
        let wants = |query: &str, name: &str| {
            let name = ChannelName::parse(name, 164).unwrap();
            WantedChannels::read(&Query::parse(query)).unwrap().wants(&name)
        };
        for (query, name) in [
            ("", "room"),
            ("prefix=presence-", "presence-room"),
            ("pattern=*-1", "room-1"),
            ("type=private,public", "private-room"),
            ("type=cache", "private-cache-room"),
            ("type=private", "private-cache-room"),
            ("type=encrypted", "private-encrypted-room"),
        ] {
            assert!(wants(query, name), "{query} {name}");
        }
        for (query, name) in [
            ("", "#server-to-user-1"),
            ("prefix=a", "room"),
            ("pattern=*-1", "room-2"),
            ("type=private", "private-encrypted-room"),
            ("type=public", "presence-room"),
            ("type=cache", "room"),
        ] {
            assert!(!wants(query, name), "{query} {name}");
        }
        for query in ["pattern=a*b*", "type=secret"] {
            assert!(WantedChannels::read(&Query::parse(query)).is_err(), "{query}");
        }
    }
}
