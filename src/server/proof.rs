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
    if taken.proxy_protocol {
        // A peer that may not say who the client is, is hung up on: by somebody.
        return match ask_by_proxy(&mut stream, taken.tls, path).await {
            Err(error) if is_hung_up_on(&error) => Ok(()),
            asked => asked,
        };
    }
    ask_directly(&mut stream, taken.tls, path).await
}

/// Whether the other side has ended the connection, what had come to it read or unread.
fn is_hung_up_on(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}

async fn ask_by_proxy<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    tls: bool,
    path: &str,
) -> io::Result<()> {
    stream.write_all(PROXY_HEADER).await?;
    ask_directly(stream, tls, path).await
}

async fn ask_directly<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    tls: bool,
    path: &str,
) -> io::Result<()> {
    if tls {
        return presents_certificate(stream).await;
    }
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; ANSWER.len() + 1];
    stream.read_exact(&mut answer).await?;
    if answer.starts_with(ANSWER) && answer[ANSWER.len()] < b'5' {
        return Ok(());
    }
    Err(io::Error::other(format!("{:?}", String::from_utf8_lossy(&answer))))
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What comes of asking somebody who accepts, and resets the connection: nothing of what has come is read.
    async fn asked_of_who_hangs_up(tls: bool, proxy_protocol: bool) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = Socket::from(listener.into_std().unwrap());
        let listener = TcpListener::from_std(socket.try_clone().unwrap().into()).unwrap();
        let hangs_up = async {
            let (stream, _) = listener.accept().await.unwrap();
            stream.readable().await.unwrap();
        };
        let taken = TakenSocket { index: 0, tls, proxy_protocol };
        tokio::join!(ask(&socket, taken, "/health"), hangs_up).0
    }

    #[tokio::test]
    async fn whoever_may_not_speak_for_clients_is_hung_up_on_by_somebody() {
        for tls in [false, true] {
            asked_of_who_hangs_up(tls, true).await.unwrap();
            let why = asked_of_who_hangs_up(tls, false).await.unwrap_err();
            assert!(why.contains("is not right"), "{why}");
        }
    }
}
