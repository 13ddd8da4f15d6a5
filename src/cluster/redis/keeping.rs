//! The streams of subjects: the scripts that write and read them, and how their answers are read.
//!
//! A stream's entry has the number of its word for its id, `number-0`, and one field, whose name is the version of what it holds:
//! the number of the word before it, and the bytes. The key beside it holds, as decimal text, the last number, one that no entry is
//! older than, and the sum of the bytes, so that what is within the bounds is found out without reading an entry. The clock of
//! the engine is only asked to be later than the last number where that is not known any more, see [`super::scripts`].

use std::time::Duration;

use ::redis::{Cmd, Value};
use bytes::Bytes;

use super::scripts::{millis, read_numbered};
use crate::cluster::adapter::{Keeping, KeptPage, KeptWord};

/// Keys: the last number, the stream; the number of the tag, what is remembered, who misses it. Arguments: the bytes, the command
/// that publishes, the channel; how many entries, bytes and milliseconds are kept, for how many milliseconds the last number is
/// known, and for how many it is remembered, 0 if it is not.
///
/// Where the last number is not known, nothing is known of what the stream has lost: it begins anew. Of what is beyond
/// the bounds so much goes at once that nobody waits for it.
pub(super) const KEEP: &str = r"
local found = redis.call('GET', KEYS[1])
local last, first, sum = 0, 0, 0
if found then
  local l, f, s = string.match(found, '^(%d+) (%d+) (%d+)$')
  if not l then return redis.error_reply('ERR ' .. KEYS[1] .. ' holds something else than the number of a stream') end
  last, first, sum = tonumber(l), tonumber(f), tonumber(s)
end
local count = redis.call('XLEN', KEYS[2])
if not found then
  redis.call('DEL', KEYS[2])
  count = 0
