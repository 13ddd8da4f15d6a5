//! Frames, whole and in pieces, and every breach.

use super::*;

const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..=125 => frame.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(0x80 | 127);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Feeds `input` in pieces of `step` bytes; the events in short words.
fn read(limit: usize, input: &[u8], step: usize) -> Result<Vec<String>, FrameError> {
    let mut reader = FrameReader::new(limit);
    let mut events = Vec::new();
    for piece in input.chunks(step) {
        reader.feed(&mut piece.to_vec(), |event| {
            events.push(match event {
                FrameEvent::Text(text) => format!("text {text}"),
                FrameEvent::Binary(bytes) => format!("binary {}", String::from_utf8_lossy(bytes)),
                FrameEvent::Ping(payload) => format!("ping {}", String::from_utf8_lossy(payload)),
                FrameEvent::Pong(_) => "pong".into(),
                FrameEvent::Close(code) => format!("close {code:?}"),
            });
            true
        })?;
    }
    Ok(events)
}

#[test]
fn messages_are_read_however_they_are_cut() {
    let long = "x".repeat(70_000);
    let input = [
        frame(0x81, b"one"),
        frame(0x01, b"tw"),
        frame(0x89, b"are you there"),
        frame(0x00, b""),
        frame(0x80, "o \u{e9}".as_bytes()),
        frame(0x8a, b""),
        frame(0x81, "y".repeat(300).as_bytes()),
        frame(0x81, long.as_bytes()),
        frame(0x81, b""),
    ]
    .concat();
    let expected = vec![
        "text one".to_owned(),
        "ping are you there".into(),
        "text two \u{e9}".into(),
        "pong".into(),
        format!("text {}", "y".repeat(300)),
        format!("text {long}"),
        "text ".into(),
    ];
    for step in [1, 2, 3, 7, 64, 1000, 65_536, input.len()] {
        assert_eq!(read(100_000, &input, step).as_ref(), Ok(&expected), "in steps of {step}");
    }
}

#[test]
fn nothing_is_read_after_a_close() {
    let input = [frame(0x88, &[0x03, 0xe8]), frame(0xf1, b"rubbish")].concat();
    assert_eq!(read(100, &input, input.len()), Ok(vec!["close Some(1000)".into()]));
    assert_eq!(read(100, &frame(0x88, b""), 3), Ok(vec!["close None".into()]));
}

#[test]
fn every_breach_is_a_fault() {
    let mut unmasked = frame(0x81, b"a");
    unmasked[1] &= 0x7f;
    let table = [
        (unmasked, FrameError::Unmasked),
        (frame(0xc1, b"a"), FrameError::ReservedBits),
        (frame(0x83, b"a"), FrameError::UnknownOpcode(3)),
        (frame(0x8b, b"a"), FrameError::UnknownOpcode(11)),
        (frame(0x82, b"a"), FrameError::Binary),
        (frame(0x09, b"a"), FrameError::BadControlFrame),
        (frame(0x89, &[0; 126]), FrameError::BadControlFrame),
        (frame(0x80, b"a"), FrameError::NothingToContinue),
        ([frame(0x01, b"a"), frame(0x81, b"b")].concat(), FrameError::Interleaved),
        (frame(0x88, &[3]), FrameError::BadClose),
        (frame(0x88, &[3, 0xed]), FrameError::BadClose),
        (frame(0x88, &[3, 0xe8, 0xff]), FrameError::NotUtf8),
        (frame(0x81, &[0xff, 0xfe]), FrameError::NotUtf8),
        ([frame(0x01, &[0xc3]), frame(0x80, b"x")].concat(), FrameError::NotUtf8),
        (frame(0x81, &[b'x'; 1001]), FrameError::TooBig { limit: 1000, bytes: 1001 }),
        (
            [frame(0x01, &[b'x'; 600]), frame(0x80, &[b'x'; 600])].concat(),
            FrameError::TooBig { limit: 1000, bytes: 1200 },
        ),
    ];
    for (input, error) in table {
        assert_eq!(read(1000, &input, input.len()), Err(error), "{error:?}");
    }
}

