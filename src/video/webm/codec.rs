//! What a WebM says of the codecs of its tracks: their names, and what a decoder must know before it begins.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::protocol::json;

/// Bytes of the head of an Opus stream with one or two channels.
const OPUS_HEAD_BYTES: usize = 19;

/// A sequence header, among the kinds of OBUs of which AV1 is made.
const AV1_SEQUENCE_HEADER: u8 = 1;

/// A codec of pictures that a WebM carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PictureCodec {
    Vp8,
    Vp9,
    Av1,
}

/// What a key frame says of the pictures that begin with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PictureConfig {
    pub(super) codec: PictureCodec,
    pub(super) width: u64,
    pub(super) height: u64,
    pub(super) pose: PicturePose,
    /// What the decoder must know, where it must know something.
    pub(super) private: Vec<u8>,
}

/// How a decoded picture is to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PicturePose {
    /// By how many degrees it is to be turned clockwise: a quarter, half, or three quarters of a turn.
    turn: u16,
    /// It is to be mirrored left to right, after the turn.
    is_mirrored: bool,
}

impl PicturePose {
    /// In degrees, how far what shows it is turned to the side, and how far counterclockwise: to look at it from behind mirrors it,
    /// and its turn with it.
    pub(super) fn yaw_and_roll(self) -> (f64, f64) {
        let turn = f64::from(self.turn);
        match (self.turn, self.is_mirrored) {
            (270, false) => (0.0, 90.0),
            (_, false) => (0.0, -turn),
            (270, true) => (180.0, -90.0),
            (_, true) => (180.0, turn),
        }
    }
}

/// What a message says of the sound that begins with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SoundConfig {
    pub(super) channels: u8,
    /// The head of an Opus stream.
    pub(super) private: Vec<u8>,
}

impl PictureCodec {
    fn of(codec: &str) -> Option<Self> {
        match codec.split('.').next()? {
            "vp8" => Some(PictureCodec::Vp8),
            "vp9" | "vp09" => Some(PictureCodec::Vp9),
            "av01" => Some(PictureCodec::Av1),
            _ => None,
        }
    }

    /// What Matroska calls it.
    pub(super) fn id(self) -> &'static str {
        match self {
            PictureCodec::Vp8 => "V_VP8",
            PictureCodec::Vp9 => "V_VP9",
            PictureCodec::Av1 => "V_AV1",
        }
    }
}

impl PictureConfig {
    /// Reads what a key frame says, which has been checked as every message of a track. `Err` is the name of a codec that no
    /// WebM carries; empty if there is none.
    pub(super) fn read(members: &str, content: &[u8]) -> Result<Self, String> {
        let [codec, width, height, turn, mirror] =
            config(members, ["codec", "codedWidth", "codedHeight", "rotation", "flip"])
                .ok_or_else(String::new)?;
        let codec = codec.and_then(json::as_string).unwrap_or_default();
        let Some(known) = PictureCodec::of(&codec) else { return Err(codec.into_owned()) };
        let size = |size: Option<&RawValue>| size.and_then(|size| size.get().parse::<u64>().ok());
        let (Some(width), Some(height)) = (size(width), size(height)) else { return Err(String::new()) };
        let private = if known == PictureCodec::Av1 { av1_private(&codec, content) } else { Vec::new() };
        let turn = turn.and_then(|turn| turn.get().parse().ok()).unwrap_or_default();
        let pose = PicturePose { turn, is_mirrored: mirror.is_some_and(|mirror| mirror.get() == "true") };
        Ok(PictureConfig { codec: known, width, height, pose, private })
    }
}

impl SoundConfig {
    /// Reads what a message says; none if a WebM cannot carry that sound.
    pub(super) fn read(members: &str) -> Option<Self> {
        let [codec, rate, channels, description] =
            config(members, ["codec", "sampleRate", "numberOfChannels", "description"])?;
        if json::as_string(codec?)? != "opus" {
            return None;
        }
        let description = description.and_then(json::as_string);
        let head = description.and_then(|base64| STANDARD.decode(base64.as_bytes()).ok());
        let channels: u8 = channels?.get().parse().ok()?;
        let private = head
            .and_then(opus_head)
            .or_else(|| (1..=2).contains(&channels).then(|| new_opus_head(channels, rate)))?;
        Some(SoundConfig { channels: private[9], private })
    }

