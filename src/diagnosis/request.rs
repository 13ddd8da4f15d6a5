//! A signed request over HTTP, or the handshake of a backend's pipe.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::cause::Cause;
use super::client_auth::{cause_in_secret, mistaken_key};
use super::examiner::{Examiner, MOST_BYTES};
use super::written::digest_of;
use crate::app::AppRegistry;
use crate::auth::request::{Query, RequestAuthError, TIMESTAMP_WINDOW_SECONDS, decode, string_to_sign};

/// The MD5 of nothing, which some libraries sign where there is no body.
pub(super) const EMPTY_MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// Everything but what is never encoded in a URL.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A request that was refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DisputedRequest<'a> {
    pub(crate) method: &'a str,
    /// The path as it came.
    pub(crate) path: &'a str,
    pub(crate) query: &'a Query,
    /// What a proxy says to have taken away from the beginning of the path, if it says so.
    pub(crate) prefix_taken: Option<&'a str>,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// A parameter of a query.
type Parameter<'a> = (Cow<'a, str>, Cow<'a, str>);

/// What the key is that a client connects with and that is no app's, if it can be proved.
pub(crate) fn cause_of_key(apps: &AppRegistry, key: &str) -> Option<Cause> {
    mistaken_key(apps, None, key)
}

/// Why a request was refused, if it can be proved; whether a secret stands in it [`told_in_request`](super::told_in_request)
/// tells.
pub(crate) fn cause_of_request(
    apps: &AppRegistry,
    request: &DisputedRequest<'_>,
    error: &RequestAuthError,
) -> Option<Cause> {
    match error {
        RequestAuthError::UnknownKey => {
            let mut segments = request.path.split('/').skip_while(|segment| *segment != "apps").skip(1);
            let named = segments.next().and_then(|id| apps.by_id(id));
            mistaken_key(apps, named.map(AsRef::as_ref), request.query.get("auth_key")?)
        }
        RequestAuthError::TimestampExpired { .. } | RequestAuthError::TimestampAhead { .. } => {
            cause_in_time(apps, request)
        }
        RequestAuthError::WrongSignature { .. } => cause_in_signature(apps, request),
        // The first say enough themselves; the body is looked at apart.
        RequestAuthError::NoKey
        | RequestAuthError::NoVersion
        | RequestAuthError::UnsupportedVersion
        | RequestAuthError::NoTimestamp
        | RequestAuthError::WrongBodyHash => None,
    }
}

/// Whether a refusal says itself all that there is to say.
pub(crate) fn says_enough(error: &RequestAuthError) -> bool {
    match error {
        RequestAuthError::NoKey
        | RequestAuthError::NoVersion
        | RequestAuthError::UnsupportedVersion
        | RequestAuthError::NoTimestamp => true,
        RequestAuthError::UnknownKey
        | RequestAuthError::TimestampExpired { .. }
        | RequestAuthError::TimestampAhead { .. }
        | RequestAuthError::WrongSignature { .. }
        | RequestAuthError::WrongBodyHash => false,
    }
}

fn cause_in_time(apps: &AppRegistry, request: &DisputedRequest<'_>) -> Option<Cause> {
    let Ok(given) = request.query.get("auth_timestamp")?.parse::<u64>() else { return Some(Cause::NoTime) };
    if (given / 1000).abs_diff(request.now) < TIMESTAMP_WINDOW_SECONDS {
        return Some(Cause::Milliseconds);
    }
    let key = request.query.get("auth_key")?;
    let secret = apps.by_key(key)?.secret_of(key)?.clone();
    let (digest, _) = digest_of(request.query.get("auth_signature").unwrap_or_default());
    let right = string_to_sign(request.method, request.path, request.query);
    let is_right = digest.is_some_and(|digest| Examiner::new(digest).is_of(&secret, &right));
    let (seconds, is_ahead) = (given.abs_diff(request.now), given > request.now);
    Some(Cause::Clock { seconds, is_ahead, is_right })
}

fn cause_in_signature(apps: &AppRegistry, request: &DisputedRequest<'_>) -> Option<Cause> {
    let query = request.query;
    let key = query.get("auth_key")?;
    let app = apps.by_key(key)?;
    let secret = app.secret_of(key)?;
    let (digest, fault) = match query.get("auth_signature") {
        None | Some("") => return None,
        Some(signature) => digest_of(signature),
    };
    let Some(digest) = digest else { return fault };
    let right = string_to_sign(request.method, request.path, query);
    if right.len() > MOST_BYTES {
        return None;
    }
    let mut examiner = Examiner::new(digest);
    if examiner.is_of(secret, &right) {
        return fault;
    }
    let mut seen = vec![right.clone()];
    for (guess, cause) in guesses(request, &right) {
        // A third is left for the secrets.
        if examiner.left() <= 5 {
            break;
        }
        if !seen.contains(&guess) {
            if examiner.is_of(secret, &guess) {
                return Some(cause);
            }
            seen.push(guess);
        }
    }
    cause_in_secret(app, apps, &mut examiner, (key, secret), &right).or(fault)
}

