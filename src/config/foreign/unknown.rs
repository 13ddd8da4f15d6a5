//! Names that begin like another server's and are not known one by one: what is said of many at once, and what was
//! probably meant.

use std::collections::BTreeMap;

use super::super::builder::Builder;
use super::super::error::nearest;
use super::{TABLES, UNPREFIXED, reverb, soketi};
use crate::config::Warning;

/// Warns of each, and of many that begin alike once.
pub(super) fn warn(variables: &BTreeMap<String, String>, builder: &mut Builder) {
    let is_known = |name: &str| TABLES.iter().any(|table| table.variables().any(|(known, _)| known == name));
    let mut unknown: Vec<&str> =
        variables.keys().map(String::as_str).filter(|name| !is_known(name)).collect();
    let families = TABLES.iter().flat_map(|table| table.families);
    for family in families {
        let (alike, others): (Vec<_>, Vec<_>) =
            unknown.into_iter().partition(|name| name.starts_with(family.variables));
        unknown = others;
        let name = match alike.as_slice() {
            [] => continue,
            [only] => (*only).to_owned(),
            [_, ..] => format!("{}* ({} variables)", family.variables, alike.len()),
        };
        builder.warnings.push(Warning::NoCounterpart { name, advice: family.advice });
    }
    for name in unknown {
        let meant = soketi::NEVER_EXISTED.iter().find(|(never, _)| *never == name);
        let nearest = meant.map(|(_, meant)| (*meant).to_owned()).or_else(|| nearest_of_its_server(name));
        // Other programs may have names that begin so.
        if nearest.is_some() || !name.starts_with(UNPREFIXED) {
            builder.warnings.push(Warning::UnknownVariable { name: name.to_owned(), nearest });
        }
    }
}

/// The known name of the same server that resembles it.
fn nearest_of_its_server(name: &str) -> Option<String> {
    let prefixes = [UNPREFIXED, soketi::PREFIX, reverb::PREFIX];
    let prefix = prefixes.into_iter().find(|prefix| name.starts_with(prefix))?;
    let rest = name.strip_prefix(prefix)?;
    let known: Vec<_> = TABLES.iter().flat_map(|table| table.variables()).map(|(known, _)| known).collect();
    let rests = known.iter().filter_map(|known| known.strip_prefix(prefix));
    nearest(rest, rests).map(|rest| format!("{prefix}{rest}"))
}
