//! The WebSocket frame reader: whatever the pieces in which bytes come, and however often it pauses, it reads the same;
//! and it reads what a second reader does, which takes RFC 6455 by the letter and whole inputs only.

use heliostat::tools::fuzzing::websocket::AfterEvent;
use heliostat::tools::protocol::deflate;
use heliostat::tools::protocol::frame_reader::{FrameError, FrameEvent, FrameReader};

/// What is asked of a reader.
#[derive(Clone, Copy)]
struct Options {
    compression: bool,
    binary: bool,
    limit: usize,
}

impl Options {
    fn reader(self) -> FrameReader {
        FrameReader::new(self.limit).with_compression(self.compression).with_binary(self.binary)
    }
}

/// An event, for keeping.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

impl From<FrameEvent<'_>> for Heard {
    fn from(event: FrameEvent<'_>) -> Self {
        match event {
            FrameEvent::Text(text) => Heard::Text(text.to_owned()),
            FrameEvent::Binary(bytes) => Heard::Binary(bytes.to_vec()),
            FrameEvent::Ping(bytes) => Heard::Ping(bytes.to_vec()),
            FrameEvent::Pong(_) => Heard::Pong,
            FrameEvent::Close(code) => Heard::Close(code),
        }
    }
}

type Outcome = (Vec<Heard>, Option<FrameError>);

pub(crate) fn target(data: &[u8]) {
    let [options, limit, piece, bytes @ ..] = data else { return };
    let options =
        Options { compression: options & 1 != 0, binary: options & 2 != 0, limit: usize::from(*limit) * 5 };
    let whole = in_pieces(options, bytes, bytes.len().max(1));
    assert_eq!(whole, in_pieces(options, bytes, 1), "byte by byte");
    assert_eq!(whole, in_pieces(options, bytes, usize::from(*piece).max(1)), "in pieces of {piece}");
    assert_eq!(whole, with_pauses(options, bytes), "with a pause after each event");
    let (events, error) = by_the_letter(options, bytes);
    assert_eq!((&whole.0, whole.1.is_some()), (&events, error), "by the letter: {:?}", whole.1);
}

fn in_pieces(options: Options, bytes: &[u8], piece: usize) -> Outcome {
    let (mut reader, mut heard) = (options.reader(), Vec::new());
    for piece in bytes.chunks(piece) {
        let fed = reader.feed(&mut piece.to_vec(), |event| {
            heard.push(Heard::from(event));
            !matches!(heard.last(), Some(Heard::Close(_)))
        });
        if let Err(error) = fed {
            return (heard, Some(error));
        }
        if matches!(heard.last(), Some(Heard::Close(_))) {
            break;
        }
    }
    (heard, None)
}

fn with_pauses(options: Options, bytes: &[u8]) -> Outcome {
    let (mut reader, mut heard) = (options.reader(), Vec::new());
    let mut fed = reader.feed(&mut bytes.to_vec(), |event| pause(event, &mut heard));
    loop {
        if let Err(error) = fed {
            return (heard, Some(error));
        }
        let before = heard.len();
        if matches!(heard.last(), Some(Heard::Close(_))) {
            return (heard, None);
        }
        fed = reader.feed(&mut [], |event| pause(event, &mut heard));
        if fed.is_ok() && heard.len() == before {
            return (heard, None);
        }
    }
}

fn pause(event: FrameEvent<'_>, heard: &mut Vec<Heard>) -> AfterEvent {
    heard.push(event.into());
    AfterEvent::Pause
}

/// The events, and whether the peer broke the protocol after them.
fn by_the_letter(options: Options, mut bytes: &[u8]) -> (Vec<Heard>, bool) {
    let mut heard = Vec::new();
    // Of a message that has begun: is it binary, is it compressed, its payload so far.
    let mut begun: Option<(bool, bool, Vec<u8>)> = None;
    while bytes.len() >= 2 {
        let (fin, reserved, opcode) = (bytes[0] >> 7 == 1, bytes[0] >> 4 & 7, bytes[0] & 15);
        let (masked, short) = (bytes[1] >> 7 == 1, u64::from(bytes[1] & 127));
        let compressed = reserved == 4 && options.compression && (opcode == 1 || opcode == 2);
        let sound = masked
            && (reserved == 0 || compressed)
            && match opcode {
                0 => begun.is_some(),
                1 => begun.is_none(),
                2 => begun.is_none() && options.binary,
                8..=10 => fin && short <= 125,
                _ => false,
            };
        if !sound {
            return (heard, true);
        }
        let extended = [0, 2, 8][(short >= 126) as usize + (short == 127) as usize];
        let Some(extension) = bytes.get(2..2 + extended) else { break };
        let extension = extension.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        let length = if extended == 0 { short } else { extension };
        let before = begun.as_ref().filter(|_| opcode == 0).map_or(0, |(_, _, payload)| payload.len() as u64);
        if length.checked_add(before).is_none_or(|all| all > options.limit as u64) {
            return (heard, true);
        }
        let (start, length) = (2 + extended + 4, length as usize);
        let Some(payload) = bytes.get(start..start + length) else { break };
        let mask = &bytes[start - 4..start];
        let payload: Vec<u8> = payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
        bytes = &bytes[start + length..];
        let whole = match opcode {
            8 => return close(&payload, heard),
            9 => {
                heard.push(Heard::Ping(payload));
                continue;
            }
            10 => {
                heard.push(Heard::Pong);
                continue;
            }
            0 => {
                let (binary, compressed, mut all) = begun.take().expect("it was checked");
                all.extend(payload);
                (binary, compressed, all)
            }
            _ => (opcode == 2, compressed, payload),
        };
        if !fin {
            begun = Some(whole);
            continue;
        }
        let (binary, compressed, mut message) = whole;
        if compressed {
            match deflate::inflate(&message, options.limit) {
                Ok(inflated) => message = inflated,
                Err(_) => return (heard, true),
            }
        }
        heard.push(match (binary, String::from_utf8(message)) {
            (true, Ok(text)) => Heard::Binary(text.into_bytes()),
            (true, Err(error)) => Heard::Binary(error.into_bytes()),
            (false, Ok(text)) => Heard::Text(text),
            (false, Err(_)) => return (heard, true),
        });
    }
    (heard, false)
}

/// Section 7.4: the codes that an endpoint may send.
fn close(payload: &[u8], mut heard: Vec<Heard>) -> (Vec<Heard>, bool) {
    let code = match payload {
        [] => None,
        [_] => return (heard, true),
        [high, low, reason @ ..] => {
            let code = u16::from(*high) << 8 | u16::from(*low);
            let reserved = matches!(code, 0..=999 | 1004..=1006 | 1015..=2999 | 5000..);
            if reserved || std::str::from_utf8(reason).is_err() {
                return (heard, true);
            }
            Some(code)
        }
    };
    heard.push(Heard::Close(code));
    (heard, false)
}
