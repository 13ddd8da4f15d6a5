//! How the scripts of streams are called, and how their answers are read.

use std::time::Duration;

use ::redis::{Cmd, Value};
use bytes::Bytes;

use super::scripts::{millis, read_numbered};
use crate::cluster::adapter::{Keeping, KeptPage, KeptWord};

/// What surrounds the bytes of an entry where they are counted: the number before it, its id and the lengths.
const BYTES_AROUND: usize = 20 + 64;

/// The arguments of the script that keeps a word.
pub(super) fn add_arguments(call: &mut Cmd, bytes: &[u8], verb: &str, channel: &str, keeping: &Keeping) {
    // Written with few digits: what a script reads is exact below 2^53.
    let most = |bound: u64| bound.min(u64::from(u32::MAX) * 1024);
    call.arg(bytes).arg(verb).arg(channel).arg(most(keeping.events)).arg(most(keeping.bytes));
    call.arg(millis(keeping.time)).arg(millis(keeping.last_known_for.max(keeping.time)));
    call.arg(keeping.remembered_for.map_or(0, millis));
}

/// The arguments of the script that reads a page. An answer is never longer than what is read at once.
pub(super) fn add_page(call: &mut Cmd, behind: u64, (words, bytes): (usize, usize), longest: usize) {
    let around = words.saturating_mul(BYTES_AROUND);
    let bytes = bytes.saturating_add(around).min(longest);
    call.arg(behind).arg(words.max(1)).arg(bytes).arg(longest);
}

/// What that answers.
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
