//! An app with some settings changed by name, as the file would name them.

use super::draft::AppDraft;
use super::error::nearest;
use super::input_value::InputValue;
use super::settings::{Setting, app_settings, node_settings};
use super::{AppConfig, Config, ConnectionConfig, Error, Origin, Origins};

/// The settings of the node that an app may be given of its own, in test mode: how much may wait for a connection of
/// it, and how long connections may be silent.
const OF_ONE_APP: [&str; 5] = [
    "connection.outbox_bytes",
    "connection.outbox_frames",
    "connection.activity_timeout_seconds",
    "connection.ping_after_seconds",
    "connection.pong_timeout_seconds",
];

/// An app that differs from `app` in these settings, given as dotted keys (`client_events`, `limits.connections`) and
/// text. Apps with several keys keep only the first where a key or secret is among the settings. How its connections
/// are treated comes with it, if something was said of that (`connection.outbox_bytes`); else it is as in `connection`.
///
/// # Errors
/// Every key that does not exist, with the one that was probably meant, and every value that does not fit, in words.
pub fn with_settings(
    app: &AppConfig,
    connection: &ConnectionConfig,
    settings: impl IntoIterator<Item = (String, String)>,
) -> Result<(AppConfig, Option<ConnectionConfig>), Vec<String>> {
    let (of_connection, of_app): (Vec<_>, Vec<_>) =
        settings.into_iter().partition(|(key, _)| OF_ONE_APP.contains(&key.as_str()));
    let mut node = Config { connection: connection.clone(), ..Config::default() };
    let mut errors = assign(&node_settings(), &mut node, of_connection);
    let mut draft = AppDraft::of(app);
    errors.extend(assign(&app_settings(), &mut draft, of_app));
    let finished = draft.finish(0, &Origins::default()).map_err(in_words);
    match finished {
        Ok(app) if errors.is_empty() => {
            Ok((app, Some(node.connection).filter(|changed| changed != connection)))
        }
        Err(error) if errors.is_empty() => Err(vec![error]),
        Ok(_) | Err(_) => Err(errors),
    }
}

/// Assigns what can be assigned; returns all that is wrong.
fn assign<T: 'static>(known: &[Setting<T>], target: &mut T, settings: Vec<(String, String)>) -> Vec<String> {
    let assigned =
        settings.into_iter().map(|(key, text)| match known.iter().find(|setting| setting.path == key) {
            Some(setting) => {
                setting.assign(target, &InputValue::Text(&text), &key, &Origin::Default).map_err(in_words)
            }
            None => Err(unknown(&key)),
        });
    assigned.filter_map(Result::err).collect()
}

fn unknown(key: &str) -> String {
    let settings = app_settings();
    let known = || settings.iter().map(|setting| setting.path).chain(OF_ONE_APP);
    // One of the same name in another table is more likely meant than one that merely looks alike.
    let last = |path: &str| path.rsplit('.').next().map(str::to_owned);
    let same = known().find(|path| last(path) == last(key)).map(str::to_owned);
    match same.or_else(|| nearest(key, known())) {
        Some(meant) => format!("unknown key {key:?}; did you mean {meant:?}?"),
        None => format!("unknown key {key:?}, expected one of {}", known().collect::<Vec<_>>().join(", ")),
    }
}

fn in_words(error: Error) -> String {
    error.without_place()
}
