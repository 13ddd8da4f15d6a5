//! What somebody who runs the broker pastes, to hear what is wrong with it: an `auth`, the whole answer of an endpoint, or the
//! URL of a request. What is told holds no signature that would have been right.

use std::borrow::Cow;

use serde_json::{Map, Value as Json, json};
use url::{Position, Url};

use super::body::cause_of_body;
use super::cause::{Cause, Diagnosis};
use super::client_auth::{DisputedAuth, SignedFor, SigningContext, cause_of_auth, string_to_sign};
use super::request::{DisputedRequest, cause_of_request, says_enough};
use super::told::{told_in_auth, told_in_request};
use super::written::WrittenAuth;
use crate::app::{App, AppRegistry};
use crate::auth::channel::{ChannelAuthError, authorise};
use crate::auth::request::{Query, SignedRequest, authenticate, check_body, decode};
use crate::auth::user::{self, UserAuthError};
use crate::protocol::{ChannelName, ChannelType, InvalidChannelName, SocketId, WrittenSocketId};

/// The longest channel name that is explained: no app takes a longer one.
const MOST_CHANNEL_CHARS: usize = 10_000;

/// What is known to who explains.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Knowledge<'a> {
    /// The app that it was for.
    pub(crate) app: &'a App,
    /// All apps.
    pub(crate) apps: &'a AppRegistry,
    /// Connections of late, the likeliest first, and whether each is open.
    pub(crate) sockets: &'a [(SocketId, bool)],
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// What has been found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// What had to be signed; nothing, if a secret would stand in it.
    pub(crate) string_to_sign: String,
    /// Whether the signature is right.
    pub(crate) is_right: bool,
    /// What is wrong with it, if it is not right and the refusal does not say it all.
    pub(crate) diagnosis: Option<Diagnosis>,
    /// The refusal that it got, or would get, where that says more than what had to be signed.
    pub(crate) refusal: Option<String>,
    /// What else has to be thought of, whether it is right or not.
    pub(crate) note: Option<String>,
    parts: Vec<ExplainedPart>,
}

/// A part of what came, beside what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ExplainedPart {
    part: &'static str,
    expected: String,
    came: String,
    is_right: bool,
    sentence: Option<String>,
}

impl Explanation {
    /// The same as JSON.
    pub(crate) fn to_json(&self) -> Json {
        let parts = self.parts.iter().map(|part| {
            let ExplainedPart { part, expected, came, is_right, sentence } = part;
            json!({ "part": part, "expected": expected, "came": came, "right": is_right, "sentence": sentence })
        });
        let cause = self.diagnosis.as_ref().map(|diagnosis| {
            json!({ "name": diagnosis.name(), "sentence": diagnosis.sentence(), "part": self.differing() })
        });
        json!({
            "right": self.is_right,
            "string_to_sign": self.string_to_sign,
            "refusal": self.refusal,
            "note": self.note,
            "parts": parts.collect::<Vec<_>>(),
            "cause": cause,
        })
    }

    /// What is not as it should be, if that is known.
    pub(crate) fn differing(&self) -> Option<&'static str> {
        self.diagnosis.as_ref().and_then(Diagnosis::cause).map(Cause::part)
    }
}

/// Explains what was pasted: `what` is `channel`, `user` or `request`; with `socket_id`, `auth`, `channel` and
/// `channel_data`, or `user_data`; or with `method`, `url` and `body`.
///
/// # Errors
/// If something is missing or is not what it should be: a sentence.
pub(crate) fn explain(known: Knowledge<'_>, pasted: &Map<String, Json>) -> Result<Explanation, String> {
    let member = |name: &str| match pasted.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("expected {name} to be a string")),
    };
    let needed = |name: &str| member(name)?.ok_or_else(|| format!("expected {name}, got none"));
    match needed("what")? {
        "request" => {
            let address = PastedAddress::read(needed("url")?)?;
            let method = needed("method")?.to_uppercase();
            Ok(explain_request(known, &method, &address, member("body")?))
        }
        what @ ("channel" | "user") => {
            let (auth, data) =
                within_answer(needed("auth")?, if what == "user" { "user_data" } else { "channel_data" });
            let of = if what == "user" {
                let user_data = member("user_data")?.map(str::to_owned).or(data);
                SignedFor::SignIn { user_data: user_data.ok_or("expected user_data, got none: the client sends it beside auth, as the endpoint answered it")? }
            } else {
                let channel = channel_name(needed("channel")?)
                    .map_err(|error| format!("expected the name of a channel in channel: {error}"))?;
                let channel_data = member("channel_data")?.map(str::to_owned).or(data);
                SignedFor::Subscription { channel, channel_data }
            };
            let socket_id =
                member("socket_id")?.filter(|text| !text.is_empty()).map(socket_id).transpose()?;
            Ok(explain_auth(known, socket_id, DisputedAuth { auth, of }))
        }
        other => Err(format!("expected channel, user or request in what, got {other:?}")),
    }
}

