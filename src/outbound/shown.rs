//! A URL, or what was given for one, as an error message shows it.

/// The most that is shown of it.
const SHOWN_CHARS: usize = 100;

/// The text, cut where it is long, without what may be secret.
pub(crate) fn shown(text: &str) -> String {
    // Before the one there may be a password, behind the other a token.
    let hidden = text.rfind('@').map_or(text.to_owned(), |at| format!("…{}", &text[at..]));
    let text = hidden.find('?').map_or(hidden.clone(), |mark| format!("{}?…", &hidden[..mark]));
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}
