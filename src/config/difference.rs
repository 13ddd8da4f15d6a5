//! What another configuration would change of the one that runs: which settings, from what to what, and which apps. Secrets are
//! not in it; that one is another than before is.

use std::collections::HashMap;
use std::fmt;

use super::draft::AppDraft;
use super::print::{self, Page};
use super::settings::{app_settings, node_settings};
use super::{AppConfig, Config, Loaded};

/// Apps that are told of one by one, of each kind of change.
const SHOWN_APPS: usize = 100;

/// Bytes of one value that are told.
const SHOWN_BYTES: usize = 4 * 1024;

/// What is another than before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConfigDifference {
    /// Settings of the node that take effect with a reload, and those that only a restart changes.
    pub(crate) at_once: Vec<SettingDifference>,
    pub(crate) needs_restart: Vec<SettingDifference>,
    pub(crate) apps: AppDifferences,
    /// Files of certificates that would be shown from then on.
    pub(crate) certificates: Vec<String>,
    /// What is allowed but probably not meant.
    pub(crate) warnings: Vec<String>,
}

/// One setting that is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettingDifference {
    /// `server.port`; of an app as seen from it: `limits.connections`, or what there are several of: `pipe`.
    pub(crate) path: &'static str,
    /// As a file has it. Of what there are several of, those that are not there any more, or not yet.
    pub(crate) before: String,
    pub(crate) after: String,
    /// A secret that is not shown is another.
    pub(crate) is_secret: bool,
    /// Where the new value came from, where that is known.
    pub(crate) origin: Option<String>,
}

/// The apps that are others. Each kind is told within bounds, with how many more there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AppDifferences {
    /// With the app as a file has it.
    pub(crate) added: Vec<(String, String)>,
    pub(crate) changed: Vec<(String, Vec<SettingDifference>)>,
    pub(crate) removed: Vec<String>,
    pub(crate) left_out: usize,
}

impl SettingDifference {
    /// The values are told as they are shown, and are others as they are written.
    fn new(path: &'static str, shown: (String, String), written: (&str, &str)) -> Option<Self> {
        let is_other = written.0 != written.1;
        let is_secret = is_other && shown.0 == shown.1;
        let told = |text: String| match text.floor_char_boundary(SHOWN_BYTES) {
            all if all == text.len() => text,
            cut => format!("{}…", &text[..cut]),
        };
        let (before, after) = (told(shown.0), told(shown.1));
        is_other.then_some(SettingDifference { path, before, after, is_secret, origin: None })
    }
}

impl ConfigDifference {
    /// What `after` would change of `before`, if all of it took effect at once: what does not is to be sorted out.
    pub(crate) fn between(before: &Config, after: &Loaded) -> Self {
        let settings = node_settings().into_iter().filter_map(|setting| {
            let shown = |config| print::shown_value(&setting, config, false);
            let written = (setting.write(before), setting.write(&after.config));
            let shown = (shown(before), shown(&after.config));
            let origin = Some(after.origins.of(setting.path).comment());
            let difference = SettingDifference::new(setting.path, shown, (&written.0, &written.1))?;
            Some(SettingDifference { origin, ..difference })
        });
        let listeners = |config: &Config| {
            config.server.listeners.iter().map(print::listener_lines).collect::<Vec<_>>().join("\n")
        };
        let listeners = (listeners(before), listeners(&after.config));
        let written = listeners.clone();
        let listeners = SettingDifference::new("server.listeners", listeners, (&written.0, &written.1));
        ConfigDifference {
            at_once: settings.chain(listeners).collect(),
            apps: AppDifferences::between(before, after),
            warnings: after.warnings.iter().map(ToString::to_string).collect(),
            ..ConfigDifference::default()
        }
    }

    /// The same, where these settings need a restart.
    pub(crate) fn sorted(self, needs_restart: &[&str]) -> Self {
        let (needs_restart, at_once) =
            self.at_once.into_iter().partition(|setting| needs_restart.contains(&setting.path));
        ConfigDifference { at_once, needs_restart, ..self }
    }

    /// Whether nothing would change.
    pub(crate) fn is_empty(&self) -> bool {
        let ConfigDifference { at_once, needs_restart, apps, certificates, warnings: _ } = self;
        at_once.is_empty() && needs_restart.is_empty() && certificates.is_empty() && apps.is_empty()
    }
}