/// Reads the name of a channel, as long as any broker may allow.
///
/// # Errors
/// If it can be none.
pub(crate) fn channel_name(text: &str) -> Result<ChannelName, InvalidChannelName> {
    ChannelName::parse(text, MOST_CHANNEL_CHARS)
}

/// Reads a socket id.
///
/// # Errors
/// If it is none of a connection that there can be: a sentence.
pub(crate) fn socket_id(text: &str) -> Result<SocketId, String> {
    match WrittenSocketId::parse(text) {
        Ok(WrittenSocketId::Ours(id)) => Ok(id),
        _ => Err("expected digits, a dot and digits, such as 123.456".to_owned()),
    }
}

/// The `auth` and the data of an endpoint's answer, or the text itself.
fn within_answer(text: &str, data: &str) -> (String, Option<String>) {
    let parsed: Option<Json> = serde_json::from_str(text).ok();
    let member = |name: &str| parsed.as_ref()?[name].as_str().map(str::to_owned);
    (member("auth").unwrap_or_else(|| text.to_owned()), member(data))
}

fn explain_auth(known: Knowledge<'_>, socket_id: Option<SocketId>, disputed: DisputedAuth) -> Explanation {
    let Knowledge { app, apps, sockets, .. } = known;
    let is_of = |socket_id: SocketId| match &disputed.of {
        SignedFor::Subscription { channel, channel_data } => {
            authorise(app, socket_id, channel, Some(&disputed.auth), channel_data.as_deref()).is_ok()
        }
        SignedFor::SignIn { user_data } => {
            user::authenticate(app, socket_id, &disputed.auth, user_data).is_ok()
        }
    };
    // Whoever does not know for which connection it was is told whether it is right for one of late.
    let guessed = || sockets.iter().take(16).map(|(other, _)| *other).find(|other| is_of(*other));
    let first = || sockets.first().map_or(SocketId::new(1, 1), |(other, _)| *other);
    let socket_id = socket_id.or_else(guessed).unwrap_or_else(first);
    let is_right = is_of(socket_id);
    let diagnosis = (!is_right).then(|| {
        let context = SigningContext { app, apps, socket_id, others: sockets };
        Diagnosis::of(told_in_auth(apps, &disputed.auth).or_else(|| cause_of_auth(context, &disputed)))
    });
    let is_hidden = diagnosis.as_ref().is_some_and(Diagnosis::hides_the_reason);
    let refusal = refusal_of_form(app, &disputed).filter(|_| !is_hidden);
    Explanation {
        string_to_sign: string_to_sign(socket_id, &disputed.of),
        is_right,
        note: note_of_auth(&disputed.of),
        parts: parts_of_auth(app, socket_id, &disputed, diagnosis.as_ref()),
        diagnosis: diagnosis.filter(|found| refusal.is_none() || *found != Diagnosis::Unknown),
        refusal,
    }
}

/// The refusal of an `auth` whose form or key is wrong. That of a signature says only what had to be signed.
fn refusal_of_form(app: &App, disputed: &DisputedAuth) -> Option<String> {
    let socket_id = SocketId::new(1, 1);
    match &disputed.of {
        SignedFor::Subscription { channel, channel_data } => {
            match authorise(app, socket_id, channel, Some(&disputed.auth), channel_data.as_deref()) {
                Ok(()) | Err(ChannelAuthError::WrongSignature { .. }) => None,
                Err(other) => Some(other.to_string()),
            }
        }
        SignedFor::SignIn { user_data } => {
            match user::authenticate(app, socket_id, &disputed.auth, user_data) {
                Ok(()) | Err(UserAuthError::WrongSignature { .. }) => None,
                Err(other) => Some(other.to_string()),
            }
        }
    }
}