end
local now = redis.call('TIME')
local clock = tonumber(now[1]) * 1000000 + tonumber(now[2])
local number = math.max(last + 1, clock)
local remembers = ARGV[8] ~= '0'
if remembers then number = math.max(number, tonumber(redis.call('GET', KEYS[3]) or '0') + 1) end
local id = string.format('%.0f', number)
local before = string.format('%020.0f', last)
redis.call('XADD', KEYS[2], id .. '-0', '1', before .. ARGV[1])
if count == 0 then first, sum = number, 0 end
count, sum = count + 1, sum + #ARGV[1]
local events, bytes, oldest = tonumber(ARGV[4]), tonumber(ARGV[5]), clock - tonumber(ARGV[6]) * 1000
for _ = 1, 128 do
  local is_over = count > events or sum > bytes
  if not is_over and first >= oldest then break end
  local entry = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if not entry then break end
  first = tonumber(string.match(entry[1], '^%d+'))
  if not is_over and first >= oldest then break end
  redis.call('XDEL', KEYS[2], entry[1])
  count, sum = count - 1, math.max(0, sum + 20 - #entry[2][2])
end
redis.call('SET', KEYS[1], string.format('%.0f %.0f %.0f', number, first, sum), 'PX', ARGV[7])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
local text = string.format('%020.0f', number)
if remembers then
  redis.call('SET', KEYS[3], text)
  redis.call('SET', KEYS[4], text .. ARGV[1], 'PX', ARGV[8])
  redis.call('DEL', KEYS[5])
end
redis.call(ARGV[2], ARGV[3], '\2' .. text .. before .. ARGV[1])
return text
";

/// Keys: the last number, the stream. Arguments: the number behind which it is read; how many entries and how many bytes are read,
/// or one; how long an entry is at most. Answers the last number, the clock, whether it has ended before the end, and then the id and
/// the value of each entry.
pub(super) const KEPT: &str = r"
local found = redis.call('GET', KEYS[1])
local last = found and string.match(found, '^(%d+) %d+ %d+$') or false
if found and not last then return redis.error_reply('ERR ' .. KEYS[1] .. ' holds something else than the number of a stream') end
local now = redis.call('TIME')
local most, most_bytes, longest = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local answer = {last, string.format('%.0f', tonumber(now[1]) * 1000000 + tonumber(now[2])), 0}
local count, bytes, from = 0, 0, ARGV[1] .. '-1'
while true do
  local page = 1
  if count > 0 then page = math.max(1, math.min(100, most - count, math.floor((most_bytes - bytes) * count / bytes))) end
  local entries = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', page)
  for _, entry in ipairs(entries) do
    local number, fields = string.match(entry[1], '^(%d+)%-0$'), entry[2]
    if not number or #fields ~= 2 or fields[1] ~= '1' then
      return redis.error_reply('ERR ' .. KEYS[2] .. ' holds an entry that this version does not read')
    end
    if #fields[2] - 20 > longest then
      return redis.error_reply('ERR ' .. KEYS[2] .. ' holds an entry that is longer than is read')
    end
    if count > 0 and (count >= most or bytes + #fields[2] + 64 > most_bytes) then
      answer[3] = 1
      return answer
    end
    count, bytes = count + 1, bytes + #fields[2] + 64
    answer[#answer + 1], answer[#answer + 2] = number, fields[2]
    from = number .. '-1'
  end
  if #entries < page then return answer end
end
";

/// What surrounds the bytes of an entry where they are counted: the number before it, its id and the lengths.
const BYTES_AROUND: usize = 20 + 64;

/// The arguments of [`KEEP`].
pub(super) fn add_arguments(call: &mut Cmd, bytes: &[u8], verb: &str, channel: &str, keeping: &Keeping) {
    // Written with few digits: what a script reads is exact below 2^53.
    let most = |bound: u64| bound.min(u64::from(u32::MAX) * 1024);
    call.arg(bytes).arg(verb).arg(channel).arg(most(keeping.events)).arg(most(keeping.bytes));
    call.arg(millis(keeping.time)).arg(millis(keeping.last_known_for.max(keeping.time)));
    call.arg(keeping.remembered_for.map_or(0, millis));
}

/// The arguments of [`KEPT`]. An answer is never longer than what is read at once.
pub(super) fn add_page(call: &mut Cmd, behind: u64, (words, bytes): (usize, usize), longest: usize) {
    let around = words.saturating_mul(BYTES_AROUND);
    let bytes = bytes.saturating_add(around).min(longest);
    call.arg(behind).arg(words.max(1)).arg(bytes).arg(longest);
}

/// What [`KEPT`] answers.
pub(super) fn read_page(answer: &Value) -> Option<KeptPage> {
    let Value::Array(parts) = answer else { return None };
    let (header, entries) = parts.split_at_checked(3)?;
    let [last, now, Value::Int(has_more)] = header else { return None };
    let last = if *last == Value::Nil { None } else { Some(decimal(last)?) };
    let word = |entry: &[Value]| {
        let [number, Value::BulkString(value)] = entry else { return None };
        let (previous, bytes) = read_numbered(value)?;
        Some(KeptWord { number: decimal(number)?, previous, bytes: Bytes::copy_from_slice(bytes) })
    };
    let words = entries.chunks(2).map(word).collect::<Option<_>>()?;
    Some(KeptPage { words, last, now: decimal(now)?, has_more: *has_more == 1 })
}

fn decimal(value: &Value) -> Option<u64> {
    let Value::BulkString(digits) = value else { return None };
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Keeps nothing, by every command that there is for it: to see that they are allowed.
pub(super) const TRIED: Keeping = Keeping {
    events: 0,
    bytes: 0,
    time: Duration::from_millis(1),
    last_known_for: Duration::from_millis(1),
    remembered_for: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_and_what_is_none_is_not() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let before = "00000000000000000007";
        let page = |parts: Vec<Value>| read_page(&Value::Array(parts));
        let header = || vec![text("9"), text("10"), Value::Int(1)];
        let word = KeptWord { number: 9, previous: 7, bytes: Bytes::from_static(b"a") };
        let of = |rest: Vec<Value>| page(header().into_iter().chain(rest).collect());
        let expected = KeptPage { words: vec![word], last: Some(9), now: 10, has_more: true };
        assert_eq!(of(vec![text("9"), text(&format!("{before}a"))]), Some(expected));
        let nothing = KeptPage { words: Vec::new(), last: None, now: 10, has_more: false };
        assert_eq!(page(vec![Value::Nil, text("10"), Value::Int(0)]), Some(nothing));
        for strange in [
            vec![text("9")],
            vec![text("9"), text("short")],
            vec![text("x"), text(&format!("{before}a"))],
            vec![text("9"), Value::Int(1)],
        ] {
            assert_eq!(of(strange.clone()), None, "{strange:?}");
        }
        for strange in [vec![], vec![text("9"), text("10")], vec![text("x"), text("10"), Value::Int(0)]] {
            assert_eq!(page(strange.clone()), None, "{strange:?}");
        }
        assert_eq!(read_page(&Value::Int(1)), None);
    }
}
