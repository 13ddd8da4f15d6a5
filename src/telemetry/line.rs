//! One line of the log: made of an event, and written for people or as JSON.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::text::{self, MESSAGE_CHARS, Shortened, VALUE_CHARS};

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineStyle {
    /// For people.
    Plain,
    /// For people with a terminal.
    Colourful,
    /// One object per line.
    Json,
}

/// One line of the log; everything of it is shortened already.
#[derive(Debug)]
pub(super) struct LogLine {
    level: Level,
    target: String,
    message: String,
    fields: Vec<(&'static str, FieldValue)>,
}

/// The value of a field.
#[derive(Debug)]
enum FieldValue {
    Text(String),
    /// A number or a truth value, which is written the same everywhere.
    Bare(String),
}

impl LogLine {
    /// What an event says.
    pub(super) fn of(event: &Event<'_>) -> LogLine {
        let level = *event.metadata().level();
        let target = event.metadata().target();
        let mut line = LogLine::new(level, target, "");
        event.record(&mut line);
        line
    }

    /// A line of the log's own.
    pub(super) fn new(level: Level, target: &str, message: &str) -> LogLine {
        LogLine { level, target: target.to_owned(), message: message.to_owned(), fields: Vec::new() }
    }

    /// What it says, without its fields.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// With a number.
    pub(super) fn with(mut self, name: &'static str, number: u64) -> LogLine {
        self.fields.push((name, FieldValue::Bare(number.to_string())));
        self
    }

    /// With the part of the program that it is about.
    pub(super) fn from(mut self, target: &str) -> LogLine {
        self.fields.push(("from", FieldValue::Text(target.to_owned())));
        self
    }

    /// The line, with its end.
    pub(super) fn write(&self, style: LineStyle) -> String {
        let mut line = String::with_capacity(256);
        let mut time = String::new();
        if SystemTime.format_time(&mut Writer::new(&mut time)).is_err() {
            time.clear();
        }
        match style {
            LineStyle::Json => self.write_json(&time, &mut line),
            LineStyle::Plain | LineStyle::Colourful => {
                self.write_human(&time, style == LineStyle::Colourful, &mut line);
            }
        }
        line.push('\n');
        line
    }

    fn write_human(&self, time: &str, colours: bool, line: &mut String) {
        let mut part = |style: &str, text: &str| {
            if colours {
                line.extend(["\x1b[", style, "m", text, "\x1b[0m"]);
            } else {
                line.push_str(text);
            }
        };
        part("2", time);
        part("0", " ");
        let colour = match self.level {
            Level::ERROR => "31",
            Level::WARN => "33",
            Level::INFO => "32",
            Level::DEBUG => "34",
            Level::TRACE => "35",
        };
        part(colour, &format!("{:>5}", self.level));
        let mut message = String::from(" ");
        text::escape(&self.message, &mut message);
        part("0", &message);
        for (name, value) in &self.fields {
            part("0", " ");
            part("3", name);
            let mut shown = String::from("=");
            match value {
                FieldValue::Text(text) => text::value(text, &mut shown),
                FieldValue::Bare(bare) => shown.push_str(bare),
            }
            part("0", &shown);
        }
    }

    fn write_json(&self, time: &str, line: &mut String) {
        let _ = write!(line, "{{\"timestamp\":\"{time}\",\"level\":\"{}\",\"message\":", self.level);
        text::json(&self.message, line);
        for (name, value) in &self.fields {
            line.push(',');
            text::json(name, line);
            line.push(':');
            match value {
                FieldValue::Text(text) => text::json(text, line),
                FieldValue::Bare(bare) => line.push_str(bare),
            }
        }
        line.push_str(",\"target\":");
        text::json(&self.target, line);
        line.push('}');
    }

    fn put(&mut self, field: &Field, value: impl fmt::Display) {
        match field.name() {
            "message" => self.message = Shortened::of(value, MESSAGE_CHARS).text(),
            // Of events that came by the crate `log`.
            "log.target" => self.target = Shortened::of(value, VALUE_CHARS).text(),
            name if name.starts_with("log.") => {}
            name => self.fields.push((name, FieldValue::Text(Shortened::of(value, VALUE_CHARS).text()))),
        }
    }

    fn put_bare(&mut self, field: &Field, value: impl fmt::Display) {
        if !field.name().starts_with("log.") {
            self.fields.push((field.name(), FieldValue::Bare(value.to_string())));
        }
    }
}

impl Visit for LogLine {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_bare(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put_bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put_bare(field, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> LogLine {
        let mut line = LogLine::new(Level::INFO, "heliostat", "refused\nforged").with("code", 4001);
        line.fields.push(("key", FieldValue::Text("a\"\n b".to_owned())));
        line
    }

    #[test]
    fn a_line_is_one_line_for_people() {
        let text = line().write(LineStyle::Plain);
        let (_, rest) = text.split_once("  INFO ").unwrap();
        assert_eq!(rest, "refused\\nforged code=4001 key=\"a\\\"\\n b\"\n");
    }

    #[test]
    fn a_line_is_one_object_of_json() {
        let text = line().write(LineStyle::Json);
        assert_eq!(text.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["message"], "refused\nforged");
        assert_eq!(object["code"], 4001);
        assert_eq!(object["key"], "a\"\n b");
        assert_eq!(object["level"], "INFO");
        assert_eq!(object["target"], "heliostat");
    }
}
