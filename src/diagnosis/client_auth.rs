//! The `auth` of a client: of a subscription, or of a sign-in.

use super::cause::Cause;
use super::examiner::{Examiner, MOST_BYTES};
use super::json_forms::{JsonForm, in_form, unquoted};
use super::written::WrittenAuth;
use crate::app::{App, AppRegistry, Secret};
use crate::protocol::{ChannelName, SocketId};

/// An `auth` that was refused, and what it was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputedAuth {
    pub auth: String,
    pub of: SignedFor,
}

/// What a client's `auth` is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedFor {
    Subscription {
        channel: ChannelName,
        /// As it came.
        channel_data: Option<String>,
    },
    SignIn {
        /// As it came.
        user_data: String,
    },
}

impl DisputedAuth {
    /// Whether there is too much of it to be examined.
    pub(crate) fn is_too_long(&self) -> bool {
        let data = match &self.of {
            SignedFor::Subscription { channel_data, .. } => channel_data.as_ref().map_or(0, String::len),
            SignedFor::SignIn { user_data } => user_data.len(),
        };
        self.auth.len() + data > MOST_BYTES
    }
}

/// What is known besides what came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SigningContext<'a> {
    /// The app of the connection.
    pub(crate) app: &'a App,
    /// All apps.
    pub(crate) apps: &'a AppRegistry,
    pub(crate) socket_id: SocketId,
    /// Other connections of late, the likeliest first, and whether each is open.
    pub(crate) others: &'a [(SocketId, bool)],
}

/// What a backend has to sign.
pub(crate) fn string_to_sign(socket_id: SocketId, of: &SignedFor) -> String {
    match of {
        SignedFor::Subscription { channel, channel_data } => {
            crate::auth::channel::string_to_sign(socket_id, channel, channel_data.as_deref())
        }
        SignedFor::SignIn { user_data } => crate::auth::user::string_to_sign(socket_id, user_data),
    }
}

/// Why this `auth` was refused, if it can be proved; whether a secret stands in it [`told_in_auth`](super::told_in_auth) tells.
pub(crate) fn cause_of_auth(context: SigningContext<'_>, disputed: &DisputedAuth) -> Option<Cause> {
    let DisputedAuth { auth, of } = disputed;
    if disputed.is_too_long() {
        return None;
    }
    let right = string_to_sign(context.socket_id, of);
    let WrittenAuth { key, digest, fault } = WrittenAuth::read(auth);
    let mut examiner = digest.map(Examiner::new);
    let key = match key {
        Some(key) if context.app.secret_of(&key).is_none() => {
            let of_key = cause_of_key(context, &key, |secret| {
                examiner.as_mut().is_some_and(|examiner| examiner.is_of(secret, &right))
            });
            return of_key.or(fault.filter(|fault| *fault == Cause::AuthIsJson));
        }
        Some(key) => key,
        // What its form is says it all: whether the signature is right changes nothing.
        None => return fault,
    };
    let (Some(secret), Some(mut examiner)) = (context.app.secret_of(&key), examiner) else { return fault };
    if examiner.is_of(secret, &right) {
        return fault;
    }
    let otherwise = cause_in_text(context, &mut examiner, secret, of)
        .or_else(|| cause_in_secret(context.app, context.apps, &mut examiner, (&key, secret), &right))
        .or_else(|| other_socket(context, &mut examiner, secret, of, FIRST_SOCKETS..usize::MAX));
    otherwise.or(fault)
}

/// How many other connections are thought of before anything less likely.
const FIRST_SOCKETS: usize = 3;

/// How many are left for further ones, however many apps there are.
const FOR_OTHER_SOCKETS: usize = 2;

fn cause_in_text(
    context: SigningContext<'_>,
    examiner: &mut Examiner,
    secret: &Secret,
    of: &SignedFor,
) -> Option<Cause> {
    if let Some(cause) = other_socket(context, examiner, secret, of, 0..FIRST_SOCKETS) {
        return Some(cause);
    }
    let socket_id = context.socket_id;
    let mut guesses: Vec<(String, Cause)> = Vec::new();
    match of {
        SignedFor::Subscription { channel, channel_data } => {
            let data = channel_data.as_deref();
            let behind = data.map(|data| format!(":{data}")).unwrap_or_default();
            for signed in other_names(channel.as_str()) {
                guesses.push((format!("{socket_id}:{signed}{behind}"), Cause::OtherChannel { signed }));
            }
            if let Some(data) = data {
                guesses.push((format!("{socket_id}:{channel}"), Cause::DataNotSigned));
                guesses.push((format!("{socket_id}::user::{data}"), Cause::SignedForUser));
                let before = format!("{socket_id}:{channel}:");
                guesses.extend(other_forms(&before, "channel_data", data));
            }
        }
        SignedFor::SignIn { user_data } => {
            guesses.push((format!("{socket_id}:user:{user_data}"), Cause::UserWithoutColons));
            guesses.extend(other_forms(&format!("{socket_id}::user::"), "user_data", user_data));
        }
    }
    guesses.into_iter().find(|(text, _)| examiner.is_of(secret, text)).map(|(_, cause)| cause)
}

