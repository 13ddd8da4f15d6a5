//! Reads and writes the bytes of a connection: a socket, or TLS over one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite};

use super::tls::TlsStream;

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

    /// Makes dropping the stream reset the socket, so that nothing lingers in the kernel for a peer that does not
    /// read. On failure it is merely closed in the ordinary way.
    fn reset_on_drop(&self);
}

fn or_would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Stream for TcpStream {
    const IS_TLS: bool = false;

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

    fn reset_on_drop(&self) {
        let _ = self.set_zero_linger();
    }
}

impl Stream for TlsStream {
    const IS_TLS: bool = true;

    fn reset_on_drop(&self) {
        let _ = self.get_ref().0.set_zero_linger();
    }
}
