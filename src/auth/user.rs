//! Signing a user in: `key:signature` over `socket_id::user::user_data`.

use crate::protocol::SocketId;

/// The string that a backend signs to sign a connection's user in. `user_data` is signed as it is sent.
#[must_use]
pub fn string_to_sign(socket_id: SocketId, user_data: &str) -> String {
    format!("{socket_id}::user::{user_data}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Secret;

    #[test]
    fn the_known_vector_holds() {
        let signed = string_to_sign(SocketId::new(111, 222), r#"{"id":"u1","user_info":{"name":"Ann"}}"#);
        let expected = "fca868b63ced7dd778ea202ff4d52a28b4200df34d4aad112a544c40f55057f0";
        assert_eq!(super::super::sign(&Secret("app-secret".into()), &signed), expected);
    }
}
