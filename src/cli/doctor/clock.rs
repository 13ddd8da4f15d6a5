//! How far the server's clock is from this one: requests are signed with the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::check::Check;
use super::finding::{CheckOutcome, Finding};
use super::visit::Visit;
use crate::auth::request::TIMESTAMP_WINDOW_SECONDS;

pub(super) const CHECK: Check = Check {
    name: "clock",
    tries: "the time of the server",
    needs: &["tls"],
    within: Duration::from_secs(12),
    run: |visit| Box::pin(compare(visit)),
};

/// What a header that knows whole seconds, and the way there, may make of clocks that agree.
const UNSEEN_SECONDS: i64 = 3;

/// What is worth a warning: clocks that are so far apart are not kept right by anybody, and go on drifting.
const WARNED_SECONDS: i64 = 30;

async fn compare(visit: &mut Visit) -> CheckOutcome {
    let url = visit.api.at("/", "");
    let asked = visit.ask(&visit.api, "GET", &url, &[], "").await;
    // The server wrote the time while its answer was on the way.
    let here = SystemTime::now();
    let ahead = asked.map_err(|error| error.to_string()).map(|answer| {
        let there = seconds_of(answer.header("date"))?;
        Some(ahead(there, here, answer.took))
    });
    if let Ok(Some(ahead)) = &ahead
        && ahead.abs() > UNSEEN_SECONDS
    {
        visit.clock_ahead = *ahead;
    }
    judge(ahead).into()
}

/// By how many seconds a clock is ahead that showed this, in whole seconds, while half the time was still to go.
fn ahead(there: i64, here: SystemTime, took: Duration) -> i64 {
    let here = here.duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = here.saturating_sub(took / 2).as_secs_f64();
    (there as f64 + 0.5 - then).round() as i64
}

/// Seconds since 1970 of a header `Date`.
fn seconds_of(date: &str) -> Option<i64> {
    let parsed = date.parse::<actix_web::http::header::HttpDate>().ok()?;
    let since = SystemTime::from(parsed).duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

fn judge(ahead: Result<Option<i64>, String>) -> Finding {
    let tried = "the time of the server, by the header Date of an answer";
    let window = i64::try_from(TIMESTAMP_WINDOW_SECONDS).unwrap_or(i64::MAX);
    let ahead = match ahead {
        Err(error) => return Finding::warning(tried, error, "see what the checks of the signature find"),
        Ok(None) => {
            let change = "if signatures are refused, compare the clocks by hand: date -u";
            return Finding::note(tried, "there is no such header", change);
        }
        Ok(Some(ahead)) => ahead,
    };
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    let came = format!("it is {} s {way} that of this machine", ahead.abs());
    let change = "have both machines keep the right time (timedatectl set-ntp true; chronyc tracking); date -u tells which of \
                  the two is wrong";
    match ahead.abs() {
        0..=UNSEEN_SECONDS => Finding::ok(tried, "the same as here"),
        apart if apart <= WARNED_SECONDS => Finding::ok(tried, came),
        apart if apart < window => Finding::warning(
            tried,
            came,
            format!("{change}; from {window} s on every signed request is refused"),
        ),
        _ => Finding::fault(
            tried,
            came,
            format!(
                "{change}; a request whose time is {window} s off is refused (those that follow here are signed with the server's \
                 time)"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Mark;
    use super::*;

    #[test]
    fn the_time_is_read_and_compared() {
        assert_eq!(seconds_of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds_of("yesterday"), None);
        let here = UNIX_EPOCH + Duration::from_secs(1000);
        assert_eq!(ahead(1000, here, Duration::ZERO), 1);
        assert_eq!(ahead(1000, here, Duration::from_secs(10)), 6);
        assert_eq!(ahead(300, here, Duration::ZERO), -700);
    }

    #[test]
    fn clocks_are_judged_by_what_signatures_bear() {
        for (ahead, mark) in [
            (Ok(Some(1)), Mark::Ok),
            (Ok(Some(-20)), Mark::Ok),
            (Ok(Some(-120)), Mark::Warning),
            (Ok(Some(700)), Mark::Fault),
            (Ok(Some(-700)), Mark::Fault),
            (Ok(None), Mark::Note),
            (Err("no".to_owned()), Mark::Warning),
        ] {
            assert_eq!(judge(ahead.clone()).mark, mark, "{ahead:?}");
        }
        assert!(judge(Ok(Some(-700))).came.contains("700 s behind"));
    }
}