impl AppDifferences {
    fn between(before: &Config, after: &Loaded) -> Self {
        let (then, now) = (by_id(before), by_id(&after.config));
        let mut all = AppDifferences::default();
        for (index, app) in after.config.apps.iter().enumerate() {
            let id = || app.app.id.clone();
            match then.get(&*app.app.id) {
                None if all.added.len() < SHOWN_APPS => {
                    all.added.push((id(), after.app_shown(index).unwrap_or_default()));
                }
                Some(old) if *old != app && all.changed.len() < SHOWN_APPS => {
                    all.changed.push((id(), of_app(old, app)));
                }
                None => all.left_out += 1,
                Some(old) => all.left_out += usize::from(*old != app),
            }
        }
        let gone = before.apps.iter().filter(|app| !now.contains_key(&*app.app.id));
        let gone: Vec<_> = gone.map(|app| app.app.id.clone()).collect();
        all.left_out += gone.len().saturating_sub(SHOWN_APPS);
        all.removed = gone.into_iter().take(SHOWN_APPS).collect();
        all
    }

    fn is_empty(&self) -> bool {
        let AppDifferences { added, changed, removed, left_out } = self;
        added.is_empty() && changed.is_empty() && removed.is_empty() && *left_out == 0
    }
}

/// The apps by their ids. There may be very many.
fn by_id(config: &Config) -> HashMap<&str, &AppConfig> {
    config.apps.iter().map(|configured| (&*configured.app.id, configured)).collect()
}

/// What is another about an app.
fn of_app(before: &AppConfig, after: &AppConfig) -> Vec<SettingDifference> {
    let drafts = (AppDraft::of(before), AppDraft::of(after));
    let values = app_settings().into_iter().filter_map(|setting| {
        let written = (setting.write(&drafts.0), setting.write(&drafts.1));
        let is_value = !["id", "key", "secret"].contains(&setting.path);
        let shown = written.clone();
        SettingDifference::new(setting.path, shown, (&written.0, &written.1)).filter(|_| is_value)
    });
    let parts = [
        list_difference("keys", &before.app.keys, &after.app.keys, Page::pair),
        list_difference("channels", &before.app.channels, &after.app.channels, |_, channels| {
            print::channel_lines(channels)
        }),
        list_difference("pipe", &before.pipe, &after.pipe, |_, rule| print::rule_lines(rule)),
        list_difference("relay", &before.relays, &after.relays, Page::relay_lines),
        list_difference(
            "webhooks",
            &before.webhooks.endpoints,
            &after.webhooks.endpoints,
            Page::webhook_lines,
        ),
    ];
    values.chain(parts.into_iter().flatten()).collect()
}

/// What is another about a list: what is there no more, and what is new.
fn list_difference<T: PartialEq>(
    path: &'static str,
    before: &[T],
    after: &[T],
    write: impl Fn(&Page, &T) -> String,
) -> Option<SettingDifference> {
    let masked = Page::masked();
    let lines = |of: &[T], unless: &[T]| -> String {
        let those = of.iter().filter(|part| !unless.contains(part));
        those.map(|part| write(&masked, part).trim_end().to_owned()).collect::<Vec<_>>().join("\n\n")
    };
    let (gone, new) = (lines(before, after), lines(after, before));
    let told = if gone.is_empty() && new.is_empty() {
        ("in one order".to_owned(), "in another".to_owned())
    } else {
        (gone, new)
    };
    let is_other = if before == after { ("", "") } else { ("before", "after") };
    SettingDifference::new(path, told, is_other)
}

/// In lines, for people.
impl fmt::Display for ConfigDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigDifference { at_once, needs_restart, apps, certificates, warnings } = self;
        if self.is_empty() {
            writeln!(f, "a reload would change nothing")?;
        }
        for (title, settings) in [("at once", at_once), ("not before a restart", needs_restart)] {
            if !settings.is_empty() {
                writeln!(f, "{title}:")?;
                settings.iter().try_for_each(|setting| write_setting(setting, f))?;
            }
        }
        for file in certificates {
            writeln!(f, "at once: the certificate {file} is read again")?;
        }
        let AppDifferences { added, changed, removed, left_out } = apps;
        added.iter().try_for_each(|(id, _)| writeln!(f, "at once: the app {id:?} is added"))?;
        for (id, settings) in changed {
            writeln!(f, "at once: the app {id:?} is changed:")?;
            settings.iter().try_for_each(|setting| write_setting(setting, f))?;
        }
        for id in removed {
            writeln!(f, "at once: the app {id:?} is removed, and its connections are closed")?;
        }
        if *left_out > 0 {
            writeln!(f, "and {left_out} apps more")?;
        }
        warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

