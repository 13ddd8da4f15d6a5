//! One app by itself: what is wrong with it, in the words of the file.

use std::path::Path;

use super::builder::{APP_TABLES, Builder};
use super::file::File;
use super::tables::Tables;
use super::{Error, Origin};

/// Everything that is wrong with the apps of a file of this text, without places: its lines are nobody's.
pub(crate) fn app_complaints(text: &str) -> Vec<String> {
    let mut builder = Builder::new();
    let read = |builder: &mut Builder| {
        let file = File::new(Path::new(""), text.as_bytes())?;
        let document = file.parse()?;
        Ok(Tables { file: &file, builder }.read_apps(0, &document))
    };
    let drafts = read(&mut builder).unwrap_or_else(|error| {
        builder.errors.push(error);
        Vec::new()
    });
    if builder.errors.is_empty() {
        builder.finish_apps(drafts);
    }
    builder.errors.iter().map(Error::without_place).collect()
}

/// What is wrong with the name of an app's setting (`limits.connections`), without a place; nothing where there is one.
pub(crate) fn app_name_complaint(path: &str) -> Option<String> {
    let builder = Builder::new();
    let is_table = |known: &str| known.split_once('.').is_some_and(|(table, _)| table == path);
    let is_list = path == "keys" || APP_TABLES.iter().any(|(name, _)| *name == path);
    if is_list || builder.app_settings().any(|known| known.path == path || is_table(known.path)) {
        return None;
    }
    let (table, name) = path.rsplit_once('.').unwrap_or(("", path));
    let prefix = if table.is_empty() { "apps.".to_owned() } else { format!("apps.{table}.") };
    let nearest = builder.nearest_key(&prefix, name);
    Some(Error::UnknownKey { at: Origin::Default, key: format!("{prefix}{name}"), nearest }.without_place())
}
