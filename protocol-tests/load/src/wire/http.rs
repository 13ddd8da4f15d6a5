//! HTTP/1.1 as a publisher speaks it: one request at a time, on a connection that is kept if the server keeps it.

use memchr::memmem;

/// A response, once all of it is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Bytes of head and body together.
    pub(crate) bytes: usize,
    /// The server ends the connection after it.
    pub(crate) closes: bool,
}

/// Why a response cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the HTTP response has no status, or no length")]
pub(crate) struct BadResponse;

/// Reads one response from the beginning of `bytes`; `None` while it is incomplete.
pub(crate) fn response(bytes: &[u8]) -> Result<Option<Response>, BadResponse> {
    let Some(head) = memmem::find(bytes, b"\r\n\r\n").map(|end| end + 4) else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..head]).map_err(|_| BadResponse)?;
    let status = text.get(9..12).and_then(|digits| digits.parse().ok()).ok_or(BadResponse)?;
    let field = |wanted: &str| {
        text.lines().skip(1).find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then_some(value.trim())
        })
    };
    let bytes = if let Some(length) = field("content-length") {
        Some(head + length.parse::<usize>().map_err(|_| BadResponse)?).filter(|&whole| whole <= bytes.len())
    } else if field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        // The bodies here are a few bytes of JSON, which never contain the last chunk's bytes.
        memmem::find(&bytes[head - 2..], b"\r\n0\r\n\r\n").map(|at| head - 2 + at + 7)
    } else if status == 101 {
        Some(head)
    } else {
        return Err(BadResponse);
    };
    let closes = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(bytes.map(|bytes| Response { status, bytes, closes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_end_where_they_say() {
        type Case = (&'static [u8], Result<Option<Response>, BadResponse>);
        let cases: &[Case] = &[
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP",
                Ok(Some(Response { status: 200, bytes: 40, closes: false })),
            ),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{", Ok(None)),
            (
                b"HTTP/1.1 413 X\r\ncontent-length:0\r\n\r\n",
                Ok(Some(Response { status: 413, bytes: 36, closes: false })),
            ),
            (b"HTTP/1.1 200 OK\r\ncontent-le", Ok(None)),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                Ok(Some(Response { status: 200, bytes: 59, closes: false })),
            ),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", Ok(None)),
            (b"HTTP/1.1 200 OK\r\n\r\n", Err(BadResponse)),
            (
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                Ok(Some(Response { status: 200, bytes: 57, closes: true })),
            ),
            (b"nonsense\r\n\r\n", Err(BadResponse)),
            (
                b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x00",
                Ok(Some(Response { status: 101, bytes: 36, closes: false })),
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(response(bytes), *expected, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
