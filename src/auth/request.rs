//! Authenticates an HTTP API request by the signature in its query.
//!
//! The rules are those of the official signature library, and so are the texts; the tolerances are the ones that
//! official client libraries need.

use std::borrow::Cow;
use std::sync::Arc;

use md5::{Digest, Md5};

use super::query::ValueForm;
pub use super::query::{Query, decode};
use crate::app::{App, AppRegistry, Key};

/// How far a request's clock may be off, in seconds; this much is too much.
pub const TIMESTAMP_WINDOW_SECONDS: u64 = 600;

/// How far the clock may be ahead that made the URL of a stream, in seconds. Such a URL is handed on, and one that is
/// signed for later would be good for longer than [`TIMESTAMP_WINDOW_SECONDS`].
pub const STREAM_AHEAD_SECONDS: u64 = 10;

/// The signed parts of a request.
#[derive(Clone, Debug)]
pub struct SignedRequest<'a> {
    /// `GET` or `POST`, in upper case.
    pub method: &'a str,
    /// The paths that the client may have signed: as sent first, then decoded and without the path prefix.
    pub paths: &'a [Cow<'a, str>],
    /// The query's parameters.
    pub query: &'a Query,
}

/// Why a request is not authenticated. The text is the body of the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestAuthError {
    /// 401.
    #[error("Missing parameter: auth_key")]
    NoKey,
    /// 400, as the real service answers it.
    #[error("Unknown auth_key")]
    UnknownKey,
    /// 401.
    #[error("Version required")]
    NoVersion,
    /// 401.
    #[error("Version not supported")]
    UnsupportedVersion,
    /// 401.
    #[error("Timestamp required")]
    NoTimestamp,
    /// 401.
    #[error(
        "Timestamp expired: Given timestamp ({given}) not within {TIMESTAMP_WINDOW_SECONDS}s of server time ({now})"
    )]
    TimestampExpired {
        /// The request's clock, as a date.
        given: String,
        /// The broker's clock, as a date.
        now: String,
    },
    /// 401.
    #[error(
        "Timestamp ahead: Given timestamp ({given}) is more than {STREAM_AHEAD_SECONDS}s ahead of server time ({now}), \
         as that of a stream may not be"
    )]
    TimestampAhead {
        /// The request's clock, as a date.
        given: String,
        /// The broker's clock, as a date.
        now: String,
    },
    /// 401. Newlines of the string to sign are shown as `\n`.
    #[error(
        "Invalid signature: you should have sent HmacSHA256Hex({signed:?}, your_secret_key), but you sent {got:?}"
    )]
    WrongSignature {
        /// What was to be signed: method, path and sorted query, a line each.
        signed: String,
        /// What came instead of its digest.
        got: String,
    },
    /// 401. The signature covers the body only through this hash.
    #[error("Invalid body_md5")]
    WrongBodyHash,
}

/// Finds the app that a request speaks for, and checks that it may. `now` is in seconds since 1970. The body is not
/// looked at: the signature covers it through its hash, which [`check_body`] compares once it is there.
///
/// # Errors
/// See [`RequestAuthError`]; the checks are made in the order of its variants.
pub fn authenticate(
    apps: &AppRegistry,
    request: &SignedRequest<'_>,
    now: u64,
) -> Result<Arc<App>, RequestAuthError> {
    let query = request.query;
    let key = query.get("auth_key").filter(|k| !k.is_empty()).ok_or(RequestAuthError::NoKey)?;
    let app = apps.by_key(key).ok_or(RequestAuthError::UnknownKey)?;
    let secret = app.secret_of(key).ok_or(RequestAuthError::UnknownKey)?;
    match query.get("auth_version") {
        None | Some("") => return Err(RequestAuthError::NoVersion),
        Some("1.0") => {}
        Some(_) => return Err(RequestAuthError::UnsupportedVersion),
    }
    check_timestamp(query.get("auth_timestamp"), now)?;
    let signature = query.get("auth_signature").unwrap_or_default();
    let signed = |path: &str, form| {
        let mut text = String::with_capacity(256);
        text.extend([request.method, "\n", path, "\n"]);
        query.push_signed(&mut text, form);
        text
    };
    // Each form costs one HMAC, so the unusual ones are tried only where they differ from the documented one.
    let forms: &[ValueForm] = if query.is_plain() {
        &[ValueForm::Decoded]
    } else {
        &[ValueForm::Decoded, ValueForm::Raw, ValueForm::Joined]
    };
    let verifies =
        |path: &Cow<'_, str>| forms.iter().any(|form| super::verify(secret, &signed(path, *form), signature));
    if !request.paths.iter().any(verifies) {
        let path = request.paths.first().map_or("", AsRef::as_ref);
        let signed = signed(path, ValueForm::Decoded);
        return Err(RequestAuthError::WrongSignature { signed, got: signature.to_owned() });
    }
    Ok(Arc::clone(app))
}

