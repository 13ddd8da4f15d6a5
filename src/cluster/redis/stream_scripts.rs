//! The streams of subjects: the scripts that write and read them.
//!
//! A stream's entry has the number of its word for its id, `number-0`, and one field, whose name is the version of what it holds:
//! the number of the word before it, and the bytes. The key beside it holds, as decimal text, the last number, one that no entry is
//! older than, and the sum of the bytes, so that what is within the bounds is found out without reading an entry. The clock of
//! the engine is only asked to be later than the last number where that is not known any more.

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
