//! `[cluster]`: which engine joins this node to others, and what kind of node it is there.

use std::path::PathBuf;
use std::time::Duration;

use super::config::ClusterConfig;
#[cfg(any(test, feature = "redis"))]
use super::engine_url::EngineLogin;
use super::engine_url::EngineUrl;
use crate::app::Secret;

/// `[cluster]`: whether this node is one of several, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// The engine between the nodes; without one this node is the whole broker.
    pub url: Option<EngineUrl>,
    /// The user there, in place of that of the URL; empty for that one.
    pub username: String,
    /// The user's password, in place of that of the URL.
    pub password: Option<Secret>,
    /// The user at the sentinels, who know neither of the two above.
    pub sentinel_username: String,
    /// That user's password.
    pub sentinel_password: Option<Secret>,
    /// Certificates to trust besides the public ones, a PEM file.
    pub ca_file: Option<PathBuf>,
    /// A certificate that tells the engine who connects, a PEM file.
    pub tls_certificate: Option<PathBuf>,
    /// Its private key, a PEM file.
    pub tls_key: Option<PathBuf>,
    /// How long the engine has for a connection, and for an answer.
    pub connect_timeout: Duration,
    /// What a node does that finds no engine at the start.
    pub start_without_bus: StartWithoutBus,
    /// What the node is called; empty for the name of the host.
    pub node_name: String,
    /// The node itself.
    pub node: ClusterConfig,
}

/// What a node does that finds no engine at the start. It never goes on alone without saying so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartWithoutBus {
    /// It does not start.
    #[default]
    Fail,
    /// It waits for the engine, and takes no clients until it is there.
    Wait,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        ClusterSettings {
            url: None,
            username: String::new(),
            password: None,
            sentinel_username: String::new(),
            sentinel_password: None,
            ca_file: None,
            tls_certificate: None,
            tls_key: None,
            connect_timeout: Duration::from_secs(5),
            start_without_bus: StartWithoutBus::Fail,
            node_name: String::new(),
            node: ClusterConfig::default(),
        }
    }
}

impl ClusterSettings {
    /// Who this node is to the engine.
    #[cfg(any(test, feature = "redis"))]
    pub(crate) fn login(&self) -> EngineLogin {
        let of_url = self.url.as_ref().map(|url| url.login.clone()).unwrap_or_default();
        let user = Some(self.username.clone()).filter(|user| !user.is_empty()).or(of_url.user);
        EngineLogin { user, password: self.password.clone().or(of_url.password) }
    }

    /// Who this node is to the sentinels.
    #[cfg(any(test, feature = "redis"))]
    pub(crate) fn sentinel_login(&self) -> EngineLogin {
        let user = Some(self.sentinel_username.clone()).filter(|user| !user.is_empty());
        EngineLogin { user, password: self.sentinel_password.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_by_itself_beats_what_the_url_says() {
        let url = EngineUrl::parse("redis://of-url:p1@h").ok();
        let of_url = ClusterSettings { url, ..ClusterSettings::default() };
        let login = |settings: &ClusterSettings| {
            let EngineLogin { user, password } = settings.login();
            (user.unwrap_or_default(), password.map(|secret| secret.text().to_owned()).unwrap_or_default())
        };
        assert_eq!(login(&of_url), ("of-url".to_owned(), "p1".to_owned()));
        let password = Some(Secret::new("p2"));
        let own = ClusterSettings { username: "own".to_owned(), password, ..of_url };
        assert_eq!(login(&own), ("own".to_owned(), "p2".to_owned()));
        assert_eq!(own.sentinel_login(), EngineLogin::default());
    }
}
