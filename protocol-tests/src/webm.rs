//! Reads a WebM and judges it by the rules that Matroska's own validator goes by, and those of WebM: every element is known and
//! stands where it may, what must be there is, blocks are of tracks that there are, and times never run backwards.

use std::collections::BTreeMap;

/// A file that keeps the rules.
#[derive(Debug, Default)]
pub struct Webm {
    /// Its tracks by number.
    pub tracks: BTreeMap<u64, WebmTrack>,
    /// Its blocks, in order.
    pub blocks: Vec<WebmBlock>,
    /// How many clusters there are.
    pub clusters: usize,
}

/// What a file says of a track.
#[derive(Debug, Default, Clone)]
pub struct WebmTrack {
    /// The name of its codec.
    pub codec: String,
    /// What its decoder must know.
    pub private: Vec<u8>,
    /// Of pictures; 0 of sound.
    pub size: (u64, u64),
    /// Of sound; 0 of pictures.
    pub channels: u64,
    uid: u64,
    kind: u64,
    rate: f64,
}

/// A frame.
#[derive(Debug, Clone)]
pub struct WebmBlock {
    /// Its track.
    pub track: u64,
    /// When it is shown, in milliseconds.
    pub ms: i64,
    /// A decoder can begin with it.
    pub is_key: bool,
    /// What is in it.
    pub content: Vec<u8>,
}

/// An element: its id, and what is in it; none where it ends nobody knows where.
struct Element<'a> {
    id: u64,
    content: Option<&'a [u8]>,
}

const EBML: u64 = 0x1a45_dfa3;
const SEGMENT: u64 = 0x1853_8067;
const INFO: u64 = 0x1549_a966;
const TRACKS: u64 = 0x1654_ae6b;
const CLUSTER: u64 = 0x1f43_b675;
const VOID: u64 = 0xec;

/// Elements of other writers that say nothing of what is looked at here: an index, tags, checksums.
const PASSED_OVER: [u64; 5] = [0x114d_9b74, 0x1c53_bb6b, 0x1254_c367, VOID, 0xbf];

fn unsigned(content: &[u8]) -> u64 {
    content.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The next element, and moves behind its head, or behind it where its end is known.
fn element<'a>(rest: &mut &'a [u8]) -> Result<Option<Element<'a>>, String> {
    let Some(first) = rest.first() else { return Ok(None) };
    let id_bytes = first.leading_zeros() as usize + 1;
    let truncated = || format!("an element is cut off, {} bytes before the end", rest.len());
    if id_bytes > 4 {
        return Err(format!("expected an id of four bytes at most, got {first:#x}"));
    }
    let id = unsigned(rest.get(..id_bytes).ok_or_else(truncated)?);
    let length = rest.get(id_bytes..).ok_or_else(truncated)?;
    let length_bytes = length.first().ok_or_else(truncated)?.leading_zeros() as usize + 1;
    let most = (1_u64 << (7 * length_bytes)) - 1;
    let size = unsigned(length.get(..length_bytes).ok_or_else(truncated)?) & most;
    let behind = &length[length_bytes..];
    if size == most {
        *rest = behind;
        return Ok(Some(Element { id, content: None }));
    }
    let content = behind.get(..size as usize).ok_or_else(truncated)?;
    *rest = &behind[content.len()..];
    Ok(Some(Element { id, content: Some(content) }))
}

/// Calls this with each element of one whose end is known.
fn each<'a>(
    mut content: &'a [u8],
    mut take: impl FnMut(u64, &'a [u8]) -> Result<(), String>,
) -> Result<(), String> {
    while let Some(Element { id, content }) = element(&mut content)? {
        take(id, content.ok_or_else(|| format!("{id:#x} may not be of unknown length"))?)?;
    }
    Ok(())
}

fn expect(is_so: bool, rule: &str) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(format!("expected {rule}")) }
}