/// The length is judged by the header alone: nothing of a giant frame is ever kept.
#[test]
fn an_announced_giant_is_refused_before_it_arrives() {
    let mut header = vec![0x81, 0x80 | 127];
    header.extend(u64::MAX.to_be_bytes());
    assert_eq!(read(1000, &header, 100), Err(FrameError::TooBig { limit: 1000, bytes: u64::MAX }));
}

#[test]
fn compressed_messages_are_read_where_they_were_agreed_on() {
    let text = "compressible ".repeat(50);
    let payload = deflate::deflate(text.as_bytes()).unwrap();
    let (begin, end) = payload.split_at(10);
    let cut = [frame(0x41, begin), frame(0x89, b"in between"), frame(0x80, end)].concat();
    for (input, events) in [(frame(0xc1, &payload), 1), (cut, 2)] {
        let mut reader = FrameReader::new(1000).with_compression(true);
        let mut heard = Vec::new();
        let each = |event: FrameEvent<'_>| {
            heard.push(if let FrameEvent::Text(text) = event { text.to_owned() } else { String::new() });
            true
        };
        assert_eq!(reader.feed(&mut input.clone(), each), Ok(()));
        assert_eq!((heard.len(), heard.last()), (events, Some(&text)));
        assert_eq!(read(1000, &input, input.len()), Err(FrameError::ReservedBits), "not agreed on");
    }
    let feed = |limit, bytes: &[u8]| {
        let mut reader = FrameReader::new(limit).with_compression(true);
        reader.feed(&mut bytes.to_vec(), |_| true)
    };
    assert_eq!(feed(100, &frame(0xc1, &payload)), Err(FrameError::TooBig { limit: 100, bytes: 101 }));
    assert_eq!(feed(1000, &frame(0xc1, &[0xff; 9])), Err(FrameError::DamagedCompression));
    assert_eq!(feed(1000, &frame(0xc9, b"")), Err(FrameError::ReservedBits), "a control frame");
    assert_eq!(feed(1000, &frame(0xa1, b"")), Err(FrameError::ReservedBits), "another bit");
    let second = [frame(0x01, b"a"), frame(0xc0, b"b")].concat();
    assert_eq!(feed(1000, &second), Err(FrameError::ReservedBits), "not on the first frame");
}

#[test]
fn a_character_may_be_cut_by_a_fragment() {
    let input = [frame(0x01, &[0xc3]), frame(0x80, &[0xa9])].concat();
    assert_eq!(read(100, &input, 3), Ok(vec!["text \u{e9}".into()]));
}

#[test]
fn binary_messages_are_read_from_those_that_may_send_them() {
    let input = [frame(0x82, b"one"), frame(0x02, b"tw"), frame(0x89, b"?"), frame(0x80, b"o")].concat();
    let mut reader = FrameReader::new(1000).with_binary(true);
    let mut read = Vec::new();
    let mut collect = |event: FrameEvent<'_>| {
        if let FrameEvent::Binary(bytes) = event {
            read.push(bytes.to_vec());
        }
        true
    };
    reader.feed(&mut input.clone(), &mut collect).unwrap();
    assert_eq!(read, [b"one".to_vec(), b"two".to_vec()]);
    let interleaved = [frame(0x02, b"tw"), frame(0x82, b"x")].concat();
    let outcome = FrameReader::new(1000).with_binary(true).feed(&mut interleaved.clone(), |_| true);
    assert_eq!(outcome, Err(FrameError::Interleaved));
    let long = frame(0x82, &[0; 1001]);
    let outcome = FrameReader::new(1000).with_binary(true).feed(&mut long.clone(), |_| true);
    assert_eq!(outcome, Err(FrameError::TooBig { limit: 1000, bytes: 1001 }));
}

#[test]
fn a_compressed_binary_message_is_restored() {
    let message = [7_u8; 5000];
    let input = frame(0xc2, &deflate::deflate(&message).unwrap());
    let mut reader = FrameReader::new(5000).with_compression(true).with_binary(true);
    let mut restored = false;
    let outcome = reader.feed(&mut input.clone(), |event| {
        restored = event == FrameEvent::Binary(&message);
        true
    });
    assert_eq!((outcome, restored), (Ok(()), true));
}
