//! The socket of a connection of the ceiling: plain, or under TLS by the library that the broker uses.

use std::io::{self, IoSlice, Read, Write};
use std::path::Path;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

#[derive(Debug)]
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// How TLS is served, with the certificate and key in these files: the library's defaults, and tickets as the broker gives
/// them.
pub(super) fn settings(certificate: &Path, key: &Path) -> io::Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(certificate).map_err(io::Error::other)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let mut settings =
        builder.with_no_client_auth().with_single_cert(chain, key).map_err(io::Error::other)?;
    settings.ticketer = ring::Ticketer::new().map_err(io::Error::other)?;
    Ok(Arc::new(settings))
}

impl Socket {
    pub(super) fn new(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        Ok(match tls {
            None => Socket::Plain(socket),
            Some(settings) => {
                let session = ServerConnection::new(Arc::clone(settings)).map_err(io::Error::other)?;
                Socket::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        })
    }

    pub(super) fn read(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(socket) => socket.read(scratch),
            Socket::Tls(session) => session.read(scratch),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(socket) => socket.write(bytes),
            Socket::Tls(session) => session.write(bytes),
        }
    }

    pub(super) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Plain(socket) => socket.write_vectored(slices),
            Socket::Tls(session) => session.write_vectored(slices),
        }
    }

    /// Under TLS, sends what is encrypted already and the socket has not taken. It may have to wait for the socket.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Socket::Tls(session) = self else { return Ok(()) };
        match session.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        }
    }

    /// Whether something is encrypted already and the socket has not taken it.
    pub(super) fn wants_write(&self) -> bool {
        match self {
            Socket::Plain(_) => false,
            Socket::Tls(session) => session.conn.wants_write(),
        }
    }

    /// Whether a read that did not fill its buffer has emptied the socket. Under TLS records end before the data does.
    pub(super) fn short_reads_empty_it(&self) -> bool {
        matches!(self, Socket::Plain(_))
    }
}