/// What may have been signed instead, the likeliest first.
fn guesses<'a>(request: &DisputedRequest<'a>, right: &str) -> impl Iterator<Item = (String, Cause)> {
    let DisputedRequest { method, path, query, prefix_taken, .. } = *request;
    let paths = other_paths(path, prefix_taken);
    let of_path = paths.into_iter().map(move |signed| {
        let cause = Cause::OtherPath { signed: signed.clone(), came: path.to_owned() };
        (string_to_sign(method, &signed, query), cause)
    });
    let signed = if method == "GET" { "POST" } else { "GET" };
    let of_method =
        (string_to_sign(signed, path, query), Cause::OtherMethod { signed, came: method.to_owned() });
    let of_query = of_query(method, query)
        .into_iter()
        .map(move |(parameters, cause)| (text(method, path, parameters), cause));
    let no_line_breaks = (right.replace('\n', "\\n"), Cause::NoLineBreaks);
    of_query.chain(of_path).chain([of_method, no_line_breaks])
}

/// The paths that may have been signed in the place of this one.
fn other_paths(path: &str, prefix_taken: Option<&str>) -> Vec<String> {
    let mut paths = Vec::new();
    if let Some(prefix) = prefix_taken {
        paths.push(format!("{}{path}", prefix.trim_end_matches('/')));
    }
    if let Some(at) = path.find("/apps/").filter(|at| *at > 0) {
        paths.push(path[at..].to_owned());
    }
    paths.push(match path.strip_suffix('/') {
        Some(shorter) => shorter.to_owned(),
        None => format!("{path}/"),
    });
    paths
}

/// The parameters that may have been signed in the place of those that came.
fn of_query<'a>(method: &str, query: &'a Query) -> Vec<(Vec<Parameter<'a>>, Cause)> {
    let all = decoded(query);
    let as_came: Vec<_> = all.clone();
    let mut guesses = vec![(as_came, Cause::Unsorted)];
    let changed = |change: &dyn Fn(&str) -> String| -> Vec<Parameter<'_>> {
        let values = all.iter().map(|(name, value)| (name.clone(), Cow::Owned(change(value))));
        sorted(values.collect())
    };
    let encode = |value: &str| utf8_percent_encode(value, ENCODED).to_string();
    guesses.push((changed(&decode), Cause::EncodedTwice));
    guesses.push((changed(&encode), Cause::SignedEncoded));
    guesses.push((changed(&|value| encode(value).replace("%20", "+")), Cause::SignedEncoded));
    let array = all.iter().map(|(name, _)| name).find(|name| name.ends_with("[]"));
    if let Some(name) = array {
        let mut values = all.clone();
        values.sort();
        guesses.push((values, Cause::ArrayReordered { name: name.to_string() }));
        let backwards = all.iter().rev().cloned().collect();
        guesses.push((sorted(backwards), Cause::ArrayReordered { name: name.to_string() }));
    }
    let own = |name: &str| name.starts_with("auth_");
    for (name, _) in all.iter().filter(|(name, _)| !own(name)).take(3) {
        let rest = all.iter().filter(|(other, _)| other != name).cloned().collect();
        guesses.push((sorted(rest), Cause::NotSigned { name: name.to_string() }));
    }
    let missing = [("body_md5", EMPTY_MD5), ("info", "user_count"), ("info", "subscription_count")];
    let missing = if method == "GET" { &missing[..] } else { &missing[..1] };
    for &(name, value) in missing.iter().filter(|(name, _)| query.get(name).is_none()) {
        let more = all.iter().cloned().chain([(name.into(), value.into())]).collect();
        guesses.push((sorted(more), Cause::DidNotCome { parameter: format!("{name}={value}") }));
    }
    guesses
}

fn decoded(query: &Query) -> Vec<Parameter<'_>> {
    query.parameters_to_sign().map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value))).collect()
}

/// Sorted by name; values of one name keep their order.
fn sorted(mut parameters: Vec<Parameter<'_>>) -> Vec<Parameter<'_>> {
    parameters.sort_by(|(one, _), (other, _)| one.cmp(other));
    parameters
}

fn text(method: &str, path: &str, parameters: Vec<Parameter<'_>>) -> String {
    let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{method}\n{path}\n{}", pairs.join("&"))
}

#[cfg(test)]
mod tests;
