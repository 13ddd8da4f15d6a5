//! `sign` and `why`: signs what a backend signs, and says what is wrong with what was refused. Both work on this machine
//! alone: nothing is sent to anybody.

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::remote::{AppArguments, GivenApp, RemoteFailure, SignedUrl, harmless};
use crate::app::AppRegistry;
use crate::diagnosis::{
    Diagnosis, Explanation, HIDDEN, Knowledge, PastedAddress, SignedFor, channel_name, explain, note_of_auth,
    note_of_request, socket_id, string_to_sign,
};
use crate::http::unix_seconds;
use crate::protocol::{ChannelName, SocketId};

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
        /// Its name, with the prefix: private-room, presence-room.
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
    #[arg(long = "or-app", value_name = "ID:KEY:SECRET")]
    other_apps: Vec<String>,
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
        /// Its name, with the prefix: private-room, presence-room.
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
    let (auth, note) = (format!("{}:{signature}", app.key), note_of_auth(&of));
    Ok(if signing.json {
        format!("{}\n", json!({ "string_to_sign": text, "signature": signature, "auth": auth, "note": note }))
    } else {
        with_note(vec![("string to sign", text), ("signature", signature), ("auth", auth)], note)
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
    let read = PastedAddress::read(address).map_err(RemoteFailure::usage)?;
    let PastedAddress { before, path, query } = read;
    let pairs: Vec<(&str, &str)> = query.own_pairs().collect();
    let now = at.unwrap_or_else(unix_seconds);
    let signed = SignedUrl::of(&app, method, &path, &pairs, body.unwrap_or_default(), now);
    let url = format!("{before}{path}?{}", signed.query);
    let (text, note) = (signed.string_to_sign, note_of_request(&app.app(), &path));
    if signing.json {
        let told = json!({ "string_to_sign": text, "signature": signed.signature, "url": url, "note": note });
        return Ok(format!("{told}\n"));
    }
    // On one line, as refusals show it.
    let shown = text.replace('\n', "\\n");
    Ok(with_note(vec![("string to sign", shown), ("signature", signed.signature), ("url", url)], note))
}

/// What `why` prints, and whether there is nothing to explain.
pub(super) fn run_why(action: &WhyAction) -> Result<(String, bool), RemoteFailure> {
    match action {
        WhyAction::Channel { why, socket_id, channel, auth, channel_data, or_socket } => {
            let pasted = json!({ "what": "channel", "socket_id": socket_id.to_string(), "channel": channel.as_str(),
                "auth": auth, "channel_data": channel_data });
            why.explain(&pasted, or_socket, None)
        }
        WhyAction::User { why, socket_id, auth, user_data, or_socket } => {
            let pasted = json!({ "what": "user", "socket_id": socket_id.to_string(), "auth": auth,
                "user_data": user_data });
            why.explain(&pasted, or_socket, None)
        }
        WhyAction::Request { why, method, url, body, at } => {
            let pasted = json!({ "what": "request", "method": method, "url": url, "body": body });
            why.explain(&pasted, &[], *at)
        }
    }
}

impl WhyArguments {
    fn explain(
        &self,
        pasted: &Json,
        others: &[SocketId],
        at: Option<u64>,
    ) -> Result<(String, bool), RemoteFailure> {
        let given = self.signing.app.app()?;
        let or_apps = self.other_apps.iter().map(|text| GivenApp::parse(text, "--or-app"));
        let or_apps: Vec<_> = or_apps.collect::<Result<_, _>>()?;
        let all = [&given].into_iter().chain(&or_apps).map(GivenApp::app);
        let apps = AppRegistry::new(all).map_err(RemoteFailure::usage)?;
        let sockets: Vec<(SocketId, bool)> = others.iter().map(|other| (*other, true)).collect();
        let app = given.app();
        let known =
            Knowledge { app: &app, apps: &apps, sockets: &sockets, now: at.unwrap_or_else(unix_seconds) };
        let empty = serde_json::Map::new();
        let explained = explain(known, pasted.as_object().unwrap_or(&empty)).map_err(RemoteFailure::usage)?;
        let is_right = explained.is_right;
        let text =
            if self.signing.json { format!("{}\n", explained.to_json()) } else { lines_of(&explained) };
        Ok((text, is_right))
    }
}

fn lines_of(explained: &Explanation) -> String {
    let text = explained.string_to_sign.replace('\n', "\\n");
    let mut lines = vec![("string to sign", if text.is_empty() { HIDDEN.to_owned() } else { text })];
    if explained.is_right {
        let note = with_note(Vec::new(), explained.note.clone());
        return format!("{}the signature is right\n{note}", columns(&lines));
    }
    lines.extend(explained.refusal.clone().map(|refusal| ("refused with", refusal)));
    lines.extend(explained.differing().map(|part| ("what differs", part.to_owned())));
    lines.extend(explained.diagnosis.as_ref().map(|diagnosis| ("why", diagnosis.sentence())));
    if explained.diagnosis == Some(Diagnosis::Unknown) {
        let told = "name another app by --or-app, or an earlier connection by --or-socket; otherwise compare what your backend \
                    signs with the string to sign, letter by letter";
        lines.push(("what to try", told.to_owned()));
    }
    with_note(lines, explained.note.clone())
}

fn with_note(mut lines: Vec<(&str, String)>, note: Option<String>) -> String {
    lines.extend(note.map(|note| ("note", note)));
    columns(&lines)
}

fn columns(lines: &[(&str, String)]) -> String {
    lines.iter().map(|(name, value)| format!("{name:16}{}\n", harmless(value))).collect()
}

#[cfg(test)]
mod tests;
