//! Waiting until a condition holds: woken by what happens, never by a sleep.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::app::AppUnderTest;
use super::condition::{Condition, Verdict, Watch};
use super::entry::{Details, Entry, Kind};

/// The longest that anybody can wait at once: ten minutes.
pub(crate) const MOST_PATIENCE: Duration = Duration::from_secs(600);

/// How patient those are who do not say.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What came of waiting.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether the condition held in time, and for as long as it should.
    pub met: bool,
    /// How long that took.
    pub waited: Duration,
    /// What was expected, in words.
    pub expected: String,
    /// What was found: a number, or the ids of members.
    pub found: Value,
    /// The entries of the log that the condition is about, the latest twenty.
    pub entries: Vec<Arc<Entry>>,
    /// What was not met came closest to being met by these: a line each, with what is different about it.
    pub near: Vec<String>,
    /// The number of the log's last entry: what comes later has a larger one.
    pub last: u64,
    found_in_words: String,
    over: bool,
}

impl AppUnderTest {
    /// Waits until a condition holds, at most for `patience`, and then until it has held without interruption for
    /// `holds`. A condition that has become impossible is not waited for.
    pub async fn wait(&self, condition: Condition, patience: Duration, holds: Duration) -> Outcome {
        let began = Instant::now();
        let mut over = self.over();
        let mut changed = self.log.watch();
        let mut watch = Watch::new(condition, self.log.last());
        let holds = holds.max(watch.span());
        let deadline = began + patience;
        let mut since = None;
        loop {
            // What happens from here on will be noticed.
            changed.mark_unchanged();
            let verdict = watch.look(self, &self.log);
            let now = Instant::now();
            let again = match verdict {
                Verdict::Never => return self.outcome(&watch, began, false, false),
                Verdict::NotYet => {
                    since = None;
                    deadline
                }
                Verdict::Met => {
                    // What came about in time is given its time to hold, too.
                    let end = *since.get_or_insert(now) + holds;
                    if now >= end {
                        return self.outcome(&watch, began, true, false);
                    }
                    end
                }
            };
            let ended = *over.borrow_and_update();
            if (now >= deadline && since.is_none()) || ended {
                return self.outcome(&watch, began, false, ended);
            }
            tokio::select! {
                _ = changed.changed() => {}
                _ = over.changed() => {}
                () = tokio::time::sleep_until(again.into()) => {}
            }
        }
    }

    fn outcome(&self, watch: &Watch, began: Instant, met: bool, over: bool) -> Outcome {
        let near = if met || over { Vec::new() } else { watch.near(self, &self.log) };
        let mut outcome = Outcome {
            met,
            waited: began.elapsed(),
            expected: watch.expected(),
            found: watch.found().clone(),
            entries: watch.entries(),
            near,
            last: self.log.last(),
            found_in_words: watch.found_in_words(),
            over,
        };
        if !met && !over {
            // Where it was given up, between all that happened before and after.
            let reason = Some(outcome.to_string().into());
            self.log.write(Kind::GaveUp, Details { reason, ..Details::default() });
            outcome.last = self.log.last();
        }
        outcome
    }
}

/// The sentence for a test that fails.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.waited.as_millis();
        match (self.met, self.over) {
            (true, _) => write!(f, "as expected after {ms} ms: {}", self.expected),
            (false, false) => {
                write!(f, "expected {}, {}, after {ms} ms", self.expected, self.found_in_words)?;
                match self.near.len() {
                    0 => Ok(()),
                    1 => write!(f, "; it was nearly met by: {}", self.near[0]),
                    _ => write!(f, "; it was nearly met by: {}", self.near.join("; ")),
                }
            }
            (false, true) => write!(f, "expected {}, but the app or its broker ended", self.expected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_mode::count::Count;
    use crate::test_mode::filter::Filter;

    fn wait(
        app: &AppUnderTest,
        condition: Condition,
        patience_ms: u64,
        holds_ms: u64,
    ) -> impl Future<Output = Outcome> {
        app.wait(condition, Duration::from_millis(patience_ms), Duration::from_millis(holds_ms))
    }

    #[tokio::test]
    async fn it_ends_when_the_condition_is_met() {
        let app = AppUnderTest::new("1");
        let condition = Condition::logged(Filter::of(Kind::Event), 2);
        let writing = async {
            for _ in 0..2 {
                tokio::task::yield_now().await;
                app.log.write(Kind::Event, Details::default());
            }
        };
        let (outcome, ()) = tokio::join!(wait(&app, condition, 60_000, 0), writing);
        assert!(outcome.met && outcome.waited < Duration::from_secs(10), "{outcome}");
        assert_eq!((outcome.found, outcome.last), (2.into(), 2));
    }

    #[tokio::test]
    async fn it_ends_at_the_deadline() {
        let app = AppUnderTest::new("1");
        let condition = Condition::Connections { count: Count::exactly(1) };
        let outcome = wait(&app, condition, 50, 0).await;
        assert!(!outcome.met);
        assert!(
            outcome.to_string().starts_with("expected exactly 1 connection, there are 0, after"),
            "{outcome}"
        );
    }

    #[tokio::test]
    async fn what_has_become_impossible_is_not_waited_for() {
        let app = AppUnderTest::new("1");
        for _ in 0..2 {
            app.log.write(Kind::Event, Details::default());
        }
        let outcome = wait(&app, Condition::logged(Filter::of(Kind::Event), 1), 60_000, 0).await;
        assert!(!outcome.met && outcome.waited < Duration::from_secs(30));
    }

    #[tokio::test]
    async fn exactly_once_is_known_after_a_while_without_another() {
        let app = AppUnderTest::new("1");
        app.log.write(Kind::Event, Details::default());
        let once = || Condition::logged(Filter::of(Kind::Event), 1);
        assert!(wait(&app, once(), 60_000, 20).await.met);
        let again = async {
            tokio::task::yield_now().await;
            app.log.write(Kind::Event, Details::default());
        };
        let (outcome, ()) = tokio::join!(wait(&app, once(), 60_000, 50_000), again);
        assert!(!outcome.met, "{outcome}");
    }

    #[tokio::test]
    async fn what_comes_about_in_time_may_hold_beyond_the_deadline() {
        let app = AppUnderTest::new("1");
        let none = || Condition::Connections { count: Count::exactly(0) };
        assert!(wait(&app, none(), 10, 30).await.met);
        assert!(wait(&app, none(), 0, 0).await.met);
        let quiet =
            Condition::Nothing { filter: Filter::default(), span: Duration::from_millis(30), after: None };
        assert!(wait(&app, quiet, 10, 0).await.met);
    }

    #[tokio::test]
    async fn nobody_waits_for_an_app_that_has_ended() {
        let app = AppUnderTest::new("1");
        let ending = async {
            tokio::task::yield_now().await;
            app.end();
        };
        let condition = Condition::Connections { count: Count::exactly(1) };
        let (outcome, ()) = tokio::join!(wait(&app, condition, 60_000, 0), ending);
        assert!(!outcome.met && outcome.to_string().ends_with("ended"), "{outcome}");
    }
}
