//! Reads the `info` parameter: which attributes of a channel a request asks for.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::hub::{AppState, ChannelSummary, Hub};
use crate::protocol::ChannelName;

use super::ApiError;

/// The attributes of a channel that a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    user_count: bool,
    subscription_count: bool,
    cache: bool,
}

impl Info {
    /// Reads a list; `allowed` names the attributes that the endpoint has.
    fn parse(text: &str, allowed: &'static str) -> Result<Self, ApiError> {
        let mut info = Info::default();
        for attribute in text.split(',').map(str::trim).filter(|a| !a.is_empty()) {
            let known = allowed.split(", ").any(|name| name == attribute);
            match attribute {
                "user_count" if known => info.user_count = true,
                "subscription_count" if known => info.subscription_count = true,
                "cache" if known => info.cache = true,
                _ => return Err(ApiError::Info { got: attribute.to_owned(), allowed }),
            }
        }
        Ok(info)
    }

    /// Of a published event. What does not fit a channel is left out of its answer.
    pub(super) fn of_event(text: &str) -> Result<Self, ApiError> {
        Info::parse(text, "user_count, subscription_count")
    }

    /// Of the list of channels whose names begin with `prefix`.
    pub(super) fn of_channels(text: &str, prefix: &str, app: &AppState) -> Result<Self, ApiError> {
        let info = Info::parse(text, "user_count, subscription_count")?;
        if info.user_count && !prefix.starts_with("presence-") {
            return Err(ApiError::UserCountWithoutPrefix);
        }
        info.check_subscription_count(app)
    }

    pub(super) fn of_channel(text: &str, name: &ChannelName, app: &AppState) -> Result<Self, ApiError> {
        let info = Info::parse(text, "user_count, subscription_count, cache")?;
        if info.user_count && !name.channel_type().is_presence() {
            return Err(ApiError::UserCountNotPresence);
        }
        if info.cache && !name.channel_type().is_cache() {
            return Err(ApiError::NotACacheChannel);
        }
        info.check_subscription_count(app)
    }

    fn check_subscription_count(self, app: &AppState) -> Result<Self, ApiError> {
        if self.subscription_count && !app.app().subscription_count {
            return Err(ApiError::SubscriptionCountOff);
        }
        Ok(self)
    }

    /// The attributes of a channel that was published to: those that fit it.
    pub(super) fn of_published(self, app: &AppState, name: &ChannelName) -> Value {
        let fitting = Info {
            user_count: self.user_count && name.channel_type().is_presence(),
            subscription_count: self.subscription_count && app.app().subscription_count,
            cache: false,
        };
        Value::Object(fitting.counts(app.channel(name).as_ref()))
    }

    pub(super) async fn attributes(
        self,
        hub: &Hub,
        app: &Arc<AppState>,
        name: &ChannelName,
    ) -> Map<String, Value> {
        let mut attributes = self.counts(app.channel(name).as_ref());
        if self.cache {
            // Apart, because few ask.
            let cached = Box::pin(hub.recall(app, name)).await;
            let cached = cached.map(|(data, ttl)| json!({ "data": data, "ttl": ttl.as_secs() }));
            attributes.insert("cache".into(), cached.unwrap_or_default());
        }
        attributes
    }

    /// The counts of a channel, 0 where nobody is subscribed.
    pub(super) fn counts(self, channel: Option<&ChannelSummary>) -> Map<String, Value> {
        let mut attributes = Map::new();
        if self.user_count {
            attributes.insert("user_count".into(), channel.map_or(0, |c| c.user_count).into());
        }
        if self.subscription_count {
            attributes
                .insert("subscription_count".into(), channel.map_or(0, |c| c.subscription_count).into());
        }
        attributes
    }
}
