//! Which notifications a backend on the pipe is sent: it filters them by channel, event name and source.

use super::consumer_group::ConsumerGroup;

/// A pattern: a text, or a text in which one `*` stands for any text, also none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob {
    prefix: String,
    suffix: Option<String>,
}

impl Glob {
    /// Reads a pattern; `None` if it is empty or holds more than one star.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (prefix, suffix) = match text.split_once('*') {
            Some((prefix, suffix)) => (prefix, Some(suffix.to_owned())),
            None => (text, None),
        };
        let sound = !text.is_empty() && !suffix.as_ref().is_some_and(|suffix| suffix.contains('*'));
        sound.then(|| Glob { prefix: prefix.to_owned(), suffix })
    }

    /// It as it is read.
    pub(crate) fn text(&self) -> String {
        match &self.suffix {
            None => self.prefix.clone(),
            Some(suffix) => format!("{}*{suffix}", self.prefix),
        }
    }

    /// Bytes of its texts.
    pub(crate) fn bytes(&self) -> usize {
        self.prefix.len() + self.suffix.as_ref().map_or(0, String::len)
    }

    /// Whether it matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match &self.suffix {
            None => text == self.prefix,
            Some(suffix) => {
                text.strip_prefix(self.prefix.as_str()).is_some_and(|rest| rest.ends_with(suffix.as_str()))
            }
        }
    }
}

/// A filter of notifications of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotificationFilter {
    /// On channels that match one of these; on any if `None`.
    pub(crate) channels: Option<Vec<Glob>>,
    /// What clients say on no channel.
    pub(crate) back_channel: bool,
    /// Events whose names match one of these; any if `None`.
    pub(crate) names: Option<Vec<Glob>>,
    /// What clients say.
    pub(crate) clients: bool,
    /// What is published over HTTP.
    pub(crate) http: bool,
    /// The clients with which the work is shared.
    pub(crate) group: Option<ConsumerGroup>,
}

impl NotificationFilter {
    /// All that the original protocol tells.
    pub(crate) const EVERYTHING: NotificationFilter = NotificationFilter {
        channels: None,
        back_channel: true,
        names: None,
        clients: true,
        http: false,
        group: None,
    };

    /// Whether a message is wanted.
    pub(crate) fn wants_message(&self, from_client: bool, channel: Option<&str>, name: &str) -> bool {
        let source = if from_client { self.clients } else { self.http };
        let place = match channel {
            Some(channel) => self.wants_channel(channel),
            None => self.back_channel,
        };
        source && place && matches_any(self.names.as_deref(), name)
    }

    /// Bytes of its texts.
    pub(crate) fn bytes(&self) -> usize {
        let globs = self.channels.iter().chain(&self.names).flatten().map(Glob::bytes);
        globs.sum::<usize>() + self.group.as_ref().map_or(0, |group| group.name.len())
    }

    /// Whether what happens on a channel is wanted.
    pub(crate) fn wants_channel(&self, channel: &str) -> bool {
        matches_any(self.channels.as_deref(), channel)
    }
}

fn matches_any(globs: Option<&[Glob]>, text: &str) -> bool {
    globs.is_none_or(|globs| globs.iter().any(|glob| glob.matches(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(texts: &[&str]) -> Option<Vec<Glob>> {
        Some(texts.iter().map(|text| Glob::parse(text).unwrap()).collect())
    }

    #[test]
    fn a_star_stands_for_any_text_and_there_may_be_one() {
        let table = [
            ("camera-*", "camera-1", true),
            ("camera-*", "camera-", true),
            ("camera-*", "camera", false),
            ("*", "", true),
            ("*-raw", "a-raw", true),
            ("ab*ba", "aba", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("App\\*", "App\\Events\\Shipped", true),
        ];
        for (glob, text, matches) in table {
            let read = Glob::parse(glob).unwrap();
            assert_eq!((read.matches(text), read.text()), (matches, glob.to_owned()), "{glob} {text}");
        }
        assert_eq!((Glob::parse(""), Glob::parse("a*b*")), (None, None));
    }

    #[test]
    fn a_filter_looks_at_source_place_and_name() {
        let all = NotificationFilter::EVERYTHING;
        assert!(all.wants_message(true, Some("a"), "e") && all.wants_message(true, None, "e"));
        assert!(!all.wants_message(false, Some("a"), "e"), "not what comes over HTTP");
        let cameras = NotificationFilter {
            channels: globs(&["camera-*", "stream"]),
            back_channel: false,
            names: globs(&["frame", "client-*"]),
            http: true,
            ..all
        };
        assert!(cameras.wants_message(true, Some("camera-1"), "client-x"));
        assert!(cameras.wants_message(false, Some("stream"), "frame"));
        assert!(!cameras.wants_message(true, Some("stream"), "other"));
        assert!(!cameras.wants_message(true, Some("door"), "frame"));
        assert!(!cameras.wants_message(true, None, "frame"));
    }
}
