//! `pusher:signin`: who the user of a connection is.

use std::sync::Arc;

use indexmap::IndexSet;

use crate::app::App;
use crate::auth::user::authenticate;
use crate::channel::{Member, user_info_text};
use crate::diagnosis::SignedFor;
use crate::protocol::client_message::{BadParameter, MessageParameters};
use crate::protocol::{ChannelName, SERVER_TO_USER_PREFIX, SocketId, json};

use super::Refusal;

/// The user that a connection is signed in as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedInUser {
    /// What the user is known by on presence channels, too.
    pub member: Member,
    /// The channel of the user's own events.
    pub channel: ChannelName,
}

impl SignedInUser {
    /// The user's id.
    pub fn id(&self) -> &Arc<str> {
        &self.member.user_id
    }
}

/// `user_data` that makes no user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum BadUser {
    #[error("Invalid user_data: expected a JSON object")]
    NotAnObject,
    #[error("Invalid user_data: id must be a string that is not empty")]
    NoId,
    #[error(
        "Invalid user_data: id may hold letters, digits and _ - = @ , . ; and must not be longer than a channel name"
    )]
    InvalidId,
    #[error("Invalid user_data: user_info must be an object")]
    InfoNotAnObject,
    #[error("Invalid user_data: watchlist must be an array of strings")]
    WatchlistNotStrings,
}

/// What a `pusher:signin` says, checked.
#[derive(Debug)]
pub(super) struct SignInRequest {
    pub(super) user: SignedInUser,
    /// As it came; the client reads it again in the answer.
    pub(super) user_data: String,
    /// Whom the connection watches; nobody where the app has that switched off.
    pub(super) watchlist: Vec<Arc<str>>,
    /// The watchlist was longer.
    pub(super) watchlist_cut: bool,
}

/// Reads and checks a `pusher:signin`. A connection that is signed in may sign in again as the same user.
pub(super) fn sign_in(
    app: &App,
    socket_id: SocketId,
    parameters: Result<MessageParameters<'_>, BadParameter>,
    current: Option<&SignedInUser>,
) -> Result<SignInRequest, Refusal> {
    let parameters = parameters.map_err(Refusal::unnumbered)?;
    let [auth, user_data] = parameters.strings(["auth", "user_data"]).map_err(Refusal::unnumbered)?;
    let missing = |name| Refusal::unnumbered(BadParameter::Missing(name));
    let user_data = user_data.ok_or_else(|| missing("user_data"))?;
    let auth = auth.ok_or_else(|| missing("auth"))?;
    authenticate(app, socket_id, &auth, &user_data).map_err(|error| {
        let of = SignedFor::SignIn { user_data: user_data.to_string() };
        Refusal::unnumbered(error).of_signature(&auth, of)
    })?;
    let user = user(app, &user_data).map_err(Refusal::unnumbered)?;
    match current {
        Some(current) if current.id() != user.id() => {
            Err(Refusal::unnumbered("Connection already signed in as another user"))
        }
        _ => {
            let (watchlist, watchlist_cut) = watchlist(app, &user_data).map_err(Refusal::unnumbered)?;
            Ok(SignInRequest { user, user_data: user_data.into_owned(), watchlist, watchlist_cut })
        }
    }
}

/// The distinct users of the watchlist, as many as count, and whether there were more.
fn watchlist(app: &App, user_data: &str) -> Result<(Vec<Arc<str>>, bool), BadUser> {
    if !app.watchlist_events {
        return Ok((Vec::new(), false));
    }
    let [list] = json::members(user_data, ["watchlist"]).map_err(|_| BadUser::NotAnObject)?;
    let Some(list) = list.filter(|list| !json::is_null(list)) else { return Ok((Vec::new(), false)) };
    let ids: IndexSet<Arc<str>> =
        serde_json::from_str(list.get()).map_err(|_| BadUser::WatchlistNotStrings)?;
    let limit = app.limits.watchlist_users;
    let cut = ids.len() > limit;
    Ok((ids.into_iter().take(limit).collect(), cut))
}

fn user(app: &App, user_data: &str) -> Result<SignedInUser, BadUser> {
    let [id, user_info] = json::members(user_data, ["id", "user_info"]).map_err(|_| BadUser::NotAnObject)?;
    let id = id.and_then(json::as_string).filter(|id| !id.is_empty()).ok_or(BadUser::NoId)?;
    // The name of the user's own channel has the same alphabet, and room for an id of a channel name's length.
    let channel = format!("{SERVER_TO_USER_PREFIX}{id}");
    let channel =
        ChannelName::parse(&channel, app.limits.channel_name_chars).map_err(|_| BadUser::InvalidId)?;
    let user_info = user_info_text(user_info).map_err(|_| BadUser::InfoNotAnObject)?;
    Ok(SignedInUser { member: Member { user_id: Arc::from(id), user_info }, channel })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchlist_counts_where_it_is_switched_on_and_as_far_as_it_may_go() {
        let mut app = App::new("1", "k", "s");
        app.limits.watchlist_users = 2;
        let read = |app: &App, list: &str| {
            let read = watchlist(app, &format!(r#"{{"id":"a","watchlist":{list}}}"#));
            read.map(|(ids, cut)| (ids.join(" "), cut))
        };
        assert_eq!(read(&app, r#"["b"]"#), Ok((String::new(), false)), "off");
        app.watchlist_events = true;
        assert_eq!(read(&app, "null"), Ok((String::new(), false)));
        assert_eq!(read(&app, r#"["b","c","b"]"#), Ok(("b c".into(), false)));
        assert_eq!(read(&app, r#"["b","c","d"]"#), Ok(("b c".into(), true)));
        for wrong in ["1", "{}", "\"b\"", "[1]", "[null]"] {
            assert_eq!(read(&app, wrong), Err(BadUser::WatchlistNotStrings), "{wrong}");
        }
    }

    #[test]
    fn user_data_is_read_or_refused() {
        let app = App::new("1", "k", "s");
        let ann = user(&app, r#"{"id":"ann","user_info":{ "n": 1 },"watchlist":["bob"],"more":2}"#).unwrap();
        assert_eq!((&**ann.id(), ann.member.user_info.as_deref()), ("ann", Some(r#"{"n":1}"#)));
        assert_eq!(ann.channel.as_str(), "#server-to-user-ann");
        let table = [
            ("", BadUser::NotAnObject),
            ("[]", BadUser::NotAnObject),
            ("{}", BadUser::NoId),
            (r#"{"id":""}"#, BadUser::NoId),
            (r#"{"id":7}"#, BadUser::NoId),
            (r#"{"id":null}"#, BadUser::NoId),
            (r#"{"id":"a b"}"#, BadUser::InvalidId),
            (r#"{"id":"é"}"#, BadUser::InvalidId),
            (r#"{"id":"a","user_info":[]}"#, BadUser::InfoNotAnObject),
        ];
        for (text, error) in table {
            assert_eq!(user(&app, text), Err(error), "{text}");
        }
        let long = |chars| user(&app, &format!(r#"{{"id":"{}"}}"#, "x".repeat(chars)));
        assert!(long(164).is_ok());
        assert_eq!(long(165), Err(BadUser::InvalidId));
    }
}
