//! Certificates of a broker that serves TLS: taken from their files again while it serves, chosen by the host that a client
//! asks for, and complained of where they cannot be served.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::skip::skipped;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Target, broker, unique};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConnection, StreamOwned};

/// Within what a new certificate is found: some times the broker's interval of a few seconds.
const FOUND: Duration = Duration::from_secs(40);

const PONG: &[u8] = b"pusher:pong";

/// A directory of its own, removed with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(unique("protocol-tests-"));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a new certificate for this host, and its key, to `{name}.pem` and `{name}.key`, as certbot does: aside, and
    /// then in place of what was there. Returns the certificate.
    fn make(&self, name: &str, host: &str) -> CertificateDer<'static> {
        let (der, certificate, key) = made(host, 2100);
        for (ending, content) in [("pem", certificate), ("key", key)] {
            let aside = self.path(&format!("{name}.{ending}.new"));
            std::fs::write(&aside, content).unwrap();
            std::fs::rename(aside, self.path(&format!("{name}.{ending}"))).unwrap();
        }
        der
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A certificate for this host that ends with this year's beginning, itself and its key in PEM form.
fn made(host: &str, not_after: i32) -> (CertificateDer<'static>, String, String) {
    let mut params = CertificateParams::new([host.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(not_after, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.der().clone(), certificate.pem(), key.serialize_pem())
}

fn pair(certificate: &Path, key: &Path) -> String {
    format!("[server]\ntls_certificate = {certificate:?}\ntls_key = {key:?}\n")
}

type Client = StreamOwned<ClientConnection, TcpStream>;

/// A client that has shaken hands, for this host.
fn connect(target: &Target, host: &str) -> Client {
    let socket = TcpStream::connect((target.host.as_str(), target.port)).unwrap();
    socket.set_read_timeout(Some(FOUND)).unwrap();
    let mut config = heliostat_protocol_tests::tls::trusting();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = host.to_owned().try_into().unwrap();
    let mut client = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket);
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock).unwrap();
    }
    assert_eq!(client.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    client
}

fn shown(target: &Target, host: &str) -> CertificateDer<'static> {
    connect(target, host).conn.peer_certificates().unwrap()[0].clone().into_owned()
}

#[track_caller]
fn await_shown(target: &Target, host: &str, expected: &CertificateDer<'_>) {
    let deadline = Instant::now() + FOUND;
    while shown(target, host) != *expected {
        assert!(Instant::now() < deadline, "not shown in time; the log:\n{}", target.broker().unwrap().log());
        thread::yield_now();
    }
}

fn websocket(target: &Target) -> Client {
    let mut client = connect(target, "localhost");
    let path = target.socket_path("protocol=7");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    client.write_all(request.as_bytes()).unwrap();
    read_until(&mut client, b"activity_timeout");
    client
}

fn read_until(client: &mut Client, word: &[u8]) {
    let mut heard = Vec::new();
    while !heard.windows(word.len()).any(|window| window == word) {
        let mut buffer = [0; 4096];
        match client.read(&mut buffer) {
            Ok(0) => panic!("the broker ended the connection"),
            Ok(read) => heard.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// A ping, masked with zeros, and its answer.
fn ping(client: &mut Client) {
    let text = br#"{"event":"pusher:ping"}"#;
    client.write_all(&[&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], &text[..]].concat()).unwrap();
    read_until(client, PONG);
}

/// Certificates are renewed three times while clients come all the time and others talk: nobody is turned away, nobody's
/// connection ends, and everybody who comes is soon shown the new one. Nothing has to be told to the broker.
#[test]
fn a_certificate_is_renewed_under_load() {
    let folder = Folder::new();
    let first = folder.make("a", "localhost");
    let config = format!("{}{MAIN_APP}", pair(&folder.path("a.pem"), &folder.path("a.key")));
    let Some(target) = Target::own(&config) else { return };
    assert_eq!(shown(&target, "localhost"), first);
    let (over, came) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut stays = websocket(&target);
                while !over.load(Ordering::Relaxed) {
                    ping(&mut stays);
                    ping(&mut websocket(&target));
                    came.fetch_add(1, Ordering::Relaxed);
                }
                ping(&mut stays);
            });
        }
        let ended = Over(&over);
        let mut stays = websocket(&target);
        for _ in 0..3 {
            let before = came.load(Ordering::Relaxed);
            let renewed = folder.make("a", "localhost");
            await_shown(&target, "localhost", &renewed);
            ping(&mut stays);
            while came.load(Ordering::Relaxed) < before + 4 {
                thread::yield_now();
            }
        }
        drop(ended);
    });
    let log = target.broker().unwrap().log();
    assert_eq!(log.matches("a new certificate is served").count(), 3, "{log}");
}

/// Ends the others, also where an assertion fails.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// As Kubernetes has it: the files are links by way of a link, which is replaced.
#[test]
fn links_that_lead_to_another_certificate_are_followed() {
    let folder = Folder::new();
    let first = folder.make("first", "localhost");
    let next = folder.make("next", "localhost");
    for name in ["first", "next"] {
        std::fs::create_dir(folder.path(&format!("..{name}"))).unwrap();
        for ending in ["pem", "key"] {
            let from = folder.path(&format!("{name}.{ending}"));
            std::fs::rename(from, folder.path(&format!("..{name}/tls.{ending}"))).unwrap();
        }
    }
    symlink("..first", folder.path("..data")).unwrap();
    symlink("..data/tls.pem", folder.path("tls.pem")).unwrap();
    symlink("..data/tls.key", folder.path("tls.key")).unwrap();
    let config = format!("{}{MAIN_APP}", pair(&folder.path("tls.pem"), &folder.path("tls.key")));
    let Some(target) = Target::own(&config) else { return };
    assert_eq!(shown(&target, "localhost"), first);
    symlink("..next", folder.path("..data.new")).unwrap();
    std::fs::rename(folder.path("..data.new"), folder.path("..data")).unwrap();
    await_shown(&target, "localhost", &next);
}

