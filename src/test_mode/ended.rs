//! What was seen of apps that have ended: tests make apps and delete them, and whoever reads of a failure afterwards
//! wants to know what happened in them.

use std::collections::VecDeque;
use std::fmt::Write;

use parking_lot::Mutex;

use super::app::AppUnderTest;
use super::entry::Kind;
use super::timeline::timeline;

/// Apps that are remembered. Over it: the oldest is forgotten, first of those in which no wait was given up, and their
/// number is told. Each is remembered by at most 200 lines.
const ENDED_APPS: usize = 20;

/// The timelines of apps that have ended, if anybody wants them.
#[derive(Debug, Default)]
pub(super) struct EndedApps {
    state: Mutex<Option<EndedState>>,
}

#[derive(Debug, Default)]
struct EndedState {
    apps: VecDeque<EndedApp>,
    left_out: usize,
}

#[derive(Debug)]
struct EndedApp {
    id: String,
    timeline: String,
    /// Somebody waited in vain.
    gave_up: bool,
}

impl EndedApps {
    /// From now on they are wanted.
    pub(super) fn remember(&self) {
        self.state.lock().get_or_insert_default();
    }

    /// An app is about to end.
    pub(super) fn add(&self, app: &AppUnderTest) {
        let mut state = self.state.lock();
        let Some(state) = state.as_mut() else { return };
        let timeline = timeline(app.log());
        if timeline.is_empty() {
            return;
        }
        let mut gave_up = false;
        let _ = app.log().after(0, |entry| {
            gave_up |= entry.kind == Kind::GaveUp;
            false
        });
        state.apps.push_back(EndedApp { id: app.id().to_owned(), timeline, gave_up });
        if state.apps.len() > ENDED_APPS {
            let dull = state.apps.iter().position(|app| !app.gave_up).unwrap_or(0);
            state.apps.remove(dull);
            state.left_out += 1;
        }
    }

    /// What is remembered, as people read it; empty if it is nothing.
    pub(super) fn timelines(&self) -> String {
        let mut text = String::new();
        let state = self.state.lock();
        let Some(state) = state.as_ref() else { return text };
        if state.left_out > 0 {
            let _ = writeln!(text, "({} apps that had ended earlier are left out)", state.left_out);
        }
        for EndedApp { id, timeline, .. } in &state.apps {
            let _ = write!(text, "app {id}, which has ended:\n{timeline}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_mode::entry::Details;

    fn app(id: usize, kind: Kind) -> std::sync::Arc<AppUnderTest> {
        let app = AppUnderTest::new(id.to_string());
        app.log.write(kind, Details::default());
        app
    }

    #[test]
    fn only_who_asked_for_it_is_told() {
        let ended = EndedApps::default();
        ended.add(&app(1, Kind::Event));
        assert_eq!(ended.timelines(), "");
        ended.remember();
        ended.add(&AppUnderTest::new("2"));
        ended.add(&app(3, Kind::Event));
        let told = ended.timelines();
        assert!(told.starts_with("app 3, which has ended:\n") && !told.contains("app 2"), "{told}");
    }

    #[test]
    fn those_in_which_a_wait_was_given_up_are_remembered_longest() {
        let ended = EndedApps::default();
        ended.remember();
        ended.add(&app(0, Kind::GaveUp));
        for id in 1..=ENDED_APPS + 2 {
            ended.add(&app(id, Kind::Event));
        }
        let told = ended.timelines();
        assert!(told.starts_with("(3 apps that had ended earlier are left out)\napp 0,"), "{told}");
        assert!(!told.contains("app 3,") && told.contains("app 4,"), "{told}");
    }
}
