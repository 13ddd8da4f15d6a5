//! Authorising a subscription: `key:signature` over `socket_id:channel[:channel_data]`.

use crate::app::App;
use crate::protocol::{ChannelName, SocketId};

/// Why a signature does not authorise a subscription. The texts are those of hosted Pusher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelAuthError {
    /// There is none where one is needed.
    #[error("Auth info required to subscribe to {0}")]
    Missing(ChannelName),
    /// It is not two parts with a colon between.
    #[error("Auth value for subscription to {0} is invalid: should be of format 'key:signature'")]
    Malformed(ChannelName),
    /// The key is not one of this app's.
    #[error("Invalid key in subscription auth data: '{0}'")]
    UnknownKey(String),
    /// The signature is wrong. Tells what was to be signed, never the expected digest.
    #[error("Invalid signature: Expected HMAC SHA256 hex digest of {signed}, but got {got}")]
    WrongSignature {
        /// What was to be signed: the socket id, the channel and the channel data, with colons between.
        signed: String,
        /// What came instead of its digest.
        got: String,
    },
}

/// The string that a backend signs to let a connection subscribe. `channel_data` is signed as it was sent.
pub fn string_to_sign(socket_id: SocketId, channel: &ChannelName, channel_data: Option<&str>) -> String {
    let length = 23 + channel.as_str().len() + channel_data.map_or(0, str::len);
    let mut signed = String::with_capacity(length);
    socket_id.push_to(&mut signed);
    for part in [Some(channel.as_str()), channel_data].into_iter().flatten() {
        signed.push(':');
        signed.push_str(part);
    }
    signed
}

/// Checks the `auth` of a subscription to a channel that needs one.
///
/// # Errors
/// See [`ChannelAuthError`].
pub fn authorise(
    app: &App,
    socket_id: SocketId,
    channel: &ChannelName,
    auth: Option<&str>,
    channel_data: Option<&str>,
) -> Result<(), ChannelAuthError> {
    let auth = auth.filter(|a| !a.is_empty()).ok_or_else(|| ChannelAuthError::Missing(channel.clone()))?;
    let (key, signature) = super::split(auth).ok_or_else(|| ChannelAuthError::Malformed(channel.clone()))?;
    let secret = app.secret_of(key).ok_or_else(|| ChannelAuthError::UnknownKey(key.to_owned()))?;
    let signed = string_to_sign(socket_id, channel, channel_data);
    if super::verify(secret, &signed, signature) {
        Ok(())
    } else {
        Err(ChannelAuthError::WrongSignature { signed, got: signature.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Key;
    use crate::app::Secret;

    fn subject() -> (App, SocketId, ChannelName) {
        let name = ChannelName::parse("private-room", 164).unwrap();
        (App::new("1", "app-key", "app-secret"), SocketId::new(111, 222), name)
    }

    #[test]
    fn a_right_signature_passes_with_any_key_of_the_app() {
        let (mut app, socket, channel) = subject();
        let auth = "app-key:383bdeb99976476085391ef62e2b622e71e721afdbdd147f163bfed5e267ac74";
        assert_eq!(authorise(&app, socket, &channel, Some(auth), None), Ok(()));
        app.keys.insert(0, Key { key: "older".into(), secret: Secret::new("other") });
        assert_eq!(authorise(&app, socket, &channel, Some(auth), None), Ok(()));
        let older = format!("older:{}", super::super::sign(&Secret::new("other"), "111.222:private-room"));
        assert_eq!(authorise(&app, socket, &channel, Some(&older), None), Ok(()));
        let with_data = "app-key:71a2e3bd086b4bf1c119ccb21d8b96e096e0e719aeca9c7e9f9148e1d6f8fe4e";
        assert_eq!(authorise(&app, socket, &channel, Some(with_data), Some(r#"{"note":"x"}"#)), Ok(()));
    }

    #[test]
    fn every_fault_is_named_as_the_real_service_names_it() {
        let (app, socket, channel) = subject();
        let table = [
            (None, "Auth info required to subscribe to private-room"),
            (Some(""), "Auth info required to subscribe to private-room"),
            (
                Some("nocolon"),
                "Auth value for subscription to private-room is invalid: should be of format 'key:signature'",
            ),
            (
                Some(":x"),
                "Auth value for subscription to private-room is invalid: should be of format 'key:signature'",
            ),
            (Some("K:x"), "Invalid key in subscription auth data: 'K'"),
            (
                Some("app-key:00"),
                "Invalid signature: Expected HMAC SHA256 hex digest of 111.222:private-room, but got 00",
            ),
        ];
        for (auth, message) in table {
            let error = authorise(&app, socket, &channel, auth, None).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
