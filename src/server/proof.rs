//! Asks at a listening socket whether anybody answers there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use socket2::Socket;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::passing::TakenSocket;

/// How long an answer may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// What the PROXY protocol begins with where nothing is known of the client.
const PROXY_HEADER: &[u8] = b"PROXY UNKNOWN\r\n";

/// What every answer begins with, before its status.
const ANSWER: &[u8] = b"HTTP/1.1 ";

/// Asks at the socket as those who come by it do, whether it is well.
///
/// # Errors
/// Why nobody answers, or what, in words that follow "but".
pub(super) async fn ask(socket: &Socket, taken: TakenSocket, path: &str) -> Result<(), String> {
    let place = || match socket.local_addr().ok().and_then(|address| address.as_socket()) {
        Some(address) => address.to_string(),
        None => "its Unix socket".to_owned(),
    };
    match tokio::time::timeout(ANSWERS_WITHIN, connect_and_ask(socket, taken, path)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("what answers at {} is not right: {error}", place())),
        Err(_) => Err(format!("nobody answers at {} within {} s", place(), ANSWERS_WITHIN.as_secs())),
    }
}

async fn connect_and_ask(socket: &Socket, taken: TakenSocket, health: &str) -> io::Result<()> {
    let address = socket.local_addr()?;
    if let Some(address) = address.as_socket() {
        return converse(TcpStream::connect(reachable(address)).await?, taken, health).await;
    }
    let path = address.as_pathname().ok_or_else(|| io::Error::other("it has no path"))?;
    converse(UnixStream::connect(path).await?, taken, health).await
}

/// The address at which this machine itself reaches it.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    taken: TakenSocket,
    path: &str,
) -> io::Result<()> {
    let TakenSocket { tls, proxy_protocol, .. } = taken;
    if proxy_protocol {
        stream.write_all(PROXY_HEADER).await?;
    }
    if tls {
        return presents_certificate(stream).await;
    }
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; ANSWER.len() + 1];
    match stream.read_exact(&mut answer).await {
        // A peer that may not say who the client is, is hung up on: by somebody.
        Err(error) if proxy_protocol && error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        Err(error) => Err(error),
        Ok(_) if answer.starts_with(ANSWER) && answer[ANSWER.len()] < b'5' => Ok(()),
        Ok(_) => Err(io::Error::other(format!("{:?}", String::from_utf8_lossy(&answer)))),
    }
}

/// Begins a TLS handshake, up to the certificate. Whoever has none that is to be trusted here has shown that it serves.
async fn presents_certificate<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> io::Result<()> {
    let nobody = rustls::RootCertStore::empty();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(nobody)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(()),
        Err(error) => Err(error),
    }
}
