//! The names that other servers have for settings, as variables: what each means here, and which of them count.
//!
//! They are the last but the defaults: each sets only what no flag, no variable of ours, no file and no foreign name before it
//! has set. They never change an app of a file. One that means nothing here is a warning that says what to do instead.

mod engine;
mod form;
mod options;
#[cfg(test)]
mod page;
mod reverb;
mod row;
mod soketi;
#[cfg(test)]
mod tests;
mod unknown;
pub(super) mod webhooks;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::OsString;

use super::builder::Builder;
use super::draft::AppDraft;
use super::input_value::InputValue;
use super::{Error, Origin, Warning, links};
pub(super) use engine::EngineParts;
use form::ForeignForm;
pub(super) use options::{
    OptionMeaning, concerns_a_broker, is_for_clients, of_app_option, of_option, settings,
};
use row::{ForeignName, Meaning, NameFamily};

/// The names of one server.
struct NameTable {
    names: &'static [ForeignName],
    families: &'static [NameFamily],
    /// Taken away from the names of the table. Old releases of soketi had no prefix.
    without: &'static str,
    /// What the variables of the credentials begin with, before `ID`, `KEY` and `SECRET`; empty where there are none.
    credentials: &'static str,
    /// Values are JSON, where they can be read as such.
    is_json: bool,
}

/// All tables; of two that set the same, the first counts.
const TABLES: [NameTable; 5] = [
    NameTable {
        names: soketi::NAMES,
        families: soketi::FAMILIES,
        without: "",
        credentials: "SOKETI_DEFAULT_APP_",
        is_json: true,
    },
    NameTable {
        names: reverb::NAMES,
        families: reverb::FAMILIES,
        without: "",
        credentials: "REVERB_APP_",
        is_json: false,
    },
    NameTable {
        names: reverb::PUSHER_NAMES,
        families: &[],
        without: "",
        credentials: "PUSHER_APP_",
        is_json: false,
    },
    NameTable {
        names: soketi::NAMES,
        families: &[],
        without: soketi::PREFIX,
        credentials: "DEFAULT_APP_",
        is_json: true,
    },
    NameTable { names: reverb::PLATFORM_NAMES, families: &[], without: "", credentials: "", is_json: false },
];

/// What the un-prefixed names that are read begin with: every other one belongs to other programs.
const UNPREFIXED: &str = "DEFAULT_APP_";

impl NameTable {
    /// The variables of this table, with what they mean.
    fn variables(&self) -> impl Iterator<Item = (&'static str, Meaning)> {
        let own = |row: &ForeignName| {
            let name = row.variable.strip_prefix(self.without)?;
            let is_read = self.without.is_empty() || name.starts_with(UNPREFIXED);
            (is_read && !name.is_empty()).then_some((name, row.meaning))
        };
        self.names.iter().filter_map(own)
    }

    /// A value without the clothes it comes in; `None` if it is as good as none.
    fn undressed(&self, text: &str) -> Option<String> {
        let text = text.trim();
        let json = self.is_json.then(|| serde_json::from_str(text).ok()).flatten();
        match json {
            Some(serde_json::Value::String(inner)) => Some(inner).filter(|inner| !inner.is_empty()),
            Some(serde_json::Value::Null) => None,
            Some(_) => Some(text.to_owned()),
            None => match text {
                // As Laravel reads them.
                "" | "null" | "(null)" | "empty" | "(empty)" => None,
                "(true)" => Some("true".to_owned()),
                "(false)" => Some("false".to_owned()),
                text => Some(text.to_owned()),
            },
        }
    }
}

/// The three parts of an app's credentials: the end of the variable, and the setting.
const CREDENTIALS: [(&str, &str); 3] = [("ID", "apps.id"), ("KEY", "apps.key"), ("SECRET", "apps.secret")];

/// The variables of other servers that have a value, by table.
pub(super) struct ForeignVariables {
    by_table: [BTreeMap<String, String>; TABLES.len()],
    /// The table whose credentials count.
    credentials: Option<usize>,
    /// What is odd about the credentials, where they are those of an app.
    odd_credentials: Vec<Warning>,
}