fn check_timestamp(timestamp: Option<&str>, now: u64) -> Result<(), RequestAuthError> {
    let text = timestamp.filter(|t| !t.is_empty()).ok_or(RequestAuthError::NoTimestamp)?;
    let expired = |given| RequestAuthError::TimestampExpired { given, now: date(now) };
    match text.parse::<u64>() {
        Ok(given) if given.abs_diff(now) < TIMESTAMP_WINDOW_SECONDS => Ok(()),
        Ok(given) => Err(expired(date(given))),
        Err(_) => Err(expired(text.to_owned())),
    }
}

/// Checks what is demanded of the URL of a stream besides what every signed request has to pass.
///
/// # Errors
/// If it would be good for longer than its signature should be.
pub fn check_stream_timestamp(query: &Query, now: u64) -> Result<(), RequestAuthError> {
    match query.get("auth_timestamp").and_then(|given| given.parse::<u64>().ok()) {
        Some(given) if given.saturating_sub(now) > STREAM_AHEAD_SECONDS => {
            Err(RequestAuthError::TimestampAhead { given: date(given), now: date(now) })
        }
        _ => Ok(()),
    }
}

/// The string that a backend signs for a request, as it is documented.
pub fn string_to_sign(method: &str, path: &str, query: &Query) -> String {
    let mut text = format!("{method}\n{path}\n");
    query.push_signed(&mut text, ValueForm::Decoded);
    text
}

/// The query of a request to another server's HTTP API, signed with this key. Nothing of it needs to be encoded if nothing
/// of the key does. `now` is in seconds since 1970.
pub fn signed_query(key: &Key, method: &str, path: &str, body: &str, now: u64) -> String {
    let hash = body_hash(body.as_bytes());
    let query = format!("auth_key={}&auth_timestamp={now}&auth_version=1.0&body_md5={hash}", key.key);
    let signature = super::sign(&key.secret, &format!("{method}\n{path}\n{query}"));
    format!("{query}&auth_signature={signature}")
}

/// The MD5 of a body, as it is signed.
pub fn body_hash(body: &[u8]) -> String {
    hex::encode(Md5::digest(body))
}

/// Checks that a body is the one whose hash was signed.
///
/// # Errors
/// If it is another, or no hash was signed and there is a body.
pub fn check_body(query: &Query, body: &[u8]) -> Result<(), RequestAuthError> {
    match query.get("body_md5") {
        None if body.is_empty() => Ok(()),
        Some(hash) if is_hex_of(hash, &Md5::digest(body)) => Ok(()),
        _ => Err(RequestAuthError::WrongBodyHash),
    }
}

/// Whether a text is the lower-case hexadecimal form of these bytes.
fn is_hex_of(text: &str, bytes: &[u8]) -> bool {
    let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
    let digits = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    text.len() == 2 * bytes.len() && digits.eq(text.bytes())
}

/// Seconds since 1970 as a date and time, such as `2024-01-01T00:00:00Z`.
pub(crate) fn date(seconds: u64) -> String {
    let days = seconds / 86_400;
    let second = seconds % 86_400;
    // Counting years from March puts the leap day at the end of the year; an era has 400 years, 146,097 days.
    let days = days + 719_468;
    let era = days / 146_097;
    let day = days % 146_097;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let hour = second / 3600;
    let minute = second / 60 % 60;
    let second = second % 60;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests;
