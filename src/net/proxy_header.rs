//! Reads the header of the PROXY protocol, by which a proxy names the client of a connection before the client's own bytes.
//!
//! Nothing beyond the header is read, so that what follows is for whoever takes the stream. Both versions are read:
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// What version 1 begins with.
const WORD: &[u8] = b"PROXY ";

/// The longest line of version 1.
const MOST_V1_BYTES: usize = 107;

/// The longest header of version 2 that is read: the addresses, and room for what proxies like to add.
const MOST_V2_BYTES: usize = 4096;

/// Bytes of a header of version 2 before the addresses.
const V2_HEAD_BYTES: usize = 16;

/// Why a header cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyHeaderError {
    /// The connection failed, or ended before the header did.
    #[error("the connection ended before the header did: {0}")]
    Io(#[from] io::Error),
    /// It begins with something else.
    #[error("there is none")]
    Missing,
    /// It goes on for longer than any.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// It says something that has no meaning.
    #[error("it has no valid {0}")]
    Invalid(&'static str),
}

use ProxyHeaderError::{Invalid, Missing, TooLong};

/// Reads the header, and nothing else. `None` where it names no client: the proxy speaks for itself, or the
/// client has no address.
///
/// # Errors
/// See [`ProxyHeaderError`]. How much has been read is not known then.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let mut head = [0; MOST_V1_BYTES];
    let mut filled = 0;
    // No header is as short as that.
    while filled < SIGNATURE.len() {
        filled += more(stream, &mut head[filled..SIGNATURE.len()]).await?;
        let begun = &head[..filled];
        if !(SIGNATURE.starts_with(begun) || begun.starts_with(WORD) || WORD.starts_with(begun)) {
            return Err(Missing);
        }
    }
    if head.starts_with(&SIGNATURE) {
        return read_v2(stream).await;
    }
    while !head[..filled].ends_with(b"\r\n") {
        // What ends with a carriage return lacks one byte, all else two at least.
        let lacks = if head[..filled].ends_with(b"\r") { 1 } else { 2 };
        let room = &mut head[filled..(filled + lacks).min(MOST_V1_BYTES)];
        if room.is_empty() {
            return Err(TooLong(MOST_V1_BYTES));
        }
        filled += more(stream, room).await?;
    }
    v1(&head[WORD.len()..filled - 2])
}

async fn more(stream: &mut (impl AsyncRead + Unpin), room: &mut [u8]) -> io::Result<usize> {
    match stream.read(room).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        read => Ok(read),
    }
}

/// What follows the word in a line of version 1, without its end.
fn v1(line: &[u8]) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let line = std::str::from_utf8(line).map_err(|_| Invalid("text"))?;
    let mut fields = line.split(' ');
    let is_of_family: fn(&IpAddr) -> bool = match fields.next() {
        // Whatever follows means nothing.
        Some("UNKNOWN") => return Ok(None),
        Some("TCP4") => IpAddr::is_ipv4,
        Some("TCP6") => IpAddr::is_ipv6,
        _ => return Err(Invalid("family")),
    };
    let address = |field: Option<&str>| field.and_then(|text| text.parse().ok()).filter(is_of_family);
    let (source, destination) = (address(fields.next()), address(fields.next()));
    let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    let port = |field: Option<&str>| field.filter(digits).and_then(|text| text.parse().ok());
    let (port, to_port): (_, Option<u16>) = (port(fields.next()), port(fields.next()));
    match (source, destination, port, to_port, fields.next()) {
        (Some(source), Some(_), Some(port), Some(_), None) => Ok(Some(socket_address(source, port))),
        (Some(_), Some(_), _, _, _) => Err(Invalid("pair of ports")),
        _ => Err(Invalid("pair of addresses")),
    }
}