impl ForeignVariables {
    /// Keeps what other servers would read, and warns of what means nothing here. `own` tells of each part of the first
    /// app's credentials whether a variable of ours gives it.
    pub(super) fn new(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        own: impl Fn(&str) -> bool,
        builder: &mut Builder,
    ) -> Self {
        let ours = text_of(variables, builder);
        let mut by_table: [BTreeMap<String, String>; TABLES.len()] = Default::default();
        for (table, kept) in TABLES.iter().zip(&mut by_table) {
            for (name, _) in table.variables() {
                let value = ours.get(name).and_then(|text| table.undressed(text));
                kept.extend(value.map(|value| (name.to_owned(), value)));
            }
        }
        let mut read = ForeignVariables { by_table, credentials: None, odd_credentials: Vec::new() };
        read.choose_credentials(&own);
        read.warn_of_what_means_nothing(builder);
        unknown::warn(&ours, builder);
        read
    }

    /// Chooses the table whose credentials count: the first that has all of what no variable of ours gives, or else the
    /// first that has any. Remembers what is odd: what is given by halves before it, since an id of one and a key of
    /// another are nobody's; what it lacks itself; and what is complete behind it, unless that is the same.
    fn choose_credentials(&mut self, own: &impl Fn(&str) -> bool) {
        let wanted: Vec<_> = CREDENTIALS.iter().map(|(end, _)| *end).filter(|end| !own(end)).collect();
        let value = |table: usize, end: &str| self.credential(table, end).map(|(_, value)| value);
        let values = |table: usize| wanted.iter().map(move |end| value(table, end));
        let is_whole = |table: usize| values(table).all(|value| value.is_some());
        let any: Vec<_> =
            (0..TABLES.len()).filter(|table| values(*table).any(|value| value.is_some())).collect();
        let whole = any.iter().copied().find(|table| is_whole(*table));
        let Some(chosen) = whole.or_else(|| any.first().copied()) else { return };
        let names = |table: usize| format!("{}*", TABLES[table].credentials);
        let missing = |table: usize| {
            let begins = TABLES[table].credentials;
            let missing = wanted.iter().filter(|end| value(table, end).is_none());
            missing.map(|end| format!("{begins}{end}")).collect::<Vec<_>>().join(" and ")
        };
        let warnings = any.into_iter().filter_map(|table| match table.cmp(&chosen) {
            Ordering::Less => {
                let (names, missing, used) = (names(table), missing(table), names(chosen));
                Some(Warning::HalfCredentials { names, missing, used })
            }
            Ordering::Equal if is_whole(table) => None,
            Ordering::Equal => {
                Some(Warning::CompletedCredentials { names: names(table), missing: missing(table) })
            }
            Ordering::Greater if !is_whole(table) || values(table).eq(values(chosen)) => None,
            Ordering::Greater => Some(Warning::LaterCredentials { names: names(table), used: names(chosen) }),
        });
        self.odd_credentials = warnings.collect();
        self.credentials = Some(chosen);
    }

    /// The variable of a table that gives `ID`, `KEY` or `SECRET`, and its value.
    fn credential(&self, table: usize, end: &str) -> Option<(&str, &str)> {
        let (_, path) = CREDENTIALS.iter().find(|(known, _)| *known == end)?;
        let gives = |meaning| matches!(meaning, Meaning::Sets([only], ForeignForm::Same) if only == path);
        let mut names = TABLES[table].variables().filter(|(_, meaning)| gives(*meaning));
        names.find_map(|(name, _)| {
            let (name, value) = self.by_table[table].get_key_value(name)?;
            Some((name.as_str(), value.as_str()))
        })
    }

    /// The variable that gives `ID`, `KEY` or `SECRET` of the first app, and its value.
    pub(super) fn given_credential(&self, end: &str) -> Option<(&str, &str)> {
        self.credential(self.credentials?, end)
    }