/// Has the broker read its configuration again; returns the exit code, and what was said.
fn reload(target: &Target, config: &str) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = target.broker().unwrap().reload(config);
    (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

/// `heliostat reload` takes what is new, says so, and fails with the reason where it cannot be served: then the old one
/// stays, and so does everything else. SIGHUP does the same.
///
/// Proves: bad input.
#[test]
fn a_reload_takes_certificates_or_says_why_not() {
    let folder = Folder::new();
    let first = folder.make("a", "localhost");
    let (certificate, key) = (folder.path("a.pem"), folder.path("a.key"));
    let config = format!("{}{MAIN_APP}", pair(&certificate, &key));
    let Some(target) = Target::own(&config) else { return };
    let mut stays = websocket(&target);
    assert_eq!(reload(&target, &config), (Some(0), "ok: no app has changed\n".to_owned()));

    std::fs::write(&key, made("localhost", 2100).2).unwrap();
    let more = format!("{config}\n[[apps]]\nid = \"7\"\nkey = \"k\"\nsecret = \"s\"\n");
    let (code, said) = reload(&target, &more);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("server.tls_key, does not belong to the first certificate"), "{said}");
    assert_eq!(shown(&target, "localhost"), first);

    let second = folder.make("a", "localhost");
    let said = reload(&target, &more).1;
    // Its own look may have been quicker.
    let found = [String::new(), format!("; new certificates: {}", certificate.display())];
    let found = found.map(|new| format!("ok: apps: added 1 (7){new}\n"));
    assert!(found.contains(&said), "{said}");
    assert_eq!(shown(&target, "localhost"), second);

    // A certificate more, for another host.
    let other = folder.make("b", "b.example");
    let files = format!(
        "[[server.certificates]]\ncertificate = {:?}\nkey = {:?}\n",
        folder.path("b.pem"),
        folder.path("b.key")
    );
    let said = reload(&target, &format!("{}{files}{MAIN_APP}", pair(&certificate, &key))).1;
    let new = folder.path("b.pem").display().to_string();
    assert_eq!(said, format!("ok: apps: removed 1 (7); new certificates: {new}\n"));
    assert_eq!((shown(&target, "b.example"), shown(&target, "localhost")), (other, second.clone()));

    // By the signal, with the first certificate alone.
    target.broker().unwrap().configure(&config);
    target.broker().unwrap().hang_up();
    await_shown(&target, "b.example", &second);
    ping(&mut stays);
}

/// What the broker's certificates are to a program of another make.
#[test]
fn openssl_is_shown_the_certificate_of_the_host_and_agrees_on_http() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped, there is no openssl");
        return;
    }
    let folder = Folder::new();
    for (name, host) in [("a", "localhost"), ("b", "*.example.com")] {
        folder.make(name, host);
    }
    let more = format!(
        "certificates = [{{ certificate = {:?}, key = {:?} }}]\n",
        folder.path("b.pem"),
        folder.path("b.key")
    );
    let config = format!("{}{more}{MAIN_APP}", pair(&folder.path("a.pem"), &folder.path("a.key")));
    let Some(target) = Target::own(&config) else { return };
    let address = format!("{}:{}", target.host, target.port);
    for (host, root) in [("localhost", "a.pem"), ("www.example.com", "b.pem"), ("unknown.example", "a.pem")] {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &address, "-servername", host, "-alpn", "h2,http/1.1"]);
        command.arg("-CAfile").arg(folder.path(root)).stdin(Stdio::null());
        let said = String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned();
        assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
        assert!(said.contains("Verify return code: 0 (ok)"), "{host}: {said}");
    }
}

/// `check-config` tells what is wrong with certificates as the start does, and warns of one that has expired, with which
/// the broker starts.
///
/// Proves: bad input.
#[test]
fn what_is_wrong_with_certificates_is_told_before_they_are_served() {
    if skipped("it is about the broker's own command") {
        return;
    }
    let folder = Folder::new();
    folder.make("a", "localhost");
    let (_, certificate, key) = made("localhost", 2020);
    std::fs::write(folder.path("old.pem"), certificate).unwrap();
    std::fs::write(folder.path("old.key"), key).unwrap();
    let check = |server: &str| {
        let file = folder.path("heliostat.toml");
        std::fs::write(&file, format!("{server}{MAIN_APP}")).unwrap();
        let output = broker::command().arg("check-config").arg("--config").arg(&file).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let table = [
        (pair(&folder.path("none.pem"), &folder.path("a.key")), "there is no such file"),
        (pair(&folder.path("a.key"), &folder.path("a.key")), "holds no certificate"),
        (pair(&folder.path("a.pem"), &folder.path("old.key")), "does not belong to the first certificate"),
        (pair(&folder.0, &folder.path("a.key")), "it is not a file"),
        ("[server]\ncertificates = [{ certificate = \"a\" }]\n".to_owned(), "got no \"key\" in entry 1 of 1"),
        ("[server]\ntls_key = \"a\"\n".to_owned(), "only server.tls_key is set"),
    ];
    for (server, expected) in table {
        let (code, said) = check(&server);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
    }
    let old = pair(&folder.path("old.pem"), &folder.path("old.key"));
    let (code, said) = check(&old);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("warning: the certificate ") && said.contains(" has expired (Jan  1 "), "{said}");
    let Some(target) = Target::own(&format!("{old}{MAIN_APP}")) else { return };
    shown(&target, "localhost");
    assert!(
        target.broker().unwrap().log().contains("a certificate has expired, and clients refuse it: renew it")
    );
}
