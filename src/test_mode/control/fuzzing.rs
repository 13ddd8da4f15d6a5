//! Bodies and queries, for the fuzz targets.

use serde_json::Value;

use crate::auth::request::Query;
use crate::config::{AppConfig, ConnectionConfig};
use crate::test_mode::faults::Fault;

use super::create::CreateRequest;
use super::log_request::LogRequest;
use super::requests::{self, CloseRequest, WaitRequest};

/// The id and key of the app that a body asks for, if there can be such a one.
pub fn app_of(body: &[u8]) -> Option<(String, String)> {
    let asked: CreateRequest = requests::parse(body).ok()?;
    let (app, _) = asked.apply(AppConfig::development(), &ConnectionConfig::default()).ok()?;
    Some((app.app.id, app.app.keys.first()?.key.clone()))
}

/// The fault that a body asks for, if it is one.
pub fn faults_of(body: &[u8]) -> Option<Fault> {
    let asked: Value = requests::parse(body).ok()?;
    Fault::parse(&asked).ok()
}

/// Whether a body asks for a wait, or to close connections.
pub fn accepts_wait(body: &[u8]) -> (bool, bool) {
    let closes = requests::parse::<CloseRequest>(body).and_then(CloseRequest::chosen).is_ok();
    (WaitRequest::parse(body).is_ok(), closes)
}

/// Whether a query asks for entries of the log.
pub fn accepts_query(query: &str) -> bool {
    LogRequest::parse(&Query::parse(query)).is_ok()
}
