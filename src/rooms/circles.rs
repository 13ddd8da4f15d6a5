//! Finds files that use each other in a circle, directly or by way of others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::sources::files;

/// A module's name, in parts: `["pipe", "wire"]`.
type ModulePath = Vec<String>;

/// What a file says of other modules.
struct Module {
    /// The full paths that it names.
    used: Vec<ModulePath>,
    /// The names that it exports for others, and where they come from.
    exports: BTreeMap<String, ModulePath>,
}

fn module_path(file: &Path) -> ModulePath {
    let mut parts: ModulePath =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// The paths that a tree such as `a::{b, c::{self, D as E}}` names. Each ends with the name that is given.
fn expand(tree: &str) -> Vec<Vec<&str>> {
    let tree = tree.trim();
    let Some((prefix, list)) = tree.split_once('{') else {
        return vec![tree.split("::").map(|part| part.split(" as ").next().unwrap_or(part).trim()).collect()];
    };
    let list = list.strip_suffix('}').unwrap_or(list);
    let prefix: Vec<&str> = prefix.split("::").map(str::trim).filter(|part| !part.is_empty()).collect();
    let mut items = Vec::new();
    let (mut depth, mut begun) = (0, 0);
    for (at, c) in list.char_indices().chain([(list.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&list[begun..at]);
                begun = at + 1;
            }
            _ => {}
        }
    }
    let items = items.into_iter().filter(|item| !item.trim().is_empty()).flat_map(expand);
    items
        .map(|item| {
            let item = item.into_iter().filter(|part| *part != "self");
            prefix.iter().copied().chain(item).collect()
        })
        .collect()
}

/// The end of the path or tree that `text` begins with.
fn path_end(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ if depth > 0 => {}
            c if c.is_alphanumeric() || c == '_' || c == ':' => {}
            _ => return at,
        }
        if depth > 0 && !text[..at].ends_with("::") && !text[..at].contains('{') {
            // A block follows, not a list.
            return at;
        }
    }
    text.len()
}

/// A path that begins with `crate`, `super` or `self`, as a full one.
fn absolute(own: &[String], path: &[&str]) -> Option<ModulePath> {
    let mut base = own.to_vec();
    let mut rest = path;
    match *path.first()? {
        "crate" => (base, rest) = (Vec::new(), &path[1..]),
        "self" => rest = &path[1..],
        "super" => {}
        _ => return None,
    }
    while let Some(("super", after)) = rest.split_first().map(|(first, after)| (*first, after)) {
        base.pop()?;
        rest = after;
    }
    base.extend(rest.iter().map(|part| (*part).to_owned()));
    Some(base)
}

fn read(own: &[String], code: &str) -> Module {
    let mut exports = BTreeMap::new();
    let mut used = Vec::new();
    let mut others = String::new();
    for statement in code.split_inclusive(';') {
        let begin = statement.rfind("\npub").map_or(0, |at| at + 1);
        let exported = statement[begin..].strip_prefix("pub").and_then(|rest| {
            let rest =
                rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest);
            rest.trim_start().strip_prefix("use ")
        });
        let Some(tree) = exported else {
            others.push_str(statement);
            continue;
        };
        for path in expand(tree.trim_end_matches(';')) {
            let Some(name) = path.last() else { continue };
            let target = absolute(own, &path).unwrap_or_else(|| {
                own.iter().cloned().chain(path.iter().map(|part| (*part).to_owned())).collect()
            });
            exports.insert((*name).to_owned(), target);
        }
        others.push_str(&statement[..begin]);
    }
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in others.match_indices(start) {
            let before = others[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '(') {
                continue;
            }
            let tree = &others[at..][..path_end(&others[at..])];
            used.extend(expand(tree).iter().filter_map(|path| absolute(own, path)));
        }
    }
    Module { used, exports }
}

/// The module that a full path leads to, through what modules on the way export.
fn target(modules: &BTreeMap<ModulePath, Module>, path: &[String], depth: usize) -> Option<ModulePath> {
    let (length, module) =
        (1..=path.len()).rev().find_map(|length| Some((length, modules.get(&path[..length])?)))?;
    match path.get(length).and_then(|name| module.exports.get(name)) {
        Some(exported) if depth < 8 => target(modules, exported, depth + 1),
        _ => Some(path[..length].to_vec()),
    }
}

/// All that can be reached from a module.
fn reached<'g>(
    graph: &'g BTreeMap<ModulePath, BTreeSet<ModulePath>>,
    from: &'g ModulePath,
) -> BTreeSet<&'g ModulePath> {
    let (mut found, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        next.extend(graph[module].iter().filter(|target| found.insert(*target)));
    }
    found
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let modules: BTreeMap<ModulePath, Module> = files()
        .into_iter()
        .map(|(file, code)| (module_path(&file), code))
        .map(|(own, code)| (own.clone(), read(&own, &code)))
        .collect();
    let graph: BTreeMap<ModulePath, BTreeSet<ModulePath>> = modules
        .iter()
        .map(|(own, module)| {
            let targets = module.used.iter().filter_map(|path| target(&modules, path, 0));
            (own.clone(), targets.filter(|target| target != own).collect())
        })
        .collect();
    let mut circles = BTreeMap::new();
    for module in graph.keys() {
        let used = graph[module].iter().filter(|used| reached(&graph, used).contains(module));
        let used: Vec<String> = used.map(|used| used.join("::")).collect();
        if !used.is_empty() {
            circles.insert(module.join("::"), used);
        }
    }
    assert!(circles.is_empty(), "these use files that use them: {circles:#?}");
}

#[test]
fn paths_are_found_in_every_form() {
    let own = ["a".to_owned(), "b".to_owned()];
    let code = "use super::{c::{self, D as E}, f};\npub(crate) use g::H;\nuse crate::i::J;\nfn f() -> super::K { self::l() }";
    let module = read(&own, code);
    let used: BTreeSet<String> = module.used.iter().map(|path| path.join("::")).collect();
    assert_eq!(used.into_iter().collect::<Vec<_>>(), ["a::K", "a::b::l", "a::c", "a::c::D", "a::f", "i::J"]);
    assert_eq!(module.exports["H"].join("::"), "a::b::g::H");
}
