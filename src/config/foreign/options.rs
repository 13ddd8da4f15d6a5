//! What soketi's options mean, for the import of its file and of its table of apps.

use super::row::{ForeignName, Meaning};
use super::{TABLES, UNPREFIXED, reverb, soketi};
use crate::config::builder::Builder;
use crate::config::input_value::InputValue;
use crate::config::{Error, Origin, Warning};

/// What an option means here: by itself, or as one of many that begin alike.
pub(in crate::config) enum OptionMeaning {
    /// By itself.
    One(&'static ForeignName),
    /// What it begins with, and what to do instead.
    Family(&'static str, &'static str),
}

/// The option of the node with this path.
pub(in crate::config) fn of_option(path: &str) -> Option<OptionMeaning> {
    if let Some(row) = soketi::NAMES.iter().find(|row| !path.is_empty() && row.option == path) {
        return Some(OptionMeaning::One(row));
    }
    let family = soketi::FAMILIES.iter().find(|family| path.starts_with(family.options))?;
    Some(OptionMeaning::Family(family.options, family.advice))
}

/// The option of an app with this name, in any of its spellings: `maxConnections`, `MaxConnections`, `max_connections`.
pub(in crate::config) fn of_app_option(key: &str) -> Option<&'static ForeignName> {
    /// Spelled shorter in the table of a database, and longer in DynamoDB.
    const OTHERWISE: [(&str, &str); 6] = [
        ("maxbackendeventspersec", "maxbackendeventspersecond"),
        ("maxclienteventspersec", "maxclienteventspersecond"),
        ("maxreadreqpersec", "maxreadrequestspersecond"),
        ("appid", "id"),
        ("appkey", "key"),
        ("appsecret", "secret"),
    ];
    let bare = |name: &str| name.replace('_', "").to_ascii_lowercase();
    let key = bare(key);
    let key = OTHERWISE.iter().find(|(other, _)| *other == key).map_or(key.as_str(), |(_, known)| known);
    soketi::NAMES.iter().find(|row| row.option.strip_prefix("app.").is_some_and(|name| bare(name) == key))
}

/// The settings that a value of this row gives, each as the text of a variable of ours. What it gives none of, the builder
/// is told.
pub(in crate::config) fn settings(
    row: &ForeignName,
    text: &str,
    origin: &Origin,
    builder: &mut Builder,
) -> Vec<(&'static str, String)> {
    let advice = match row.meaning {
        Meaning::Sets(paths, form) => match form.read(text) {
            Ok(given) => {
                return given
                    .into_iter()
                    .flat_map(|given| paths.iter().map(move |path| (*path, given.clone())))
                    .collect();
            }
            Err(expected) => {
                wrong(paths, expected, text, origin, builder);
                return Vec::new();
            }
        },
        Meaning::Only(values, advice) if !values.contains(&text) => advice,
        Meaning::Advice(advice) => advice,
        Meaning::Only(..) | Meaning::Engine(_) | Meaning::Webhooks | Meaning::ForClients => {
            return Vec::new();
        }
    };
    builder.warnings.push(Warning::NoCounterpart { name: origin.to_string(), advice });
    Vec::new()
}

fn wrong(paths: &[&str], expected: &str, text: &str, origin: &Origin, builder: &mut Builder) {
    builder.errors.push(Error::Value {
        at: origin.clone(),
        key: paths.first().copied().unwrap_or_default().to_owned(),
        expected: expected.to_owned(),
        got: InputValue::Text(text).describe(),
    });
}

/// Whether a variable says where clients find the broker.
pub(in crate::config) fn is_for_clients(variable: &str) -> bool {
    let mut names = TABLES.iter().flat_map(|table| table.variables());
    names.any(|(name, meaning)| name == variable && matches!(meaning, Meaning::ForClients))
}

/// Whether a variable is one that some server would read.
pub(in crate::config) fn concerns_a_broker(variable: &str) -> bool {
    [soketi::PREFIX, reverb::PREFIX, UNPREFIXED].iter().any(|prefix| variable.starts_with(prefix))
        || TABLES.iter().any(|table| table.variables().any(|(name, _)| name == variable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_apps_are_known_in_every_spelling() {
        for key in ["maxConnections", "MaxConnections", "max_connections"] {
            assert_eq!(of_app_option(key).map(|row| row.option), Some("app.maxConnections"));
        }
        for (column, option) in [
            ("max_client_events_per_sec", "app.maxClientEventsPerSecond"),
            ("max_read_req_per_sec", "app.maxReadRequestsPerSecond"),
            ("enable_user_authentication", "app.enableUserAuthentication"),
            ("AppKey", "app.key"),
        ] {
            assert_eq!(of_app_option(column).map(|row| row.option), Some(option));
        }
        assert!(of_app_option("colour").is_none() && of_option("").is_none());
        assert!(matches!(
            of_option("database.mysql.host"),
            Some(OptionMeaning::Family("database.mysql.", _))
        ));
    }

    #[test]
    fn every_option_is_found_by_its_path() {
        for row in soketi::NAMES {
            match row.option.strip_prefix("app.") {
                Some(name) => assert_eq!(of_app_option(name).map(|found| found.option), Some(row.option)),
                None => assert!(
                    matches!(of_option(row.option), Some(OptionMeaning::One(found)) if found.option == row.option)
                ),
            }
        }
    }
}
