//! What an app says of some of its channels by a pattern of their names.

use crate::protocol::ChannelName;
use crate::protocol::pattern::Pattern;

use super::{App, HistoryBounds, VideoSettings};

/// What a subscriber is sent that cannot keep up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Every event, in order; when too many wait, the connection is closed with 4100.
    #[default]
    Every,
    /// Of each event name the newest, when it can take one. Meant for pictures and positions, of which only the
    /// present one counts.
    Latest,
    /// Of tracks what it can decode, and of anything else every event: `docs/video.md`.
    Video,
}

/// Settings of the channels whose names match a pattern: `[[apps.channels]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSettings {
    /// Which channels.
    pub pattern: Pattern,
    /// What their slow subscribers are sent.
    pub delivery: Delivery,
    /// How much they keep of their last events; none if nothing. Only together with [`Delivery::Every`].
    pub history: Option<HistoryBounds>,
    /// What holds with [`Delivery::Video`], and with nothing else.
    pub video: Option<VideoSettings>,
}

impl App {
    /// What slow subscribers of a channel are sent: the first pattern that matches decides.
    pub fn delivery(&self, channel: &ChannelName) -> Delivery {
        self.settings_of(channel).map_or(Delivery::Every, |settings| settings.delivery)
    }

    /// How much a channel keeps of its last events, if it does: the first pattern that matches decides.
    pub fn history(&self, channel: &ChannelName) -> Option<HistoryBounds> {
        self.settings_of(channel).and_then(|settings| settings.history)
    }

    /// Whether some of its channels keep their last events.
    pub fn keeps_history(&self) -> bool {
        self.channels.iter().any(|settings| settings.history.is_some())
    }

    /// The settings of a channel that carries tracks, if it does: the first pattern that matches decides.
    pub fn video(&self, channel: &ChannelName) -> Option<&VideoSettings> {
        self.settings_of(channel).and_then(|settings| settings.video.as_ref())
    }

    /// Whether some of its channels carry tracks.
    pub fn carries_tracks(&self) -> bool {
        self.channels.iter().any(|settings| settings.video.is_some())
    }

    fn settings_of(&self, channel: &ChannelName) -> Option<&ChannelSettings> {
        self.channels.iter().find(|settings| settings.pattern.capture(channel.as_str()).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_matches_decides() {
        let settings = |pattern: &str, delivery| ChannelSettings {
            pattern: Pattern::parse(pattern).unwrap(),
            delivery,
            history: (pattern == "mirror-log").then(HistoryBounds::default),
            video: None,
        };
        let mut app = App::new("1", "k", "s");
        app.channels = vec![settings("mirror-log", Delivery::Every), settings("mirror*", Delivery::Latest)];
        let of = |name: &str| app.delivery(&ChannelName::parse(name, 164).unwrap());
        assert_eq!(of("mirror"), Delivery::Latest);
        assert_eq!(of("mirror-7"), Delivery::Latest);
        assert_eq!(of("mirror-log"), Delivery::Every);
        assert_eq!(of("news"), Delivery::Every);
        let history = |name: &str| app.history(&ChannelName::parse(name, 164).unwrap());
        assert_eq!(history("mirror-log"), Some(HistoryBounds::default()));
        assert_eq!((history("mirror-7"), history("news")), (None, None));
        assert!(app.keeps_history() && !App::new("1", "k", "s").keeps_history());
    }
}