    /// Whether a decoder that began with the other one can go on with this: where nothing says which channel is where, it
    /// takes one channel and two alike.
    pub(super) fn is_decoded_as(&self, begun: &SoundConfig) -> bool {
        let has_table = |config: &SoundConfig| config.private[OPUS_HEAD_BYTES - 1] != 0;
        self.private == begun.private || !has_table(self) && !has_table(begun)
    }
}

/// Members of the decoder's configuration.
fn config<'m, const N: usize>(members: &'m str, names: [&str; N]) -> Option<[Option<&'m RawValue>; N]> {
    let [config] = json::members(members, ["config"]).ok()?;
    json::members(config?.get(), names).ok()
}

/// A head that came with the stream. Nothing is left out at its beginning any more: this begins in its midst.
fn opus_head(mut head: Vec<u8>) -> Option<Vec<u8>> {
    let has_table = *head.get(OPUS_HEAD_BYTES - 1)? != 0;
    let channels = head[9];
    let most = if has_table { 255 } else { 2 };
    let bytes = OPUS_HEAD_BYTES + if has_table { 2 + usize::from(channels) } else { 0 };
    let is_sound = head.starts_with(b"OpusHead") && head[8] < 16 && (1..=most).contains(&channels);
    (is_sound && head.len() >= bytes).then(|| {
        head[10..12].fill(0);
        head
    })
}

fn new_opus_head(channels: u8, rate: Option<&RawValue>) -> Vec<u8> {
    let rate: u32 = rate.and_then(|rate| rate.get().parse().ok()).unwrap_or(48_000);
    let mut head = b"OpusHead".to_vec();
    head.extend([1, channels, 0, 0]);
    head.extend(rate.to_le_bytes());
    head.extend([0, 0, 0]);
    head
}

/// The box that AV1 begins with: what the codec's name says (`av01.0.08M.08`), and the sequence header of the key frame.
fn av1_private(codec: &str, key_frame: &[u8]) -> Vec<u8> {
    let mut parts = codec.split('.').skip(1);
    let mut part = || parts.next().unwrap_or_default();
    let number = |text: &str| text.parse::<u8>().unwrap_or_default();
    let profile = number(part()) & 7;
    let level = part();
    let tier = u8::from(level.ends_with('H'));
    let level = number(level.trim_end_matches(['M', 'H'])) & 31;
    let depth = number(part());
    let is_monochrome = number(part()) & 1;
    let subsampling = match (part(), profile) {
        ("", 1) => 0,
        ("", 2) => 0b10_00,
        ("", _) => 0b11_00,
        (chosen, _) => {
            let digit = |at| u8::from(chosen.as_bytes().get(at) == Some(&b'1'));
            digit(0) << 3 | digit(1) << 2
        }
    };
    let depths = u8::from(depth > 8) << 6 | u8::from(depth > 10) << 5;
    let mut private =
        vec![0x81, profile << 5 | level, tier << 7 | depths | is_monochrome << 4 | subsampling, 0];
    private.extend(av1_sequence_header(key_frame).unwrap_or_default());
    private
}

