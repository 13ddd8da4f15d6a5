//! Authenticating an HTTP API request by the signature in its query.
//!
//! The rules are those of the official signature library, and so are the texts; the tolerances are the ones that
//! official client libraries need.

use std::borrow::Cow;
use std::sync::Arc;

use md5::{Digest, Md5};

use crate::app::{App, AppRegistry};

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
    pub paths: &'a [String],
    /// The query's parameters.
    pub query: &'a Query,
}

/// A query string's parameters in order, each as sent and decoded. Names are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    parameters: Vec<Parameter>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parameter {
    name: String,
    value: String,
    /// The value as sent, where it is another.
    raw_value: Option<String>,
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
        /// The string to sign.
        signed: String,
        /// What came instead of its digest.
        got: String,
    },
    /// 401. The signature covers the body only through this hash.
    #[error("Invalid body_md5")]
    WrongBodyHash,
}

impl Query {
    /// Reads a query string. `%` escapes and `+` are decoded; bytes that are no UTF-8 become replacement
    /// characters, which no signature matches.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let parameters = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = decode(value);
            let raw_value = (decoded != value).then(|| value.to_owned());
            Parameter { name: lower_case(decode(name)), value: decoded, raw_value }
        });
        Query { parameters: parameters.collect() }
    }

    /// A query of these parameters, as they are.
    #[must_use]
    pub fn of_pairs<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        let parameters = pairs.into_iter().map(|(name, value)| Parameter {
            name: lower_case(name.to_owned()),
            value: value.to_owned(),
            raw_value: None,
        });
        Query { parameters: parameters.collect() }
    }

    /// The value of a parameter; the last one where it is repeated.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|p| p.name == name).map(|p| p.value.as_str())
    }

    /// Every value of a parameter, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.parameters.iter().filter(move |p| p.name == name).map(|p| p.value.as_str())
    }

    /// The value of a parameter, or the values of the array of that name, joined by commas.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<String> {
        let items = self.parameters.iter().filter(|p| array_name(&p.name) == Some(name));
        let items: Vec<&str> = items.map(|p| p.value.as_str()).collect();
        match self.get(name) {
            Some(value) => Some(value.to_owned()),
            None => (!items.is_empty()).then(|| items.join(",")),
        }
    }

    /// The names of the parameters that are not part of the authentication, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let authentication = |name: &str| name.starts_with("auth_") || name == "body_md5";
        self.parameters.iter().map(|p| p.name.as_str()).filter(move |name| !authentication(name))
    }

    /// The parameters as they are signed: sorted by name, joined, values not encoded. Array parameters keep
    /// their order.
    fn to_sign(&self, form: ValueForm) -> String {
        let mut signed: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(self.parameters.len());
        for parameter in self.parameters.iter().filter(|p| p.name != "auth_signature") {
            let value = match form {
                ValueForm::Raw => parameter.raw_value.as_ref().unwrap_or(&parameter.value),
                ValueForm::Decoded | ValueForm::Joined => &parameter.value,
            };
            let name = match form {
                ValueForm::Joined => array_name(&parameter.name).unwrap_or(&parameter.name),
                ValueForm::Decoded | ValueForm::Raw => &parameter.name,
            };
            match signed.last_mut() {
                Some((last, joined))
                    if form == ValueForm::Joined && name != parameter.name && *last == name =>
                {
                    let joined = joined.to_mut();
                    joined.push(',');
                    joined.push_str(value);
                }
                _ => signed.push((name, Cow::Borrowed(value))),
            }
        }
        signed.sort_by(|a, b| a.0.cmp(b.0));
        let bytes = signed.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        let mut text = String::with_capacity(bytes);
        for (name, value) in &signed {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
        text
    }

    fn is_plain(&self) -> bool {
        self.parameters.iter().all(|p| p.raw_value.is_none() && array_name(&p.name).is_none())
    }
}

/// The name of the array that a parameter such as `name[]` or `name[0]` is an item of.
fn array_name(parameter: &str) -> Option<&str> {
    let (name, index) = parameter.strip_suffix(']')?.rsplit_once('[')?;
    index.bytes().all(|b| b.is_ascii_digit()).then_some(name)
}

/// The forms in which official libraries sign values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ValueForm {
    /// As documented.
    Decoded,
    /// As they are in the URL: some HTTP stacks encode after signing, some before.
    Raw,
    /// Array values joined by commas, as one library signs them.
    Joined,
}

/// Finds the app that a request speaks for, and checks that it may. `now` is in seconds since 1970. The body is not looked
/// at: the signature covers it through its hash, which [`check_body`] compares once it is there.
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
    let signed = |path: &str, form| format!("{}\n{path}\n{}", request.method, query.to_sign(form));
    // Each form costs one HMAC, so the unusual ones are tried only where they differ from the documented one.
    let forms: &[ValueForm] = match query.is_plain() {
        true => &[ValueForm::Decoded],
        false => &[ValueForm::Decoded, ValueForm::Raw, ValueForm::Joined],
    };
    let verifies =
        |path: &String| forms.iter().any(|form| super::verify(secret, &signed(path, *form), signature));
    if !request.paths.iter().any(verifies) {
        let path = request.paths.first().map_or("", String::as_str);
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

/// Checks that a body is the one whose hash was signed.
///
/// # Errors
/// If it is another, or no hash was signed and there is a body.
pub fn check_body(query: &Query, body: &[u8]) -> Result<(), RequestAuthError> {
    match query.get("body_md5") {
        None if body.is_empty() => Ok(()),
        Some(hash) if hash == hex::encode(Md5::digest(body)) => Ok(()),
        _ => Err(RequestAuthError::WrongBodyHash),
    }
}

fn lower_case(mut name: String) -> String {
    match name.is_ascii() {
        true => {
            name.make_ascii_lowercase();
            name
        }
        false => name.to_lowercase(),
    }
}

/// Decodes `%` escapes and `+`.
#[must_use]
pub fn decode(text: &str) -> String {
    if !text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return text.to_owned();
    }
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// Seconds since 1970 as a date and time, such as `2024-01-01T00:00:00Z`.
fn date(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Counting years from March puts the leap day at the end of the year; an era has 400 years, 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests;
