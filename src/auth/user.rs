//! Signing a user in: `key:signature` over `socket_id::user::user_data`.

use crate::app::App;
use crate::protocol::SocketId;

/// Why a signature does not sign a user in. The texts are those of hosted Pusher where they are known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserAuthError {
    /// It is not two parts with a colon between.
    #[error("Invalid format: auth must have the format key:signature")]
    Malformed,
    /// The key is not one of this app's.
    #[error("Invalid key in user auth data: '{0}'")]
    UnknownKey(String),
    /// The signature is wrong. Tells what was to be signed, never the expected digest.
    #[error("Invalid signature: Expected HMAC SHA256 hex digest of {signed}, but got {got}")]
    WrongSignature {
        /// What was to be signed: the socket id, `::user::` and the user data.
        signed: String,
        /// What came instead of its digest.
        got: String,
    },
}

/// The string that a backend signs to sign a connection's user in. `user_data` is signed as it is sent.
pub fn string_to_sign(socket_id: SocketId, user_data: &str) -> String {
    format!("{socket_id}::user::{user_data}")
}

/// Checks the `auth` of a sign-in.
///
/// # Errors
/// See [`UserAuthError`].
pub fn authenticate(
    app: &App,
    socket_id: SocketId,
    auth: &str,
    user_data: &str,
) -> Result<(), UserAuthError> {
    let (key, signature) = super::split(auth).ok_or(UserAuthError::Malformed)?;
    let secret = app.secret_of(key).ok_or_else(|| UserAuthError::UnknownKey(key.to_owned()))?;
    let signed = string_to_sign(socket_id, user_data);
    if super::verify(secret, &signed, signature) {
        Ok(())
    } else {
        Err(UserAuthError::WrongSignature { signed, got: signature.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = r#"{"id":"u1","user_info":{"name":"Ann"}}"#;
    const AUTH: &str = "app-key:fca868b63ced7dd778ea202ff4d52a28b4200df34d4aad112a544c40f55057f0";

    #[test]
    fn the_known_vector_holds() {
        let app = App::new("1", "app-key", "app-secret");
        let socket = SocketId::new(111, 222);
        assert_eq!(authenticate(&app, socket, AUTH, USER), Ok(()));
        let other = SocketId::new(111, 223);
        assert!(matches!(authenticate(&app, other, AUTH, USER), Err(UserAuthError::WrongSignature { .. })));
    }

    #[test]
    fn faults_are_named() {
        let app = App::new("1", "app-key", "app-secret");
        let socket = SocketId::new(1, 2);
        let fault = |auth| authenticate(&app, socket, auth, "{}").unwrap_err().to_string();
        assert_eq!(fault("abc"), "Invalid format: auth must have the format key:signature");
        assert_eq!(fault("K:00"), "Invalid key in user auth data: 'K'");
        let wrong = "Invalid signature: Expected HMAC SHA256 hex digest of 1.2::user::{}, but got 00";
        assert_eq!(fault("app-key:00"), wrong);
    }
}
