//! Reads and writes the bytes of a connection: a socket, or TLS over one.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::rt::net::{ActixStream, TcpStream, UnixStream};
use tokio::io::{AsyncRead, AsyncWrite};

use super::tls::TlsStream;

/// Unsent bytes in the kernel of a socket of which little is to wait there.
#[cfg(target_os = "linux")]
const LITTLE_UNSENT_BYTES: u32 = 16 * 1024;

/// What the transports ask of a stream besides reading it: to write without waiting, from outside the task that
/// reads it. That task's context goes along, so that it is the one to be woken.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Whether what goes over it is encrypted.
    const IS_TLS: bool;

    /// Writes as much as can be written without waiting.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing can be, any other if the stream is lost.
    fn try_write_now(&mut self, slices: &[IoSlice<'_>], context: &mut Context<'_>) -> io::Result<usize> {
        or_would_block(Pin::new(self).poll_write_vectored(context, slices))
    }

    /// Hands what the stream itself has kept back to the kernel.
    ///
    /// # Errors
    /// As of [`Stream::try_write_now`].
    fn try_flush_now(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        or_would_block(Pin::new(self).poll_flush(context))
    }

    /// Ready when a write that would have blocked is worth another attempt.
    fn poll_writable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_flush(context)
    }

    /// The address of the peer. `None` over a Unix socket, where it has none.
    fn peer(&self) -> Option<SocketAddr>;

    /// Little is to wait in the kernel that has not been sent, from now on. Where that cannot be had, it is as before.
    fn keep_little_unsent(&self);

    /// Makes dropping the stream reset the socket, so that nothing lingers in the kernel for a peer that does not
    /// read. On failure it is merely closed in the ordinary way.
    fn reset_on_drop(&self);
}

/// A socket as it was accepted, below TLS where that is spoken.
pub(crate) trait Socket: Stream + ActixStream {
    /// Ready when there is something to read. The task is woken when it may be.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Socket for TcpStream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        TcpStream::poll_read_ready(self, context)
    }
}

impl Socket for UnixStream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        UnixStream::poll_read_ready(self, context)
    }
}

fn or_would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// How a socket is written to. Both kinds have these methods, and no trait of both has them.
macro_rules! writes_at_once {
    () => {
        fn try_write_now(&mut self, slices: &[IoSlice<'_>], _: &mut Context<'_>) -> io::Result<usize> {
            match slices {
                [one] => self.try_write(one),
                several => self.try_write_vectored(several),
            }
        }

        fn try_flush_now(&mut self, _: &mut Context<'_>) -> io::Result<()> {
            Ok(())
        }

        fn poll_writable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll_write_ready(context)
        }
    };
}

impl Stream for TcpStream {
    const IS_TLS: bool = false;

    writes_at_once!();

    fn peer(&self) -> Option<SocketAddr> {
        // One that has gone already has none any more; that it came by TCP is known still.
        let address = self.peer_addr().unwrap_or_else(|_| (Ipv4Addr::UNSPECIFIED, 0).into());
        // A socket of both families tells IPv4 addresses in the form of IPv6.
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    fn keep_little_unsent(&self) {
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(self).set_tcp_notsent_lowat(LITTLE_UNSENT_BYTES);
    }

    fn reset_on_drop(&self) {
        let _ = self.set_zero_linger();
    }
}

impl Stream for UnixStream {
    const IS_TLS: bool = false;

    writes_at_once!();

    fn peer(&self) -> Option<SocketAddr> {
        None
    }

    /// What a Unix socket holds, its peer has.
    fn keep_little_unsent(&self) {}

    /// Nothing lingers in the kernel for the peer of a Unix socket.
    fn reset_on_drop(&self) {}
}

impl<S: Socket> Stream for TlsStream<S> {
    const IS_TLS: bool = true;

    fn peer(&self) -> Option<SocketAddr> {
        self.get_ref().0.peer()
    }

    fn keep_little_unsent(&self) {
        self.get_ref().0.keep_little_unsent();
    }

    fn reset_on_drop(&self) {
        self.get_ref().0.reset_on_drop();
    }
}
