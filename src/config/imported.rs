//! What another server's file said, as a file of ours: the settings that it gave, each with what it is for and where it
//! stood.

use serde_json::Value as Json;

use super::builder::Builder;
use super::draft::AppDraft;
use super::foreign::{self, EngineParts, OptionMeaning};
use super::load::load;
use super::loaded::Loaded;
use super::print::Page;
use super::settings::{app_settings, node_settings};
use super::{Error, Flags, Origin, TEMPLATE, Warning};

/// A configuration that was imported.
#[derive(Clone, Debug)]
pub(crate) struct ImportedConfig {
    /// The file: TOML, with secrets.
    pub(crate) toml: String,
    /// How many apps it has.
    pub(crate) apps: usize,
    /// What was left out or is to be known, each in a sentence.
    pub(crate) remarks: Vec<String>,
}

/// The variables that say how this process runs, and nothing of its configuration.
const OF_THIS_PROCESS: [&str; 2] = ["HELIOSTAT_CONFIG", "HELIOSTAT_DEVELOPMENT"];

/// Makes a file of variables such as those of a `.env` of this name.
///
/// # Errors
/// Everything that is wrong with them, and what is missing for an app.
pub(crate) fn import_variables(
    file: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<ImportedConfig, Vec<Error>> {
    let mut remarks = Vec::new();
    let (mut kept, mut dialled, mut redis, mut others) = (Vec::new(), Vec::new(), Vec::new(), 0_usize);
    for (name, value) in variables {
        if OF_THIS_PROCESS.contains(&name.as_str()) {
            remarks.push(format!("{name}: it says how a process is run, and no file holds it"));
        } else if name == "PORT" && !value.is_empty() {
            remarks.push("PORT: left out, because in such a file it is the application's own".to_owned());
        } else if foreign::is_for_clients(&name) {
            dialled.push(name);
        } else if foreign::concerns_a_broker(&name) || name.starts_with("HELIOSTAT_") {
            // Most have them for other reasons.
            redis.extend(Some(&name).filter(|name| name.starts_with("REDIS_")).cloned());
            kept.push((name.into(), value.into()));
        } else {
            others += 1;
        }
    }
    // A file that is named is none of this file's business, and there is no other.
    let loaded = load(kept, &Flags::default(), |_| Err(std::io::ErrorKind::NotFound.into()))?;
    let gave = |part: &&str| matches!(loaded.origins.of(&format!("apps[0].{part}")), Origin::Variable(_));
    if !["id", "key", "secret"].iter().all(gave) {
        return Err(vec![Error::NoAppToImport { file: file.to_owned() }]);
    }
    if !dialled.is_empty() {
        let (names, address) = (dialled.join(", "), loaded.config.server.address());
        remarks.push(format!(
            "{names}: left out, because clients are told so where to dial; the broker listens on {address}"
        ));
    }
    if !loaded.skipped.is_empty() {
        let names = loaded.skipped.join(", ");
        remarks.push(format!(
            "{names}: left out, because such values are those that Kubernetes and Docker make for a service"
        ));
    }
    others += redis.iter().filter(|name| !loaded.read.contains(name)).count();
    if others > 0 {
        remarks.push(format!("other variables that concern no broker: {others}"));
    }
    Ok(finished(file, &loaded, remarks))
}

/// Takes the options of soketi's JSON file and the rows of its table of apps.
pub(crate) struct OptionsImporter {
    file: String,
    builder: Builder,
    apps: Vec<AppDraft>,
    /// Options that hold for every app: the setting, the value, and where it stood.
    of_all_apps: Vec<(&'static str, String, Origin)>,
    families: Vec<&'static str>,
    engine: EngineParts,
}

impl OptionsImporter {
    /// Nothing yet of the file of this name.
    pub(crate) fn new(file: &str) -> Self {
        let (apps, of_all_apps, families, engine) = Default::default();
        OptionsImporter {
            file: file.to_owned(),
            builder: Builder::new(),
            apps,
            of_all_apps,
            families,
            engine,
        }
    }

    fn origin(&self, place: &str) -> Origin {
        Origin::Option { file: self.file.as_str().into(), place: super::origin::shown(place) }
    }

    /// Takes an option of the node, by its path.
    pub(crate) fn option(&mut self, path: &str, value: &Json) {
        let origin = self.origin(path);
        match foreign::of_option(path) {
            Some(OptionMeaning::One(row)) => {
                if let Some(part) = row.engine_part() {
                    let text =
                        if value.is_array() { Some(value.to_string()) } else { self.plain(value, &origin) };
                    text.into_iter().for_each(|text| self.engine.put(part, &text, origin.clone()));
                    return;
                }
                let Some(text) = self.plain(value, &origin) else { return };
                for (setting, given) in foreign::settings(row, &text, &origin, &mut self.builder) {
                    match setting.strip_prefix("apps.") {
                        Some(own) => self.of_all_apps.push((own, given, origin.clone())),
                        None => {
                            let given = super::input_value::InputValue::Text(&given);
                            self.builder.set_node(setting, &given, origin.clone());
                        }
                    }
                }
            }
            Some(OptionMeaning::Family(begins, advice)) => {
                if !self.families.contains(&begins) {
                    self.families.push(begins);
                    let name = self.origin(&format!("{begins}*")).to_string();
                    self.builder.warnings.push(Warning::NoCounterpart { name, advice });
                }
            }
            None => self.unknown(&origin),
        }
    }

    /// Begins an app that stands at this place; its number.
    pub(crate) fn begin_app(&mut self, place: &str) -> usize {
        self.apps.push(AppDraft::begun_at(self.origin(place)));
        self.apps.len() - 1
    }

    /// Takes an option of an app, in any of its spellings.
    pub(crate) fn app_option(&mut self, index: usize, key: &str, value: &Json, place: &str) {
        let origin = self.origin(place);
        let Some(draft) = self.apps.get_mut(index) else { return };
        let Some(row) = foreign::of_app_option(key) else {
            if !value.is_null() && !["created_at", "updated_at"].contains(&key) {
                self.unknown(&origin);
            }
            return;
        };
        if row.are_webhooks() {
            return foreign::webhooks::add(value, &origin, index, draft, &mut self.builder);
        }
        let Some(text) = self.plain(value, &origin) else { return };
        for (setting, given) in foreign::settings(row, &text, &origin, &mut self.builder) {
            self.set_app(index, setting.trim_start_matches("apps."), &given, origin.clone());
        }
    }

    /// Complains of something in the list of apps that is none.
    pub(crate) fn not_an_app(&mut self, place: &str) {
        let (at, key) = (self.origin(place), "an app".to_owned());
        let (expected, got) = ("an object".to_owned(), "something else".to_owned());
        self.builder.errors.push(Error::Value { at, key, expected, got });
    }

    /// The file.
    ///
    /// # Errors
    /// Everything that was wrong.
    pub(crate) fn finish(mut self) -> Result<ImportedConfig, Vec<Error>> {
        for index in 0..self.apps.len() {
            for (path, given, origin) in self.of_all_apps.clone() {
                if *self.builder.origins.of(&format!("apps[{index}].{path}")) == Origin::Default {
                    self.set_app(index, path, &given, origin);
                }
            }
        }
        foreign::set_engine(&self.engine, &mut self.builder);
        foreign::warn_of_engine(&self.engine, &mut self.builder);
        let OptionsImporter { file, builder, apps, .. } = self;
        if builder.errors.is_empty() && apps.is_empty() {
            return Err(vec![Error::NoAppToImport { file }]);
        }
        let loaded = Loaded::of_apps(builder, apps)?;
        Ok(finished(&file, &loaded, Vec::new()))
    }

    fn set_app(&mut self, index: usize, path: &str, given: &str, origin: Origin) {
        let Some(draft) = self.apps.get_mut(index) else { return };
        // PostgreSQL writes its booleans so.
        let is_switch = ["enabled", "client_events", "authorized_connections"].contains(&path);
        let given = match given {
            "t" if is_switch => "true",
            "f" if is_switch => "false",
            given => given,
        };
        let given = super::input_value::InputValue::Text(given);
        self.builder.set_app((index, draft), path, &given, origin);
    }

    fn unknown(&mut self, origin: &Origin) {
        let (name, advice) = (origin.to_string(), "it has no counterpart here");
        self.builder.warnings.push(Warning::NoCounterpart { name, advice });
    }

    /// The text of a single value; `None` for null, and for what is none.
    fn plain(&mut self, value: &Json, origin: &Origin) -> Option<String> {
        match value {
            Json::Null => None,
            Json::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            Json::Bool(_) | Json::Number(_) => Some(value.to_string()),
            Json::Array(_) | Json::Object(_) => {
                self.unknown(origin);
                None
            }
        }
    }
}

fn finished(file: &str, loaded: &Loaded, mut remarks: Vec<String>) -> ImportedConfig {
    remarks.extend(loaded.warnings.iter().map(ToString::to_string));
    ImportedConfig { toml: loaded.imported_toml(file), apps: loaded.config.apps.len(), remarks }
}

impl Loaded {
    /// What was given, as a file. Everything else has its default there, too.
    fn imported_toml(&self, file: &str) -> String {
        let file = super::origin::shown(file);
        let mut page = Page::with_secrets(format!(
            "# heliostat's configuration, imported from {file}. Settings that are not here have their defaults:\n\
             # `heliostat print-config --template` shows and explains all of them.\n"
        ));
        let is_given = |origin: &Origin| !matches!(origin, Origin::Default | Origin::Development);
        let mut section = "";
        for setting in node_settings() {
            let origin = self.origins.of(setting.path);
            if is_given(origin) {
                let (table, key) = setting.path.split_once('.').unwrap_or(("", setting.path));
                if table != section {
                    section = table;
                    page.header(&format!("[{table}]"), None);
                }
                page.explained(
                    &explanation(&format!("[{table}]"), key),
                    key,
                    &setting.write(&self.config),
                    origin,
                );
            }
        }
        for (index, app) in self.config.apps.iter().enumerate() {
            let draft = AppDraft::of(app);
            page.header("[[apps]]", None);
            let mut section = "";
            for setting in app_settings() {
                let origin = self.origins.of(&format!("apps[{index}].{}", setting.path));
                if is_given(origin) {
                    let (table, key) = setting.path.split_once('.').unwrap_or(("", setting.path));
                    if table != section {
                        section = table;
                        page.header(&format!("[apps.{table}]"), None);
                    }
                    let header =
                        if table.is_empty() { "[[apps]]".to_owned() } else { format!("[apps.{table}]") };
                    page.explained(&explanation(&header, key), key, &setting.write(&draft), origin);
                }
            }
            page.rules_and_webhooks(index, &draft, &self.origins, is_given);
        }
        page.into_text()
    }
}

/// The comment above a key in the commented default file, line by line.
fn explanation(header: &str, key: &str) -> Vec<&'static str> {
    let (mut in_table, mut comment) = (false, Vec::new());
    for line in TEMPLATE.lines() {
        let bare = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line);
        if bare.starts_with('[') {
            in_table = bare == header;
            comment.clear();
        } else if line.starts_with("# ") {
            comment.push(line);
        } else if in_table && bare.split_once(" = ").is_some_and(|(name, _)| name == key) {
            return comment;
        } else {
            comment.clear();
        }
    }
    Vec::new()
}
