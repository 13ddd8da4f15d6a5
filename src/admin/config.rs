//! The settings of the admin listener: `[admin]`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use crate::app::Secret;
use crate::net::ListenHost;

/// `[admin]`: a listener of its own for those who run the broker. Off by default.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminConfig {
    /// Listens.
    pub enabled: bool,
    /// The address to listen on. On any but a loopback one everything takes the password or the token, of which one has
    /// to be there.
    pub host: ListenHost,
    /// The TCP port; 0 takes any free one.
    pub port: u16,
    /// What the user `admin` is asked for by HTTP's Basic authentication.
    pub password: Option<Secret>,
    /// What programs show as a Bearer token.
    pub token: Option<Secret>,
    /// Where `/usage` is kept across restarts. `None`: nowhere.
    pub usage_file: Option<PathBuf>,
    /// The names under which it is reached, besides those of this machine and its address. In lower case, without a port.
    pub hostnames: Vec<String>,
    /// Where it is not empty, some metrics are told under soketi's names as well, which begin with this: `soketi_`.
    pub metrics_prefix: String,
    /// The file of apps that commands and the API change. `None`: the one beside the configuration file, where that is read.
    pub apps_file: Option<PathBuf>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        AdminConfig {
            enabled: false,
            host: ListenHost::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port: 9601,
            password: None,
            token: None,
            usage_file: None,
            hostnames: Vec::new(),
            metrics_prefix: String::new(),
            apps_file: None,
        }
    }
}

impl AdminConfig {
    /// The user that goes with the password.
    pub const USER: &str = "admin";

    /// Makes sure that it does not open itself to the world.
    ///
    /// # Errors
    /// If others could reach it and nobody would be asked for anything.
    pub(crate) fn check(&self) -> Result<(), OpenAdmin> {
        let is_guarded = self.password.is_some() || self.token.is_some();
        if self.enabled && !self.host.is_loopback() && !is_guarded {
            return Err(OpenAdmin(self.host));
        }
        Ok(())
    }
}

/// The admin listener would be open to other machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the admin listener at {0} could be reached from other machines and would ask nobody for anything: set admin.password \
     or admin.token, or have it listen on a loopback address"
)]
pub struct OpenAdmin(ListenHost);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_go_without_a_secret() {
        let admin = |host: &str| AdminConfig {
            enabled: true,
            host: ListenHost::Address(host.parse().unwrap()),
            ..AdminConfig::default()
        };
        for host in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(admin(host).check(), Ok(()), "{host}");
        }
        for host in ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1"] {
            let open = admin(host);
            assert!(open.check().is_err(), "{host}");
            let secret = Some(Secret::new("abcdefgh"));
            assert_eq!(AdminConfig { token: secret.clone(), ..open.clone() }.check(), Ok(()));
            assert_eq!(AdminConfig { password: secret, ..open.clone() }.check(), Ok(()));
            assert_eq!(AdminConfig { enabled: false, ..open }.check(), Ok(()));
        }
    }
}
