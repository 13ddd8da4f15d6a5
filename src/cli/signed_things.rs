//! `sign` and `why`: signs what a backend signs, and says what is wrong with what was refused. Both work on this machine
//! alone: nothing is sent to anybody.

use std::borrow::Cow;

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use url::Url;

use super::remote::{AppArguments, GivenApp, RemoteFailure, SignedUrl, harmless};
use crate::app::AppRegistry;
use crate::auth::request::{Query, SignedRequest, authenticate, check_body, decode};
use crate::diagnosis::{
    Cause, Diagnosis, DisputedAuth, DisputedRequest, SignedFor, SigningContext, cause_of_auth, cause_of_body,
    cause_of_request, string_to_sign,
};
use crate::http::unix_seconds;
use crate::protocol::{ChannelName, SocketId};

/// The longest channel name that a signature is made or explained for: as long as any broker may allow.
const MOST_CHANNEL_CHARS: usize = 10_000;

/// What is for every signature.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct SigningArguments {
    #[command(flatten)]
    app: AppArguments,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand, Clone, Debug, PartialEq, Eq)]
pub(super) enum SignAction {
    /// The auth of a subscription to a private or presence channel.
    Channel {
        #[command(flatten)]
        signing: SigningArguments,
        /// The id of the connection, such as 123.456.
        #[arg(value_name = "SOCKET_ID", value_parser = socket_id)]
        socket_id: SocketId,
        #[arg(value_name = "CHANNEL", value_parser = channel_name)]
        channel: ChannelName,
        /// The channel_data, exactly as the client will send it; presence channels need it.
        #[arg(value_name = "CHANNEL_DATA")]
        channel_data: Option<String>,
    },
    /// The auth of a sign-in.
    User {
        #[command(flatten)]
        signing: SigningArguments,
        /// The id of the connection, such as 123.456.
        #[arg(value_name = "SOCKET_ID", value_parser = socket_id)]
        socket_id: SocketId,
        /// The user_data, exactly as the client will send it.
        #[arg(value_name = "USER_DATA")]
        user_data: String,
    },
    /// A request to the HTTP API.
    Request {
        #[command(flatten)]
        signing: SigningArguments,
        #[arg(value_name = "METHOD", value_parser = ["GET", "POST"], ignore_case = true)]
        method: String,
        /// The path or the whole URL, with its query, such as /apps/1001/channels?info=user_count.
        #[arg(value_name = "PATH")]
        path: String,
        /// The body, exactly as it will be sent.
        #[arg(value_name = "BODY")]
        body: Option<String>,
        /// The time to sign, in seconds since 1970 [default: now].
        #[arg(long, value_name = "SECONDS")]
        at: Option<u64>,
    },
}

/// What a refusal is explained with.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct WhyArguments {
    #[command(flatten)]
    signing: SigningArguments,
    /// Another app whose key or secret may have been taken for it; may be repeated.
    #[arg(long = "or-app", value_name = "ID:KEY:SECRET", value_parser = GivenApp::parse)]
    other_apps: Vec<GivenApp>,
}

#[derive(Subcommand, Clone, Debug, PartialEq, Eq)]
pub(super) enum WhyAction {
    /// The auth of a subscription.
    Channel {
        #[command(flatten)]
        why: WhyArguments,
        /// The id of the connection that subscribes.
        #[arg(value_name = "SOCKET_ID", value_parser = socket_id)]
        socket_id: SocketId,
        #[arg(value_name = "CHANNEL", value_parser = channel_name)]
        channel: ChannelName,
        /// What the endpoint answered: the whole JSON, or the auth within it.
        #[arg(value_name = "AUTH")]
        auth: String,
        /// The channel_data as the client sent it [default: that of the endpoint's answer].
        #[arg(value_name = "CHANNEL_DATA")]
        channel_data: Option<String>,
        /// Another connection that it may have been signed for, such as the one before; may be repeated.
        #[arg(long, value_name = "SOCKET_ID", value_parser = socket_id)]
        or_socket: Vec<SocketId>,
    },
    /// The auth of a sign-in.
    User {
        #[command(flatten)]
        why: WhyArguments,
        /// The id of the connection that signs in.
        #[arg(value_name = "SOCKET_ID", value_parser = socket_id)]
        socket_id: SocketId,
        /// What the endpoint answered: the whole JSON, or the auth within it.
        #[arg(value_name = "AUTH")]
        auth: String,
        /// The user_data as the client sent it [default: that of the endpoint's answer].
        #[arg(value_name = "USER_DATA")]
        user_data: Option<String>,
        /// Another connection that it may have been signed for, such as the one before; may be repeated.
        #[arg(long, value_name = "SOCKET_ID", value_parser = socket_id)]
        or_socket: Vec<SocketId>,
    },
    /// A request to the HTTP API.
    Request {
        #[command(flatten)]
        why: WhyArguments,
        #[arg(value_name = "METHOD", value_parser = ["GET", "POST"], ignore_case = true)]
        method: String,
        /// The path or the whole URL, with the query that was sent.
        #[arg(value_name = "URL")]
        url: String,
        /// The body as it came; without it the body is not looked at.
        #[arg(value_name = "BODY")]
        body: Option<String>,
        /// When it came, in seconds since 1970 [default: now].
        #[arg(long, value_name = "SECONDS")]
        at: Option<u64>,
    },
}

