//! The connections of an app on this node: which there are, one in detail, and its end; and the users who are signed in.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::answer::ConsoleError;
use super::channels::blocking;
use super::list::{ListRequest, ListScope, given, page, socket};
use super::{Console, millis};
use crate::auth::request::Query;
use crate::feed::exact_ms;
use crate::hub::{AppState, BusAway, ConnectionDetails, unix_ms};
use crate::protocol::{CloseCode, CloseStatus};

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
        let (app, hub, after) = (Arc::clone(app), Arc::clone(&self.hub), asked.after_socket()?);
        let found = blocking(move || hub.list_connections(&app, after, asked.limit)).await?;
        let item = |socket: &_| json!({ "socket_id": text(socket) });
        Ok(page(&found, (&self.node(), ListScope::Node), text, item))
    }

    /// One connection in detail.
    pub(super) async fn connection(&self, app: &Arc<AppState>, id: &str) -> Result<Value, ConsoleError> {
        let named = socket("socket_id", id)?;
        let details = self.hub.describe(app, named).await;
        let details =
            details.ok_or_else(|| ConsoleError::Nothing { what: "connection", name: id.to_owned() })?;
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
            let status = actix_web::http::StatusCode::SERVICE_UNAVAILABLE;
            let sentence =
                "this node's connections of the user are ended; whether other nodes have heard is not known";
            ConsoleError::Refused(status, sentence.to_owned())
        })?;
        Ok(json!({ "terminated": true }))
    }
}

fn text(socket: &crate::protocol::SocketId) -> String {
    socket.to_string()
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
