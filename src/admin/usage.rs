//! Memory, connections and what each app has used day by day as JSON, in the form that panels for other servers read:
//! `memory` as there, in bytes.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::error::AdminError;
use super::memory::Memory;
use crate::auth::request::Query;
use crate::hub::Hub;
use crate::node::Unready;
use crate::usage::{UsageBook, UsageReport};

/// Days that are told where nobody says how many.
const DAYS: usize = 31;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UsageQuery {
    /// The last days on which something was used, at most.
    pub(super) days: usize,
    /// Of this app alone.
    pub(super) app: Option<String>,
}

impl UsageQuery {
    /// Reads `days` and `app`.
    ///
    /// # Errors
    /// If `days` is no number of days.
    pub(super) fn parse(query: &str) -> Result<Self, AdminError> {
        let query = Query::parse(query);
        let days = match query.get("days") {
            None => DAYS,
            Some(text) => {
                let days = text.parse().ok().filter(|days| (1..=UsageBook::MOST_DAYS).contains(days));
                days.ok_or_else(|| AdminError::Parameter {
                    name: "days",
                    expected: format!("an integer from 1 to {}", UsageBook::MOST_DAYS),
                    got: text.to_owned(),
                })?
            }
        };
        Ok(UsageQuery { days, app: query.get("app").map(str::to_owned) })
    }
}

/// What a node uses that has run for so long, what speaks against sending it new clients, and what its apps have used.
pub(super) fn of(hub: &Hub, unready: Option<&Unready>, uptime: Duration, report: UsageReport) -> Value {
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
        "reason": unready.map(ToString::to_string),
        "memory": memory,
        "connections": { "count": hub.sockets().len(), "limit": limit },
        "apps": apps,
        "persisted": report.is_persisted,
        "not_persisted_because": report.trouble,
        "days": report.days,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_a_number_of_those_that_are_kept() {
        let parsed = |query: &str| UsageQuery::parse(query).map(|query| (query.days, query.app));
        assert_eq!(parsed(""), Ok((31, None)));
        assert_eq!(parsed("days=400&app=1001"), Ok((400, Some("1001".to_owned()))));
        for got in ["0", "401", "-1", "1.5", "many", ""] {
            let refused = UsageQuery::parse(&format!("days={got}")).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!("Bad request: days must be an integer from 1 to 400, got {got:?}")
            );
        }
    }
}