/// The sequence header among the OBUs of a key frame, each of which says how long it is.
fn av1_sequence_header(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let header = *rest.first()?;
        let (has_extension, has_size) = (header & 4 != 0, header & 2 != 0);
        if !has_size {
            return None;
        }
        let begin = 1 + usize::from(has_extension);
        let (mut size, mut bytes) = (0_usize, 0);
        loop {
            let byte = *rest.get(begin + bytes)?;
            size |= usize::from(byte & 0x7f) << (7 * bytes);
            bytes += 1;
            if byte & 0x80 == 0 {
                break;
            }
            if bytes == 4 {
                return None;
            }
        }
        let obu = rest.get(..begin + bytes + size)?;
        if header >> 3 & 15 == AV1_SEQUENCE_HEADER {
            return Some(obu);
        }
        rest = &rest[obu.len()..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures(codec: &str, content: &[u8]) -> Result<PictureConfig, String> {
        let members = format!(
            "{{\"config\":{{\"codec\":\"{codec}\",\"codedWidth\":640,\"codedHeight\":360}},\"sequence\":1}}"
        );
        PictureConfig::read(&members, content)
    }

    #[test]
    fn codecs_are_known_by_the_beginning_of_their_names() {
        for (codec, id) in
            [("vp8", "V_VP8"), ("vp9", "V_VP9"), ("vp09.00.31.08", "V_VP9"), ("av01.0.04M.08", "V_AV1")]
        {
            let config = pictures(codec, b"").unwrap();
            assert_eq!((config.codec.id(), config.width, config.height), (id, 640, 360), "{codec}");
        }
        for codec in ["avc1.640028", "hev1.1.6.L93.B0", "vp8x", ""] {
            assert_eq!(pictures(codec, b""), Err(codec.to_owned()));
        }
        assert_eq!(PictureConfig::read("{}", b""), Err(String::new()));
    }

    #[test]
    fn a_picture_is_turned_as_its_configuration_says() {
        let pose = |more: &str| {
            let members =
                format!("{{\"config\":{{\"codec\":\"vp8\",\"codedWidth\":640,\"codedHeight\":360{more}}}}}");
            PictureConfig::read(&members, b"").unwrap().pose.yaw_and_roll()
        };
        for (more, expected) in [
            ("", (0.0, 0.0)),
            (",\"rotation\":90", (0.0, -90.0)),
            (",\"rotation\":180,\"flip\":false", (0.0, -180.0)),
            (",\"rotation\":270", (0.0, 90.0)),
            (",\"flip\":true", (180.0, 0.0)),
            (",\"rotation\":90,\"flip\":true", (180.0, 90.0)),
            (",\"rotation\":270,\"flip\":true", (180.0, -90.0)),
        ] {
            assert_eq!(pose(more), expected, "{more}");
        }
    }

    #[test]
    fn av1_begins_with_what_its_name_says_and_its_sequence_header() {
        // A temporal delimiter, a sequence header of three bytes, and a frame.
        let frame = [0x12, 0, 0x0a, 3, 1, 2, 3, 0x32, 1, 9];
        let private = |codec, frame: &[u8]| pictures(codec, frame).unwrap().private;
        assert_eq!(private("av01.0.08M.08", &frame), [0x81, 8, 0x0c, 0, 0x0a, 3, 1, 2, 3]);
        assert_eq!(private("av01.1.13H.10.0.000", &frame[7..]), [0x81, 0x2d, 0xc0, 0]);
        assert_eq!(private("av01.2.19M.12.1", b""), [0x81, 0x53, 0x78, 0]);
        for broken in [&[0x08, 1][..], &[0x0a], &[0x0a, 0xff, 0xff, 0xff, 0xff, 1], &[0x0a, 9, 1]] {
            assert_eq!(private("av01.0.08M.08", broken).len(), 4, "{broken:?}");
        }
    }

    #[test]
    fn opus_has_the_head_that_came_or_one_of_ours() {
        let read = |more: &str| {
            SoundConfig::read(&format!("{{\"config\":{{\"codec\":\"opus\",\"sampleRate\":48000,{more}}}}}"))
        };
        let ours = |channels| [b"OpusHead", &[1, channels, 0, 0, 0x80, 0xbb, 0, 0, 0, 0, 0][..]].concat();
        assert_eq!(read("\"numberOfChannels\":2").unwrap().private, ours(2));
        let with = |head: &[u8], channels| {
            read(&format!("\"numberOfChannels\":{channels},\"description\":\"{}\"", STANDARD.encode(head)))
        };
        let mut theirs = ours(1);
        (theirs[10], theirs[11]) = (0x38, 1);
        let config = with(&theirs, 2).unwrap();
        assert_eq!(
            (config.channels, config.private),
            (1, ours(1)),
            "what it says counts, nothing is skipped"
        );
        for broken in [&b""[..], b"OpusHead", b"OpusHxad\x01\x01\0\0\0\0\0\0\0\0\0"] {
            assert_eq!(with(broken, 1).unwrap().private, ours(1), "{broken:?}");
        }
        let surround = [&ours(6)[..18], &[1, 4, 2, 0, 4, 1, 2, 3, 5]].concat();
        assert_eq!(with(&surround, 6).unwrap().private, surround);
        assert_eq!(with(&surround[..20], 6), None, "of six channels nobody knows which is where");
        assert_eq!(read("\"numberOfChannels\":6"), None);
        let aac = "{\"config\":{\"codec\":\"mp4a.40.2\",\"sampleRate\":48000,\"numberOfChannels\":2}}";
        assert_eq!(SoundConfig::read(aac), None);
    }
}
