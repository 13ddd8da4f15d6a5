//! Names, ids, patterns and signatures: what is accepted is what the rules allow, and is written as it came.

use heliostat::app::{App, Secret};
use heliostat::tools::auth::{channel, sign, split, user, verify};
use heliostat::tools::protocol::event_name::{self, ClientEventKind};
use heliostat::tools::protocol::pattern::Pattern;
use heliostat::tools::protocol::{ChannelName, SERVER_TO_USER_PREFIX, SocketId, WrittenSocketId};

use crate::two_texts;

/// Characters that a channel's name may have.
const MOST: usize = 164;

pub(crate) fn target(data: &[u8]) {
    let Some((first, second)) = two_texts(data) else { return };
    channel_names(first);
    event_names(first);
    socket_ids(first);
    patterns(first, second);
    signatures(first, second);
}

fn channel_names(text: &str) {
    let plain = text.strip_prefix(SERVER_TO_USER_PREFIX).unwrap_or(text);
    let allowed =
        |c: char| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '=' | '@' | ',' | '.' | ';');
    let sound = (1..=MOST).contains(&plain.chars().count()) && plain.chars().all(allowed);
    let parsed = ChannelName::parse(text, MOST);
    assert_eq!(parsed.is_ok(), sound, "{text:?}");
    let Ok(name) = parsed else { return };
    assert_eq!(name.as_str(), text);
    let kind = name.channel_type();
    assert_eq!(kind.is_presence(), text.starts_with("presence-"), "{text}");
    assert_eq!(kind.needs_auth(), text.starts_with("private-") || text.starts_with("presence-"), "{text}");
    assert_eq!(kind.is_encrypted(), text.starts_with("private-encrypted-"), "{text}");
}

fn event_names(text: &str) {
    let reserved = event_name::kind(text) == ClientEventKind::Reserved;
    let published = event_name::check_published(text, MOST).is_ok();
    assert!(!(reserved && published), "{text:?}");
    assert_eq!(published, !text.is_empty() && !text.starts_with("pusher") && text.chars().count() <= MOST);
}

fn socket_ids(text: &str) {
    match WrittenSocketId::parse(text).map(WrittenSocketId::ours) {
        Ok(Some(id)) => assert_eq!(id.to_string(), text),
        Ok(None) => assert!(text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'), "{text:?}"),
        Err(_) => {
            let mut parts = text.split('.').map(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
            let sound = matches!((parts.next(), parts.next(), parts.next()), (Some(true), Some(true), None));
            assert!(!sound || text.starts_with('.') || text.ends_with('.'), "{text:?}");
        }
    }
}

fn patterns(text: &str, name: &str) {
    let Ok(pattern) = Pattern::parse(text) else { return };
    assert_eq!(pattern.to_string(), text);
    assert_eq!(pattern.is_wild(), text.contains('*'));
    if let Some(captured) = pattern.capture(name) {
        assert_eq!(pattern.fill(captured), name, "{text}");
    }
    assert!(pattern.capture(&pattern.fill(name)).is_some(), "{text} {name}");
}

fn signatures(message: &str, auth: &str) {
    let secret = Secret::new("secret");
    let right = sign(&secret, message);
    assert!(verify(&secret, message, &right) && !verify(&secret, message, &right.to_uppercase()[..63]));
    assert_eq!(verify(&secret, message, auth), right == auth, "{auth:?}");
    if let Some((key, signature)) = split(auth) {
        assert_eq!(format!("{key}:{signature}"), auth);
        assert!(!key.is_empty() && !signature.is_empty() && !key.contains(':'));
    }
    let (app, socket) = (App::new("1", "key", "secret"), SocketId::new(1, 2));
    let signed = |text: &str| format!("key:{}", sign(&secret, text));
    let user_auth = signed(&user::string_to_sign(socket, message));
    assert!(user::authenticate(&app, socket, &user_auth, message).is_ok());
    assert_eq!(user::authenticate(&app, socket, auth, message).is_ok(), auth == user_auth);
    let Ok(name) = ChannelName::parse("private-a", MOST) else { return };
    let channel_auth = signed(&channel::string_to_sign(socket, &name, Some(message)));
    assert!(channel::authorise(&app, socket, &name, Some(&channel_auth), Some(message)).is_ok());
    // What was signed for a user or with other data opens no channel.
    assert!(channel::authorise(&app, socket, &name, Some(&user_auth), None).is_err());
    assert_eq!(
        channel::authorise(&app, socket, &name, Some(auth), Some(message)).is_ok(),
        auth == channel_auth
    );
}
