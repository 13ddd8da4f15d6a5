//! Messages on a stream: each behind its length, which has a bound.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of a message. The largest are events, whose bounds are far below.
pub(super) const MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Reads one; none if the stream has ended between two.
pub(super) async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Bytes>> {
    let length = match stream.read_u32().await {
        Ok(length) => length as usize,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > MESSAGE_BYTES {
        return Err(io::Error::other(format!("a message of {length} bytes is announced")));
    }
    // It grows with what comes, not with what is announced.
    let mut message = Vec::new();
    let read = stream.take(length as u64).read_to_end(&mut message).await?;
    if read < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(message.into()))
}

/// Writes one.
pub(super) async fn write_message(stream: &mut (impl AsyncWrite + Unpin), message: &Bytes) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_u32(length).await?;
    stream.write_all(message).await
}
