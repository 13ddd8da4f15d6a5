//! Makes a configuration file of another server's: soketi's `config.json` or a dump of its `apps` table, or a `.env`.
//!
//! It reads and writes nothing itself. What the values mean is known to [`config`](crate::config) alone.

mod dotenv;
mod error;
mod json;
mod records;
mod sql;
#[cfg(test)]
mod tests;

pub(crate) use error::ImportFailure;

use crate::config::{ImportedConfig, OptionsImporter, import_variables};
use error::BadInput;
use records::AppRecord;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InputKind {
    Json,
    Sql,
    Csv,
    DotEnv,
}

/// Reads the bytes of the file of this name.
///
/// # Errors
/// Everything that is wrong with it, each in a sentence that names the file and, where it has one, the line.
pub(crate) fn import(name: &str, bytes: &[u8]) -> Result<ImportedConfig, ImportFailure> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let sound = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        BadInput::at_end_of(&sound, "expected UTF-8 text, got other bytes".to_owned()).in_file(name)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let bad = |bad: BadInput| bad.in_file(name);
    match kind(name, text) {
        InputKind::DotEnv => {
            let entries = dotenv::parse(text).map_err(bad)?;
            dotenv::check_references(&entries).map_err(bad)?;
            let lines = entries.iter().map(|entry| (entry.name.clone(), entry.line)).collect();
            let variables = entries.into_iter().map(|entry| (entry.name, entry.value));
            import_variables(name, variables)
                .map_err(|errors| ImportFailure::of_variables(name, &lines, &errors))
        }
        InputKind::Json => {
            let mut importer = OptionsImporter::new(name);
            json::read(text, &mut importer).map_err(bad)?;
            importer.finish().map_err(|errors| ImportFailure::of_options(&errors))
        }
        InputKind::Sql => {
            let (apps, of_tables) = sql::read(text).map_err(bad)?;
            let mut imported = import_records(name, apps)?;
            imported.remarks.splice(..0, of_tables);
            Ok(imported)
        }
        InputKind::Csv => import_records(name, records::read_csv(text).map_err(bad)?),
    }
}

/// Makes a file of the rows of a table.
fn import_records(name: &str, apps: Vec<AppRecord>) -> Result<ImportedConfig, ImportFailure> {
    let mut importer = OptionsImporter::new(name);
    for app in apps {
        let index = importer.begin_app(&app.place);
        for (column, value) in app.columns {
            importer.app_option(index, &column, &value, &format!("{}.{column}", app.place));
        }
    }
    importer.finish().map_err(|errors| ImportFailure::of_options(&errors))
}

/// What the name says, or else the text.
fn kind(name: &str, text: &str) -> InputKind {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        Some("json") => return InputKind::Json,
        Some("sql") => return InputKind::Sql,
        Some("csv") => return InputKind::Csv,
        Some("env") => return InputKind::DotEnv,
        _ => {}
    }
    let begins = text.trim_start();
    let has_statement = |line: &str| {
        let line = line.trim_start().to_ascii_uppercase();
        ["INSERT INTO ", "COPY ", "CREATE TABLE "].iter().any(|statement| line.starts_with(statement))
    };
    let first = begins.lines().next().unwrap_or_default();
    if begins.starts_with(['{', '[']) {
        InputKind::Json
    } else if text.lines().any(has_statement) {
        InputKind::Sql
    } else if !first.contains('=') && records::is_header(first) {
        InputKind::Csv
    } else {
        InputKind::DotEnv
    }
}