    /// Sets what concerns the node and is not set yet.
    pub(super) fn set_node(&self, builder: &mut Builder) {
        self.each(|name, value, meaning, _| match meaning {
            Meaning::Sets(paths, form) => {
                for path in paths.iter().filter(|path| !path.starts_with("apps.")) {
                    if *builder.origins.of(path) == Origin::Default {
                        assign(name, value, path, form, builder, |given, builder| {
                            builder.set_node(path, given, Origin::Variable(name.to_owned()));
                        });
                    }
                }
            }
            Meaning::Only(values, _) if values.contains(&value) => builder.read_foreign(name),
            Meaning::Webhooks
            | Meaning::Engine(_)
            | Meaning::Only(..)
            | Meaning::Advice(_)
            | Meaning::ForClients => {}
        });
        for table in 0..TABLES.len() {
            set_engine(&self.engine(table), builder);
        }
    }

    /// What a table's names say of the engine between nodes.
    fn engine(&self, of: usize) -> EngineParts {
        let mut parts = EngineParts::default();
        self.each(|name, value, meaning, table| {
            if let Meaning::Engine(part) = meaning
                && table == of
            {
                parts.put(part, value, Origin::Variable(name.to_owned()));
            }
        });
        parts
    }

    /// Sets what concerns the first app and is not set yet.
    pub(super) fn set_app(&self, draft: &mut AppDraft, builder: &mut Builder) {
        builder.warnings.extend(self.odd_credentials.iter().cloned());
        self.each(|name, value, meaning, table| match meaning {
            Meaning::Sets(paths, form) => {
                for path in paths.iter() {
                    let Some(own) = path.strip_prefix("apps.") else { continue };
                    let is_credential = CREDENTIALS.iter().any(|(_, credential)| credential == path);
                    if is_credential && self.credentials != Some(table) || !is_unset(own, builder) {
                        continue;
                    }
                    assign(name, value, path, form, builder, |given, builder| {
                        builder.set_app((0, draft), own, given, Origin::Variable(name.to_owned()));
                    });
                }
            }
            Meaning::Webhooks if draft.webhooks.endpoints.is_empty() => {
                let origin = Origin::Variable(name.to_owned());
                webhooks::add_json(value, &origin, 0, draft, builder);
                builder.read_foreign(name);
            }
            Meaning::Webhooks
            | Meaning::Engine(_)
            | Meaning::Only(..)
            | Meaning::Advice(_)
            | Meaning::ForClients => {}
        });
    }

    /// Remembers what would concern the first app, where a file has apps of its own.
    pub(super) fn leave_apps_alone(&self, builder: &mut Builder) {
        self.each(|name, _, meaning, _| {
            let is_of_app = match meaning {
                Meaning::Sets(paths, _) => paths.iter().any(|path| path.starts_with("apps.")),
                Meaning::Webhooks => true,
                Meaning::Engine(_) | Meaning::Only(..) | Meaning::Advice(_) | Meaning::ForClients => false,
            };
            if is_of_app {
                builder.unused.push(name.to_owned());
            }
        });
    }

    /// Does something with each variable that has a value, in the order in which they count.
    fn each(&self, mut act: impl FnMut(&str, &str, Meaning, usize)) {
        for (number, (table, kept)) in TABLES.iter().zip(&self.by_table).enumerate() {
            for (name, meaning) in table.variables() {
                if let Some(value) = kept.get(name) {
                    act(name, value, meaning, number);
                }
            }
        }
    }

    fn warn_of_what_means_nothing(&self, builder: &mut Builder) {
        self.each(|name, value, meaning, _| {
            let advice = match meaning {
                Meaning::Advice(advice) => advice,
                Meaning::Only(values, advice) if !values.contains(&value) => advice,
                Meaning::Only(..)
                | Meaning::Sets(..)
                | Meaning::Engine(_)
                | Meaning::Webhooks
                | Meaning::ForClients => return,
            };
            builder.warnings.push(Warning::NoCounterpart { name: name.to_owned(), advice });
        });
        for table in 0..TABLES.len() {
            warn_of_engine(&self.engine(table), builder);
        }
    }
}

