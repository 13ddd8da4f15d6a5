//! Listeners whose connections begin with a header of the PROXY protocol: the client that it names is the one that is logged,
//! and whoever sends none, or is not trusted, is refused. A broker's own concern.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Target, patience, unique};

use crate::eventually;

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V1: &str = "PROXY TCP4 192.0.2.1 10.0.0.1 4711 6001\r\n";

/// A broker with a listener on which the protocol is spoken, over TCP, and one on a Unix socket.
struct Proxied {
    target: Target,
    tcp: String,
    unix: PathBuf,
}

impl Proxied {
    fn new(server: &str) -> Option<Self> {
        let unix = std::env::temp_dir().join(unique("protocol-tests-"));
        let listener = |address: String| {
            format!("[[server.listeners]]\naddress = \"{address}\"\nproxy_protocol = true\n")
        };
        let listeners = listener("127.0.0.1:0".to_owned()) + &listener(format!("unix:{}", unix.display()));
        let config = format!("[server]\n{server}{listeners}{MAIN_APP}");
        let target = Target::own_with(Some(&config), &["--log-level", "debug"], &[])?;
        let line = target.broker().unwrap().await_line("listens on http");
        let (_, address) = line.split_once("://").unwrap();
        let tcp =
            address.split(|c: char| c != '.' && c != ':' && !c.is_ascii_digit()).next().unwrap().to_owned();
        Some(Proxied { target, tcp, unix })
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.tcp).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        stream
    }

    /// Waits for the line of a refused request or connection that names this peer.
    #[track_caller]
    fn await_line(&self, parts: &[&str]) {
        let broker = self.target.broker().unwrap();
        eventually(&format!("{parts:?} in\n{}", broker.log()), || {
            let log = broker.log();
            log.lines().any(|line| parts.iter().all(|part| line.contains(part))).then_some(())
        });
    }
}

/// What is asked for, and is not there.
fn nothing(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").into_bytes()
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    [V2, &[command, family], &u16::try_from(rest.len()).unwrap().to_be_bytes(), rest].concat()
}

/// Sends these bytes, and returns all that is answered.
fn ask(mut stream: impl Read + Write, bytes: &[u8]) -> String {
    let mut heard = Vec::new();
    // Whoever is refused may be reset before all has been sent or heard.
    let _ = stream.write_all(bytes);
    let _ = stream.read_to_end(&mut heard);
    String::from_utf8_lossy(&heard).into_owned()
}

/// Each version and family names the client; a proxy that speaks for itself is the peer; what follows the header is a request
/// like any other, whether it comes with the header or in pieces.
#[test]
fn the_header_names_the_client() {
    let Some(proxied) = Proxied::new("trusted_proxies = [\"127.0.0.1\", \"unix\"]\n") else { return };
    let v4 = [192, 0, 2, 2, 10, 0, 0, 1, 0x12, 0x67, 0, 80, 0x04, 0, 2, 1, 1];
    let mut v6 = [0; 36];
    v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    v6[15] = 3;
    v6[33] = 99;
    let table = [
        (V1.as_bytes().to_vec(), "peer=192.0.2.1:4711 proxy=127.0.0.1"),
        (v2(0x21, 0x11, &v4), "peer=192.0.2.2:4711 proxy=127.0.0.1"),
        (v2(0x21, 0x21, &v6), "peer=[2001:db8::3]:99 proxy=127.0.0.1"),
        (v2(0x20, 0, b""), "peer=127.0.0.1:"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "peer=127.0.0.1:"),
    ];
    for (n, (header, expected)) in table.into_iter().enumerate() {
        let path = format!("/nowhere-{n}");
        let answer = ask(proxied.connect(), &[&header[..], &nothing(&path)].concat());
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        proxied.await_line(&["request refused", &format!("path={path} "), expected]);
    }
    // In pieces, and over a Unix socket.
    let mut stream = UnixStream::connect(&proxied.unix).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    for byte in V1.as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    assert!(ask(stream, &nothing("/nowhere-unix")).starts_with("HTTP/1.1 404 "));
    proxied.await_line(&["path=/nowhere-unix ", "peer=192.0.2.1:4711 proxy=unix"]);
    // A WebSocket, whose proxy is before another one: that one has to be trusted to be believed.
    let hello = |told: &str, path: &str| {
        let target = &proxied.target;
        heliostat_protocol_tests::wire::upgrade_request(target, path, &[&format!("X-Forwarded-For: {told}")])
    };
    for (source, expected) in [("192.0.2.7", "peer=192.0.2.7:1 "), ("127.0.0.1", "peer=198.51.100.7 ")] {
        let header = format!("PROXY TCP4 {source} 10.0.0.1 1 2\r\n");
        let path = format!("/app/unknown-{source}?protocol=7");
        let answer = ask(proxied.connect(), (header + &hello("198.51.100.7", &path)).as_bytes());
        assert!(answer.contains("101 Switching"), "{answer}");
        proxied.await_line(&[
            "connection refused",
            &format!("unknown-{source}"),
            expected,
            "proxy=127.0.0.1",
        ]);
    }
}

