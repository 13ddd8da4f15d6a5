//! The fields of a message: numbers, texts and bytes, each no longer than what is there.

use bytes::Bytes;

use crate::channel::NodeId;
use crate::protocol::{Frame, SocketId};

/// The bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) struct Malformed;

/// Reads fields one after the other.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct FieldReader<'b> {
    bytes: &'b Bytes,
    at: usize,
}

impl<'b> FieldReader<'b> {
    pub(in crate::cluster) fn new(bytes: &'b Bytes) -> Self {
        FieldReader { bytes, at: 0 }
    }

    pub(in crate::cluster) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(in crate::cluster) fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.at).ok_or(Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    /// Anything but 0 is true.
    pub(in crate::cluster) fn flag(&mut self) -> Result<bool, Malformed> {
        self.byte().map(|byte| byte != 0)
    }

    pub(in crate::cluster) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let low = u64::from(byte & 0x7f);
            let bits = low << shift;
            if bits >> shift != low {
                return Err(Malformed);
            }
            number |= bits;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    pub(in crate::cluster) fn small_number(&mut self) -> Result<u32, Malformed> {
        self.number()?.try_into().map_err(|_| Malformed)
    }

    pub(in crate::cluster) fn node(&mut self) -> Result<NodeId, Malformed> {
        let bytes = self.slice(size_of::<u128>())?;
        bytes.try_into().map(u128::from_be_bytes).map(NodeId::new).map_err(|_| Malformed)
    }

    pub(in crate::cluster) fn socket(&mut self) -> Result<SocketId, Malformed> {
        let first = self.small_number()?;
        Ok(SocketId::new(first, self.small_number()?))
    }

    pub(in crate::cluster) fn text(&mut self) -> Result<&'b str, Malformed> {
        let length = self.length()?;
        std::str::from_utf8(self.slice(length)?).map_err(|_| Malformed)
    }

    pub(in crate::cluster) fn optional_text(&mut self) -> Result<Option<&'b str>, Malformed> {
        let is_there = self.flag()?;
        let text = self.text()?;
        Ok(is_there.then_some(text))
    }

    /// A part of the bytes, not a copy of it.
    pub(in crate::cluster) fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let length = self.length()?;
        let from = self.at;
        self.slice(length)?;
        Ok(self.bytes.slice(from..self.at))
    }

    pub(in crate::cluster) fn frame(&mut self) -> Result<Frame, Malformed> {
        Frame::read(self.bytes()?).ok_or(Malformed)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        self.number()?.try_into().map_err(|_| Malformed)
    }

    fn slice(&mut self, length: usize) -> Result<&'b [u8], Malformed> {
        let slice = self.bytes[self.at..].get(..length).ok_or(Malformed)?;
        self.at += length;
        Ok(slice)
    }
}

/// Writes fields one after the other.
#[derive(Clone, Debug, Default)]
pub(in crate::cluster) struct FieldWriter(Vec<u8>);

impl FieldWriter {
    pub(in crate::cluster) fn with_capacity(bytes: usize) -> Self {
        FieldWriter(Vec::with_capacity(bytes))
    }

    pub(in crate::cluster) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(in crate::cluster) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(in crate::cluster) fn node(&mut self, node: NodeId) {
        self.0.extend_from_slice(&node.bits().to_be_bytes());
    }

    pub(in crate::cluster) fn socket(&mut self, socket: SocketId) {
        let (first, second) = socket.numbers();
        self.number(first.into());
        self.number(second.into());
    }

    pub(in crate::cluster) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(in crate::cluster) fn optional_text(&mut self, text: Option<&str>) {
        self.byte(text.is_some().into());
        self.text(text.unwrap_or_default());
    }

    pub(in crate::cluster) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(in crate::cluster) fn written(&self) -> &[u8] {
        &self.0
    }

    pub(in crate::cluster) fn clear(&mut self) {
        self.0.clear();
    }

    pub(in crate::cluster) fn finish(self) -> Bytes {
        Bytes::from(self.0)
    }
}
