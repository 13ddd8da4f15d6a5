//! `users`: the members of a presence channel, as any broker tells them over its HTTP API. Their ids may be numbers there.

use serde_json::{Value as Json, json};

use super::audience::{WhoIsThere, state_of};
use super::lines::{NotUnderstood, as_it_came, lines_or};
use super::remote::{BrokerArguments, Remote, RemoteFailure, WORDLESS, harmless, json_line};
use super::told_values::{text_of, truth_of};
use crate::protocol::ChannelType;

/// The members that a broker tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ToldMembers {
    pub(super) ids: Vec<String>,
    /// Those whose ids are none.
    pub(super) not_understood: NotUnderstood,
}

impl ToldMembers {
    /// Reads an answer; `None` if it lists no users.
    pub(super) fn read(answer: &Json) -> Option<Self> {
        let mut members = ToldMembers::default();
        for user in answer["users"].as_array()? {
            match text_of(&user["id"]) {
                Some(id) => members.ids.push(id),
                None => members.not_understood.add(user),
            }
        }
        Some(members)
    }
}

/// Returns what to print.
pub(super) fn run_users(broker: &BrokerArguments, channel: &str) -> Result<String, RemoteFailure> {
    let remote = Remote::broker(broker)?;
    let asked = remote.get(&remote.app_path(&["channels", channel, "users"]), &[]);
    let answer = match asked {
        Ok(answer) => answer,
        // Reverb refuses without a word where nobody is subscribed.
        Err(failure) if failure.told.ends_with(WORDLESS) && ChannelType::of(channel).is_presence() => {
            match state_of(&remote, channel) {
                Ok(found) if truth_of(&found["occupied"]) == Some(false) => json!({ "users": [] }),
                _ => return Err(failure),
            }
        }
        Err(failure) => return Err(of_members(channel, failure)),
    };
    if broker.json {
        return Ok(format!("{}\n", json_line(&answer)));
    }
    let members = ToldMembers::read(&answer).ok_or_else(|| {
        RemoteFailure::not_done(format!("expected a list of users, got {}", as_it_came(&answer)))
    })?;
    if members == ToldMembers::default() {
        let audience = WhoIsThere::of(&remote, channel);
        return Ok(format!("{}\n", audience.sentence(channel)));
    }
    let mut lines: Vec<String> = members.ids.iter().map(|id| harmless(id)).collect();
    lines.extend(members.not_understood.line());
    Ok(lines_or(lines, ""))
}

/// Why there are no members to show, where the name says it.
fn of_members(channel: &str, mut failure: RemoteFailure) -> RemoteFailure {
    if failure.told.ends_with(WORDLESS) && !ChannelType::of(channel).is_presence() {
        failure.told += "; only presence channels have members";
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_whose_id_is_a_number_is_listed_and_one_without_an_id_is_told_of() {
        let users = json!([{ "id": "ann" }, { "id": 10 }, { "id": null }, { "user_id": "x" }, "bob"]);
        let members = ToldMembers::read(&json!({ "users": users })).unwrap();
        assert_eq!(members.ids, ["ann", "10"]);
        assert_eq!(members.not_understood.line().unwrap(), "(3 are not understood, such as {\"id\":null})");
        for none in [json!(null), json!({}), json!({ "users": "ann" })] {
            assert_eq!(ToldMembers::read(&none), None, "{none}");
        }
    }
}
