//! JSON numbers as what they say, digit by digit: a double holds 53 bits, and ids are often longer.

/// A number of JSON text, by its value alone: `1`, `1.0` and `10e-1` are one, and so are `0` and `-0`.
#[derive(Clone, Copy, Debug)]
pub struct Decimal<'t> {
    negative: bool,
    /// The digits before and after the point; together they neither begin nor end with a zero. Zero has none.
    before: &'t [u8],
    after: &'t [u8],
    /// The power of ten of the last digit.
    exponent: i128,
}

impl<'t> Decimal<'t> {
    /// Reads a number that is valid JSON; `None` if the text is something else, or its exponent alone has more digits
    /// than any number that is meant seriously.
    pub fn read(text: &'t str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        if !text.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
        let before = before.as_bytes();
        let after = after.as_bytes();
        if !before.iter().chain(after).all(u8::is_ascii_digit) {
            return None;
        }
        let whole_after = after.len();
        let mut number = Decimal { negative, before, after, exponent: 0 };
        let dropped = number.trim();
        if number.is_zero() {
            return Some(Decimal { negative: false, ..number });
        }
        let exponent: i64 = exponent.parse().ok()?;
        let places = i128::try_from(whole_after).ok()? - i128::try_from(dropped).ok()?;
        Some(Decimal { exponent: i128::from(exponent) - places, ..number })
    }

    /// Drops zeros that say nothing; returns how many there were behind the last digit that is none.
    fn trim(&mut self) -> usize {
        fn leading(digits: &[u8]) -> usize {
            digits.iter().take_while(|digit| **digit == b'0').count()
        }
        fn trailing(digits: &[u8]) -> usize {
            digits.iter().rev().take_while(|digit| **digit == b'0').count()
        }
        let mut dropped = trailing(self.after);
        self.after = &self.after[..self.after.len() - dropped];
        if self.after.is_empty() {
            let more = trailing(self.before);
            self.before = &self.before[..self.before.len() - more];
            dropped += more;
        }
        self.before = &self.before[leading(self.before)..];
        if self.before.is_empty() {
            self.after = &self.after[leading(self.after)..];
        }
        dropped
    }

    fn is_zero(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.negative == other.negative
            && self.exponent == other.exponent
            && self.before.len() + self.after.len() == other.before.len() + other.after.len()
            && self.before.iter().chain(self.after).eq(other.before.iter().chain(other.after))
    }
}

/// Whether a [`serde_json::Number`] that is read from this text is the number that is written there. An integer is, from
/// -2^63 to 2^64-1; a number with a fraction or an exponent is if a double's shortest notation has the same digits.
pub fn is_held_exactly(text: &str) -> bool {
    let held = serde_json::from_str::<serde_json::Number>(text).map(|number| number.to_string());
    held.is_ok_and(|held| Decimal::read(&held).is_some_and(|held| Decimal::read(text) == Some(held)))
}

/// The first number in valid JSON text that a [`serde_json::Value`] would hold as another one.
pub fn first_rounded(json: &str) -> Option<&str> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let length = match bytes[at] {
            b'"' => string_bytes(&bytes[at..]),
            b'-' | b'0'..=b'9' => {
                let belongs = |b: &&u8| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let length = bytes[at..].iter().take_while(belongs).count();
                let number = &json[at..at + length];
                if !is_held_exactly(number) {
                    return Some(number);
                }
                length
            }
            _ => 1,
        };
        at += length;
    }
    None
}

/// Bytes of the string literal that the text begins with.
fn string_bytes(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same(a: &str, b: &str) -> bool {
        Decimal::read(a).unwrap() == Decimal::read(b).unwrap()
    }

    #[test]
    fn a_number_is_its_value_however_it_is_written() {
        for (a, b) in [
            ("1", "1.0"),
            ("1", "10e-1"),
            ("1", "0.001E+3"),
            ("-0", "0"),
            ("0e99999999999999999999", "-0.000"),
            ("100", "1e2"),
            ("1200.50", "1.2005e3"),
            ("0.00120", "12e-4"),
            ("175928847299117063", "175928847299117063.0"),
            ("18446744073709551616", "1.8446744073709551616e19"),
        ] {
            assert!(same(a, b) && same(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("175928847299117063", "175928847299117062"),
            ("9007199254740993", "9007199254740992.0"),
            ("18446744073709551615", "18446744073709551616"),
            ("0.1", "0.1000000000000000055511151231257827"),
            ("1", "-1"),
            ("1e400", "1e401"),
            ("10", "1"),
            ("0.1", "0.01"),
        ] {
            assert!(!same(a, b) && !same(b, a), "{a} {b}");
        }
        for none in ["", "-", "x", "\"1\"", "null", "1e", "1e+", "1x", "1.x", "1e99999999999999999999"] {
            assert!(Decimal::read(none).is_none(), "{none}");
        }
    }

    #[test]
    fn what_a_value_would_round_is_found() {
        for exact in ["0", "-9223372036854775808", "18446744073709551615", "0.1", "1e300", "2.50", "-0.0"] {
            assert!(is_held_exactly(exact), "{exact}");
        }
        let rounded =
            ["18446744073709551616", "-9223372036854775809", "1e400", "175928847299117063.5", "1e-400"];
        for rounded in rounded {
            assert!(!is_held_exactly(rounded), "{rounded}");
            let json = format!(r#"{{"a\"1e999":[0.1,{{"b":{rounded}}}],"c":"1e999"}}"#);
            assert_eq!(first_rounded(&json), Some(rounded));
        }
        assert_eq!(first_rounded(r#"["1e999","\\",{"1e999":12.5}]"#), None);
    }

    /// A number as an integer and the power of ten that it is shifted by: what [`Decimal`] is judged by.
    fn written(digits: i64, point: usize, exponent: i16) -> String {
        let sign = if digits < 0 { "-" } else { "" };
        let digits = format!("{:0width$}", digits.unsigned_abs(), width = point + 1);
        let (before, after) = digits.split_at(digits.len() - point);
        let point = if after.is_empty() { "" } else { "." };
        format!("{sign}{before}{point}{after}e{exponent}")
    }

    proptest! {
        #[test]
        fn integers_are_equal_if_they_are(a: i64, b: i64, near in -3i64..=3) {
            let c = a.wrapping_add(near);
            let text = a.to_string();
            prop_assert_eq!(same(&text, &b.to_string()), a == b);
            prop_assert_eq!(same(&text, &c.to_string()), a == c);
            prop_assert_eq!(same(&format!("{text}.000"), &format!("{c}0e-1")), a == c);
            prop_assert!(is_held_exactly(&text));
        }

        #[test]
        fn the_place_of_the_point_says_nothing(digits: i64, point in 0usize..25, exponent in -300i16..300) {
            let shifted = i16::try_from(point).unwrap();
            let number = written(digits, point, exponent);
            prop_assert!(same(&number, &format!("{digits}e{}", exponent - shifted)), "{}", number);
            prop_assert_eq!(same(&number, &format!("{digits}e{}", exponent - shifted + 1)), digits == 0);
            prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&number).is_ok());
        }

        #[test]
        fn a_double_is_held_as_it_is_written(number: f64) {
            prop_assume!(number.is_finite());
            let text = serde_json::Number::from_f64(number).unwrap().to_string();
            prop_assert!(is_held_exactly(&text), "{}", text);
        }
    }
}
