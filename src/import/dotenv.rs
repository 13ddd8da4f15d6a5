//! A `.env` file as names and values, as Laravel, Rails and Node read them: quotes, escapes, comments, `export`, and
//! references such as `${APP_NAME}`.
//!
//! The crates for this look references up in the environment of the process first, and name no line: what is imported must
//! depend on the file alone, and a mistake has a place.

use std::collections::BTreeMap;

use super::error::BadInput;

/// A name and its value. There is no `Debug`: it may be a secret.
pub(super) struct DotEnvEntry {
    pub(super) name: String,
    pub(super) value: String,
    /// Counted from 1.
    pub(super) line: usize,
    /// A name that the value refers to and that has none above it.
    unresolved: Option<String>,
}

/// The characters, and where they stand.
struct Cursor<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    line: usize,
    column: usize,
}

impl Cursor<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(c) = self.rest.next_if(|c| fits(*c)) {
            taken.push(c);
            if c == '\n' {
                (self.line, self.column) = (self.line + 1, 1);
            } else {
                self.column += 1;
            }
        }
        taken
    }

    fn bad(&self, message: &str) -> BadInput {
        BadInput::at(self.line, self.column, message)
    }
}

/// The entries, in order. Of two with the same name the later counts.
///
/// # Errors
/// The first line that is neither a comment nor `NAME=value`.
pub(super) fn parse(text: &str) -> Result<Vec<DotEnvEntry>, BadInput> {
    let text = text.replace("\r\n", "\n");
    let mut cursor = Cursor { rest: text.chars().peekable(), line: 1, column: 1 };
    let mut known = BTreeMap::new();
    let mut entries = Vec::new();
    loop {
        cursor.take_while(char::is_whitespace);
        match cursor.rest.peek() {
            None => return Ok(entries),
            Some('#') => {
                cursor.take_while(|c| c != '\n');
            }
            Some(_) => entries.push(entry(&mut cursor, &mut known)?),
        }
    }
}

fn entry(cursor: &mut Cursor<'_>, known: &mut BTreeMap<String, String>) -> Result<DotEnvEntry, BadInput> {
    const EXPECTED: &str = "expected NAME=value, with a name of letters, digits and _";
    let is_blank = |c: char| c == ' ' || c == '\t';
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let line = cursor.line;
    let mut name = cursor.take_while(in_name);
    if name == "export" && cursor.rest.peek().copied().is_some_and(is_blank) {
        cursor.take_while(is_blank);
        name = cursor.take_while(in_name);
    }
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(cursor.bad(EXPECTED));
    }
    cursor.take_while(is_blank);
    match cursor.rest.peek() {
        Some('=') => {
            cursor.next();
        }
        // A name alone has no value.
        None | Some('\n') => return Ok(DotEnvEntry { name, value: String::new(), line, unresolved: None }),
        Some(_) => return Err(cursor.bad(EXPECTED)),
    }
    cursor.take_while(is_blank);
    let (value, has_references) = match cursor.rest.peek() {
        Some('\'') => (quoted(cursor, '\'')?, false),
        Some('"') => (quoted(cursor, '"')?, true),
        _ => (plain(cursor), true),
    };
    let (value, unresolved) = if has_references { resolve(&value, known) } else { (unmarked(&value), None) };
    known.insert(name.clone(), value.clone());
    Ok(DotEnvEntry { name, value, line, unresolved })
}

/// Stands for a `$` that begins no reference, until references are resolved.
const PLAIN_DOLLAR: char = '\u{e000}';

fn unmarked(text: &str) -> String {
    text.replace(PLAIN_DOLLAR, "$")
}

/// Up to the end of the line, or a comment with white space before it.
fn plain(cursor: &mut Cursor<'_>) -> String {
    let line = cursor.take_while(|c| c != '\n');
    let comment = line
        .char_indices()
        .find(|(at, c)| *c == '#' && (*at == 0 || line[..*at].ends_with(char::is_whitespace)));
    line[..comment.map_or(line.len(), |(at, _)| at)].trim_end().to_owned()
}

