//! The reference in `docs/configuration.md`, made from the commented default file and the table of settings.
//!
//! The part of that page between the two marks is compared with what is made here; `UPDATE_DOCS=1 cargo test`
//! writes it.

use std::fmt::Write;

use super::flags::FLAGS;
use super::settings::{app_settings, node_settings};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
const BEGIN: &str =
    "<!-- reference: generated from src/config by `UPDATE_DOCS=1 cargo test`; do not edit -->\n";
const END: &str = "<!-- end of the reference -->\n";
pub(super) const BEGIN_FOREIGN: &str = "<!-- names of other servers: generated from src/config/foreign by `UPDATE_DOCS=1 cargo test`; do not edit -->\n";
pub(super) const END_FOREIGN: &str = "<!-- end of the names of other servers -->\n";

/// Two tests write the page.
static PAGE_IN_USE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// What the default file says: tables and keys, each with the comment above it.
pub(super) struct TemplateEntry {
    /// `[server]`, `[[apps]]`; or `server.port`, `apps.limits.connections`.
    pub(super) path: String,
    /// The default, in TOML; none for a table.
    pub(super) value: Option<String>,
    text: String,
}

impl TemplateEntry {
    pub(super) fn is_explained(&self) -> bool {
        !self.text.is_empty()
    }
}

/// The default file, entry by entry. The text at its top belongs to none.
pub(super) fn entries(default_file: &str) -> Vec<TemplateEntry> {
    let mut entries = Vec::new();
    let (mut table, mut text) = (String::new(), String::new());
    for line in default_file.lines() {
        let setting = line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' '));
        let comment =
            line.strip_prefix("# ").or_else(|| line.strip_prefix('#').filter(|rest| rest.is_empty()));
        match (comment, setting.unwrap_or(line)) {
            (Some(comment), _) => text = format!("{text}{comment}\n"),
            (None, "") => text.clear(),
            (None, header) if header.starts_with('[') => {
                table = header.trim_matches(['[', ']']).to_owned();
                entries.push(TemplateEntry {
                    path: header.to_owned(),
                    value: None,
                    text: std::mem::take(&mut text),
                });
            }
            (None, setting) => {
                let (key, value) = setting.split_once(" = ").expect("a setting is `key = value`");
                let (path, value) = (format!("{table}.{key}"), Some(value.to_owned()));
                entries.push(TemplateEntry { path, value, text: std::mem::take(&mut text) });
            }
        }
    }
    entries
}

fn reference() -> String {
    let node = node_settings();
    let app = app_settings();
    let known = node.iter().map(|s| (s.path.to_owned(), s.expected.clone(), s.variable("HELIOSTAT_")));
    let known = known.chain(
        app.iter().map(|s| (format!("apps.{}", s.path), s.expected.clone(), s.variable("HELIOSTAT_APP_"))),
    );
    let known: Vec<_> = known.collect();
    let mut page = String::new();
    for TemplateEntry { path, value, text } in entries(super::TEMPLATE) {
        let text = text.replace('*', "\\*").replace('<', "&lt;");
        let Some(value) = value else {
            let _ = write!(page, "\n### `{path}`\n\n{text}");
            continue;
        };
        let own = ["apps.id", "apps.key", "apps.secret"].contains(&path.as_str());
        let required = own || text.contains("Required.");
        let default = if required { "required".to_owned() } else { format!("default `{value}`") };
        let default = if text.contains("Without this key") { "optional".to_owned() } else { default };
        let key = path.rsplit('.').next().unwrap_or_default();
        let _ = write!(page, "\n**`{key}`** ({default})");
        if let Some((_, expected, variable)) = known.iter().find(|(known, ..)| *known == path) {
            let flag = FLAGS.iter().find(|flag| flag.gives.setting() == Some(&path));
            let flag = flag.map(|flag| format!(", flag `{}`", flag.name)).unwrap_or_default();
            let _ = write!(page, ": {expected}; `{variable}`{flag}");
        }
        let _ = write!(page, "\\\n{text}");
    }
    page
}

#[test]
fn the_reference_is_up_to_date() {
    replace_or_compare(BEGIN, END, &reference());
}

/// Asserts that the page has `made` between two marks; with `UPDATE_DOCS` set, puts it there.
pub(super) fn replace_or_compare(begin: &str, end: &str, made: &str) {
    let _alone = PAGE_IN_USE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let page = std::fs::read_to_string(PAGE).expect("docs/configuration.md");
    let (before, rest) = page.split_once(begin).expect("the mark where the generated part begins");
    let (_, after) = rest.split_once(end).expect("the mark where the generated part ends");
    let fresh = format!("{before}{begin}{made}\n{end}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &fresh).expect("docs/configuration.md can be written");
    } else {
        assert!(
            page == fresh,
            "docs/configuration.md is stale; run `UPDATE_DOCS=1 cargo test` and commit it"
        );
    }
}