impl Webm {
    /// Reads a file, which may end with any whole element.
    ///
    /// # Errors
    /// If it breaks a rule; which one.
    pub fn read(mut rest: &[u8]) -> Result<Webm, String> {
        let head = element(&mut rest)?.filter(|head| head.id == EBML).ok_or("expected an EBML header")?;
        read_head(head.content.ok_or("expected a header of known length")?)?;
        let segment = element(&mut rest)?.filter(|segment| segment.id == SEGMENT);
        let mut rest = segment.ok_or("expected a segment")?.content.unwrap_or(rest);
        let mut webm = Webm::default();
        let (mut has_info, mut cluster) = (false, None);
        while let Some(Element { id, content }) = element(&mut rest)? {
            match (id, content, &mut cluster) {
                (INFO, Some(content), _) => {
                    expect(!has_info, "one Info")?;
                    read_info(content)?;
                    has_info = true;
                }
                (TRACKS, Some(content), _) => {
                    expect(has_info && webm.tracks.is_empty(), "one Tracks, behind Info")?;
                    webm.read_tracks(content)?;
                }
                (CLUSTER, content, cluster) => {
                    expect(!webm.tracks.is_empty(), "Tracks before the first cluster")?;
                    webm.clusters += 1;
                    let mut begun = ClusterState::default();
                    match content {
                        Some(content) => each(content, |id, content| webm.read_in(&mut begun, id, content))?,
                        None => *cluster = Some(begun),
                    }
                }
                (id, Some(content), Some(cluster)) => webm.read_in(cluster, id, content)?,
                (id, Some(_), None) if PASSED_OVER.contains(&id) => {}
                (id, ..) => return Err(format!("{id:#x} may not stand in a segment")),
            }
        }
        expect(has_info, "an Info")?;
        Ok(webm)
    }

    fn read_tracks(&mut self, content: &[u8]) -> Result<(), String> {
        each(content, |id, content| {
            if PASSED_OVER.contains(&id) {
                return Ok(());
            }
            expect(id == 0xae, "nothing but track entries in Tracks")?;
            let (number, track) = read_track(content)?;
            expect(self.tracks.values().all(|other| other.uid != track.uid), "unique ids of tracks")?;
            expect(self.tracks.insert(number, track).is_none(), "unique numbers of tracks")
        })
    }

    fn read_in(&mut self, cluster: &mut ClusterState, id: u64, content: &[u8]) -> Result<(), String> {
        match id {
            0xe7 => {
                expect(
                    cluster.begin.is_none() && cluster.blocks == 0,
                    "one time of a cluster, before blocks",
                )?;
                cluster.begin = Some(unsigned(content) as i64);
                Ok(())
            }
            0xa3 => self.read_block(cluster, content, None),
            0xa0 => {
                // What another block needs says so.
                let mut is_key = true;
                each(content, |id, _| {
                    is_key &= id != 0xfb;
                    Ok(())
                })?;
                each(content, |id, content| match id {
                    0xa1 => self.read_block(cluster, content, Some(is_key)),
                    _ => Ok(()),
                })
            }
            0xab | 0xa7 => Ok(()),
            id if PASSED_OVER.contains(&id) => Ok(()),
            id => Err(format!("{id:#x} may not stand in a cluster")),
        }
    }

    fn read_block(
        &mut self,
        cluster: &mut ClusterState,
        content: &[u8],
        is_key: Option<bool>,
    ) -> Result<(), String> {
        let begin = cluster.begin.ok_or("expected the time of a cluster before its blocks")?;
        let Some((&[number, high, low, flags], content)) = content.split_first_chunk() else {
            return Err("expected a block of four bytes and more".into());
        };
        let track = u64::from(number & 0x7f);
        let kind = self.tracks.get(&track).ok_or("expected a block of a track that there is")?.kind;
        expect(number & 0x80 != 0, "the number of a track in one byte")?;
        expect(flags & 0x76 == 0, "a block without lacing, and reserved bits of 0")?;
        expect(!content.is_empty(), "something in a block")?;
        let ms = begin + i64::from(i16::from_be_bytes([high, low]));
        let is_key = is_key.unwrap_or(flags & 0x80 != 0);
        let last = self.blocks.last().map_or(0, |last| last.ms);
        expect(ms >= last, &format!("times that never run backwards, got {ms} behind {last}"))?;
        let is_first = !self.blocks.iter().any(|block| block.track == track);
        expect(is_key || !is_first, "a key frame at the beginning of a track")?;
        expect(is_key || kind == 1, "sound of key frames alone")?;
        cluster.blocks += 1;
        self.blocks.push(WebmBlock { track, ms, is_key, content: content.to_vec() });
        Ok(())
    }

