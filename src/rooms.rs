//! The rooms of the house, read from the source: that each uses only those above it in the map of `docs/architecture.md`,
//! that no files use each other in a circle, and that every type has a name of its own.

mod circles;
mod names;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sources::{code_of, files, root};

/// The rooms in the order of the map: the lines of its first drawing that name one below `src/`.
fn order() -> Vec<String> {
    let map = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let drawing = map.split("```").nth(1).unwrap();
    let names = drawing.lines().filter_map(|line| line.strip_prefix("  ")?.split_once('/'));
    names.map(|(name, _)| name.to_owned()).filter(|name| !name.contains(' ')).collect()
}

/// The room of a file; none of those that hold the rooms together.
fn room(path: &Path) -> Option<String> {
    let first = path.components().next()?.as_os_str().to_string_lossy().into_owned();
    let name = first.strip_suffix(".rs").unwrap_or(&first).to_owned();
    (!["lib", "main", "rooms", "tools"].contains(&name.as_str())).then_some(name)
}

/// The rooms that a file names: what follows `crate::`, or each first name within `crate::{…}`.
fn named(code: &str) -> BTreeSet<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let (mut depth, mut begins) = (0, true);
        for (at, c) in list.char_indices() {
            match c {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if begins && !c.is_whitespace() => {
                    begins = false;
                    found.insert(name(&list[at..]));
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn every_room_uses_only_those_above_it() {
    let order = order();
    let place = |room: &str| order.iter().position(|name| name == room);
    let mut back_up = BTreeMap::new();
    for (path, code) in files() {
        let Some(own) = room(&path) else { continue };
        let own_place =
            place(&own).unwrap_or_else(|| panic!("{own} is not in the map of docs/architecture.md"));
        let below =
            named(&code).into_iter().filter(|other| place(other).is_some_and(|place| place > own_place));
        let below: Vec<String> = below.collect();
        if !below.is_empty() {
            back_up.insert(path, below);
        }
    }
    assert!(back_up.is_empty(), "these use rooms that the map has below their own: {back_up:#?}");
}

#[test]
fn the_map_has_no_room_that_is_not_there() {
    let there: BTreeSet<String> = files().iter().filter_map(|(path, _)| room(path)).collect();
    assert_eq!(order().into_iter().collect::<BTreeSet<_>>(), there);
}

#[test]
fn imports_are_found_in_every_form() {
    let code = code_of(
        "use crate::app::App;\n// use crate::no;\nuse crate::{hub::{self, Worker}, pipe, net::tls::{A, B}};\n\
         fn f() -> crate::http::Answer {}\n#[cfg(test)]\nmod tests { use crate::testing; }",
    );
    let found: Vec<String> = named(&code).into_iter().collect();
    assert_eq!(found, ["app", "http", "hub", "net", "pipe"]);
}
