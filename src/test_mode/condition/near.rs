//! What nearly met a condition that was not met: a mistyped channel is seen at once then.

use crate::config::nearest;
use crate::test_mode::entry::{Entry, Kind};
use crate::test_mode::filter::Filter;
use crate::test_mode::log::EventLog;
use crate::test_mode::timeline::line;

use super::{Condition, View};

/// Near misses that are told, the latest.
const SHOWN: usize = 3;

/// What comes closest, a line each.
pub(super) fn near(condition: &Condition, view: &impl View, log: &EventLog) -> Vec<String> {
    match condition {
        Condition::Subscribers { channel, .. }
        | Condition::MemberCount { channel, .. }
        | Condition::Members { channel, .. } => channel_like(channel, view),
        Condition::SignedIn { user_id, .. } => {
            let users = view.users();
            let others = users.iter().map(String::as_str).filter(|known| known != user_id);
            let like = nearest(user_id, others);
            like.map(|user| format!("{} signed in as {user:?}", view.signed_in(&user))).into_iter().collect()
        }
        Condition::Logged { filter, after, .. } => entries_like(filter, *after, log),
        // There is nothing that more would be needed of, or too much has happened.
        Condition::Connections { .. } | Condition::Nothing { .. } => Vec::new(),
    }
}

fn channel_like(channel: &str, view: &impl View) -> Vec<String> {
    let channels = view.channels();
    let like =
        nearest(channel, channels.iter().map(|(name, _)| name.as_str()).filter(|name| *name != channel));
    let found = like.and_then(|like| channels.iter().find(|(name, _)| *name == like));
    let words = |(name, subscribers): &(String, usize)| match view.members(name).len() {
        0 => format!("{name:?} has {subscribers} subscribed"),
        members => format!("{name:?} has {subscribers} subscribed, {members} members"),
    };
    found.map(words).into_iter().collect()
}

/// The latest of those entries that lack the least. An entry that has nothing of what was asked for is not near.
fn entries_like(filter: &Filter, after: u64, log: &EventLog) -> Vec<String> {
    let mut best = usize::MAX;
    let mut found: Vec<(usize, String)> = Vec::new();
    let excerpt = log.after(0, |entry| entry.kind != Kind::GaveUp);
    for entry in excerpt.entries.iter().rev() {
        let Some(mut differs) = differences(filter, entry) else { continue };
        if entry.seq <= after {
            differs.push(format!("it is entry {}, not after {after}", entry.seq));
        }
        if differs.is_empty() || differs.len() > best {
            continue;
        }
        if differs.len() < best {
            best = differs.len();
            found.clear();
        }
        if found.len() < SHOWN {
            found.push((differs.len(), format!("{} ({})", line(entry), differs.join(", "))));
        }
    }
    found.into_iter().rev().map(|(_, text)| text).collect()
}

/// What an entry lacks; `None` if it is too far off to be told.
fn differences(filter: &Filter, entry: &Entry) -> Option<Vec<String>> {
    let kind_fits = Filter { kind: filter.kind.clone(), ..Filter::default() }.accepts(entry);
    let wanted = filter.others();
    let missed: Vec<&'static str> =
        wanted.iter().filter(|(_, one)| !one.accepts(entry)).map(|(name, _)| *name).collect();
    let fitting = wanted.len() - missed.len();
    let is_near = if kind_fits {
        // Of the right kind: enough, unless it is a crowd that has nothing else in common.
        fitting > 0 || wanted.len() <= 1
    } else {
        // What happened, but in another way: accepted and not delivered, say.
        filter.kind.is_some() && missed.is_empty() && !wanted.is_empty()
    };
    if !is_near {
        return None;
    }
    let mut words: Vec<String> = missed.iter().map(|name| format!("another {name}")).collect();
    if !kind_fits {
        words.push(format!("of type {}", entry.kind.name()));
    }
    Some(words)
}
