//! The log of an app as people read it: a line for each thing that happened.

use std::fmt::Write;

use super::entry::{Details, Entry, EventSource, Kind};
use super::log::EventLog;

/// Lines of a timeline, the latest. Those before are counted.
const LINES: usize = 200;

/// Characters of a payload that are shown.
const DATA_CHARS: usize = 120;

/// What happened, a line each.
pub(crate) fn timeline(log: &EventLog) -> String {
    let excerpt = log.after(0, |_| true);
    let left_out = excerpt.entries.len().saturating_sub(LINES);
    let mut text = String::new();
    if left_out as u64 + excerpt.forgotten > 0 {
        let _ = writeln!(text, "  ({} earlier lines are left out)", left_out as u64 + excerpt.forgotten);
    }
    for entry in excerpt.entries.iter().skip(left_out) {
        let _ = writeln!(text, "  {:>9.3} s  {}", entry.at_ms / 1000.0, line(entry));
    }
    text
}

pub(super) fn line(entry: &Entry) -> String {
    let Details { socket_id, user_id, channel, name, data, source, code, status, reason, path, .. } =
        &entry.details;
    let shown =
        |text: &Option<std::sync::Arc<str>>| text.as_deref().unwrap_or("?").escape_debug().to_string();
    let (socket, user, channel, name) = (shown(socket_id), shown(user_id), shown(channel), shown(name));
    let as_user = if user_id.is_some() { format!(" as {user}") } else { String::new() };
    let number = |number: &Option<u16>| number.map_or(String::new(), |number| format!(" {number}"));
    let because = reason.as_deref().map_or(String::new(), |reason| format!(": {}", one_line(reason)));
    let payload = data.as_deref().map_or(String::new(), |data| format!(" {}", one_line(data)));
    match entry.kind {
        Kind::Connected => format!("{socket} connected"),
        Kind::ConnectionRefused => {
            format!("REFUSED a connection to {}{}{because}", shown(path), number(code))
        }
        Kind::Disconnected => format!("{socket}{as_user} disconnected{}{because}", number(code)),
        Kind::Subscribed => format!("{socket} subscribed to {channel}{as_user}"),
        Kind::Unsubscribed => format!("{socket} left {channel}{as_user}"),
        Kind::ChannelOccupied => format!("{channel} is occupied"),
        Kind::ChannelVacated => format!("{channel} is vacated"),
        Kind::MemberAdded => format!("{user} is a member of {channel}"),
        Kind::MemberRemoved => format!("{user} is no member of {channel} any more"),
        Kind::SignedIn => format!("{socket} signed in as {user}"),
        Kind::Refused => format!("REFUSED {socket}{}{because}", number(code)),
        Kind::HttpRefused => format!("REFUSED {}{}{because}", shown(path), number(status)),
        Kind::Event => {
            let from = match source {
                Some(EventSource::Client) => format!("client {socket}"),
                Some(EventSource::Http) | None => "HTTP API".to_owned(),
            };
            format!("event {name} on {channel} from {from}:{payload}")
        }
        Kind::Delivered => format!("delivered {name} on {channel} to {socket}"),
        Kind::Resumed => format!("{socket} resumed {channel}:{payload}"),
        Kind::Webhook => format!("webhook {name} on {channel} to {}{}", shown(path), number(status)),
        Kind::WebhookFailed => {
            format!("FAILED webhook {name} on {channel} to {}{}{because}", shown(path), number(status))
        }
        Kind::Fault => format!("FAULT {}{because}", if socket_id.is_some() { socket } else { shown(path) }),
        Kind::ClockAdvanced => {
            format!("clock advanced by {} ms", entry.details.advanced_ms.unwrap_or_default())
        }
        // For people it is the most important line of all.
        Kind::GaveUp => {
            format!("GAVE UP {}", reason.as_deref().unwrap_or("?").escape_debug()).replace("\\\"", "\"")
        }
    }
}

fn one_line(text: &str) -> String {
    let shown: String = text.chars().take(DATA_CHARS).flat_map(char::escape_debug).collect();
    let shown = shown.replace("\\\"", "\"").replace("\\'", "'");
    match text.chars().nth(DATA_CHARS) {
        None => shown,
        Some(_) => format!("{shown}… ({} bytes)", text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_line() {
        for &kind in Kind::ALL {
            let details = Details {
                socket_id: Some("1.2".into()),
                channel: Some("room".into()),
                reason: Some("because\nof it".into()),
                ..Details::default()
            };
            let line = line(&Entry { seq: 1, at_ms: 0.0, kind, details });
            assert!(!line.is_empty() && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_long_log_shows_its_end() {
        let log = EventLog::default();
        for n in 0..LINES + 3 {
            log.write(Kind::Event, Details { name: Some(n.to_string().into()), ..Details::default() });
        }
        let text = timeline(&log);
        assert!(text.starts_with("  (3 earlier lines are left out)\n"), "{text}");
        assert!(text.trim_end().ends_with(&format!("event {} on ? from HTTP API:", LINES + 2)), "{text}");
    }

    #[test]
    fn payloads_are_cut_and_stay_on_one_line() {
        assert_eq!(one_line("{\"a\":\n1}"), "{\"a\":\\n1}");
        assert!(one_line(&"x".repeat(500)).ends_with("… (500 bytes)"));
    }
}
