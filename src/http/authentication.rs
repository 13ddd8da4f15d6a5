//! Finds out which app's backend sent a request, by its signature.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use actix_web::web::Bytes;
use percent_encoding::percent_decode_str;

use crate::auth::request::{Query, SignedRequest, authenticate};
use crate::hub::{AppState, Hub, Worker};

use super::{ApiError, Unauthenticated};

/// A request whose sender is known.
#[derive(Debug)]
pub(crate) struct Authenticated<'a> {
    pub(crate) app: Arc<AppState>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: &'a Query,
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) body: Bytes,
    /// Another server has relayed it here, so it is not relayed again.
    pub(crate) is_relayed: bool,
}

impl Authenticated<'_> {
    /// What all workers share.
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        self.worker.hub()
    }

    pub(crate) fn body_text(&self) -> Result<&str, ApiError> {
        std::str::from_utf8(&self.body).map_err(|_| ApiError::BodyNotUtf8)
    }
}

/// Finds out who sent the request, and that the path names the same app.
///
/// # Errors
/// With what is wrong with the signature or the app.
pub(crate) fn authenticated(
    hub: &Hub,
    path_prefix: &str,
    request: &HttpRequest,
    query: &Query,
    app_id: Option<&str>,
) -> Result<Arc<AppState>, ApiError> {
    let now = unix_seconds();
    let paths = signed_paths(request.path(), path_prefix);
    let method = request.method().as_str();
    let signed = SignedRequest { method, paths: &paths, query };
    let apps = hub.apps();
    let app = authenticate(apps.registry(), &signed, now)
        .map_err(|error| Unauthenticated::examined(hub, request, query, error, now))?;
    if let Some(other) = app_id.filter(|id| *id != app.id) {
        return Err(ApiError::AppNotFound(other.to_owned()));
    }
    if !app.enabled {
        return Err(ApiError::AppDisabled);
    }
    let app = apps.state_of(&app).ok_or_else(|| ApiError::AppNotFound(app.id.clone()))?;
    Ok(Arc::clone(app))
}

/// Seconds since 1970, by this machine.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The paths that libraries may have signed: as sent, decoded, and each of them without the path prefix.
fn signed_paths<'a>(sent: &'a str, prefix: &str) -> Vec<Cow<'a, str>> {
    let mut paths = vec![Cow::Borrowed(sent)];
    paths.extend(percent_decode_str(sent).decode_utf8());
    if !prefix.is_empty() {
        let short = |path: &Cow<'a, str>| path.strip_prefix(prefix).map(|short| Cow::Owned(short.to_owned()));
        let short: Vec<_> = paths.iter().filter_map(short).collect();
        paths.extend(short);
    }
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_tried_in_every_form_that_may_have_been_signed() {
        assert_eq!(signed_paths("/apps/1/events", ""), ["/apps/1/events"]);
        let encoded = signed_paths("/apps/1/channels/a%40b", "");
        assert_eq!(encoded, ["/apps/1/channels/a%40b", "/apps/1/channels/a@b"]);
        assert_eq!(signed_paths("/x/apps/1/events", "/x"), ["/x/apps/1/events", "/apps/1/events"]);
    }
}
