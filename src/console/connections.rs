//! The connections of an app on this node: which there are, one in detail, and its end; and the users who are signed in.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::ConsoleError;
use super::channels::{blocking, name};
use super::list::{ListRequest, ListScope, given, page, socket};
use super::{Console, millis};
use crate::auth::request::Query;
use crate::feed::exact_ms;
use crate::hub::{AppState, BusAway, ConnectionDetails, Hub, ListPage, unix_ms};
use crate::protocol::{ChannelName, CloseCode, CloseStatus, SocketId};

/// Connections that are named of one user.
const SOCKETS_OF_USER: usize = 200;

impl Console {
    /// A page of the connections of an app.
    pub(super) async fn list_connections(
        &self,
        app: &Arc<AppState>,
        query: &Query,
    ) -> Result<Value, ConsoleError> {
        let asked = ListRequest::read(query)?;
        let after = asked.after_socket()?;
        let wanted = WantedConnections::read(app, query)?;
        let (of_app, hub) = (Arc::clone(app), Arc::clone(&self.hub));
        let found = blocking(move || wanted.list(&hub, &of_app, after, asked.limit)).await?;
        let told = if given(query, "details").is_some() {
            self.hub.describe_all(app, &found.items).await
        } else {
            Vec::new()
        };
        let told: HashMap<SocketId, Value> =
            told.into_iter().map(|(socket, details)| (socket, in_brief(&details))).collect();
        let item = |socket: &SocketId| {
            let mut item = told.get(socket).cloned().unwrap_or_else(|| json!({}));
            item["socket_id"] = text(socket).into();
            item
        };
        Ok(page(&found, (&self.node(), ListScope::Node), text, item))
    }

    /// One connection in detail.
    pub(super) async fn connection(&self, app: &Arc<AppState>, id: &str) -> Result<Value, ConsoleError> {
        let named = socket("socket_id", id)?;
        let details = self.hub.describe(app, named).await;
        let details = details.ok_or_else(|| {
            if self.hub.is_connected(app, named) {
                let sentence = format!("the connection {id} is there, and has not told of itself in time");
                return ConsoleError::Refused(StatusCode::SERVICE_UNAVAILABLE, sentence);
            }
            ConsoleError::Nothing { what: "connection", name: id.to_owned() }
        })?;
        let mut shown = described(&details);
        shown["socket_id"] = named.to_string().into();
        shown["node"] = self.node().into();
        Ok(shown)
    }

    /// Ends a connection.
    pub(super) fn close_connection(
        &self,
        app: &Arc<AppState>,
        id: &str,
        asked: &Map<String, Value>,
    ) -> Result<Value, ConsoleError> {
        let named = socket("socket_id", id)?;
        let code = match asked.get("code").filter(|code| !code.is_null()) {
            None => CloseCode::Reconnect.into(),
            Some(given) => {
                let code = given.as_u64().and_then(|code| u16::try_from(code).ok());
                let code = code.filter(|code| (4000..=4999).contains(code));
                let expected = "an integer from 4000 to 4999";
                CloseStatus::injected(code.ok_or_else(|| ConsoleError::parameter("code", expected, given))?)
            }
        };
        let reason = match asked.get("reason").filter(|reason| !reason.is_null()) {
            None => "Closed by an operator".to_owned(),
            Some(given) => {
                let reason = given.as_str().filter(|reason| reason.len() <= 123);
                let expected = "a text of 123 bytes at the most";
                reason.ok_or_else(|| ConsoleError::parameter("reason", expected, given))?.to_owned()
            }
        };
        if self.hub.close_socket_with(app, named, code, reason.into()) {
            Ok(json!({ "closed": true }))
        } else {
            Err(ConsoleError::Nothing { what: "connection", name: id.to_owned() })
        }
    }

    /// A page of the users who are signed in.
    pub(super) async fn list_users(&self, app: &Arc<AppState>, query: &Query) -> Result<Value, ConsoleError> {
        let (asked, prefix) = (ListRequest::read(query)?, given(query, "prefix").unwrap_or_default());
        let app = Arc::clone(app);
        let found = blocking(move || app.list_users(&prefix, asked.after.as_deref(), asked.limit)).await?;
        Ok(page(
            &found,
            (&self.node(), ListScope::Node),
            |(id, _)| id.clone(),
            |(id, connections)| json!({ "user_id": id, "connections": connections }),
        ))
    }