fn other_socket(
    context: SigningContext<'_>,
    examiner: &mut Examiner,
    secret: &Secret,
    of: &SignedFor,
    which: std::ops::Range<usize>,
) -> Option<Cause> {
    let others = context.others.iter().filter(|(other, _)| *other != context.socket_id);
    let mut others = others.skip(which.start).take(which.len().min(examiner.left()));
    let found = others.find(|(other, _)| examiner.is_of(secret, &string_to_sign(*other, of)));
    found.map(|(socket_id, is_open)| Cause::OtherSocket { socket_id: *socket_id, is_open: *is_open })
}

/// The names that are mistaken for a channel's: without its prefix, and with another.
fn other_names(name: &str) -> impl Iterator<Item = String> {
    let prefixes = ["private-encrypted-cache-", "private-encrypted-", "private-cache-", "presence-cache-"];
    let simple = ["private-", "presence-"];
    let bare = prefixes.iter().chain(&simple).find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let other = simple.iter().map(|prefix| format!("{prefix}{bare}")).find(|other| other != name);
    let all = [Some(bare.to_owned()), other];
    let name = name.to_owned();
    all.into_iter().flatten().filter(move |other| *other != name)
}

/// What may have been signed in the place of data that is the same and is written otherwise.
fn other_forms(before: &str, what: &'static str, data: &str) -> Vec<(String, Cause)> {
    let inner = unquoted(data).map(|inner| (format!("{before}{inner}"), Cause::SentEncodedTwice { what }));
    let mut guesses: Vec<_> = inner.into_iter().collect();
    for form in JsonForm::ALL {
        let Some(written) = in_form(data, form) else { continue };
        let text = format!("{before}{written}");
        let is_new = written != data && guesses.iter().all(|(other, _)| *other != text);
        let cause = match form {
            JsonForm::Quoted => Cause::SignedEncodedTwice { what },
            form => Cause::Reencoded { what, form },
        };
        if is_new {
            guesses.push((text, cause));
        }
    }
    guesses
}

/// What the key is that is none of the app's. `signs` tells whether a secret has signed what came.
fn cause_of_key(
    context: SigningContext<'_>,
    key: &str,
    mut signs: impl FnMut(&Secret) -> bool,
) -> Option<Cause> {
    let SigningContext { app, apps, .. } = context;
    if let Some(other) = apps.by_key(key) {
        if other.secret_of(key).is_some_and(&mut signs) {
            return Some(Cause::CredentialsOfOtherApp { app: other.id.clone() });
        }
        let is_signed_here = app.keys.iter().any(|pair| signs(&pair.secret));
        return Some(Cause::KeyOfOtherApp { app: other.id.clone(), is_signed_here });
    }
    mistaken_key(apps, Some(app), key)
}

/// What stands where a key should, of the app that was named if one was, or of any. Keys and ids are looked up, so it costs
/// the same however many apps there are.
pub(super) fn mistaken_key(apps: &AppRegistry, app: Option<&App>, key: &str) -> Option<Cause> {
    let (trimmed, small) = (key.trim(), key.trim().to_ascii_lowercase());
    let mut own = app.into_iter().flat_map(|app| &app.keys).map(|pair| &*pair.key);
    let alike = own.find(|own| own.eq_ignore_ascii_case(trimmed));
    if let Some(key) = alike.or_else(|| [trimmed, &small].into_iter().find(|key| apps.by_key(key).is_some()))
    {
        return Some(Cause::AlmostKey { key: key.to_owned() });
    }
    apps.by_id(trimmed).map(|app| Cause::IdAsKey { app: app.id.clone() })
}

/// Whether a text was signed with something else than the secret of the key that it names.
pub(super) fn cause_in_secret(
    app: &App,
    apps: &AppRegistry,
    examiner: &mut Examiner,
    (key, secret): (&str, &Secret),
    right: &str,
) -> Option<Cause> {
    if examiner.is_of(&Secret::new(key), right) {
        return Some(Cause::KeyAsSecret);
    }
    let trimmed = secret.text().trim();
    let spaced = if trimmed == secret.text() { format!("{trimmed}\n") } else { trimmed.to_owned() };
    if examiner.is_of(&Secret::new(spaced), right) {
        return Some(Cause::SecretWithSpace);
    }
    let own = app.keys.iter().filter(|pair| pair.key != key).take(3);
    for pair in own {
        if examiner.is_of(&pair.secret, right) {
            return Some(Cause::OtherSecretOfApp { key: pair.key.clone() });
        }
    }
    let others = apps.iter().filter(|other| other.id != app.id);
    for (other, pair) in others.flat_map(|other| other.keys.iter().map(move |pair| (other, pair))) {
        if examiner.left() <= FOR_OTHER_SOCKETS {
            break;
        }
        if examiner.is_of(&pair.secret, right) {
            return Some(Cause::SecretOfOtherApp { app: other.id.clone() });
        }
    }
    None
}

#[cfg(test)]
mod tests;
