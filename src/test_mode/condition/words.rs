//! A condition in words, for whoever waited in vain.

use std::fmt;

use serde_json::json;

use super::Condition;

/// As it stands behind "expected".
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Subscribers { channel, count } => {
                write!(f, "{channel:?} to have {}", count.of("subscriber"))
            }
            Condition::MemberCount { channel, count } => {
                write!(f, "{channel:?} to have {}", count.of("member"))
            }
            Condition::Members { channel, user_ids } => {
                write!(f, "{channel:?} to have the members {}", json!(user_ids))
            }
            Condition::SignedIn { user_id, connections } => {
                write!(f, "{} signed in as {user_id:?}", connections.of("connection"))
            }
            Condition::Connections { count } => f.write_str(&count.of("connection")),
            Condition::Logged { filter, count, sockets, after } => {
                write!(f, "{count} of: {filter}")?;
                if let Some(sockets) = sockets {
                    write!(f, ", of {}", sockets.of("connection"))?;
                }
                match after {
                    0 => Ok(()),
                    after => write!(f, ", after entry {after}"),
                }
            }
            Condition::Nothing { filter, span, .. } => {
                write!(f, "nothing of this for {} ms: {filter}", span.as_millis())
            }
        }
    }
}
