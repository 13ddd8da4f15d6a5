//! What an app says of its video channels.

/// Settings of channels with [`Delivery::Video`](super::Delivery::Video).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoSettings {
    /// The user ids of those who may film, in each of which one `*` stands for any text. Pipes may, too.
    pub publishers: Vec<String>,
    /// Bytes that may be kept of one channel, for those who join.
    pub cache_bytes: usize,
}

impl Default for VideoSettings {
    fn default() -> Self {
        VideoSettings { publishers: Vec::new(), cache_bytes: 4 * 1024 * 1024 }
    }
}

impl VideoSettings {
    /// Whether this user may film.
    pub fn admits(&self, user_id: &str) -> bool {
        self.publishers.iter().any(|pattern| match pattern.split_once('*') {
            None => pattern == user_id,
            Some((prefix, suffix)) => user_id.strip_prefix(prefix).is_some_and(|rest| rest.ends_with(suffix)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishers_are_named_by_their_ids_and_by_patterns() {
        let publishers = ["ann", "studio-*", "*@b.example", "a*a"].map(str::to_owned).to_vec();
        let settings = VideoSettings { publishers, ..VideoSettings::default() };
        for admitted in ["ann", "studio-", "studio-7", "bob@b.example", "aa", "aba"] {
            assert!(settings.admits(admitted), "{admitted}");
        }
        for refused in ["", "annb", "studio", "b.example", "a", "ab"] {
            assert!(!settings.admits(refused), "{refused}");
        }
        assert!(!VideoSettings::default().admits("ann"));
    }
}
