//! Channel patterns of the configuration: `camera-*` means `camera-1`, and `*` in a rule's target takes what it matched.

use std::fmt;

/// A channel name, or a channel name in which one `*` stands for any text, also none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    prefix: String,
    suffix: Option<String>,
}

/// A pattern that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// Nothing would ever match it.
    #[error("a channel pattern may not be empty")]
    Empty,
    /// Which `*` a target's `*` means would be a guess.
    #[error("a channel pattern may hold one `*`, {0:?} holds more")]
    ManyStars(String),
    /// No channel name can contain it.
    #[error("a channel name is made of letters, digits and _ - = @ , . ; but {text:?} holds {character:?}")]
    ForbiddenCharacter {
        /// The whole pattern.
        text: String,
        /// The first offending character.
        character: char,
    },
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// If it is empty, has several stars, or holds a character that no channel name has.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        if text.is_empty() {
            return Err(BadPattern::Empty);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-=@,.;*".contains(c);
        if let Some(character) = text.chars().find(|c| !allowed(*c)) {
            return Err(BadPattern::ForbiddenCharacter { text: text.to_owned(), character });
        }
        let mut parts = text.split('*');
        let prefix = parts.next().unwrap_or_default().to_owned();
        let suffix = parts.next().map(str::to_owned);
        match parts.next() {
            Some(_) => Err(BadPattern::ManyStars(text.to_owned())),
            None => Ok(Pattern { prefix, suffix }),
        }
    }

    /// What the `*` matched (empty text where there is no star), or `None` if `name` does not match.
    pub fn capture<'n>(&self, name: &'n str) -> Option<&'n str> {
        match &self.suffix {
            None => (name == self.prefix).then_some(""),
            Some(suffix) => name.strip_prefix(self.prefix.as_str())?.strip_suffix(suffix.as_str()),
        }
    }

    /// The name that results when the star is replaced by `captured`.
    pub fn fill(&self, captured: &str) -> String {
        match &self.suffix {
            None => self.prefix.clone(),
            Some(suffix) => format!("{}{captured}{suffix}", self.prefix),
        }
    }

    /// Whether some name matches both.
    pub fn overlaps(&self, other: &Pattern) -> bool {
        let fits = |one: &str, other: &str| one.starts_with(other) || other.starts_with(one);
        let fits_behind = |one: &str, other: &str| one.ends_with(other) || other.ends_with(one);
        match (&self.suffix, &other.suffix) {
            (None, _) => other.capture(&self.prefix).is_some(),
            (_, None) => self.capture(&other.prefix).is_some(),
            (Some(own), Some(others)) => fits(&self.prefix, &other.prefix) && fits_behind(own, others),
        }
    }

    /// Whether it holds a `*`.
    pub fn is_wild(&self) -> bool {
        self.suffix.is_some()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)?;
        match &self.suffix {
            Some(suffix) => write!(f, "*{suffix}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_star_captures_and_fills() {
        let from = Pattern::parse("camera-*-raw").unwrap();
        assert_eq!(from.capture("camera-7-raw"), Some("7"));
        assert_eq!(from.capture("camera--raw"), Some(""));
        assert_eq!(from.capture("camera-raw"), None, "the parts may not overlap");
        assert_eq!(Pattern::parse("mirror-*").unwrap().fill("7"), "mirror-7");
        assert_eq!(Pattern::parse("stream").unwrap().capture("stream"), Some(""));
        assert_eq!(Pattern::parse("stream").unwrap().capture("streams"), None);
    }

    #[test]
    fn patterns_overlap_if_a_name_matches_both() {
        let parse = |text| Pattern::parse(text).unwrap();
        for (one, other, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("mirror-*", "mirror-7", true),
            ("mirror-*", "mirror", false),
            ("mirror-*", "*", true),
            ("mirror-*", "mir*", true),
            ("mirror-*", "camera-*", false),
            ("*-a", "*-b", false),
            ("*-a", "b-*", true),
        ] {
            assert_eq!(parse(one).overlaps(&parse(other)), expected, "{one} {other}");
            assert_eq!(parse(other).overlaps(&parse(one)), expected, "{other} {one}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        assert_eq!(Pattern::parse(""), Err(BadPattern::Empty));
        assert_eq!(Pattern::parse("a*b*"), Err(BadPattern::ManyStars("a*b*".into())));
        assert!(matches!(Pattern::parse("a b"), Err(BadPattern::ForbiddenCharacter { character: ' ', .. })));
    }
}
