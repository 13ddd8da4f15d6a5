//! What is no setting in the text of a file: its comments, line ends and the mark at its beginning.

use toml_edit::{Decor, RawString};

/// How a file is written, of which TOML says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TextForm {
    has_mark: bool,
    has_long_ends: bool,
}

impl TextForm {
    /// That of the text, and the text without its mark.
    pub(super) fn of(text: &str) -> (Self, &str) {
        let rest = text.strip_prefix('\u{feff}');
        let ends = text.matches('\n').count();
        let has_long_ends = ends > 0 && text.matches("\r\n").count() == ends;
        (TextForm { has_mark: rest.is_some(), has_long_ends }, rest.unwrap_or(text))
    }

    /// The text in this form.
    pub(super) fn write(self, text: &str) -> String {
        let mark = if self.has_mark { "\u{feff}" } else { "" };
        let ends = if self.has_long_ends { "\r\n" } else { "\n" };
        // Where all ends were long, those within texts of several lines were as well.
        let text =
            if self.has_long_ends { text.replace("\r\n", "\n").replace('\n', ends) } else { text.to_owned() };
        format!("{mark}{text}")
    }
}

/// What stands before.
pub(super) fn prefix_of(decor: &Decor) -> String {
    decor.prefix().and_then(RawString::as_str).unwrap_or_default().to_owned()
}

/// What stands behind, in the same line.
pub(super) fn suffix_of(decor: &Decor) -> String {
    decor.suffix().and_then(RawString::as_str).unwrap_or_default().to_owned()
}

/// The same if there is a comment in it, or else nothing.
pub(super) fn comment_in(text: &str) -> &str {
    if text.contains('#') { text } else { "" }
}

/// What an empty line parts from the rest, which is about what follows.
pub(super) fn apart(text: &str) -> &str {
    let end = text.rfind("\n\n").map_or(0, |at| at + 2);
    comment_in(&text[..end])
}