fn socket_id(text: &str) -> Result<SocketId, String> {
    match crate::protocol::WrittenSocketId::parse(text) {
        Ok(crate::protocol::WrittenSocketId::Ours(id)) => Ok(id),
        _ => Err("expected digits, a dot and digits, such as 123.456".to_owned()),
    }
}

fn channel_name(text: &str) -> Result<ChannelName, String> {
    ChannelName::parse(text, MOST_CHANNEL_CHARS).map_err(|error| error.to_string())
}

/// What `sign` prints.
pub(super) fn run_sign(action: &SignAction) -> Result<String, RemoteFailure> {
    let (signing, of, socket_id) = match action {
        SignAction::Channel { signing, socket_id, channel, channel_data } => {
            let of = SignedFor::Subscription { channel: channel.clone(), channel_data: channel_data.clone() };
            (signing, of, *socket_id)
        }
        SignAction::User { signing, socket_id, user_data } => {
            (signing, SignedFor::SignIn { user_data: user_data.clone() }, *socket_id)
        }
        SignAction::Request { signing, method, path, body, at } => {
            return sign_request(signing, &method.to_uppercase(), path, body.as_deref(), *at);
        }
    };
    let app = signing.app.app()?;
    let text = string_to_sign(socket_id, &of);
    let signature = crate::auth::sign(&app.secret, &text);
    let auth = format!("{}:{signature}", app.key);
    Ok(match signing.json {
        true => format!("{}\n", json!({ "string_to_sign": text, "signature": signature, "auth": auth })),
        false => format!(
            "string to sign  {}\nsignature       {signature}\nauth            {auth}\n",
            harmless(&text)
        ),
    })
}

fn sign_request(
    signing: &SigningArguments,
    method: &str,
    address: &str,
    body: Option<&str>,
    at: Option<u64>,
) -> Result<String, RemoteFailure> {
    let app = signing.app.app()?;
    let Address { before, path, query } = Address::read(address)?;
    let pairs: Vec<(&str, &str)> = query.own_pairs().collect();
    let now = at.unwrap_or_else(unix_seconds);
    let signed = SignedUrl::of(&app, method, &path, &pairs, body.unwrap_or_default(), now);
    let url = format!("{before}{path}?{}", signed.query);
    let text = signed.string_to_sign;
    Ok(match signing.json {
        true => {
            let told = json!({ "string_to_sign": text, "signature": signed.signature, "url": url });
            format!("{told}\n")
        }
        false => {
            // On one line, as refusals show it.
            let shown = harmless(&text.replace('\n', "\\n"));
            format!("string to sign  {shown}\nsignature       {}\nurl             {url}\n", signed.signature)
        }
    })
}

/// An address of which only the path is signed.
struct Address {
    before: String,
    path: String,
    query: Query,
}

impl Address {
    fn read(text: &str) -> Result<Self, RemoteFailure> {
        let (before, rest) = match text.starts_with('/') {
            true => (String::new(), text.to_owned()),
            false => {
                let url = Url::parse(text).ok().filter(Url::has_host);
                let url =
                    url.ok_or_else(|| RemoteFailure::usage("expected a path or a URL of the HTTP API"))?;
                let begins = &url[..url::Position::BeforePath];
                (begins.to_owned(), text.get(begins.len()..).unwrap_or_default().to_owned())
            }
        };
        let (path, query) = rest.split_once('?').unwrap_or((&rest, ""));
        Ok(Address { before, path: path.to_owned(), query: Query::parse(query) })
    }
}

/// What `why` prints, and whether there is nothing to explain.
pub(super) fn run_why(action: &WhyAction) -> Result<(String, bool), RemoteFailure> {
    match action {
        WhyAction::Channel { why, socket_id, channel, auth, channel_data, or_socket } => {
            let (auth, data) = of_answer(auth, "channel_data");
            let channel_data = channel_data.clone().or(data);
            let of = SignedFor::Subscription { channel: channel.clone(), channel_data };
            why_auth(why, *socket_id, auth, of, or_socket)
        }
        WhyAction::User { why, socket_id, auth, user_data, or_socket } => {
            let (auth, data) = of_answer(auth, "user_data");
            let user_data = user_data.clone().or(data).ok_or_else(|| {
                RemoteFailure::usage(
                    "expected the user_data behind the auth, or the endpoint's whole answer with it",
                )
            })?;
            why_auth(why, *socket_id, auth, SignedFor::SignIn { user_data }, or_socket)
        }
        WhyAction::Request { why, method, url, body, at } => {
            why_request(why, &method.to_uppercase(), url, body.as_deref(), at.unwrap_or_else(unix_seconds))
        }
    }
}

