//! EBML, of which Matroska is made: elements, each of an id, the length of what is in it, and that.

/// The length of an element that ends where the next one of its kind begins, or with the file.
const UNKNOWN_LENGTH: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// An id of four bytes at most, as it stands in a file: its own first bits tell how long it is.
fn push_id(id: u32, out: &mut Vec<u8>) {
    let bytes = id.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    out.extend(&bytes[zeros..]);
}

/// A length: its first bits tell how many bytes it takes. One of only ones would be unknown.
pub(super) fn push_length(length: usize, out: &mut Vec<u8>) {
    let length = length as u64;
    let size = (1..8).find(|size| length < (1 << (7 * size)) - 1).unwrap_or(8);
    let bytes = (length | 1 << (7 * size)).to_be_bytes();
    out.extend(&bytes[8 - size..]);
}

/// An element with this in it.
pub(super) fn push_bytes(id: u32, content: &[u8], out: &mut Vec<u8>) {
    push_id(id, out);
    push_length(content.len(), out);
    out.extend(content);
}

/// A number that is not negative, in as few bytes as it needs.
pub(super) fn push_unsigned(id: u32, value: u64, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    let zeros = bytes.iter().take(7).take_while(|byte| **byte == 0).count();
    push_bytes(id, &bytes[zeros..], out);
}

/// A number with a fraction.
pub(super) fn push_float(id: u32, value: f64, out: &mut Vec<u8>) {
    push_bytes(id, &value.to_be_bytes(), out);
}

/// A text.
pub(super) fn push_text(id: u32, value: &str, out: &mut Vec<u8>) {
    push_bytes(id, value.as_bytes(), out);
}

/// An element of elements.
pub(super) fn push_master(id: u32, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    fill(&mut content);
    push_bytes(id, &content, out);
}

/// The beginning of an element of elements whose length nobody knows yet.
pub(super) fn begin_master(id: u32, out: &mut Vec<u8>) {
    push_id(id, out);
    out.extend(UNKNOWN_LENGTH);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(push: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        push(&mut out);
        out
    }

    #[test]
    fn lengths_are_as_short_as_they_can_be_and_never_unknown() {
        for (length, bytes) in [
            (0, &[0x80][..]),
            (126, &[0xfe]),
            (127, &[0x40, 0x7f]),
            (16_382, &[0x7f, 0xfe]),
            (16_383, &[0x20, 0x3f, 0xff]),
            (2_097_150, &[0x3f, 0xff, 0xfe]),
            (2_097_151, &[0x10, 0x1f, 0xff, 0xff]),
            (1 << 40, &[0x05, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(pushed(|out| push_length(length, out)), bytes, "{length}");
        }
    }

    #[test]
    fn elements_have_their_ids_and_as_few_bytes_as_they_need() {
        assert_eq!(pushed(|out| push_unsigned(0xd7, 0, out)), [0xd7, 0x81, 0]);
        assert_eq!(pushed(|out| push_unsigned(0x73c5, 1, out)), [0x73, 0xc5, 0x81, 1]);
        assert_eq!(pushed(|out| push_unsigned(0xe7, 65_536, out)), [0xe7, 0x83, 1, 0, 0]);
        assert_eq!(pushed(|out| push_text(0x4282, "webm", out)), b"\x42\x82\x84webm");
        assert_eq!(pushed(|out| push_float(0xb5, 48_000.0, out))[..4], [0xb5, 0x88, 0x40, 0xe7]);
        let master = pushed(|out| push_master(0xe1, out, |out| push_unsigned(0x9f, 2, out)));
        assert_eq!(master, [0xe1, 0x83, 0x9f, 0x81, 2]);
        let begun = pushed(|out| begin_master(0x1f43_b675, out));
        assert_eq!(begun, [0x1f, 0x43, 0xb6, 0x75, 1, 255, 255, 255, 255, 255, 255, 255]);
    }
}
