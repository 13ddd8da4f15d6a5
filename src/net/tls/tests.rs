//! A broker that serves TLS, asked by a TLS client.

mod ends;
mod renewal;

use std::io::{Read, Write};
use std::net::TcpStream as Socket;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use super::*;
use crate::config::Config;
use crate::server::StartError;
use crate::testing::Broker;

/// A certificate and its key in files of their own, removed with the value.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    root: CertificateDer<'static>,
}

/// A certificate for these hosts and its key, in PEM form.
fn made(hosts: &[&str], not_after: (i32, u8, u8)) -> (CertificateDer<'static>, String, String) {
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(hosts).unwrap();
    params.not_after = rcgen::date_time_ymd(not_after.0, not_after.1, not_after.2);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.der().clone(), certificate.pem(), key.serialize_pem())
}

impl Files {
    fn new(name: &str) -> Self {
        Files::of(name, &["localhost"])
    }

    fn of(name: &str, hosts: &[&str]) -> Self {
        let path = |part: &str| {
            std::env::temp_dir().join(format!("heliostat-{}-{name}-{part}.pem", std::process::id()))
        };
        let (root, certificate, key) = made(hosts, (2100, 1, 1));
        let files = Files { certificate: path("certificate"), key: path("key"), root };
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        files
    }

    fn pair(&self) -> CertificateFiles {
        CertificateFiles { certificate: self.certificate.clone(), key: self.key.clone() }
    }

    fn config(&self) -> Config {
        let mut config = Config::development();
        config.server.tls_certificate = Some(self.certificate.clone());
        config.server.tls_key = Some(self.key.clone());
        config.apps[0].app.force_tls = true;
        config
    }

    fn broker(&self) -> Broker {
        Broker::builder(self.config()).without_test_mode().start().unwrap()
    }

    fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.certificate);
        let _ = std::fs::remove_file(&self.key);
    }
}

struct Client(StreamOwned<ClientConnection, Socket>);

