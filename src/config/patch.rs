//! An app with some settings changed by name, as the file would name them.

use super::draft::AppDraft;
use super::given::Given;
use super::settings::app_settings;
use super::{AppConfig, Error, Origin, Origins};

/// An app that differs from `app` in these settings, given as dotted keys (`client_events`, `limits.connections`) and
/// text. Apps with several keys keep only the first where a key or secret is among the settings.
///
/// # Errors
/// The first key that does not exist or value that does not fit, in words.
pub fn with_settings(
    app: &AppConfig,
    settings: impl IntoIterator<Item = (String, String)>,
) -> Result<AppConfig, String> {
    let known = app_settings();
    let mut draft = AppDraft::of(app);
    for (key, text) in settings {
        let Some(setting) = known.iter().find(|setting| setting.path == key) else {
            let names: Vec<_> = known.iter().map(|setting| setting.path).collect();
            return Err(format!("unknown key {key:?}, expected one of {}", names.join(", ")));
        };
        setting.assign(&mut draft, &Given::Text(&text), &key, &Origin::Default).map_err(in_words)?;
    }
    draft.finish(0, &Origins::default()).map_err(in_words)
}

fn in_words(error: Error) -> String {
    match error {
        Error::Value { key, expected, got, .. } => format!("{key} must be {expected}, got {got}"),
        other => other.to_string(),
    }
}
