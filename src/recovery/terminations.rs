//! Users who were terminated a moment ago. Who comes with a name that another node has told of may have been signed in as one of
//! them, and be known here only when the termination has passed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one is remembered: longer than it takes until the engine says it, too, and a name is taken by what it said before.
const REMEMBERED_FOR: Duration = Duration::from_secs(20);

/// How many are. With more of them at once, everybody counts as one of them for as long.
const MOST_REMEMBERED: usize = 1000;

/// Those of apps `A`.
#[derive(Debug)]
pub(super) struct LateTerminations<A> {
    users: VecDeque<(Instant, A, Arc<str>)>,
    /// When the last one was forgotten before its time.
    crowded_out: Option<Instant>,
}

impl<A> Default for LateTerminations<A> {
    fn default() -> Self {
        LateTerminations { users: VecDeque::new(), crowded_out: None }
    }
}

impl<A: Eq> LateTerminations<A> {
    pub(super) fn add(&mut self, app: A, user: Arc<str>, now: Instant) {
        while self.users.front().is_some_and(|(at, ..)| is_over(*at, now)) {
            self.users.pop_front();
        }
        if self.users.len() == MOST_REMEMBERED {
            self.users.pop_front();
            self.crowded_out = Some(now);
        }
        self.users.push_back((now, app, user));
    }

    /// Whether a user may have been terminated a moment ago.
    pub(super) fn may_hold(&self, app: &A, user: &str, now: Instant) -> bool {
        self.crowded_out.is_some_and(|at| !is_over(at, now))
            || self.users.iter().any(|(at, of, who)| !is_over(*at, now) && of == app && **who == *user)
    }
}

fn is_over(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) >= REMEMBERED_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_known_for_a_while_and_where_too_many_were_everybody_is_suspected() {
        let start = Instant::now();
        let mut late = LateTerminations::default();
        late.add(1, "ann".into(), start);
        assert!(late.may_hold(&1, "ann", start));
        assert!(!late.may_hold(&2, "ann", start) && !late.may_hold(&1, "bob", start));
        assert!(!late.may_hold(&1, "ann", start + REMEMBERED_FOR));
        (1..MOST_REMEMBERED).for_each(|n| late.add(1, n.to_string().into(), start));
        assert!(!late.may_hold(&1, "bob", start));
        late.add(1, "one too many".into(), start);
        assert!(late.may_hold(&1, "bob", start) && late.may_hold(&1, "ann", start));
        assert!(!late.may_hold(&1, "bob", start + REMEMBERED_FOR));
        late.add(1, "bob".into(), start + REMEMBERED_FOR);
        assert_eq!(late.users.len(), 1, "those whose time is over are forgotten");
    }
}