    /// One user.
    pub(super) fn user(&self, app: &Arc<AppState>, id: &str) -> Value {
        let connections = app.sockets_of_user(id, SOCKETS_OF_USER);
        json!({
            "user_id": id,
            "online": app.is_online(id),
            "connections": connections.iter().map(text).collect::<Vec<_>>(),
            "node": self.node(),
        })
    }

    /// Ends all connections of a user, on all nodes.
    pub(super) async fn terminate_user(&self, app: &Arc<AppState>, id: &str) -> Result<Value, ConsoleError> {
        self.hub.terminate_user_everywhere(app, id).await.map_err(|BusAway| {
            let sentence =
                "this node's connections of the user are ended; whether other nodes have heard is not known";
            ConsoleError::Refused(StatusCode::SERVICE_UNAVAILABLE, sentence.to_owned())
        })?;
        Ok(json!({ "terminated": true }))
    }
}

/// Which connections are asked for.
struct WantedConnections {
    /// What their ids begin with.
    prefix: String,
    /// The user that they are signed in as.
    user_id: Option<String>,
    /// The channel that they are subscribed to.
    channel: Option<ChannelName>,
}

impl WantedConnections {
    fn read(app: &AppState, query: &Query) -> Result<Self, ConsoleError> {
        let channel = given(query, "channel").map(|channel| name(app, &channel)).transpose()?;
        let prefix = given(query, "prefix").unwrap_or_default();
        Ok(WantedConnections { prefix, user_id: given(query, "user_id"), channel })
    }

    fn list(&self, hub: &Hub, app: &AppState, after: Option<SocketId>, most: usize) -> ListPage<SocketId> {
        let of_user = self.user_id.as_ref().map(|id| app.sockets_of_user(id, usize::MAX));
        let of_user: Option<HashSet<SocketId>> = of_user.map(|sockets| sockets.into_iter().collect());
        let wanted = |socket: SocketId| {
            of_user.as_ref().is_none_or(|of_user| of_user.contains(&socket))
                && (self.prefix.is_empty() || text(&socket).starts_with(&self.prefix))
        };
        hub.list_connections(app, self.channel.as_ref(), (after, most), wanted)
    }
}

fn text(socket: &SocketId) -> String {
    socket.to_string()
}

/// What is shown of a connection in a list.
fn in_brief(details: &ConnectionDetails) -> Value {
    json!({
        "user_id": details.user_id,
        "client": details.client,
        "client_version": details.client_version,
        "transport": details.transport,
        "address": details.address,
        "age_ms": details.age.map(millis),
    })
}

fn described(details: &ConnectionDetails) -> Value {
    let ConnectionDetails {
        transport,
        protocol,
        user_id,
        client,
        client_version,
        address,
        proxy,
        tls,
        origin,
        age,
        silent,
        round_trip,
        pinged,
        owed: (bytes, frames),
        bounds: (bytes_limit, frames_limit),
        is_blocked,
        channels,
        channel_count,
    } = details;
    let ping = (round_trip.is_some() || pinged.is_some())
        .then(|| json!({ "round_trip_ms": round_trip.map(exact_ms), "unanswered_ms": pinged.map(millis) }));
    json!({
        "user_id": user_id,
        "client": client,
        "client_version": client_version,
        "protocol": protocol,
        "transport": transport,
        "address": address,
        "proxy": proxy,
        "tls": tls,
        "origin": origin,
        "opened_at": age.map(|age| unix_ms().saturating_sub(millis(age))),
        "age_ms": age.map(millis),
        "silent_ms": silent.map(millis),
        "last_ping": ping,
        "outbox": {
            "bytes": bytes,
            "frames": frames,
            "blocked": is_blocked,
            "bytes_limit": bytes_limit,
            "frames_limit": frames_limit,
        },
        "subscriptions": channels.iter().map(|channel| json!({ "channel": channel })).collect::<Vec<_>>(),
        "subscriptions_left_out": channel_count.saturating_sub(channels.len()),
    })
}