    /// The blocks of a kind of track: 1 are pictures, 2 is sound.
    #[must_use]
    pub fn of_kind(&self, kind: u64) -> Vec<&WebmBlock> {
        self.blocks.iter().filter(|block| self.tracks[&block.track].kind == kind).collect()
    }
}

/// A cluster that is being read.
#[derive(Default)]
struct ClusterState {
    begin: Option<i64>,
    blocks: usize,
}

fn read_head(content: &[u8]) -> Result<(), String> {
    let mut found = BTreeMap::new();
    each(content, |id, content| {
        expect([0x4286, 0x42f7, 0x42f2, 0x42f3, 0x4282, 0x4287, 0x4285, VOID].contains(&id), "a known head")?;
        found.insert(id, content);
        Ok(())
    })?;
    expect(found.get(&0x4282) == Some(&&b"webm"[..]), "the kind of document webm")?;
    let number = |id, default| found.get(&id).map_or(default, |content: &&[u8]| unsigned(content));
    expect(number(0x4286, 1) == 1 && number(0x42f7, 1) == 1, "the version 1 of EBML")?;
    expect(number(0x42f2, 4) <= 4 && number(0x42f3, 8) <= 8, "short ids and lengths")?;
    expect((1..=4).contains(&number(0x4287, 1)), "a version of Matroska from 1 to 4")?;
    // Simple blocks are of version 2.
    expect((2..=number(0x4287, 1)).contains(&number(0x4285, 1)), "a version to read it from 2 to its own")
}

fn read_info(content: &[u8]) -> Result<(), String> {
    let mut found = BTreeMap::new();
    each(content, |id, content| {
        expect(
            [0x2a_d7b1, 0x4d80, 0x5741, 0x4489, 0x73a4, 0x4461, 0x7ba9, VOID, 0xbf].contains(&id),
            "a known element in Info",
        )?;
        found.insert(id, content);
        Ok(())
    })?;
    expect(found.contains_key(&0x4d80) && found.contains_key(&0x5741), "the apps that wrote it")?;
    expect(found.get(&0x2a_d7b1).is_some_and(|scale| unsigned(scale) == 1_000_000), "times in milliseconds")
}

