//! Text from outside, made fit for a line: nothing in it can end the line, steer a terminal, turn the direction of
//! reading, or fill the disk.

use std::fmt::{self, Write};

/// Characters that a value may have; the number of further ones takes the place of those. One that has to be escaped
/// counts as what it becomes, so that a line cannot be made long by what cannot be seen.
pub(crate) const VALUE_CHARS: usize = 200;

/// Characters that the message of a line may have.
pub(super) const MESSAGE_CHARS: usize = 2000;

/// Characters that a hidden one becomes at most: in JSON, two escapes.
const ESCAPED_CHARS: usize = 12;

/// The beginning of a text that may be long, and how much more there was.
#[derive(Debug)]
pub(super) struct Shortened {
    kept: String,
    room: usize,
    more: usize,
}

impl Shortened {
    /// The first `chars` characters of what the value writes of itself.
    pub(super) fn of(value: impl fmt::Display, chars: usize) -> Shortened {
        let mut shortened = Shortened { kept: String::new(), room: chars, more: 0 };
        // It takes everything.
        let _ = write!(shortened, "{value}");
        shortened
    }

    /// With the number of what was left out.
    pub(super) fn text(mut self) -> String {
        if self.more > 0 {
            let _ = write!(self.kept, "… [{} more]", self.more);
        }
        self.kept
    }
}

impl Write for Shortened {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut end = text.len();
        for (at, c) in text.char_indices() {
            let width = if is_hidden(c) { ESCAPED_CHARS } else { 1 };
            let Some(room) = self.room.checked_sub(width) else {
                (self.room, end) = (0, at);
                break;
            };
            self.room = room;
        }
        let (kept, rest) = text.split_at(end);
        self.kept.push_str(kept);
        self.more += rest.chars().count();
        Ok(())
    }
}

/// Whether the character would not be seen as itself: controls, separators of lines, directions, and what has no width.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Writes it so that it stays within its line.
pub(super) fn escape(text: &str, into: &mut String) {
    for c in text.chars() {
        match c {
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            '\\' => into.push_str("\\\\"),
            c if is_hidden(c) => {
                let _ = write!(into, "{}", c.escape_unicode());
            }
            c => into.push(c),
        }
    }
}

/// Writes it as a value: in quotes, where its end could not be told otherwise.
pub(super) fn value(text: &str, into: &mut String) {
    let ends_itself = |c: char| !c.is_whitespace() && !is_hidden(c) && !"\"\\=".contains(c);
    if !text.is_empty() && text.chars().all(ends_itself) {
        return into.push_str(text);
    }
    into.push('"');
    let mut escaped = String::new();
    escape(text, &mut escaped);
    into.push_str(&escaped.replace('"', "\\\""));
    into.push('"');
}

/// Writes it as a string of JSON, which reads as what it was.
pub(super) fn json(text: &str, into: &mut String) {
    into.push('"');
    for c in text.chars() {
        match c {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            c if is_hidden(c) => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(into, "\\u{unit:04x}");
            }),
            c => into.push(c),
        }
    }
    into.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &str =
        "a\n2026 INFO \u{1b}[31m\u{9b}1m\r\t\u{202e}\u{2028}\u{2029}\u{7f}\u{feff}\u{e0041} \"q\" x=1 \\ ü";

    fn is_visible(c: char) -> bool {
        !is_hidden(c)
    }

    #[test]
    fn nothing_hidden_stays() {
        for write in [escape, value, json] {
            let mut text = String::new();
            write(NASTY, &mut text);
            assert!(text.chars().all(is_visible), "{text}");
            assert!(text.contains('ü'), "{text}");
        }
    }

    #[test]
    fn json_reads_as_what_it_was() {
        let mut text = String::new();
        json(NASTY, &mut text);
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), NASTY);
    }

    #[test]
    fn a_value_cannot_pretend_to_be_two() {
        for (given, shown) in
            [("plain-1.2:3/x", "plain-1.2:3/x"), ("", "\"\""), ("a b=\"c\"", "\"a b=\\\"c\\\"\"")]
        {
            let mut text = String::new();
            value(given, &mut text);
            assert_eq!(text, shown);
        }
    }

    #[test]
    fn long_text_is_shortened_between_characters() {
        assert_eq!(Shortened::of("äöü", 3).text(), "äöü");
        assert_eq!(Shortened::of("äöüß", 2).text(), "äö… [2 more]");
        let long = "x".repeat(60_000);
        assert_eq!(Shortened::of(long, VALUE_CHARS).text(), "x".repeat(VALUE_CHARS) + "… [59800 more]");
    }

    #[test]
    fn what_cannot_be_seen_takes_the_room_of_its_escape() {
        assert_eq!(Shortened::of("\u{1b}ab", 12).text(), "\u{1b}… [2 more]");
        for c in ['\n', '\u{1b}', '\u{202e}', '\u{e0041}', '"', '\\', 'x'] {
            let shortened = Shortened::of(String::from(c).repeat(60_000), VALUE_CHARS).text();
            for write in [escape, value, json] {
                let mut text = String::new();
                write(&shortened, &mut text);
                assert!(text.chars().count() < 2 * VALUE_CHARS + 20, "{c:?}: {text}");
            }
        }
    }
}