/// What has to be thought of where something is signed for this.
pub(crate) fn note_of_auth(of: &SignedFor) -> Option<String> {
    let SignedFor::Subscription { channel, channel_data } = of else { return None };
    let channel_type = ChannelType::of(channel.as_str());
    if matches!(channel_type, ChannelType::Public | ChannelType::Cache) {
        Some(format!(
            "{channel} is public: no auth is asked for, other than for private- and presence- channels"
        ))
    } else if channel_type.is_presence() && channel_data.is_none() {
        Some("a presence channel needs channel_data besides, such as {\"user_id\":\"1\"}".to_owned())
    } else {
        None
    }
}

/// The same of a request with this path.
pub(crate) fn note_of_request(app: &App, path: &str) -> Option<String> {
    let (_, behind) = path.rsplit_once("/apps/").unwrap_or(("", ""));
    let id = behind.split('/').next().filter(|id| !id.is_empty() && decode(id) != app.id)?;
    Some(format!("the path names the app {id}, and the key is of the app {}: that is refused", app.id))
}

/// The parts of an `auth`, and of what was signed as far as that is known.
fn parts_of_auth(
    app: &App,
    socket_id: SocketId,
    disputed: &DisputedAuth,
    diagnosis: Option<&Diagnosis>,
) -> Vec<ExplainedPart> {
    let cause = diagnosis.and_then(Diagnosis::cause);
    let is_known = diagnosis.is_none() || cause.is_some();
    let hides = diagnosis.is_some_and(Diagnosis::hides_the_reason);
    let part = |part: &'static str, expected: &str, came: &str| {
        let sentence = cause.filter(|cause| cause.part() == part).map(Cause::to_string);
        let is_right = expected == came && sentence.is_none();
        let came = if hides { String::new() } else { came.to_owned() };
        ExplainedPart { part, expected: expected.to_owned(), came, is_right, sentence }
    };
    let WrittenAuth { key, digest, .. } = WrittenAuth::read(&disputed.auth);
    let own = key.as_deref().filter(|key| app.secret_of(key).is_some());
    let first = app.keys.first().map_or("", |pair| pair.key.as_str());
    let mut parts = vec![part("the key", own.unwrap_or(first), key.as_deref().unwrap_or_default())];
    let digits = "64 lower-case hexadecimal digits";
    let came = if digest.is_some() { digits } else { "something else" };
    parts.push(part("the form of the signature", digits, came));
    if !is_known {
        return parts;
    }
    let (expected, signed) = (
        socket_id.to_string(),
        match cause {
            Some(Cause::OtherSocket { socket_id, .. }) => socket_id.to_string(),
            _ => socket_id.to_string(),
        },
    );
    parts.push(part("the socket id", &expected, &signed));
    match &disputed.of {
        SignedFor::Subscription { channel, channel_data } => {
            let signed = match cause {
                Some(Cause::OtherChannel { signed }) => signed.as_str(),
                _ => channel.as_str(),
            };
            parts.push(part("the channel", channel.as_str(), signed));
            parts.extend(channel_data.as_ref().map(|data| part("the data", data, data)));
        }
        SignedFor::SignIn { user_data } => parts.push(part("the data", user_data, user_data)),
    }
    parts
}

/// An address of which only the path and the query are signed.
#[derive(Debug)]
pub(crate) struct PastedAddress {
    /// The scheme and the host, if they were given.
    pub(crate) before: String,
    pub(crate) path: String,
    pub(crate) query: Query,
}

impl PastedAddress {
    /// Reads a URL, or a path with its query.
    ///
    /// # Errors
    /// If it is neither: a sentence.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let before = if text.starts_with('/') {
            String::new()
        } else {
            let url = Url::parse(text).ok().filter(Url::has_host);
            let url = url.ok_or("expected a path or a URL of the HTTP API, such as /apps/1001/channels")?;
            url[..Position::BeforePath].to_owned()
        };
        // A default port is not in the parsed one.
        let scheme = text.find("://").map_or(0, |at| at + 3);
        let begins =
            if before.is_empty() { 0 } else { text[scheme..].find('/').map_or(text.len(), |at| scheme + at) };
        let rest = &text[begins..];
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Ok(PastedAddress { before, path: path.to_owned(), query: Query::parse(query) })
    }
}