fn write_setting(setting: &SettingDifference, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let SettingDifference { path, before, after, is_secret, .. } = setting;
    if *is_secret {
        return writeln!(f, "  {path}: another secret");
    }
    if !before.contains('\n') && !after.contains('\n') && !before.is_empty() && !after.is_empty() {
        return writeln!(f, "  {path}: {before} -> {after}");
    }
    writeln!(f, "  {path}:")?;
    for (mark, text) in [('-', before), ('+', after)] {
        text.lines().try_for_each(|line| writeln!(f, "    {mark} {line}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Flags, load};
    use super::*;

    fn loaded(text: &str) -> Loaded {
        let flags = Flags { config: Some("heliostat.toml".into()), ..Flags::default() };
        let text = text.to_owned();
        let read = move |path: &std::path::Path| {
            if path.ends_with("heliostat.toml") {
                Ok(text.clone().into_bytes())
            } else {
                Err(std::io::ErrorKind::NotFound.into())
            }
        };
        load(std::iter::empty::<(std::ffi::OsString, std::ffi::OsString)>(), &flags, read).unwrap()
    }

    fn app(id: &str, more: &str) -> String {
        format!("[[apps]]\nid = \"{id}\"\nkey = \"key-{id}\"\nsecret = \"secret-{id}\"\n{more}\n")
    }

    #[test]
    fn what_is_another_is_told_without_secrets() {
        let before = format!(
            "[server]\nport = 7000\n[admin]\ntoken = \"token-of-before\"\n{}{}{}",
            app(
                "1",
                "client_events = false\n[[apps.webhooks]]\nurl = \"https://a.example/\"\nheaders = { x = \"header-of-before\" }"
            ),
            app("2", "[[apps.pipe]]\nfrom = \"a\"\nevent = \"e\"\nto = \"b\""),
            app("3", ""),
        );
        let after = format!(
            "[server]\nport = 7001\n[admin]\ntoken = \"token-of-after\"\n{}{}{}",
            app("1", "client_events = true\n[[apps.webhooks]]\nurl = \"https://a.example/\"\nheaders = { x = \"header-of-after\" }")
                .replace("secret-1", "secret-9"),
            app("2", "[[apps.pipe]]\nfrom = \"a\"\nevent = \"e\"\nto = \"c\""),
            app("4", ""),
        );
        let (before, after) = (loaded(&before), loaded(&after));
        let difference =
            ConfigDifference::between(&before.config, &after).sorted(&["server.port", "admin.token"]);
        let paths = |settings: &[SettingDifference]| {
            settings.iter().map(|of| (of.path, of.is_secret)).collect::<Vec<_>>()
        };
        assert_eq!(paths(&difference.needs_restart), [("server.port", false), ("admin.token", true)]);
        assert_eq!(difference.needs_restart[0].origin.as_deref(), Some("heliostat.toml:2"));
        assert!(difference.at_once.is_empty());
        let AppDifferences { added, changed, removed, left_out } = &difference.apps;
        assert_eq!((added[0].0.as_str(), removed.as_slice(), *left_out), ("4", &["3".to_owned()][..], 0));
        assert!(added[0].1.contains("secret = \"…\""), "{}", added[0].1);
        assert_eq!(paths(&changed[0].1), [("client_events", false), ("keys", true), ("webhooks", true)]);
        assert_eq!(changed[1].1[0].path, "pipe");
        let told = format!("{difference}{difference:?}");
        for secret in ["of-before", "of-after", "secret-"] {
            assert!(!told.contains(secret), "{told}");
        }
        for line in [
            "  server.port: 7000 -> 7001",
            "  admin.token: another secret",
            "at once: the app \"4\" is added",
            "  client_events: false -> true",
            "    - to = \"b\"",
            "    + to = \"c\"",
            "at once: the app \"3\" is removed, and its connections are closed",
        ] {
            assert!(told.lines().any(|told| told == line), "{line} is not in\n{told}");
        }
    }

    #[test]
    fn what_is_the_same_is_not_told() {
        let one = loaded(&app("1", "[[apps.pipe]]\nfrom = \"a\"\nevent = \"e\"\nto = \"b\""));
        let difference = ConfigDifference::between(&one.config, &one);
        assert!(difference.is_empty(), "{difference:?}");
        assert!(difference.to_string().starts_with("a reload would change nothing\n"));
    }

    #[test]
    fn very_many_apps_are_counted() {
        let many: String = (0..SHOWN_APPS + 5).map(|n| app(&n.to_string(), "")).collect();
        let (one, many) = (loaded(&app("0", "")), loaded(&many));
        let added = ConfigDifference::between(&one.config, &many).apps;
        assert_eq!((added.added.len(), added.left_out), (SHOWN_APPS, 4));
        let removed = ConfigDifference::between(&many.config, &one).apps;
        assert_eq!((removed.removed.len(), removed.left_out), (SHOWN_APPS, 4));
    }
}
