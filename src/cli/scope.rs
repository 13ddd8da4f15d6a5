//! Which flags of the configuration act on which command.

use crate::config::{CLUSTER, CONFIG, CONTROL_SOCKET, DEVELOPMENT, LAN};

/// The flags that a command takes.
pub(super) trait CommandScope {
    /// Whether the flag of this name does anything for it.
    fn takes(flag: &str) -> bool;
}

/// A broker, or all that is configured.
#[derive(Clone, Debug)]
pub(super) struct EveryFlag;

/// A running broker, which is found by its control socket.
#[derive(Clone, Debug)]
pub(super) struct RunningBroker;

/// A broker of one's own, which nobody asks to reload, and which is alone.
#[derive(Clone, Debug)]
pub(super) struct OwnBroker;

/// The apps of a configuration.
#[derive(Clone, Debug)]
pub(super) struct ConfiguredApps;

impl CommandScope for EveryFlag {
    fn takes(_flag: &str) -> bool {
        true
    }
}

impl CommandScope for RunningBroker {
    fn takes(flag: &str) -> bool {
        [CONFIG, CONTROL_SOCKET].contains(&flag)
    }
}

impl CommandScope for OwnBroker {
    fn takes(flag: &str) -> bool {
        ![CONTROL_SOCKET, CLUSTER, LAN].contains(&flag)
    }
}

impl CommandScope for ConfiguredApps {
    fn takes(flag: &str) -> bool {
        [CONFIG, DEVELOPMENT].contains(&flag)
    }
}
