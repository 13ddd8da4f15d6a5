//! Finds types that have the same name in two files: a search for a type must lead to one place.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::files;

/// The type that a line defines, if it defines one outside of functions and implementations.
fn defined(line: &str) -> Option<&str> {
    let visible = line.strip_prefix("pub").map_or(line, |rest| match rest.split_once(") ") {
        Some((scope, rest)) if scope.starts_with('(') => rest,
        _ => rest.trim_start(),
    });
    let kinds = ["struct ", "enum ", "trait ", "union ", "type "];
    let rest = kinds.iter().find_map(|kind| visible.strip_prefix(kind))?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    Some(&rest[..end])
}

#[test]
fn every_type_has_a_name_of_its_own() {
    let mut places: BTreeMap<String, BTreeSet<_>> = BTreeMap::new();
    for (path, code) in files() {
        for name in code.lines().filter_map(defined) {
            places.entry(name.to_owned()).or_default().insert(path.clone());
        }
    }
    places.retain(|_, paths| paths.len() > 1);
    assert!(places.is_empty(), "these names are taken more than once: {places:#?}");
}

#[test]
fn definitions_are_found_in_every_form() {
    for (line, name) in [
        ("struct Plain;", Some("Plain")),
        ("pub struct Generic<T>(T);", Some("Generic")),
        ("pub(crate) enum Scoped {", Some("Scoped")),
        ("pub(in crate::transport) trait Narrow: Sized {", Some("Narrow")),
        ("type Alias<S> = Box<S>;", Some("Alias")),
        ("    type Output = ();", None),
        ("pub fn structure() {}", None),
    ] {
        assert_eq!(defined(line), name, "{line}");
    }
}