fn read_track(content: &[u8]) -> Result<(u64, WebmTrack), String> {
    const KNOWN: [u64; 17] = [
        0xd7, 0x73c5, 0x83, 0x9c, 0x22_b59c, 0x22_b59d, 0x86, 0x63a2, 0x56aa, 0x56bb, 0xe0, 0xe1, 0x536e,
        0x88, 0x23_e383, 0xb9, 0x55aa,
    ];
    let (mut number, mut track) = (0, WebmTrack::default());
    let mut parts = (false, false);
    each(content, |id, content| {
        expect(KNOWN.contains(&id) || PASSED_OVER.contains(&id), &format!("no {id:#x} in a track"))?;
        match id {
            0xd7 => number = unsigned(content),
            0x73c5 => track.uid = unsigned(content),
            0x83 => track.kind = unsigned(content),
            0x86 => track.codec = String::from_utf8_lossy(content).into_owned(),
            0x63a2 => track.private = content.to_vec(),
            0xe0 => {
                parts.0 = true;
                each(content, |id, content| {
                    match id {
                        0xb0 => track.size.0 = unsigned(content),
                        0xba => track.size.1 = unsigned(content),
                        _ => {}
                    }
                    Ok(())
                })?;
            }
            0xe1 => {
                parts.1 = true;
                each(content, |id, content| {
                    match (id, content.len()) {
                        (0x9f, _) => track.channels = unsigned(content),
                        (0xb5, 8) => track.rate = f64::from_bits(unsigned(content)),
                        (0xb5, 4) => track.rate = f32::from_bits(unsigned(content) as u32).into(),
                        _ => {}
                    }
                    Ok(())
                })?;
            }
            _ => {}
        }
        Ok(())
    })?;
    expect((1..=126).contains(&number), "the number of a track")?;
    expect(track.uid != 0, "an id of a track that is not 0")?;
    match track.kind {
        1 => {
            expect(["V_VP8", "V_VP9", "V_AV1"].contains(&&*track.codec), "a codec of pictures of WebM")?;
            expect(parts == (true, false) && track.size.0 > 0 && track.size.1 > 0, "a size of pictures")?;
            expect(track.codec != "V_AV1" || track.private.first() == Some(&0x81), "what AV1 begins with")?;
        }
        2 => {
            expect(["A_OPUS", "A_VORBIS"].contains(&&*track.codec), "a codec of sound of WebM")?;
            let is_whole = parts == (false, true) && track.rate > 0.0 && track.channels > 0;
            expect(is_whole, "a rate and channels of sound")?;
            let has_head = track.private.starts_with(b"OpusHead") && track.private.len() >= 19;
            expect(track.codec != "A_OPUS" || has_head, "the head of Opus")?;
        }
        kind => return Err(format!("expected pictures or sound, got a track of the kind {kind}")),
    }
    Ok((number, track))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An element, its length in one byte.
    fn of(id: &[u8], content: &[u8]) -> Vec<u8> {
        [id, &[0x80 | u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn file(blocks: &[&[u8]]) -> Vec<u8> {
        let track = [
            of(&[0xd7], &[1]),
            of(&[0x73, 0xc5], &[1]),
            of(&[0x83], &[1]),
            of(&[0x86], b"V_VP8"),
            of(&[0xe0], &[of(&[0xb0], &[16]), of(&[0xba], &[16])].concat()),
        ];
        let head = [of(&[0x42, 0x82], b"webm"), of(&[0x42, 0x87], &[4]), of(&[0x42, 0x85], &[2])];
        let info =
            [of(&[0x2a, 0xd7, 0xb1], &[0xf, 0x42, 0x40]), of(&[0x4d, 0x80], b"a"), of(&[0x57, 0x41], b"b")];
        let mut file = of(&EBML.to_be_bytes()[4..], &head.concat());
        file.extend(SEGMENT.to_be_bytes()[4..].iter().chain(&[0xff]));
        file.extend(of(&INFO.to_be_bytes()[4..], &info.concat()));
        file.extend(of(&TRACKS.to_be_bytes()[4..], &of(&[0xae], &track.concat())));
        file.extend(CLUSTER.to_be_bytes()[4..].iter().chain(&[0xff]));
        file.extend(of(&[0xe7], &[0]));
        blocks.iter().for_each(|block| file.extend(of(&[0xa3], block)));
        file
    }

    #[test]
    fn rules_are_seen_to_be_broken() {
        let (key, delta) = (&b"\x81\0\x05\x80k"[..], &b"\x81\0\x06\0d"[..]);
        let webm = Webm::read(&file(&[key, delta])).unwrap();
        assert_eq!((webm.blocks.len(), webm.clusters, webm.tracks[&1].size), (2, 1, (16, 16)));
        for (blocks, rule) in [
            (&[delta][..], "a key frame at the beginning"),
            (&[key, b"\x81\0\x04\0d"], "never run backwards"),
            (&[key, b"\x82\0\x06\0d"], "a track that there is"),
            (&[key, b"\x81\0\x06\x02d"], "without lacing"),
            (&[key, b"\x81\0\x06\0"], "something in a block"),
        ] {
            let broken = Webm::read(&file(blocks)).unwrap_err();
            assert!(broken.contains(rule), "{broken}");
        }
        let whole = file(&[key]);
        assert!(Webm::read(&whole[..whole.len() - 1]).unwrap_err().contains("cut off"));
        let with = |from: &[u8], to: &[u8]| {
            let at = whole.windows(from.len()).position(|window| window == from).unwrap();
            Webm::read(&[&whole[..at], to, &whole[at + from.len()..]].concat()).unwrap_err()
        };
        assert!(with(b"webm", b"webx").contains("the kind of document webm"));
        assert!(with(b"V_VP8", b"V_MP8").contains("a codec of pictures"));
        assert!(with(b"\xb0\x81\x10", b"\xb0\x81\0").contains("a size of pictures"));
        assert!(with(b"\x57\x41\x81b", b"\x4d\x80\x81b").contains("the apps that wrote it"));
        assert!(with(b"\xe7\x81\0", b"\xa4\x81\0").contains("may not stand in a cluster"));
    }
}
