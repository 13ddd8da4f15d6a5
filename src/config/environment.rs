//! Environment variables: everything that begins with `HELIOSTAT_` is ours, but for what links to a service of that name
//! put there. What is ours and not known is warned of.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::Error;
use super::builder::Builder;
use super::draft::AppDraft;
use super::error::nearest;
use super::input_value::InputValue;
use super::value_type::{Boolean, ValueType};
use super::{Origin, Warning, links, rules, webhooks};

const PREFIX: &str = "HELIOSTAT_";
/// The variables that are no setting of a section or an app.
pub(super) const OWN_NAMES: [&str; 4] = [CONFIG, DEVELOPMENT, PIPE, WEBHOOK_URL];
/// Where this program is, for those who start it. It is no setting, and stands in the environment of what it starts.
const PROGRAM: &str = "HELIOSTAT_BIN";
/// Tells a process which running broker it is to succeed. It is no setting either.
pub(crate) const PREDECESSOR: &str = "HELIOSTAT_PREDECESSOR";
/// Names the configuration file.
pub(crate) const CONFIG: &str = "HELIOSTAT_CONFIG";
/// Insists on development mode, like the flag.
const DEVELOPMENT: &str = "HELIOSTAT_DEVELOPMENT";
/// Pipe rules, separated by `;`.
const PIPE: &str = "HELIOSTAT_PIPE";
/// Webhook endpoints that are told everything, separated by white space.
const WEBHOOK_URL: &str = "HELIOSTAT_APP_WEBHOOK_URL";

/// Whether a variable of this name is one of ours.
pub(super) fn is_ours(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with(PREFIX)
}

/// Our variables, in order of name.
pub(super) struct Environment(Vec<(String, String)>);

impl Environment {
    /// Takes what is ours.
    pub(super) fn new(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        builder: &mut Builder,
    ) -> Self {
        let mut ours = BTreeMap::new();
        for (name, value) in variables {
            let shown = name.to_string_lossy().into_owned();
            if [PROGRAM, PREDECESSOR].contains(&shown.as_str()) {
                continue;
            }
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => {
                    ours.insert(name, value);
                }
                _ => builder.errors.push(Error::VariableNotUtf8 { name: shown }),
            }
        }
        let seen = ours.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let links = links::of_services(&seen);
        builder.skipped = links.into_iter().map(str::to_owned).collect();
        ours.retain(|name, _| builder.skipped.binary_search(name).is_err());
        Environment(ours.into_iter().collect())
    }

    /// The value of one variable.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether development mode is insisted on.
    pub(super) fn insists_on_development(&self, builder: &mut Builder) -> bool {
        let given = self.get(DEVELOPMENT).map(InputValue::Text);
        let Some(given) = given else { return false };
        Boolean.read(&given).unwrap_or_else(|| {
            builder.errors.push(Error::Value {
                at: Origin::Variable(DEVELOPMENT.to_owned()),
                key: "development mode".to_owned(),
                expected: Boolean.expected(),
                got: given.describe(),
            });
            false
        })
    }

    /// Sets what concerns the node, and warns of unknown names.
    pub(super) fn set_node(&self, builder: &mut Builder) {
        let node: Vec<_> = builder.node_variables().collect();
        let app: Vec<_> = builder.app_variables().collect();
        for (name, value) in &self.0 {
            if let Some((path, _)) = node.iter().find(|(_, variable)| variable == name) {
                builder.set_node(path, &InputValue::Text(value), Origin::Variable(name.clone()));
            } else if !OWN_NAMES.contains(&name.as_str()) && !app.iter().any(|(_, variable)| variable == name)
            {
                let known = node.iter().chain(&app).map(|(_, variable)| variable.as_str()).chain(OWN_NAMES);
                // All begin alike, which is no likeness.
                let tails = known.filter_map(|known| known.strip_prefix(PREFIX));
                let nearest = nearest(name.trim_start_matches(PREFIX), tails);
                let nearest = nearest.map(|tail| format!("{PREFIX}{tail}"));
                builder.warnings.push(Warning::UnknownVariable { name: name.clone(), nearest });
            }
        }
    }

    /// Sets what concerns the first app, its pipe rules apart.
    pub(super) fn set_app(&self, draft: &mut AppDraft, builder: &mut Builder) {
        let variables: Vec<_> = builder.app_variables().collect();
        for (path, name) in variables {
            if let Some(value) = self.get(&name) {
                builder.set_app((0, draft), path, &InputValue::Text(value), Origin::Variable(name));
            }
        }
    }

    /// Remembers what would concern the first app, where all apps are those of the apps file.
    pub(super) fn leave_apps_alone(&self, builder: &mut Builder) {
        let of_apps =
            builder.app_variables().map(|(_, name)| name).chain([PIPE, WEBHOOK_URL].map(str::to_owned));
        let given: Vec<_> = of_apps.filter(|name| self.get(name).is_some()).collect();
        builder.unused.extend(given);
    }

    /// Adds the rules of `HELIOSTAT_PIPE` to the first app.
    pub(super) fn add_rules(&self, draft: &mut AppDraft, builder: &mut Builder) {
        let rules = self.get(PIPE).into_iter().flat_map(|rules| rules.split(';'));
        for rule in rules.map(str::trim).filter(|rule| !rule.is_empty()) {
            rules::add(rule, Origin::Variable(PIPE.to_owned()), draft, builder);
        }
    }

    /// Adds the endpoints of `HELIOSTAT_APP_WEBHOOK_URL` to the first app.
    pub(super) fn add_webhooks(&self, draft: &mut AppDraft, builder: &mut Builder) {
        for url in self.get(WEBHOOK_URL).into_iter().flat_map(str::split_whitespace) {
            webhooks::add(url, Origin::Variable(WEBHOOK_URL.to_owned()), draft, builder);
        }
    }
}
