//! One row of the tables: a name that another server has for a setting, and what it means here.

use super::engine::EnginePart;
use super::form::ForeignForm;

/// A variable of another server, and the option of its configuration file that says the same.
#[derive(Debug)]
pub(in crate::config) struct ForeignName {
    /// The variable; empty where there is only an option.
    pub(in crate::config) variable: &'static str,
    /// The path of the option in soketi's JSON file, `port`; of an app, as seen from the app, after `app.`. Empty where
    /// there is none.
    pub(in crate::config) option: &'static str,
    /// What it means here.
    pub(in crate::config) meaning: Meaning,
}

impl ForeignName {
    /// What its value says of the engine between nodes, if it does.
    pub(in crate::config) fn engine_part(&self) -> Option<EnginePart> {
        match self.meaning {
            Meaning::Engine(part) => Some(part),
            _ => None,
        }
    }

    /// Whether its value is a list of webhooks.
    pub(in crate::config) fn are_webhooks(&self) -> bool {
        matches!(self.meaning, Meaning::Webhooks)
    }
}

/// What a name of another server means here.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum Meaning {
    /// These settings: of the node, `server.port`; or of an app, `apps.limits.connections`.
    Sets(&'static [&'static str], ForeignForm),
    /// The webhooks of an app, as a JSON array.
    Webhooks,
    /// A part of what there is to know of the engine between nodes.
    Engine(EnginePart),
    /// With one of these values, what this broker does anyway; with any other, nothing, and this is what to do instead.
    Only(&'static [&'static str], &'static str),
    /// Nothing; this is what to do instead.
    Advice(&'static str),
    /// Nothing: it tells clients where the broker is.
    ForClients,
}

/// Many names that begin alike, of which the same is said, once.
#[derive(Debug)]
pub(in crate::config) struct NameFamily {
    /// What the variables begin with.
    pub(in crate::config) variables: &'static str,
    /// What the options begin with; empty where there are none.
    pub(in crate::config) options: &'static str,
    /// What to do instead.
    pub(in crate::config) advice: &'static str,
}

/// A row.
pub(super) const fn row(variable: &'static str, option: &'static str, meaning: Meaning) -> ForeignName {
    ForeignName { variable, option, meaning }
}

/// A row of many names.
pub(super) const fn family(
    variables: &'static str,
    options: &'static str,
    advice: &'static str,
) -> NameFamily {
    NameFamily { variables, options, advice }
}
