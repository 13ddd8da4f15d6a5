//! Memory and connections as JSON, in the form that panels for other servers read: `memory` as there, in bytes.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::memory::Memory;
use crate::hub::Hub;
use crate::node::Unready;

/// What a node uses that has run for so long, and what speaks against sending it new clients.
pub(super) fn of(hub: &Hub, unready: Option<Unready>, uptime: Duration) -> Value {
    let memory = Memory::read().map(|memory| {
        let Memory { used, total } = memory;
        json!({
            "free": total.saturating_sub(used),
            "used": used,
            "total": total,
            "percent": memory.percent(),
        })
    });
    let state = hub.apps();
    let apps: Map<_, _> = state
        .iter()
        .map(|app| (app.id().to_owned(), json!({ "connections": hub.connections_of(app) })))
        .collect();
    let limit = Some(hub.sockets().limit()).filter(|limit| *limit > 0);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": uptime.as_secs(),
        "ready": unready.is_none(),
        "reason": unready.map(|unready| unready.to_string()),
        "memory": memory,
        "connections": { "count": hub.sockets().len(), "limit": limit },
        "apps": apps,
    })
}