/// Behind a header that names nobody, nobody speaks with the authority of the proxy: what a request says there of its client,
/// and of TLS, is not believed. A proxy's own health checks are answered.
///
/// Proves: bad input.
#[test]
fn a_header_that_names_nobody_lends_no_authority() {
    let Some(proxied) = Proxied::new("trusted_proxies = [\"127.0.0.1\", \"unix\"]\n") else { return };
    let told = "X-Forwarded-For: 198.51.100.9\r\nForwarded: for=198.51.100.9;proto=https\r\nX-Forwarded-Proto: https\r\n";
    let asks = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{told}Connection: close\r\n\r\n").into_bytes()
    };
    let nobody = [v2(0x20, 0, b""), v2(0x21, 0, b""), b"PROXY UNKNOWN\r\n".to_vec()];
    for (n, header) in nobody.iter().enumerate() {
        let path = format!("/of-nobody-{n}");
        let answer = ask(proxied.connect(), &[&header[..], &asks(&path)].concat());
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        proxied.await_line(&[
            "request refused",
            &format!("path={path} "),
            "peer=127.0.0.1:",
            "proxy=127.0.0.1",
        ]);
        let answer = ask(proxied.connect(), &[&header[..], &asks("/health")].concat());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let stream = UnixStream::connect(&proxied.unix).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    let answer = ask(stream, &[&nobody[2][..], &asks("/of-nobody-unix")].concat());
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    proxied.await_line(&["path=/of-nobody-unix ", "peer=unix proxy=unix"]);
    let log = proxied.target.broker().unwrap().log();
    assert!(!log.contains("198.51.100.9"), "{log}");
}

/// The header stands before TLS.
#[test]
fn the_header_comes_before_tls() {
    let file = std::env::temp_dir().join(format!("{}.pem", unique("protocol-tests-")));
    std::fs::write(&file, include_str!("certificate.pem")).unwrap();
    let proxied = Proxied::new(&format!("tls_certificate = {file:?}\ntls_key = {file:?}\n"));
    let _ = std::fs::remove_file(&file);
    let Some(proxied) = proxied else { return };
    let mut socket = proxied.connect();
    socket.write_all(V1.as_bytes()).unwrap();
    let name = "localhost".try_into().unwrap();
    let session =
        rustls::ClientConnection::new(Arc::new(heliostat_protocol_tests::tls::trusting()), name).unwrap();
    let answer = ask(rustls::StreamOwned::new(session, socket), &nothing("/nowhere"));
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    proxied.await_line(&["request refused", "peer=192.0.2.1:4711 proxy=127.0.0.1"]);
    assert_eq!(ask(proxied.connect(), b"\x16\x03\x01\x00\x05hello"), "");
}

/// The old process of an upgrade is no proxy, and cannot ask the new one more than whether it hangs up.
#[test]
fn a_broker_whose_proxies_are_elsewhere_is_upgraded() {
    let file = std::env::temp_dir().join(format!("{}.pem", unique("protocol-tests-")));
    std::fs::write(&file, include_str!("certificate.pem")).unwrap();
    let tls = format!("tls_certificate = {file:?}\ntls_key = {file:?}\n");
    for tls in ["", &tls] {
        let Some(proxied) = Proxied::new(&format!("{tls}trusted_proxies = [\"10.0.0.0/8\"]\n")) else {
            break;
        };
        let broker = proxied.target.broker().unwrap();
        let output = broker.upgrade();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{}", broker.log());
    }
    let _ = std::fs::remove_file(&file);
}

/// Whatever is no header, or goes on for ever, is hung up on, and the log says what is wrong; others are served meanwhile.
///
/// Proves: bad input.
#[test]
fn what_is_no_header_is_hung_up_on() {
    let Some(proxied) = Proxied::new("") else { return };
    // They say nothing, or not enough, and are hung up on in their time.
    let silent: Vec<TcpStream> = [&b""[..], b"PROXY TCP4 ", &V2[..7]]
        .into_iter()
        .map(|begun| {
            let mut stream = proxied.connect();
            stream.write_all(begun).unwrap();
            stream
        })
        .collect();
    let endless = [b"PROXY UNKNOWN ", &[b'x'; 100_000][..]].concat();
    for bytes in [
        nothing("/nowhere"),
        endless,
        b"PROXY TCP4 192.0.2.1 10.0.0.1 4711\r\n".to_vec(),
        [v2(0x21, 0x11, &[0; 60_000]), nothing("/")].concat(),
        v2(0x21, 0x11, &[0; 3]),
        v2(0x33, 0x11, &[0; 12]),
    ] {
        assert_eq!(
            ask(proxied.connect(), &bytes),
            "",
            "{}",
            String::from_utf8_lossy(&bytes[..30.min(bytes.len())])
        );
    }
    proxied.await_line(&["its PROXY header cannot be read: there is none", "peer=127.0.0.1:"]);
    let answer = ask(proxied.connect(), &[V1.as_bytes(), &nothing("/nowhere")].concat());
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    for mut stream in silent {
        stream.set_read_timeout(Some(patience() * 4)).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    }
    // And the other way round: the usual listener expects none.
    let usual = TcpStream::connect((proxied.target.host.as_str(), proxied.target.port)).unwrap();
    usual.set_read_timeout(Some(patience())).unwrap();
    ask(usual, V1.as_bytes());
    proxied.await_line(&["a header of the PROXY protocol to a listener that expects none"]);
}

/// Where proxies are named, nobody else may name a client, nor come without.
///
/// Proves: bad input.
#[test]
fn a_header_of_a_stranger_is_refused() {
    let Some(proxied) = Proxied::new("trusted_proxies = [\"10.0.0.0/8\"]\n") else { return };
    assert_eq!(ask(proxied.connect(), &[V1.as_bytes(), &nothing("/nowhere")].concat()), "");
    proxied.await_line(&["it comes from none of server.trusted_proxies", "peer=127.0.0.1:"]);
}
