//! What a port speaks: told from what it answers to a plain HTTP request.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::place::CheckedPlace;
use super::stream::connect;

/// How long an answer is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// Bytes that are read of it.
const MOST_BYTES: usize = 4096;

/// Characters that are shown of it.
const SHOWN_CHARS: usize = 60;

/// What a port was heard to speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PortSpeech {
    /// HTTP: the line with its status.
    Http(String),
    /// TLS: it answered with an alert of TLS, or in plain words that it wants TLS.
    Tls,
    /// WebSockets, and it hangs up on whoever asks for something else: so do servers whose HTTP API is at another port.
    SocketsAlone,
    /// Something else that has a name.
    Other(&'static str),
    /// Something without one: the beginning of what came.
    Unknown(String),
    /// It hung up without a word.
    Closed,
    /// It said nothing in time.
    Silent,
    /// There was no connection, with the reason.
    Unreachable(String),
}

/// Asks a port in plain HTTP, whatever the scheme of the place is.
pub(super) async fn listen(place: &CheckedPlace) -> PortSpeech {
    let request = format!(
        "GET {}/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        place.prefix(),
        place.authority()
    );
    match answer_to(place, &request).await {
        // Redis hangs up on whoever comes with HTTP, and what it says of it is most often lost.
        PortSpeech::Closed => match answer_to(place, "PING\r\n").await {
            other @ PortSpeech::Other(_) => other,
            _ => PortSpeech::Closed,
        },
        other => other,
    }
}

async fn answer_to(place: &CheckedPlace, request: &str) -> PortSpeech {
    let mut stream = match connect(place).await {
        Ok(stream) => stream,
        Err(error) => return PortSpeech::Unreachable(error.to_string()),
    };
    let mut heard = Vec::new();
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        let mut buffer = [0; MOST_BYTES];
        while heard.len() < MOST_BYTES && !heard.starts_with(b"+PONG") {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            heard.extend_from_slice(&buffer[..read]);
        }
        Ok::<(), std::io::Error>(())
    };
    // An error on a connection that has said something is what whoever hangs up leaves behind.
    let is_over = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.is_ok();
    speech_of(&heard, is_over)
}

/// What these bytes are, which were the answer to a plain HTTP request. `is_over`: and then it hung up.
pub(super) fn speech_of(heard: &[u8], is_over: bool) -> PortSpeech {
    if heard.is_empty() {
        return if is_over { PortSpeech::Closed } else { PortSpeech::Silent };
    }
    // A record of TLS: an alert, of version 3.x.
    if heard.starts_with(&[0x15, 3]) {
        return PortSpeech::Tls;
    }
    let text = String::from_utf8_lossy(heard);
    if heard.starts_with(b"HTTP/") {
        let wants_tls =
            ["to HTTPS port", "to an HTTPS server", "to an HTTPS port", "speaking plain HTTP to an SSL"];
        if wants_tls.iter().any(|words| text.contains(words)) {
            return PortSpeech::Tls;
        }
        return PortSpeech::Http(text.lines().next().unwrap_or_default().trim_end().to_owned());
    }
    let known: [(&[u8], &str); 9] = [
        (b"+PONG", "Redis"),
        (b"-ERR", "Redis"),
        (b"-DENIED", "Redis"),
        (b"-NOAUTH", "Redis"),
        (b"SSH-", "SSH"),
        (b"220 ", "a mail or FTP server"),
        (b"+OK", "a mail server"),
        (b"* OK", "a mail server"),
        (b"INFO {", "NATS"),
    ];
    if let Some((_, name)) = known.iter().find(|(start, _)| heard.starts_with(start)) {
        return PortSpeech::Other(name);
    }
    if heard.get(4) == Some(&10) && text.contains("mysql") {
        return PortSpeech::Other("MySQL");
    }
    PortSpeech::Unknown(text.chars().take(SHOWN_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_is_known_by_its_first_words() {
        let http = |line: &str| PortSpeech::Http(line.to_owned());
        let cases: [(&[u8], bool, PortSpeech); 9] = [
            (b"HTTP/1.1 404 Not Found\r\nServer: x\r\n\r\n", true, http("HTTP/1.1 404 Not Found")),
            (
                b"HTTP/1.1 400 Bad Request\r\n\r\nThe plain HTTP request was sent to HTTPS port",
                true,
                PortSpeech::Tls,
            ),
            (
                b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
                true,
                PortSpeech::Tls,
            ),
            (&[0x15, 3, 1, 0, 2, 2, 70], true, PortSpeech::Tls),
            (b"-ERR wrong number of arguments for 'get' command\r\n", true, PortSpeech::Other("Redis")),
            (b"SSH-2.0-OpenSSH_9.6\r\n", false, PortSpeech::Other("SSH")),
            (b"hello", false, PortSpeech::Unknown("hello".to_owned())),
            (b"", true, PortSpeech::Closed),
            (b"", false, PortSpeech::Silent),
        ];
        for (heard, is_over, expected) in cases {
            assert_eq!(speech_of(heard, is_over), expected, "{}", String::from_utf8_lossy(heard));
        }
    }
}
