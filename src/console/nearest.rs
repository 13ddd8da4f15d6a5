//! Which channel may be meant by a name that nobody is subscribed to.

use strsim::levenshtein as distance;

use crate::hub::{AppState, ListedChannel};

/// Channels that are looked at.
const LOOKED_AT: usize = 10_000;

/// Of each of these names, the channel that is most nearly called so and has somebody. It looks at many: not to be called on a
/// worker's thread.
pub(super) fn nearest_channels(app: &AppState, names: &[String]) -> Vec<Option<ListedChannel>> {
    let found = app.list_channels(None, LOOKED_AT, |name| name.channel_type().is_listed());
    names.iter().map(|name| nearest(found.items.iter(), name).cloned()).collect()
}

fn nearest<'c>(channels: impl Iterator<Item = &'c ListedChannel>, name: &str) -> Option<&'c ListedChannel> {
    let chars = name.chars().count();
    let most = 1 + chars / 3;
    // To compare takes time with the length of both: what is much longer or shorter is none.
    let of_length =
        channels.filter(|channel| channel.summary.name.as_str().chars().count().abs_diff(chars) <= most);
    let near = of_length.map(|channel| (distance(name, channel.summary.name.as_str()), channel));
    let near = near.filter(|(distance, _)| *distance <= most);
    near.min_by_key(|(distance, _)| *distance).map(|(_, channel)| channel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ChannelName;

    #[test]
    fn the_distance_of_two_names() {
        for (one, other, expected) in
            [("", "", 0), ("room", "room", 0), ("room", "rom", 1), ("my-room", "our-rooms", 4)]
        {
            assert_eq!((distance(one, other), distance(other, one)), (expected, expected), "{one} {other}");
        }
    }

    #[test]
    fn the_nearest_is_found_and_nothing_that_is_far() {
        let channels = ["my-channel", "my-channels", "other", "my-channel-of-another-kind"]
            .map(|name| ListedChannel::vacant(&ChannelName::parse(name, 164).unwrap()));
        let found = |name| nearest(channels.iter(), name).map(|channel| channel.summary.name.to_string());
        assert_eq!(found("my-chanel"), Some("my-channel".to_owned()));
        assert_eq!(found("my-chanels"), Some("my-channels".to_owned()));
        assert_eq!(found("nothing-like-it"), None);
        assert_eq!(found(""), None);
    }
}
