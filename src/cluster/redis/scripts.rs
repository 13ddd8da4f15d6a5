//! What the engine does in one step: the scripts, and how their arguments and what was published are written.
//!
//! A number is drawn from a counter of the tag, and is at least the engine's clock in microseconds: so it stays larger than
//! what was given before when the remembered event has expired, and when the engine has lost the counter with all else.
//! The clock only has to be later than that of the engine before; orders depend on it in no other way.

use std::time::Duration;

use ::redis::{Cmd, cmd};
use bytes::Bytes;

use super::stream_scripts::{KEEP, KEPT};

/// How long numbers are written: decimal, so that a script's floating-point numbers hold them exactly, below 2^53.
const DIGITS: usize = 20;

/// What precedes bytes that were published as they are, those that a number precedes, and those that the number of the word before
/// them in their stream precedes as well.
const PLAIN: u8 = 0;
const NUMBERED: u8 = 1;
const KEPT_WORD: u8 = 2;

/// Keys: the number, what is remembered, who misses it. Arguments: the bytes, the milliseconds, the command that publishes, the channel.
pub(super) const REMEMBER: &str = r"
local now = redis.call('TIME')
local number = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') + 1, tonumber(now[1]) * 1000000 + tonumber(now[2]))
local text = string.format('%020.0f', number)
redis.call('SET', KEYS[1], text)
redis.call('SET', KEYS[2], text .. ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[3])
redis.call(ARGV[3], ARGV[4], '\1' .. text .. ARGV[1])
return text
";

/// As [`REMEMBER`], and one argument more: the number of what is remembered until then, 0 if nothing is. Answers whether it was.
pub(super) const RESTORE: &str = r"
local found = redis.call('GET', KEYS[2])
local last = found and tonumber(string.sub(found, 1, 20)) or 0
if last ~= tonumber(ARGV[5]) then return 0 end
local now = redis.call('TIME')
local number = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') + 1, tonumber(now[1]) * 1000000 + tonumber(now[2]))
local text = string.format('%020.0f', number)
redis.call('SET', KEYS[1], text)
redis.call('SET', KEYS[2], text .. ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[3])
redis.call(ARGV[3], ARGV[4], '\1' .. text .. ARGV[1])
return 1
";

/// Key: what is remembered. Argument: how long it is at most. Answers it, and the milliseconds that are left.
pub(super) const RECALL: &str = r"
local found = redis.call('GET', KEYS[1])
if not found or #found > tonumber(ARGV[1]) then return false end
return {found, redis.call('PTTL', KEYS[1])}
";

/// Keys: what is remembered, who misses it. Argument: the milliseconds. Answers 1 to the first who misses it.
pub(super) const MISS: &str = r"
if redis.call('PTTL', KEYS[1]) ~= -2 then return 0 end
if redis.call('SET', KEYS[2], '1', 'PX', ARGV[1], 'NX') then return 1 end
return 0
";

/// Key: the documents. Arguments: the document's key, how long it is at most. Answers it.
pub(super) const READ: &str = r"
local found = redis.call('HGET', KEYS[1], ARGV[1])
if found and #found > tonumber(ARGV[2]) then return redis.error_reply('ERR the document is longer than is read') end
return found
";

/// Keys: the number, the documents. Arguments: the document's key, the version that it should have, `1` if it is written and
/// not removed, its bytes, the command that publishes, the channel. Answers whether it was done, and the version.
pub(super) const WRITE: &str = r"
local found = redis.call('HGET', KEYS[2], ARGV[1])
local version = found and tonumber(string.sub(found, 1, 20)) or 0
if version ~= tonumber(ARGV[2]) then return {0, string.format('%020.0f', version)} end
local text = string.format('%020.0f', 0)
if ARGV[3] == '1' then
  local now = redis.call('TIME')
  local number = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') + 1, tonumber(now[1]) * 1000000 + tonumber(now[2]))
  text = string.format('%020.0f', number)
  redis.call('SET', KEYS[1], text)
  redis.call('HSET', KEYS[2], ARGV[1], text .. ARGV[4])
else
  redis.call('HDEL', KEYS[2], ARGV[1])
end
redis.call(ARGV[5], ARGV[6], '\1' .. text .. ARGV[1])
return {1, text}
";

