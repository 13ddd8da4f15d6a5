//! The versions of the pipe's protocol, and which methods and notifications each has.

use std::fmt;

use crate::event::NotificationKind;

/// A version of the pipe's protocol, as the connection's query names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// None was named: the oldest clients, which never subscribe and hear everything that 0.2 knows.
    Unversioned,
    /// 0.2, of the hosted service's last alpha.
    V0_2,
    /// 1.0, this broker's own.
    V1_0,
}

/// The version is not spoken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unsupported protocol_version {0:?}: expected \"0.2\", \"1.0\", or none")]
pub struct UnknownDialect(String);

impl Dialect {
    /// The version that `protocol_version` names.
    ///
    /// # Errors
    /// If it is none of them.
    pub fn of(version: Option<&str>) -> Result<Self, UnknownDialect> {
        match version {
            None => Ok(Dialect::Unversioned),
            Some("0.2") => Ok(Dialect::V0_2),
            Some("1.0") => Ok(Dialect::V1_0),
            Some(other) => Err(UnknownDialect(other.chars().take(20).collect())),
        }
    }

    /// The version as connections name it; of those that name none, the one that they speak.
    pub(crate) const fn version(self) -> &'static str {
        match self {
            Dialect::Unversioned => "before 0.2",
            Dialect::V0_2 => "0.2",
            Dialect::V1_0 => "1.0",
        }
    }

    /// Whether it is the broker's own protocol, and not the original one.
    pub fn is_modern(self) -> bool {
        self == Dialect::V1_0
    }

    /// Whether it has notifications of this kind.
    pub(crate) fn has(self, kind: NotificationKind) -> bool {
        self.is_modern()
            || matches!(kind, NotificationKind::SocketMessage | NotificationKind::SocketExistence)
    }

    /// The names of the kinds of notifications that it has.
    pub(crate) fn kind_names(self) -> Vec<&'static str> {
        let kinds = NotificationKind::ALL.into_iter();
        kinds.filter(|kind| self.has(*kind)).map(NotificationKind::name).collect()
    }

    pub(crate) fn methods(self) -> &'static [&'static str] {
        const ALL: [&str; 12] = [
            "subscribe",
            "unsubscribe",
            "send_to_socket",
            "send_to_channel",
            "send_to_user",
            "close_socket",
            "channel",
            "channels",
            "users",
            "history",
            "credit",
            "ping",
        ];
        if self.is_modern() { &ALL } else { &ALL[..4] }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dialect::Unversioned => "0.1",
            Dialect::V0_2 => "0.2",
            Dialect::V1_0 => "1.0",
        })
    }
}