impl Client {
    fn connect(broker: &Broker, config: &Arc<ClientConfig>) -> Self {
        let socket = Socket::connect(broker.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        Client(StreamOwned::new(connection, socket))
    }

    fn websocket(broker: &Broker, config: &Arc<ClientConfig>) -> Self {
        let mut client = Client::connect(broker, config);
        let request = "GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                       Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        client.0.write_all(request.as_bytes()).unwrap();
        client.read_until("activity_timeout");
        client
    }

    /// Sends a text message, masked with zeros.
    fn say(&mut self, text: &str) {
        let header = [&[0x81, 0xff][..], &(text.len() as u64).to_be_bytes(), &[0; 4]].concat();
        self.0.write_all(&header).unwrap();
        self.0.write_all(text.as_bytes()).unwrap();
        self.0.flush().unwrap();
    }

    fn read_until(&mut self, word: &str) -> Vec<u8> {
        let mut heard = Vec::new();
        let word = word.as_bytes();
        while !heard.windows(word.len()).any(|window| window == word) {
            let mut buffer = vec![0; 64 * 1024];
            let read = self.0.read(&mut buffer).unwrap();
            assert!(read > 0, "the broker ended the connection");
            let seen = heard.len().saturating_sub(word.len());
            heard.extend_from_slice(&buffer[..read]);
            if heard[seen..].windows(word.len()).any(|window| window == word) {
                break;
            }
        }
        heard
    }
}

/// Proves the whole path over TLS: the API, sockets of an app that insists on TLS, and sessions that are resumed.
#[test]
fn a_broker_serves_tls_and_resumes_sessions() {
    let files = Files::new("serves");
    let broker = files.broker();
    assert!(broker.url().starts_with("https://"));
    let config = files.client();
    let mut api = Client::connect(&broker, &config);
    api.0.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    api.read_until("ok\n");
    let mut first = Client::websocket(&broker, &config);
    first.say(r#"{"event":"pusher:ping"}"#);
    first.read_until("pusher:pong");
    let second = Client::websocket(&broker, &config);
    assert_eq!(second.0.conn.handshake_kind(), Some(HandshakeKind::Resumed));
}

/// A frame larger than what the kernel and the TLS layer take at once arrives whole, although nobody reads at
/// first.
#[test]
fn a_large_frame_waits_for_a_slow_reader() {
    let files = Files::new("large");
    let broker = files.broker();
    let config = files.client();
    let (mut sender, mut mirror) = (Client::websocket(&broker, &config), Client::websocket(&broker, &config));
    mirror.say(r#"{"event":"pusher:subscribe","data":{"channel":"mirror"}}"#);
    mirror.read_until("subscription_succeeded");
    sender.say(r#"{"event":"pusher:subscribe","data":{"channel":"stream"}}"#);
    sender.read_until("subscription_succeeded");
    let picture = "p".repeat(1_000_000);
    for n in 0..3 {
        let data = format!(r#"{{"event":"frame","channel":"stream","data":"{picture}{n}"}}"#);
        sender.say(&data);
        sender.say(r#"{"event":"pusher:ping"}"#);
        sender.read_until("pusher:pong");
        let heard = mirror.read_until(&format!("{n}\",\"channel\":\"mirror\"}}"));
        let pictured = heard.iter().filter(|byte| **byte == b'p').count();
        assert!(pictured >= picture.len(), "{pictured} of {}", picture.len());
    }
}

#[test]
fn what_cannot_be_served_says_why_before_anything_is_listened_on() {
    let files = Files::new("mistakes");
    let others = Files::new("others");
    let missing = Path::new("/nowhere/tls.pem");
    let table = [
        (Some(files.certificate.as_path()), None, "only server.tls_certificate is set"),
        (None, Some(files.key.as_path()), "only server.tls_key is set"),
        (
            Some(missing),
            Some(files.key.as_path()),
            "a certificate in /nowhere/tls.pem, named by server.tls_certificate: there is no such file",
        ),
        (
            Some(files.certificate.as_path()),
            Some(missing),
            "a private key in /nowhere/tls.pem, named by server.tls_key: there is no such file",
        ),
        (Some(Path::new("/dev/zero")), Some(files.key.as_path()), "it is not a file"),
        (Some(files.key.as_path()), Some(files.key.as_path()), "holds no certificate"),
        (Some(files.certificate.as_path()), Some(files.certificate.as_path()), "holds no private key"),
        (
            Some(files.certificate.as_path()),
            Some(others.key.as_path()),
            "does not belong to the first certificate",
        ),
    ];
    for (certificate, key, expected) in table {
        let mut config = Config::development();
        config.server.tls_certificate = certificate.map(Path::to_owned);
        config.server.tls_key = key.map(Path::to_owned);
        let error = Broker::start(config).unwrap_err();
        assert!(matches!(error, StartError::Tls(_)));
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// Reads the pair, as at the start.
fn load(files: &Files) -> Result<PreparedCertificates, TlsError> {
    prepare(pair_files(Some(&files.certificate), Some(&files.key), &[])?)
}

#[test]
fn a_damaged_file_is_told_for_what_it_is() {
    let files = Files::new("damaged");
    let whole = std::fs::read_to_string(&files.certificate).unwrap();
    let not_x509 = whole.lines().take(1).chain(["aGVsbG8="]).chain(whole.lines().last());
    for (content, expected) in [
        (whole[..whole.len() / 2].to_owned(), "the line -----END CERTIFICATE----- is missing"),
        (whole.replacen('M', "!", 1), "it is no sound PEM: "),
        (not_x509.collect::<Vec<_>>().join("\n"), "cannot be understood"),
        (String::new(), "holds no certificate"),
        ("x".repeat(2 << 20), "it is larger than 1048576 bytes"),
    ] {
        std::fs::write(&files.certificate, content).unwrap();
        let error = load(&files).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("named by server.tls_certificate"), "{error}");
    }
}

/// Made for this test, on a curve that is not supported.
const SECP256K1: &str = "\
-----BEGIN PRIVATE KEY-----
MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgKffeVuhS7TsGXyfgcnr+
VsY9KmrcPHlVO5FKKWR4uFehRANCAATLDEcx6jdlqC8Mwtsxxr7x+V+dxREtN8Qu
WL50c8cnYaxfVxchlTmTuqwRrs659ZSkfYN9fNMjTuG0wlOkNygj
-----END PRIVATE KEY-----
";

#[test]
fn a_key_that_cannot_be_used_is_told_for_what_it_is() {
    let files = Files::new("unusable");
    let load = || load(&files).unwrap_err().to_string();
    std::fs::write(&files.key, SECP256K1).unwrap();
    assert!(load().contains("is of no supported kind: expected RSA"), "{}", load());
    for encrypted in [
        SECP256K1.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
        SECP256K1.replacen("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1),
    ] {
        std::fs::write(&files.key, encrypted).unwrap();
        assert!(load().contains("is encrypted: give it without its passphrase"), "{}", load());
    }
}