/// The `auth` and the data of an endpoint's answer, or the text itself.
fn of_answer(text: &str, data: &str) -> (String, Option<String>) {
    let parsed: Option<Json> = serde_json::from_str(text).ok();
    let member = |name: &str| parsed.as_ref()?[name].as_str().map(str::to_owned);
    (member("auth").unwrap_or_else(|| text.to_owned()), member(data))
}

impl WhyArguments {
    fn apps(&self) -> Result<(GivenApp, AppRegistry), RemoteFailure> {
        let app = self.signing.app.app()?;
        let all = [&app].into_iter().chain(&self.other_apps).map(GivenApp::app);
        let registry = AppRegistry::new(all).map_err(RemoteFailure::usage)?;
        Ok((app, registry))
    }

    fn told(&self, expected: &str, is_right: bool, diagnosis: &Diagnosis) -> (String, bool) {
        let cause = match diagnosis {
            Diagnosis::Found(cause) => Some(cause),
            Diagnosis::Unknown | Diagnosis::NotExamined => None,
        };
        let part = cause.map(Cause::part);
        if self.signing.json {
            let told = (!is_right).then(
                || json!({ "name": diagnosis.name(), "sentence": diagnosis.sentence(), "differs": part }),
            );
            return (
                format!("{}\n", json!({ "string_to_sign": expected, "right": is_right, "cause": told })),
                is_right,
            );
        }
        let mut text = format!("string to sign  {}\n", harmless(&expected.replace('\n', "\\n")));
        if is_right {
            text.push_str("the signature is right\n");
        } else {
            if let Some(part) = part {
                text.push_str(&format!("what differs    {part}\n"));
            }
            text.push_str(&format!("why             {}\n", harmless(&diagnosis.sentence())));
        }
        (text, is_right)
    }
}

fn why_auth(
    why: &WhyArguments,
    socket_id: SocketId,
    auth: String,
    of: SignedFor,
    others: &[SocketId],
) -> Result<(String, bool), RemoteFailure> {
    let (given, apps) = why.apps()?;
    let app = given.app();
    let expected = string_to_sign(socket_id, &of);
    let is_right = crate::auth::split(&auth).is_some_and(|(key, signature)| {
        app.secret_of(key).is_some_and(|secret| crate::auth::verify(secret, &expected, signature))
    });
    let others: Vec<(SocketId, bool)> = others.iter().map(|other| (*other, true)).collect();
    let context = SigningContext { app: &app, apps: &apps, socket_id, others: &others };
    let cause = cause_of_auth(context, &DisputedAuth { auth, of });
    Ok(why.told(&expected, is_right, &Diagnosis::of(cause)))
}

fn why_request(
    why: &WhyArguments,
    method: &str,
    address: &str,
    body: Option<&str>,
    now: u64,
) -> Result<(String, bool), RemoteFailure> {
    let (_, apps) = why.apps()?;
    let Address { path, query, .. } = Address::read(address)?;
    let paths = [Cow::Borrowed(path.as_str()), Cow::Owned(decode(&path))];
    let request = SignedRequest { method, paths: &paths, query: &query };
    let expected = crate::auth::request::string_to_sign(method, &path, &query);
    let disputed = DisputedRequest { method, path: &path, query: &query, prefix_taken: None, now };
    let cause = match authenticate(&apps, &request, now) {
        Err(error) => {
            let cause = cause_of_request(&apps, &disputed, &error);
            return Ok(match cause {
                Some(cause) => why.told(&expected, false, &Diagnosis::Found(cause)),
                None => {
                    let (text, _) = why.told(&expected, false, &Diagnosis::Unknown);
                    let refused = (!why.signing.json)
                        .then(|| format!("refused with    {}\n", harmless(&error.to_string())));
                    (refused.unwrap_or_default() + &text, false)
                }
            });
        }
        Ok(_) => body.and_then(|body| {
            let is_other = check_body(&query, body.as_bytes()).is_err();
            is_other.then(|| cause_of_body(&query, body.as_bytes()))
        }),
    };
    Ok(why.told(&expected, cause.is_none(), &Diagnosis::of(cause.flatten())))
}

#[cfg(test)]
mod tests;
