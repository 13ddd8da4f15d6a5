//! Why an engine cannot be joined: one sentence for each reason.

/// The most that is shown of what an engine says.
const SHOWN_CHARS: usize = 300;

/// What an engine says, as the log and errors show it: cut where it is long, and on one line.
pub(super) fn said(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Why an engine cannot be joined, or is away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StartRefusal {
    /// TLS is asked for, and nobody has said whom to trust.
    #[error("{url} asks for TLS, and there is none to speak")]
    NoTls { url: String },
    /// There is no connection to it.
    #[error("the engine at {address} cannot be reached: {reason}")]
    Unreachable { address: String, reason: String },
    /// It has been reached, and answers nothing in time.
    #[error("the engine at {address} does not answer within {seconds} s")]
    Silent { address: String, seconds: u64 },
    /// The connection broke, or something else than Redis speaks there.
    #[error("the connection to the engine at {address} has broken: {reason}")]
    Broken { address: String, reason: String },
    /// The password is wrong, or there is none.
    #[error("the engine at {address} refuses the user and password: {reason}")]
    Login { address: String, reason: String },
    /// It speaks no RESP3, or has no sharded channels.
    #[error("the engine at {address} is Redis {version}, and {least} or later is needed")]
    TooOld { address: String, version: String, least: &'static str },
    /// It is the copy of another.
    #[error("the engine at {address} is a read-only replica: name its primary, or its sentinels")]
    Replica { address: String },
    /// A command is not allowed to this user.
    #[error("the user of the engine at {address} lacks a permission ({reason}); in its ACL it needs: {rule}")]
    Permission { address: String, reason: String, rule: String },
    /// It has something against a command.
    #[error("the engine at {address} refuses: {reason}")]
    Refuses { address: String, reason: String },
    /// The sentinels know no such primary, or none of them can be asked.
    #[error("no sentinel tells where the primary {primary} is: {reason}")]
    NoPrimary { primary: String, reason: String },
    /// A Redis Cluster does not have all its slots, or is none.
    #[error("the cluster at {address} is not complete: {reason}")]
    Incomplete { address: String, reason: String },
    /// It is up, but something in it has changed that this node has to begin anew for.
    #[error("{0}")]
    Changed(String),
}