/// What stands between two quotes. There may be several lines of it.
fn quoted(cursor: &mut Cursor<'_>, quote: char) -> Result<String, BadInput> {
    let unclosed = cursor.bad("the quote that begins here is never closed");
    cursor.next();
    let mut value = String::new();
    loop {
        match cursor.next() {
            None => return Err(unclosed),
            Some(c) if c == quote => break,
            Some('\\') if quote == '"' => match cursor.next() {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some('$') => value.push(PLAIN_DOLLAR),
                Some(c @ ('"' | '\\' | '\'')) => value.push(c),
                Some(c) => value.extend(['\\', c]),
                None => return Err(unclosed),
            },
            Some(c) => value.push(c),
        }
    }
    cursor.take_while(|c| c == ' ' || c == '\t');
    match cursor.rest.peek() {
        None | Some('\n' | '#') => Ok(value),
        Some(_) => Err(cursor.bad("expected the end of the line behind the closing quote")),
    }
}

/// With each `${NAME}` replaced by the value of that name above; the first that has none.
fn resolve(value: &str, known: &BTreeMap<String, String>) -> (String, Option<String>) {
    /// More is a file that was made to grow.
    const MOST_BYTES: usize = 64 * 1024;
    let (mut resolved, mut unresolved) = (String::new(), None);
    let mut rest = value;
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        resolved.push_str(before);
        let Some((name, behind)) = reference[2..].split_once('}') else {
            rest = reference;
            break;
        };
        match known.get(name).filter(|value| resolved.len() + value.len() <= MOST_BYTES) {
            Some(value) => resolved.push_str(value),
            None => {
                unresolved.get_or_insert_with(|| name.to_owned());
            }
        }
        rest = behind;
    }
    resolved.push_str(rest);
    (unmarked(&resolved), unresolved)
}

/// Refuses a reference to nothing in a variable that may matter.
pub(super) fn check_references(entries: &[DotEnvEntry]) -> Result<(), BadInput> {
    const PREFIXES: [&str; 5] = ["HELIOSTAT_", "SOKETI_", "REVERB_APP_", "PUSHER_APP_", "DEFAULT_APP_"];
    for DotEnvEntry { name, line, unresolved, .. } in entries {
        let matters = PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if let Some(to) = unresolved.as_ref().filter(|_| matters) {
            let message = format!("{name} refers to ${{{to}}}, which has no value above it in this file");
            return Err(BadInput::at(*line, 1, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_read_as_laravel_reads_them() {
        let text = "# comment\nAPP_NAME=Laravel App # behind\nexport A=1\nEMPTY=\nALONE\n B = x#y \r\nC='${A} \"#'\nD=\"${APP_NAME}: \
                    \\\"q\\\" \\${A}\\n\"\nE=\"two\nlines\"\nF=${A}${A}$A\nG=\"${NONE}\"\n";
        let entries = parse(text).unwrap_or_else(|bad| panic!("{bad:?}"));
        let read: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.value.as_str(), e.line)).collect();
        assert_eq!(
            read,
            [
                ("APP_NAME", "Laravel App", 2),
                ("A", "1", 3),
                ("EMPTY", "", 4),
                ("ALONE", "", 5),
                ("B", "x#y", 6),
                ("C", "${A} \"#", 7),
                ("D", "Laravel App: \"q\" ${A}\n", 8),
                ("E", "two\nlines", 9),
                ("F", "11$A", 11),
                ("G", "", 12),
            ]
        );
        assert!(check_references(&entries).is_ok(), "nothing that matters refers to nothing");
        let entries = parse("\nPUSHER_APP_KEY=${CI_KEY}").unwrap_or_default();
        let expected = "PUSHER_APP_KEY refers to ${CI_KEY}, which has no value above it in this file";
        assert_eq!(check_references(&entries), Err(BadInput::at(2, 1, expected)));
    }

    #[test]
    fn mistakes_have_a_place_and_show_no_value() {
        let table = [
            ("A=1\n=hush", (2, 1)),
            ("A=1\n\n  1A=hush", (3, 5)),
            ("A-B=hush", (1, 2)),
            ("A=\"hush\nB=1", (1, 3)),
            ("A='x' hush", (1, 7)),
        ];
        for (text, (line, column)) in table {
            let Err(bad) = parse(text) else { panic!("{text}") };
            let told = bad.in_file("f").0[0].clone();
            assert!(told.starts_with(&format!("f:{line}:{column}: ")) && !told.contains("hush"), "{told}");
        }
    }
}
