//! The engine between nodes, as the server has it: the one place that names Redis. A program that was built without it can
//! join nothing, and says so.

use std::sync::Arc;

use crate::cluster::config::ClusterConfig;
use crate::cluster::shared_settings::SharedSettings;
use crate::cluster::{ClusterSettings, RunningNode};
use crate::hub::Hub;

/// Why an engine cannot be joined. As text: one sentence, without secrets.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineTrouble {
    /// Nothing here speaks with it.
    #[cfg(not(feature = "redis"))]
    #[error(
        "cluster.url names a Redis, and this program was built without Redis: take one that was built with the feature `redis`"
    )]
    WithoutRedis,
    /// It cannot be reached, or lacks something, or refuses something.
    #[cfg(feature = "redis")]
    #[error("cluster.url: {0}")]
    Refused(#[from] StartRefusal),
    /// Its certificates cannot be judged.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Tls(#[from] ConnectorError),
    /// What is for TLS would be of no use, and nobody would notice that there is none.
    #[cfg(feature = "redis")]
    #[error(
        "{0} is for TLS, and cluster.url asks for a connection without it: expected a URL that begins with rediss, such as \
         rediss://redis.example.com, or no {0}"
    )]
    WithoutTls(&'static str),
    /// The system refuses what is needed to ask it.
    #[cfg(feature = "redis")]
    #[error("the cluster cannot be joined: {0}")]
    System(#[from] std::io::Error),
}

#[cfg(feature = "redis")]
pub(super) use with_redis::{check, check_program, join};
#[cfg(not(feature = "redis"))]
pub(super) use without_redis::{check, check_program, join};

#[cfg(feature = "redis")]
use crate::{cluster::redis::StartRefusal, outbound::ConnectorError};

#[cfg(not(feature = "redis"))]
mod without_redis {
    use super::{Arc, ClusterConfig, ClusterSettings, EngineTrouble, Hub, RunningNode, SharedSettings};

    pub(in crate::server) fn check_program(_settings: &ClusterSettings) -> Result<(), EngineTrouble> {
        Err(EngineTrouble::WithoutRedis)
    }

    pub(in crate::server) fn check(settings: &ClusterSettings) -> Result<(), EngineTrouble> {
        check_program(settings)
    }

    pub(in crate::server) async fn join(
        _hub: &Arc<Hub>,
        _config: ClusterConfig,
        _shared: SharedSettings,
        _settings: &ClusterSettings,
    ) -> Result<RunningNode, EngineTrouble> {
        Err(EngineTrouble::WithoutRedis)
    }
}

#[cfg(feature = "redis")]
mod with_redis {
    use std::io;

    use super::{Arc, ClusterConfig, ClusterSettings, EngineTrouble, Hub, RunningNode, SharedSettings};
    use crate::cluster::redis::{self, RedisAdapter, RedisTarget, StartRefusal};
    use crate::cluster::{self, NodeNotStarted};
    use crate::outbound::{ConnectorError, OwnCertificate, TrustedFile, client_tls};

    /// Finds what would keep this program from joining any engine by these settings, without asking it.
    pub(in crate::server) fn check_program(settings: &ClusterSettings) -> Result<(), EngineTrouble> {
        target(settings).map(|_| ())
    }

    /// Asks the engine whether it can be joined. The thread waits for the answer.
    pub(in crate::server) fn check(settings: &ClusterSettings) -> Result<(), EngineTrouble> {
        let Some(target) = target(settings)? else { return Ok(()) };
        // The calling thread may have a runtime, which must not be blocked by another one.
        let ask = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let answer = runtime.block_on(redis::check(&target));
            // A name that is being looked up may take its time.
            runtime.shutdown_background();
            Ok::<_, EngineTrouble>(answer?)
        };
        let asked = std::thread::scope(|scope| scope.spawn(ask).join());
        asked
            .unwrap_or_else(|_| Err(io::Error::other("a fault of the program has ended the question").into()))
    }

    /// Joins the engine, and makes the hub's node one of several.
    pub(in crate::server) async fn join(
        hub: &Arc<Hub>,
        config: ClusterConfig,
        shared: SharedSettings,
        settings: &ClusterSettings,
    ) -> Result<RunningNode, EngineTrouble> {
        let Some(target) = target(settings)? else {
            return Err(io::Error::other("cluster.url is not set").into());
        };
        // Joined or not, an adapter goes on; so what is in the way is told before.
        redis::check(&target).await?;
        let join = move |inbox| async move { Ok::<_, StartRefusal>(RedisAdapter::join(target, inbox)) };
        let started = cluster::start(hub, config, shared, join);
        started.await.map_err(|error| match error {
            NodeNotStarted::Thread(error) => error.into(),
            NodeNotStarted::Engine(refusal) => refusal.into(),
        })
    }

    fn target(settings: &ClusterSettings) -> Result<Option<RedisTarget>, EngineTrouble> {
        let Some(url) = &settings.url else { return Ok(None) };
        let file = |path, named_by| TrustedFile { path, named_by };
        let trusted = settings.ca_file.as_deref().map(|path| file(path, "cluster.ca_file"));
        let (certificate, key) = ("cluster.tls_certificate", "cluster.tls_key");
        let own = match (settings.tls_certificate.as_deref(), settings.tls_key.as_deref()) {
            (None, None) => None,
            (Some(_), None) => return Err(ConnectorError::Half(certificate).into()),
            (None, Some(_)) => return Err(ConnectorError::Half(key).into()),
            (Some(of), Some(its)) => {
                Some(OwnCertificate { certificate: file(of, certificate), key: file(its, key) })
            }
        };
        let given = [(settings.ca_file.is_some(), "cluster.ca_file"), (own.is_some(), certificate)];
        if let Some((_, name)) = given.into_iter().find(|(is_given, _)| *is_given && !url.tls) {
            return Err(EngineTrouble::WithoutTls(name));
        }
        let tls = url.tls.then(|| client_tls(trusted, own).map(Arc::new)).transpose()?;
        Ok(Some(RedisTarget {
            login: settings.login(),
            sentinel_login: settings.sentinel_login(),
            prefix: Arc::clone(&settings.node.prefix),
            connect_timeout: settings.connect_timeout,
            outgoing_bytes: settings.node.outgoing_bytes,
            message_bytes: settings.node.message_bytes,
            ..RedisTarget::new(url, tls)?
        }))
    }
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use super::*;
    use crate::cluster::EngineUrl;

    #[test]
    fn what_is_for_tls_needs_a_url_with_it() {
        let settings = ClusterSettings {
            url: Some(EngineUrl::parse("redis://127.0.0.1").unwrap()),
            ca_file: Some("ca.pem".into()),
            ..ClusterSettings::default()
        };
        let told = check_program(&settings).unwrap_err().to_string();
        assert!(told.starts_with("cluster.ca_file is for TLS") && told.contains("rediss://"), "{told}");
        assert!(check_program(&ClusterSettings { ca_file: None, ..settings }).is_ok());
    }
}
