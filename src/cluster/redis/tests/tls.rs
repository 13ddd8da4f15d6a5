//! TLS: whoever is not trusted, or has another name, is told in a sentence; and nothing is ever said without it.

use std::path::PathBuf;
use std::sync::Arc;

use heliostat_protocol_tests::engine::RedisServer;
use rcgen::{CertificateParams, KeyPair};

use super::super::{RedisTarget, StartRefusal, check};
use super::member::{Member, channel};
use super::process::free_port;
use crate::cluster::EngineUrl;
use crate::outbound::{ConnectorError, OwnCertificate, TrustedFile, client_tls};

/// A certificate for a name, and its key, in files.
struct Files(PathBuf);

impl Files {
    fn of(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("heliostat-tls-{:032x}", rand::random::<u128>()));
        std::fs::create_dir(&directory).unwrap();
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(directory.join("certificate.pem"), made.pem()).unwrap();
        std::fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
        Files(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn target(port: u16, host: &str, trusted: Option<&Files>) -> RedisTarget {
    target_of(port, host, trusted, None).unwrap()
}

/// The same for who shows a certificate: that of the first files, with the key of the second.
fn target_of(
    port: u16,
    host: &str,
    trusted: Option<&Files>,
    own: Option<(&Files, &Files)>,
) -> Result<RedisTarget, ConnectorError> {
    let path = trusted.map(|files| files.0.join("certificate.pem"));
    let trusted = path.as_deref().map(|path| TrustedFile { path, named_by: "cluster.ca_file" });
    let own = own.map(|(one, other)| (one.0.join("certificate.pem"), other.0.join("key.pem")));
    let own = own.as_ref().map(|(certificate, key)| OwnCertificate {
        certificate: TrustedFile { path: certificate, named_by: "cluster.tls_certificate" },
        key: TrustedFile { path: key, named_by: "cluster.tls_key" },
    });
    let url = EngineUrl::parse(&format!("rediss://{host}:{port}")).unwrap();
    Ok(RedisTarget::new(&url, Some(Arc::new(client_tls(trusted, own)?))).unwrap())
}

#[tokio::test]
async fn an_engine_that_wants_to_know_who_connects_is_shown_a_certificate() {
    let (files, own, others, port) =
        (Files::of("localhost"), Files::of("node-1"), Files::of("node-1"), free_port());
    let _redis = RedisServer::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &files.path("certificate.pem"),
        "--tls-key-file",
        &files.path("key.pem"),
        "--tls-ca-cert-file",
        &own.path("certificate.pem"),
        "--tls-auth-clients",
        "yes",
    ]);
    let target = |own| target_of(port, "localhost", Some(&files), own);
    let mut member = Member::join(target(Some((&own, &own))).unwrap()).await;
    member.subscribe(&channel("a")).await;
    assert_eq!(member.say(&channel("a"), "hello".to_owned()).await, Ok(()));
    assert_eq!(member.hear().await, "hello");
    for (shown, about) in [(None, "CertificateRequired"), (Some((&others, &others)), "alert")] {
        let told = check(&target(shown).unwrap()).await.unwrap_err().to_string();
        assert!(told.contains(about) && !told.contains('\n'), "{told}");
    }
    let told = target(Some((&own, &others))).unwrap_err().to_string();
    assert!(told.contains("named by cluster.tls_certificate, cannot be shown"), "{told}");
    let nowhere = Files("/nowhere".into());
    let told = target(Some((&own, &nowhere))).unwrap_err().to_string();
    assert!(
        told.contains("cannot read a private key in /nowhere/key.pem, named by cluster.tls_key"),
        "{told}"
    );
}

#[tokio::test]
async fn who_is_trusted_is_joined_and_others_are_told() {
    let (files, others, port) = (Files::of("localhost"), Files::of("localhost"), free_port());
    let (certificate, key) = (files.path("certificate.pem"), files.path("key.pem"));
    let redis = RedisServer::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &certificate,
        "--tls-auth-clients",
        "no",
    ]);
    let mut member = Member::join(target(port, "localhost", Some(&files))).await;
    member.subscribe(&channel("a")).await;
    // More than one record of TLS, and more than one read.
    let long = "x".repeat(200_000);
    assert_eq!(member.say(&channel("a"), long.clone()).await, Ok(()));
    assert_eq!(member.hear().await, long);

    let refused = async |port, host, trusted| check(&target(port, host, trusted)).await.unwrap_err();
    for (refusal, about) in [
        (refused(port, "localhost", None).await, "UnknownIssuer"),
        (refused(port, "localhost", Some(&others)).await, "certificate"),
        (refused(port, "127.0.0.1", Some(&files)).await, "not valid for name"),
        (refused(redis.port(), "localhost", Some(&files)).await, "no TLS"),
    ] {
        assert!(matches!(refusal, StartRefusal::Unreachable { .. }), "{refusal}");
        let told = refusal.to_string();
        assert!(told.contains("cannot be reached: no TLS: ") && told.contains(about), "{about}: {told}");
        assert!(!told.contains('\n'), "{told}");
    }
    // The other way round, plain words to who speaks TLS.
    let plain = EngineUrl::parse(&format!("redis://localhost:{port}")).unwrap();
    let refusal = check(&RedisTarget::new(&plain, None).unwrap()).await.unwrap_err();
    assert!(matches!(refusal, StartRefusal::Broken { .. }), "{refusal}");
}

#[test]
fn where_tls_is_asked_for_nothing_is_said_without_it() {
    for scheme in ["rediss", "rediss+sentinel", "rediss+cluster"] {
        let path = if scheme.ends_with("sentinel") { "/name" } else { "" };
        let url = EngineUrl::parse(&format!("{scheme}://:hush@h{path}")).unwrap();
        let refusal = RedisTarget::new(&url, None).unwrap_err();
        assert!(matches!(refusal, StartRefusal::NoTls { .. }), "{refusal}");
        assert!(!refusal.to_string().contains("hush"));
    }
}