/// Key: the note. Arguments: `1` if there should be one, and its bytes; `1` if one is written and none removed, its bytes, the
/// milliseconds; how long one is at most that is read. Answers whether it was done, and else what there is.
pub(super) const NOTE: &str = r"
local found = redis.call('GET', KEYS[1])
local expected = ARGV[1] == '1' and ARGV[2]
if found ~= expected then
  if found and #found > tonumber(ARGV[6]) then return redis.error_reply('ERR the note is longer than is read') end
  return {0, found}
end
if ARGV[3] == '1' then
  redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
else
  redis.call('DEL', KEYS[1])
end
return {1, false}
";

/// How the engine calls the scripts.
#[derive(Clone, Debug)]
pub(super) struct Scripts {
    pub(super) remember: String,
    pub(super) restore: String,
    pub(super) recall: String,
    pub(super) miss: String,
    pub(super) read: String,
    pub(super) write: String,
    pub(super) note: String,
    pub(super) keep: String,
    pub(super) kept: String,
}

impl Scripts {
    /// The commands that give the scripts to an engine; their answers make up the value.
    pub(super) fn load() -> [Cmd; 9] {
        [REMEMBER, RESTORE, RECALL, MISS, READ, WRITE, NOTE, KEEP, KEPT].map(|script| {
            let mut load = cmd("SCRIPT");
            load.arg("LOAD").arg(script);
            load
        })
    }
}

/// A command that publishes bytes as they are.
pub(super) fn publish(command: &str, channel: &str, bytes: &[u8]) -> Vec<u8> {
    let digits = |n: usize| n.max(1).ilog10() as usize + 1;
    let size = command.len() + channel.len() + bytes.len() + 1 + 3 * (digits(bytes.len() + 1) + 5) + 12;
    let mut packed = Vec::with_capacity(size);
    packed.extend_from_slice(format!("*3\r\n${}\r\n{command}\r\n", command.len()).as_bytes());
    packed
        .extend_from_slice(format!("${}\r\n{channel}\r\n${}\r\n", channel.len(), bytes.len() + 1).as_bytes());
    packed.push(PLAIN);
    packed.extend_from_slice(bytes);
    packed.extend_from_slice(b"\r\n");
    packed
}

/// Milliseconds, at least one: the engine refuses to keep anything for none.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).clamp(1, u64::from(u32::MAX) * 1000)
}

/// What was published, as it is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeardWord {
    pub(super) bytes: Bytes,
    pub(super) number: Option<u64>,
    pub(super) previous: Option<u64>,
}

/// What was published: the bytes, and their numbers if they have some. None if nobody of us has published it.
pub(super) fn read_published(payload: &[u8]) -> Option<HeardWord> {
    let (kind, rest) = payload.split_first()?;
    let (number, previous, bytes) = match *kind {
        PLAIN => (None, None, rest),
        NUMBERED => {
            let (number, bytes) = read_numbered(rest)?;
            (Some(number), None, bytes)
        }
        KEPT_WORD => {
            let (number, rest) = read_numbered(rest)?;
            let (previous, bytes) = read_numbered(rest)?;
            (Some(number), Some(previous), bytes)
        }
        _ => return None,
    };
    Some(HeardWord { bytes: Bytes::copy_from_slice(bytes), number, previous })
}

/// A number and what it precedes.
pub(super) fn read_numbered(text: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, bytes) = text.split_at_checked(DIGITS)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_packed_as_the_library_packs_it() {
        for length in [0, 8, 9, 98, 99, 1000] {
            let bytes = vec![b'x'; length];
            let mut theirs = cmd("PUBLISH");
            theirs.arg("c").arg([&[PLAIN], &bytes[..]].concat());
            assert_eq!(publish("PUBLISH", "c", &bytes), theirs.get_packed_command());
        }
    }

    #[test]
    fn what_nobody_of_us_has_published_is_none() {
        let of = |number, previous| Some(HeardWord { bytes: Bytes::from_static(b"a"), number, previous });
        assert_eq!(read_published(b"\0a"), of(None, None));
        assert_eq!(read_published(b"\x0100000000000000000007a"), of(Some(7), None));
        let kept = b"\x020000000000000000000700000000000000000005a";
        assert_eq!(read_published(kept), of(Some(7), Some(5)));
        for foreign in [
            &b""[..],
            b"{}",
            b"\x01",
            b"\x010000000000000000007",
            b"\x01+0000000000000000007a",
            b"\x0199999999999999999999a",
            b"\x0200000000000000000007a",
            b"\x03",
        ] {
            assert_eq!(read_published(foreign), None, "{foreign:?}");
        }
    }
}