fn explain_request(
    known: Knowledge<'_>,
    method: &str,
    address: &PastedAddress,
    body: Option<&str>,
) -> Explanation {
    let Knowledge { apps, now, .. } = known;
    let PastedAddress { path, query, .. } = address;
    let paths = [Cow::Borrowed(path.as_str()), Cow::Owned(decode(path))];
    let request = SignedRequest { method, paths: &paths, query };
    let disputed = DisputedRequest { method, path, query, prefix_taken: None, now };
    let (refusal, diagnosis) = match authenticate(apps, &request, now) {
        Err(error) => {
            let told = told_in_request(apps, &disputed);
            let found = told.or_else(|| cause_of_request(apps, &disputed, &error));
            let diagnosis = (found.is_some() || !says_enough(&error)).then(|| Diagnosis::of(found));
            (Some(error.to_string()), diagnosis)
        }
        Ok(_) => match body.map(|body| (body.as_bytes(), check_body(query, body.as_bytes()))) {
            Some((body, Err(error))) => {
                (Some(error.to_string()), Some(Diagnosis::of(cause_of_body(query, body))))
            }
            _ => (None, None),
        },
    };
    let is_right = refusal.is_none();
    // The secret that was pasted would stand in these.
    let is_hidden = diagnosis.as_ref().is_some_and(Diagnosis::hides_the_reason);
    let string_to_sign =
        if is_hidden { String::new() } else { crate::auth::request::string_to_sign(method, path, query) };
    let refusal = refusal.filter(|_| !is_hidden);
    let named = query.get("auth_key").and_then(|key| apps.by_key(key)).filter(|_| !is_hidden);
    let note = named.and_then(|app| note_of_request(app, path));
    let cause = diagnosis.as_ref().and_then(Diagnosis::cause);
    let parts = cause.map(|cause| {
        let (expected, came) = match cause {
            Cause::OtherPath { signed, came } => (signed.clone(), came.clone()),
            Cause::OtherMethod { signed, came } => ((*signed).to_owned(), came.clone()),
            _ => (String::new(), String::new()),
        };
        ExplainedPart {
            part: cause.part(),
            expected,
            came,
            is_right: false,
            sentence: Some(cause.to_string()),
        }
    });
    Explanation { string_to_sign, is_right, diagnosis, refusal, note, parts: parts.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "app-key:383bdeb99976476085391ef62e2b622e71e721afdbdd147f163bfed5e267ac74";

    fn explained(pasted: Json, sockets: &[(SocketId, bool)]) -> Result<Json, String> {
        let apps = AppRegistry::new([App::new("1", "app-key", "app-secret")]).unwrap();
        let app = apps.by_id("1").unwrap();
        let known = Knowledge { app, apps: &apps, sockets, now: 1_700_000_000 };
        explain(known, pasted.as_object().unwrap()).map(|explained| explained.to_json())
    }

    #[test]
    fn each_part_is_shown_beside_what_it_should_be() {
        let socket = (SocketId::new(111, 222), false);
        let pasted =
            json!({ "what": "channel", "channel": "private-room", "socket_id": "5.6", "auth": RIGHT });
        let told = explained(pasted.clone(), &[socket]).unwrap();
        assert_eq!(
            (&told["right"], &told["cause"]["name"]),
            (&json!(false), &json!("other_socket")),
            "{told}"
        );
        let part =
            told["parts"].as_array().unwrap().iter().find(|part| part["part"] == "the socket id").unwrap();
        assert_eq!((&part["expected"], &part["came"]), (&json!("5.6"), &json!("111.222")), "{part}");
        assert_eq!(told["parts"].as_array().unwrap().iter().filter(|part| part["right"] == false).count(), 1);
        // Whoever does not name a connection is told of one that it is right for.
        let mut unnamed = pasted;
        unnamed.as_object_mut().unwrap().remove("socket_id");
        assert_eq!(
            explained(unnamed.clone(), &[(SocketId::new(7, 8), true), socket]).unwrap()["right"],
            true
        );
        assert_eq!(explained(unnamed, &[]).unwrap()["cause"]["name"], "unknown");
    }

    #[test]
    fn a_secret_that_was_pasted_is_not_told_again() {
        let pasted =
            json!({ "what": "user", "auth": "app-secret:00", "socket_id": "1.2", "user_data": "{}" });
        let told = explained(pasted, &[]).unwrap();
        assert_eq!(told["cause"]["name"], "secret_told");
        assert!(!told.to_string().contains("app-secret"), "{told}");
        let time = "auth_timestamp=1700000000&auth_version=1.0";
        for url in [
            format!("/apps/1/channels?auth_key=app-secret&{time}&auth_signature=00"),
            format!("/apps/1/channels?auth_key=app-key&{time}&auth_signature=app-secret"),
            format!("/apps/1/channels?auth_key=app-key&{time}&auth_signature=00&secret=app-secret"),
            format!("/apps/app-secret/channels?auth_key=app-key&{time}&auth_signature=00"),
        ] {
            let told = explained(json!({ "what": "request", "method": "GET", "url": url }), &[]).unwrap();
            assert_eq!(told["cause"]["name"], "secret_told", "{url}");
            assert!(!told.to_string().contains("app-secret"), "{told}");
        }
    }

    #[test]
    fn requests_are_explained_by_their_url() {
        let url = "https://h:443/x/apps/1/channels?auth_key=app-key&auth_timestamp=1700000000&auth_version=1.0\
                   &filter_by_prefix=presence-&info=user_count\
                   &auth_signature=985aebc7e3bd1977bb4ab10e11ad6eba7624244a20ac945c884f459dd1366359";
        let told = explained(json!({ "what": "request", "method": "get", "url": url }), &[]).unwrap();
        assert_eq!(told["cause"]["name"], "other_path", "{told}");
        let right = url.replace("/x/", "/");
        let told = explained(json!({ "what": "request", "method": "GET", "url": right }), &[]).unwrap();
        assert_eq!(told["right"], true, "{told}");
    }

    #[test]
    fn what_a_refusal_says_itself_is_not_looked_for() {
        let url = "/apps/1/channels?auth_key=app-key";
        let told = explained(json!({ "what": "request", "method": "GET", "url": url }), &[]).unwrap();
        assert_eq!((&told["right"], &told["cause"]), (&json!(false), &Json::Null), "{told}");
        assert_eq!(told["refusal"], "Version required");
        for (auth, refusal) in [
            (
                "abc",
                json!(
                    "Auth value for subscription to private-a is invalid: should be of format 'key:signature'"
                ),
            ),
            ("other-key:00", json!("Invalid key in subscription auth data: 'other-key'")),
            ("app-key:00", Json::Null),
        ] {
            let pasted =
                json!({ "what": "channel", "channel": "private-a", "socket_id": "1.2", "auth": auth });
            let told = explained(pasted, &[]).unwrap();
            assert_eq!((&told["refusal"], &told["right"]), (&refusal, &json!(false)), "{auth}");
            assert_eq!(told["cause"].is_null(), auth == "other-key:00", "{auth}");
        }
    }

    #[test]
    fn what_has_to_be_thought_of_besides_is_noted() {
        let noted = |channel: &str, data: Option<&str>| {
            let of = SignedFor::Subscription {
                channel: channel_name(channel).unwrap(),
                channel_data: data.map(str::to_owned),
            };
            note_of_auth(&of).unwrap_or_default()
        };
        assert!(
            noted("room", None).starts_with("room is public: ")
                && noted("cache-room", None).contains(" is public")
        );
        assert!(noted("presence-room", None).contains("needs channel_data"));
        assert_eq!(
            (noted("presence-room", Some("{}")), noted("private-encrypted-a", None)),
            (String::new(), String::new())
        );
        let app = App::new("1", "k", "s");
        assert!(note_of_request(&app, "/x/apps/2/events").unwrap().contains("names the app 2"));
        assert_eq!((note_of_request(&app, "/apps/1/events"), note_of_request(&app, "/events")), (None, None));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (pasted, complaint) in [
            (json!({}), "expected what, got none"),
            (json!({ "what": "x" }), "expected channel, user or request in what, got \"x\""),
            (json!({ "what": "channel", "auth": RIGHT }), "expected channel, got none"),
            (json!({ "what": "channel", "auth": 7 }), "expected auth to be a string"),
            (
                json!({ "what": "user", "auth": RIGHT }),
                "expected user_data, got none: the client sends it beside auth, as the endpoint answered it",
            ),
            (
                json!({ "what": "user", "auth": RIGHT, "user_data": "{}", "socket_id": "x" }),
                "expected digits, a dot and digits, such as 123.456",
            ),
            (
                json!({ "what": "request", "method": "GET", "url": "x" }),
                "expected a path or a URL of the HTTP API, such as /apps/1001/channels",
            ),
        ] {
            assert_eq!(explained(pasted, &[]), Err(complaint.to_owned()));
        }
    }
}
