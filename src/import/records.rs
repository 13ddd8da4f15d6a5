//! The rows of soketi's `apps` table: what they have in common, and how they are read from CSV.

use serde_json::Value as Json;

use super::error::BadInput;

/// One row.
pub(super) struct AppRecord {
    /// Where it stands, for messages.
    pub(super) place: String,
    /// The columns that have a value.
    pub(super) columns: Vec<(String, Json)>,
}

impl AppRecord {
    /// The row that begins in this line. What is null counts as absent.
    pub(super) fn new<'c>(line: usize, columns: impl IntoIterator<Item = (&'c str, Option<String>)>) -> Self {
        let given =
            columns.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Json::String(value?))));
        AppRecord { place: format!("row of line {line}"), columns: given.collect() }
    }
}

/// Whether a table with these columns is that of apps.
pub(super) fn are_of_apps<'c>(columns: impl IntoIterator<Item = &'c str>) -> bool {
    let columns: Vec<String> = columns.into_iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    ["id", "key", "secret"].iter().all(|needed| columns.iter().any(|name| name == needed))
}

/// Whether a line is the header of a CSV file of apps.
pub(super) fn is_header(line: &str) -> bool {
    are_of_apps(line.split([',', ';', '\t']).map(|name| name.trim_matches('"')))
}

/// The apps of a CSV file with a header.
pub(super) fn read_csv(text: &str) -> Result<Vec<AppRecord>, BadInput> {
    let first = text.lines().next().unwrap_or_default();
    if !is_header(first) {
        return Err(BadInput::at(
            1,
            1,
            "expected a header with the columns id, key and secret of soketi's apps",
        ));
    }
    let separator = [b',', b';', b'\t'].into_iter().find(|c| first.as_bytes().contains(c)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_reader(text.as_bytes());
    let bad = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        let message = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("expected {expected_len} fields, as in the header, got {len}")
            }
            _ => "not valid CSV".to_owned(),
        };
        BadInput::at(usize::try_from(line).unwrap_or(1), 1, message)
    };
    let header = reader.headers().map_err(bad)?.clone();
    let mut apps = Vec::new();
    for record in reader.records() {
        let record = record.map_err(bad)?;
        let line = record.position().map_or(1, csv::Position::line);
        let value = |text: &str| (!["", "NULL", "\\N"].contains(&text)).then(|| text.to_owned());
        let columns = header.iter().map(str::trim).zip(record.iter().map(value));
        apps.push(AppRecord::new(usize::try_from(line).unwrap_or(1), columns));
    }
    Ok(apps)
}
