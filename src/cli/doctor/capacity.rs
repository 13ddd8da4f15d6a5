//! How many connections the server can have, which its limit of open files decides. Only heliostat's admin listener tells.

use std::time::Duration;

use serde_json::Value as Json;

use super::check::Check;
use super::finding::{CheckOutcome, Finding};
use super::visit::Visit;
use crate::cli::told_values::number_of;

pub(super) const CHECK: Check = Check {
    name: "capacity",
    tries: "asking how many connections the server can have",
    needs: &[],
    within: Duration::from_secs(20),
    run: |visit| Box::pin(ask(visit)),
};

/// Connections below which the broker itself warns at its start: those that 10,000 files leave room for.
const FEW: u64 = 8_464;

async fn ask(visit: &Visit) -> CheckOutcome {
    let tried = "how many connections the server can have";
    let Some(admin) = &visit.admin else {
        return CheckOutcome::holding(vec![Finding::note(
            tried,
            "it cannot be told from outside: that is decided by the limit of open files there, and by the proxy's",
            "for heliostat, give --admin and --token of its admin listener; on the server, `ulimit -Hn` or LimitNOFILE= of the \
             unit; in nginx, worker_connections, of which each WebSocket takes two",
        )]);
    };
    let told = admin.fetch("/usage", &[]).await.map_err(|failure| failure.told);
    CheckOutcome::holding(vec![match told {
        Ok(usage) => judge(tried, &usage["connections"]),
        Err(why) => {
            Finding::warning(tried, why, "see whether --admin is an admin listener, and --token its token")
        }
    }])
}

fn judge(tried: &str, connections: &Json) -> Finding {
    let limit = &connections["limit"];
    let (count, limit) = match (number_of(&connections["count"]), number_of(limit)) {
        (Some(count), Some(limit)) => (count, limit),
        (Some(count), None) if limit.is_null() => {
            return Finding::ok(tried, format!("{count} now; there is no limit"));
        }
        _ => {
            let came = format!("nothing that tells how many: {connections}");
            return Finding::warning(tried, came, "see whether --admin is an admin listener of heliostat");
        }
    };
    let came = format!("{limit}, of which {count} are taken");
    let change = "raise the limit of open files (LimitNOFILE= in a systemd unit, --ulimit nofile= of a container), and \
                  server.max_connections if it is set";
    if count.saturating_mul(10) >= limit.saturating_mul(9) {
        Finding::fault(tried, came, change)
    } else if limit < FEW {
        Finding::warning(tried, came, change)
    } else {
        Finding::ok(tried, came)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Mark;
    use super::*;

    #[test]
    fn room_is_judged_by_how_much_of_it_is_taken_and_by_how_much_there_is() {
        for (count, limit, mark) in [
            (10, Some(100_000), Mark::Ok),
            (10, Some(500), Mark::Warning),
            (450, Some(500), Mark::Fault),
            (95_000, Some(100_000), Mark::Fault),
            (10, None, Mark::Ok),
        ] {
            assert_eq!(
                judge("t", &json!({ "count": count, "limit": limit })).mark,
                mark,
                "{count} {limit:?}"
            );
        }
        for nothing in
            [json!(null), json!({ "count": "many", "limit": 5 }), json!({ "count": 1, "limit": "few" })]
        {
            assert_eq!(judge("t", &nothing).mark, Mark::Warning, "{nothing}");
        }
    }
}