/// Has what another server is told of the engine between its nodes be ours, unless somebody has said before which one it is.
pub(super) fn set_engine(parts: &EngineParts, builder: &mut Builder) {
    if *builder.origins.of("cluster.url") != Origin::Default {
        return;
    }
    for origin in parts.used() {
        if let Origin::Variable(name) = origin {
            builder.read_foreign(name);
        }
    }
    for (path, value, origin) in parts.settings() {
        if *builder.origins.of(path) == Origin::Default {
            builder.set_node(path, &InputValue::Text(&value), origin);
        }
    }
}

/// Warns of what it is told in vain. Of Laravel's `REDIS_*` nothing is said: it has other uses for them.
pub(super) fn warn_of_engine(parts: &EngineParts, builder: &mut Builder) {
    if let Some((origin, advice)) = parts.advice() {
        builder.warnings.push(Warning::NoCounterpart { name: origin.to_string(), advice });
        return;
    }
    let is_ones_own =
        |origin: &&Origin| !matches!(origin, Origin::Variable(name) if !name.starts_with(soketi::PREFIX));
    let unused: Vec<_> = parts.unused().into_iter().filter(is_ones_own).map(ToString::to_string).collect();
    let name = match unused.as_slice() {
        [] => return,
        [only] => only.clone(),
        [first, ..] => format!("{first} and {} more", unused.len() - 1),
    };
    builder.warnings.push(Warning::NoCounterpart { name, advice: soketi::SWITCH });
}

/// Whether no source before has set this of the first app. What development mode brings along is a default.
fn is_unset(path: &str, builder: &Builder) -> bool {
    let origin = builder.origins.of(&format!("apps[0].{path}"));
    matches!(origin, Origin::Default | Origin::Development)
}

/// Has a value set in our form, or says what was expected.
fn assign(
    name: &str,
    value: &str,
    path: &str,
    form: ForeignForm,
    builder: &mut Builder,
    set: impl FnOnce(&InputValue<'_>, &mut Builder),
) {
    builder.read_foreign(name);
    match form.read(value) {
        Ok(Some(ours)) => set(&InputValue::Text(&ours), builder),
        Ok(None) => {}
        Err(expected) => builder.errors.push(Error::Value {
            at: Origin::Variable(name.to_owned()),
            key: path.to_owned(),
            expected: expected.to_owned(),
            got: InputValue::Text(value).describe(),
        }),
    }
}

/// Those that some other server would read, as text. What Kubernetes and Docker made for services of such names is no
/// setting.
fn text_of(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    builder: &mut Builder,
) -> BTreeMap<String, String> {
    let mut ours = BTreeMap::new();
    for (name, value) in variables {
        let Ok(name) = name.into_string() else { continue };
        let is_known = TABLES.iter().any(|table| table.variables().any(|(known, _)| known == name));
        let prefixes = [soketi::PREFIX, reverb::PREFIX, UNPREFIXED];
        if !is_known && !prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        match value.into_string() {
            Ok(value) if value.trim().is_empty() => {}
            Ok(value) => {
                ours.insert(name, value);
            }
            Err(_) => builder.errors.push(Error::VariableNotUtf8 { name }),
        }
    }
    let seen = ours.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let links = links::of_services(&seen).into_iter().map(str::to_owned);
    // One of them alone is no setting either.
    let is_link = |name: &str, value: &str| name != reverb::REDIS_URL && links::is_url(value);
    let urls = ours.iter().filter(|(name, value)| is_link(name, value)).map(|(name, _)| name.clone());
    let skipped: std::collections::BTreeSet<String> = links.chain(urls).collect();
    ours.retain(|name, _| !skipped.contains(name));
    builder.skipped.extend(skipped);
    ours
}
