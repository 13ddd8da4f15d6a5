//! The checks in their order, and how they are run: one after the other, each within its time, those that need what does
//! not work not at all.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::Instant;

use super::check::Check;
use super::finding::{CheckOutcome, Finding, Mark};
use super::visit::Visit;
use super::{
    body_size, capacity, client_events, clock, connect, cors, fallbacks, forwarding, greeting, idle, names,
    origin, round_trip, signature, tls, upgrade,
};

/// All of them. What a check needs stands before it.
pub(super) const ORDER: [&Check; 16] = [
    &names::CHECK,
    &connect::CHECK,
    &tls::CHECK,
    &clock::CHECK,
    &upgrade::CHECK,
    &greeting::CHECK,
    &signature::CHECK,
    &round_trip::CHECK,
    &client_events::CHECK,
    &body_size::CHECK,
    &origin::CHECK,
    &fallbacks::CHECK,
    &cors::CHECK,
    &forwarding::CHECK,
    &idle::CHECK,
    &capacity::CHECK,
];

/// How long all of them may take together.
pub(super) const WHOLE: Duration = Duration::from_secs(300);

/// Runs these checks and tells each finding, with the name of its check, as it comes. Returns whether all is well: there is no
/// fault, and nothing was left out. Whoever hears may have it stop.
pub(super) async fn examine(
    checks: &[&Check],
    visit: &mut Visit,
    whole: Duration,
    mut tell: impl FnMut(&'static str, &Finding) -> ControlFlow<()>,
) -> bool {
    let end = Instant::now() + whole;
    // What does not work, and the check that found it.
    let mut broken: BTreeMap<&'static str, &'static str> = BTreeMap::new();
    let mut is_well = true;
    for check in checks {
        let cause = check.needs.iter().find_map(|needed| broken.get(needed).copied());
        let outcome = match cause {
            Some(cause) => {
                let why = format!("not tried, because of what \"{cause}\" found");
                CheckOutcome::broken(vec![Finding::skipped(check.tries, why)])
            }
            None => within(check, visit, end).await,
        };
        if !outcome.holds {
            broken.insert(check.name, cause.unwrap_or(check.name));
        }
        for finding in &outcome.findings {
            is_well &= !matches!(finding.mark, Mark::Fault | Mark::Skipped);
            if tell(check.name, finding).is_break() {
                return is_well;
            }
        }
    }
    is_well
}

/// Runs a check until it is through, its time is over, or that of all of them.
async fn within(check: &Check, visit: &mut Visit, end: Instant) -> CheckOutcome {
    let now = Instant::now();
    if now >= end {
        let why = "not tried, because all checks together have taken too long";
        return CheckOutcome::broken(vec![Finding::skipped(check.tries, why)]);
    }
    match tokio::time::timeout_at(end.min(now + check.within), (check.run)(visit)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let came = format!("it was not through within {} s", now.elapsed().as_secs_f64().ceil());
            let change = "something on the way takes connections and does not answer: look at what the proxy and the \
                          broker are doing, and whether a firewall drops packets";
            Finding::fault(check.tries, came, change).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::CheckedPlace;
    use super::*;
    use crate::cli::remote::GivenApp;

    fn visit() -> Visit {
        let place = CheckedPlace::read("http://127.0.0.1:1").unwrap();
        let app = GivenApp::parse("1:key:secret", "--app").unwrap();
        Visit::new(place.clone(), place, app, None).unwrap()
    }

    fn check(name: &'static str, needs: &'static [&'static str]) -> Check {
        let run = |_: &mut Visit| -> super::super::check::RunningCheck<'_> {
            Box::pin(async { Finding::ok("t", "c").into() })
        };
        Check { name, tries: "something", needs, within: Duration::from_secs(1), run }
    }

    async fn told(checks: &[&Check], whole: Duration) -> (Vec<(&'static str, Mark, String)>, bool) {
        let mut told = Vec::new();
        let is_well = examine(checks, &mut visit(), whole, |name, finding| {
            told.push((name, finding.mark, finding.came.clone()));
            ControlFlow::Continue(())
        })
        .await;
        (told, is_well)
    }

    #[tokio::test]
    async fn what_needs_a_failed_check_is_skipped_and_says_which() {
        let mut first = check("first", &[]);
        first.run = |_| Box::pin(async { Finding::fault("t", "c", "change").into() });
        let (second, third, fourth) =
            (check("second", &["first"]), check("third", &["second"]), check("fourth", &[]));
        let (told, is_well) = told(&[&first, &second, &third, &fourth], Duration::from_secs(9)).await;
        let why = "not tried, because of what \"first\" found".to_owned();
        let expected = [
            ("first", Mark::Fault, "c".to_owned()),
            ("second", Mark::Skipped, why.clone()),
            ("third", Mark::Skipped, why),
            ("fourth", Mark::Ok, "c".to_owned()),
        ];
        assert_eq!((told.as_slice(), is_well), (expected.as_slice(), false));
    }

    #[tokio::test]
    async fn a_check_and_all_of_them_end_in_time() {
        let mut slow = check("slow", &[]);
        slow.run = |_| Box::pin(std::future::pending());
        slow.within = Duration::from_millis(20);
        let (heard, is_well) = told(&[&slow, &check("next", &[])], Duration::from_secs(60)).await;
        let marks: Vec<_> = heard.iter().map(|(name, mark, _)| (*name, *mark)).collect();
        assert_eq!((marks, is_well), (vec![("slow", Mark::Fault), ("next", Mark::Ok)], false));
        assert!(heard[0].2.starts_with("it was not through within "), "{}", heard[0].2);
        let (late, is_well) = told(&[&check("late", &[])], Duration::ZERO).await;
        assert_eq!((late[0].1, is_well), (Mark::Skipped, false));
    }

    #[tokio::test]
    async fn a_note_or_a_warning_is_no_fault() {
        let mut noted = check("noted", &[]);
        noted.run = |_| {
            Box::pin(async {
                CheckOutcome::holding(vec![Finding::note("t", "c", "x"), Finding::warning("t", "c", "x")])
            })
        };
        assert!(told(&[&noted], Duration::from_secs(5)).await.1);
    }

    #[test]
    fn what_a_check_needs_stands_before_it() {
        for (at, check) in ORDER.iter().enumerate() {
            for needed in check.needs {
                assert!(ORDER[..at].iter().any(|before| before.name == *needed), "{}: {needed}", check.name);
            }
            assert!(ORDER[..at].iter().all(|before| before.name != check.name), "{} twice", check.name);
        }
    }
}
