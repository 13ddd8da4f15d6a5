//! The id that a publisher gives to what it publishes, so that it can ask again without having it sent twice; and what tells
//! one thing that is published from another.

use std::fmt;

use sha2::{Digest, Sha256};

/// Characters that an id has at most. Our own bound: a UUID has 36, and what is longer can be hashed.
const MOST_CHARS: usize = 255;

/// An id of a publisher's own: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PublishId(Box<str>);

/// It is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 255 visible ASCII characters")]
pub(crate) struct InvalidPublishId;

impl PublishId {
    /// An id as it stands in JSON or in a query.
    ///
    /// # Errors
    /// If it has no characters, too many, or others.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPublishId> {
        let is_id =
            (1..=MOST_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_id { Ok(PublishId(text.into())) } else { Err(InvalidPublishId) }
    }

    /// An id as it stands in the header `Idempotency-Key`: as it is, as most write it, or as a string of structured fields
    /// (RFC 8941), as the draft of the IETF has it: in quotes, with `\` before quotes and itself. What parameters follow
    /// that is passed over.
    ///
    /// # Errors
    /// If it is neither, or what it says is no id.
    pub(crate) fn of_header(value: &[u8]) -> Result<Self, InvalidPublishId> {
        let text = std::str::from_utf8(value).map_err(|_| InvalidPublishId)?.trim_ascii();
        let Some(quoted) = text.strip_prefix('"') else { return PublishId::parse(text) };
        let (mut id, mut rest) = (String::new(), quoted.chars());
        loop {
            match rest.next().ok_or(InvalidPublishId)? {
                '"' => break,
                '\\' => {
                    id.push(rest.next().filter(|c| matches!(c, '"' | '\\')).ok_or(InvalidPublishId)?);
                }
                c => id.push(c),
            }
        }
        let rest = rest.as_str().trim_ascii_start();
        if rest.is_empty() || rest.starts_with(';') { PublishId::parse(&id) } else { Err(InvalidPublishId) }
    }

    /// What stands for it where its length must not count: nobody finds two ids with the same.
    pub(crate) fn digest(&self) -> [u8; 16] {
        let mut digest = [0; 16];
        digest.copy_from_slice(&Sha256::digest(self.0.as_bytes())[..16]);
        digest
    }
}

impl fmt::Display for PublishId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Tells what is published under an id from everything else: a SHA-256 of it as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublishFingerprint(pub(crate) [u8; 32]);

impl PublishFingerprint {
    /// That of these parts, in their order: where one ends and the next begins matters.
    pub(crate) fn of<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        PublishFingerprint(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_visible_ascii() {
        let long = "x".repeat(255);
        for text in ["a", "~!", "8e03978e-40d5-43e8-bc93-6894a57f9324", "\"a\"", "\\", &long] {
            assert_eq!(PublishId::parse(text).map(|id| id.to_string()), Ok(text.to_owned()));
        }
        for text in ["", " ", "a b", "a\n", "\u{e9}", "a\u{7f}", &"x".repeat(256)] {
            assert_eq!(PublishId::parse(text), Err(InvalidPublishId), "{text:?}");
        }
    }

    #[test]
    fn the_header_has_it_with_quotes_or_without() {
        for (header, id) in [
            ("abc", "abc"),
            ("  abc\t", "abc"),
            ("\"abc\"", "abc"),
            ("\"abc\" ; version=1", "abc"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            ("a\"b", "a\"b"),
            ("a;b", "a;b"),
        ] {
            let read = PublishId::of_header(header.as_bytes()).map(|id| id.to_string());
            assert_eq!(read, Ok(id.to_owned()), "{header}");
        }
        for header in
            ["", "\"\"", "\"abc", "\"", "\"a b\"", r#""a\bc""#, "\"a\"b", "\"a\", \"b\"", "a b", "\"a\\"]
        {
            assert_eq!(PublishId::of_header(header.as_bytes()), Err(InvalidPublishId), "{header}");
        }
        assert_eq!(PublishId::of_header(b"\xff"), Err(InvalidPublishId));
        assert_eq!(
            PublishId::of_header(format!("\"{}\"", "x".repeat(256)).as_bytes()),
            Err(InvalidPublishId)
        );
    }

    #[test]
    fn what_stands_for_them_differs_where_they_do() {
        let id = |text: &str| PublishId::parse(text).unwrap();
        assert_eq!(id("a").digest(), id("a").digest());
        assert_ne!(id("a").digest(), id("b").digest());
        let of = |parts: &[&str]| PublishFingerprint::of(parts.iter().map(|part| part.as_bytes()));
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        for other in [&["ab"][..], &["", "ab"], &["b", "a"], &["a", "b", ""], &["A", "b"]] {
            assert_ne!(of(&["a", "b"]), of(other), "{other:?}");
        }
    }
}