/// What follows the signature of version 2.
async fn read_v2(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let [mut version_and_command, mut family, mut high, mut low] = [0; 4];
    for byte in [&mut version_and_command, &mut family, &mut high, &mut low] {
        *byte = stream.read_u8().await?;
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if V2_HEAD_BYTES + length > MOST_V2_BYTES {
        return Err(TooLong(MOST_V2_BYTES));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    match version_and_command {
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err(Invalid("version and command")),
    }
    let port = |at: usize| rest.get(at..at + 2).map(|two| u16::from_be_bytes([two[0], two[1]]));
    // Of both ends, the source first: the addresses, and then the ports.
    let address = match (family >> 4, rest.len()) {
        // No address, that of a Unix socket, or one of a family that is not known.
        (0 | 3.., _) => return Ok(None),
        (1, 12..) => rest.first_chunk().map(|octets: &[u8; 4]| Ipv4Addr::from(*octets).into()).zip(port(8)),
        (2, 36..) => rest.first_chunk().map(|octets: &[u8; 16]| Ipv6Addr::from(*octets).into()).zip(port(32)),
        (1 | 2, _) => None,
    };
    let (address, port): (IpAddr, _) = address.ok_or(Invalid("pair of addresses"))?;
    Ok(Some(socket_address(address, port)))
}

fn socket_address(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a header says, and what is left behind it.
    fn read(bytes: &[u8]) -> (Result<Option<String>, String>, usize) {
        let mut rest = bytes;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = runtime.block_on(super::read(&mut rest));
        let read = read.map(|address| address.map(|address| address.to_string()));
        (read.map_err(|error| error.to_string()), rest.len())
    }

    fn v2(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[version_and_command, family], &length, rest].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80];

    #[test]
    fn headers_name_the_client_and_end_where_they_end() {
        let mut v6 = [0; 36];
        v6[..2].copy_from_slice(&[0x20, 1]);
        v6[15] = 7;
        v6[32..34].copy_from_slice(&[0, 99]);
        let mapped = [&[0; 10][..], &[0xff, 0xff, 192, 0, 2, 1], &[0; 16], &[0, 5, 0, 6]].concat();
        let with_more = [&V4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
        for (header, client) in [
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 4660 80\r\n".to_vec(), Some("192.0.2.1:4660")),
            (b"PROXY TCP6 2001:db8::7 ::1 99 80\r\n".to_vec(), Some("[2001:db8::7]:99")),
            (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 99 80\r\n".to_vec(), Some("192.0.2.1:99")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN a b\rc d\r\n".to_vec(), None),
            (v2(0x21, 0x11, &V4), Some("192.0.2.1:4660")),
            (v2(0x21, 0x11, &with_more), Some("192.0.2.1:4660")),
            (v2(0x21, 0x21, &v6), Some("[2001::7]:99")),
            (v2(0x21, 0x21, &mapped), Some("192.0.2.1:5")),
            (v2(0x20, 0x00, b""), None),
            (v2(0x20, 0x11, &V4), None),
            (v2(0x21, 0x00, b"more"), None),
            (v2(0x21, 0x31, &[b'a'; 216]), None),
        ] {
            let (read, left) = read(&[&header[..], b"\r\nGET /"].concat());
            assert_eq!(read, Ok(client.map(str::to_owned)), "{}", String::from_utf8_lossy(&header));
            assert_eq!(left, 7);
        }
    }

    #[test]
    fn what_is_no_header_says_what_is_wrong() {
        for (bytes, error) in [
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "there is none"),
            (b"\x16\x03\x01".to_vec(), "there is none"),
            (b"PROXYTCP4".to_vec(), "there is none"),
            (b"".to_vec(), "ended before"),
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 4660 80".to_vec(), "ended before"),
            ([b"PROXY TCP4 ", &[b' '; 200][..]].concat(), "longer than 107 bytes"),
            ([b"PROXY UNKNOWN ", &[b'\r'; 200][..]].concat(), "longer than 107 bytes"),
            (b"PROXY TCP5 192.0.2.1 10.0.0.1 4660 80\r\n".to_vec(), "no valid family"),
            (b"PROXY TCP6 192.0.2.1 10.0.0.1 4660 80\r\n".to_vec(), "no valid pair of addresses"),
            (b"PROXY TCP4  192.0.2.1 10.0.0.1 4660 80\r\n".to_vec(), "no valid pair of addresses"),
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 +466 80\r\n".to_vec(), "no valid pair of ports"),
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 65536 80\r\n".to_vec(), "no valid pair of ports"),
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n".to_vec(), "no valid pair of ports"),
            (b"PROXY TCP4 \xff\r\n".to_vec(), "no valid text"),
            (v2(0x21, 0x11, &V4[..11]), "no valid pair of addresses"),
            (v2(0x21, 0x21, &[0; 33]), "no valid pair of addresses"),
            (v2(0x31, 0x11, &V4), "no valid version and command"),
            (v2(0x22, 0x11, &V4), "no valid version and command"),
            (v2(0x21, 0x11, &[0; 5000]), "longer than 4096 bytes"),
            (v2(0x21, 0x11, &V4)[..20].to_vec(), "ended before"),
        ] {
            let (read, _) = read(&bytes);
            let text = read.unwrap_err();
            assert!(text.contains(error), "{}: {text}", String::from_utf8_lossy(&bytes));
        }
    }
}
