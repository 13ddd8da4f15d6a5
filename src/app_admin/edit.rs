//! A change of one app, judged and carried out on the text of an apps file.

use super::change::{AppChange, AppsText};
use super::from_json::complaints_of_nulls;
use super::{AppView, AppsError};
use crate::config::{Loaded, app_complaints};

/// A change of the app with this id, if it is as expected before.
#[derive(Clone, Copy)]
pub(super) struct AppEdit<'e> {
    pub(super) id: &'e str,
    pub(super) change: &'e AppChange,
    pub(super) is_expected: &'e dyn Fn(&AppView) -> bool,
}

impl AppEdit<'_> {
    /// The text of the apps file after the change. `loaded` is what the loader makes of the text before.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) fn of_text(&self, loaded: &Loaded, before: &str) -> Result<String, AppsError> {
        let AppEdit { id, change, is_expected } = *self;
        let mut file = AppsText::parse(before)?;
        let index = place_of(loaded, id);
        let place = match (change, index) {
            (AppChange::Create(_), Some(index)) => {
                let place = loaded.origins.of(&format!("apps[{index}].id"));
                return Err(AppsError::Taken(vec![format!(
                    "there is an app with the id {id:?} already, defined by {place}"
                )]));
            }
            (AppChange::Create(settings), None) => file.create(settings)?,
            (_, None) => return Err(AppsError::NoSuchApp(id.to_owned())),
            (change, Some(index)) => {
                let view = AppView::new(loaded, index).ok_or(AppsError::Gone)?;
                let Some(place) = index.checked_sub(loaded.own_apps) else {
                    return Err(AppsError::Elsewhere { id: id.to_owned(), place: view.listed.defined });
                };
                if !is_expected(&view) {
                    return Err(AppsError::Changed(id.to_owned()));
                }
                match change {
                    AppChange::Create(_) => {}
                    AppChange::Set(settings) => file.set(place, settings)?,
                    AppChange::Rotate(key) => file.rotate(place, key)?,
                    AppChange::Revoke(key) => file.revoke(place, key)?,
                    AppChange::Delete => {
                        file.delete(place)?;
                        return Ok(file.into_text());
                    }
                }
                place
            }
        };
        // By itself first: what is wrong with it is told without the places of a file that nobody has seen.
        let mut complaints = match change {
            AppChange::Create(settings) | AppChange::Set(settings) => complaints_of_nulls(settings),
            _ => Vec::new(),
        };
        complaints.extend(app_complaints(&file.alone(place).ok_or(AppsError::Gone)?));
        if complaints.is_empty() { Ok(file.into_text()) } else { Err(AppsError::Settings(complaints)) }
    }
}

/// The app with this id, as it is shown.
pub(super) fn view_of(loaded: &Loaded, id: &str) -> Option<AppView> {
    place_of(loaded, id).and_then(|index| AppView::new(loaded, index))
}

fn place_of(loaded: &Loaded, id: &str) -> Option<usize> {
    loaded.config.apps.iter().position(|configured| configured.app.id == id)
}
