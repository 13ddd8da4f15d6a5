//! `print-config`: the effective values as TOML, each with its origin in a comment.

use std::fmt::Write;

use super::channels::{DELIVERY, write_history};
use super::draft::AppDraft;
use super::relays;
use super::rules::KEEP;
use super::settings::{Setting, app_settings, node_settings};
use super::value_type::{FileMode, ListenPlace, MASK, ValueType, quote};
use super::{Config, ListenAddress, ListenerConfig, Loaded, Origin, Origins, RelaySettings};
use crate::app::{ChannelSettings, Key, VideoSettings};
use crate::pipe::{RuleSpec, write_interval};
use crate::webhook::{WebhookEndpoint, WebhookHeader};

impl Loaded {
    /// The effective configuration as a TOML file. Unless `show_secrets`, each secret is replaced by `…`, which
    /// is not accepted as a secret.
    pub(crate) fn to_toml(&self, show_secrets: bool) -> String {
        let mut page = Page { text: String::new(), show_secrets };
        if !show_secrets {
            page.text.push_str("# Secrets are hidden; --show-secrets shows them.\n\n");
        }
        let mut section = "";
        for setting in node_settings() {
            let (table, key) = setting.path.split_once('.').unwrap_or(("", setting.path));
            if table != section {
                if section == "server" {
                    self.print_listeners(&mut page);
                }
                section = table;
                page.header(&format!("[{table}]"), None);
            }
            let value = shown_value(&setting, &self.config, show_secrets);
            page.line(key, &value, self.origins.of(setting.path));
        }
        for (index, app) in self.config.apps.iter().enumerate() {
            self.print_app(index, &AppDraft::of(app), &mut page);
        }
        page.text
    }

    fn print_listeners(&self, page: &mut Page) {
        for (number, listener) in self.config.server.listeners.iter().enumerate() {
            let origin = self.origins.of(&format!("server.listeners[{number}]"));
            page.header("[[server.listeners]]", Some(origin));
            page.text.push_str(&listener_lines(listener));
        }
    }

    /// The app at `index` as a file has it, secrets included.
    pub(crate) fn app_to_toml(&self, index: usize) -> Option<String> {
        let mut page = Page::with_secrets(String::new());
        self.print_app(index, &AppDraft::of(self.config.apps.get(index)?), &mut page);
        Some(page.into_text())
    }

    /// The same without secrets.
    pub(super) fn app_shown(&self, index: usize) -> Option<String> {
        let mut page = Page::masked();
        self.print_app(index, &AppDraft::of(self.config.apps.get(index)?), &mut page);
        Some(page.into_text())
    }

    fn print_app(&self, index: usize, draft: &AppDraft, page: &mut Page) {
        page.header("[[apps]]", None);
        let origin = |path: &str| self.origins.of(&format!("apps[{index}].{path}"));
        let mut section = "";
        for setting in app_settings() {
            match setting.path {
                "key" if draft.keys.is_some() => {
                    let keys: Vec<_> = draft.keys.iter().flatten().map(|key| page.pair(key)).collect();
                    page.line("keys", &format!("[{}]", keys.join(", ")), origin("keys"));
                }
                "secret" if draft.keys.is_some() => {}
                "secret" => {
                    let secret = page.secret(draft.secret.as_deref().unwrap_or_default());
                    page.line("secret", &secret, origin("secret"));
                }
                path => {
                    let (table, key) = path.split_once('.').unwrap_or(("", path));
                    if table != section {
                        section = table;
                        page.header(&format!("[apps.{table}]"), None);
                    }
                    page.line(key, &setting.write(draft), origin(path));
                }
            }
        }
        for (number, settings) in draft.app.channels.iter().enumerate() {
            page.header("[[apps.channels]]", Some(origin(&format!("channels[{number}]"))));
            page.text.push_str(&channel_lines(settings));
        }
        page.rules_and_webhooks(index, draft, &self.origins, |_| true);
    }
}

/// A file of configuration while it is written.
pub(super) struct Page {
    text: String,
    show_secrets: bool,
}

impl Page {
    /// An empty one that holds no secrets.
    pub(super) fn masked() -> Self {
        Page { text: String::new(), show_secrets: false }
    }

    /// One that begins so, and holds secrets.
    pub(super) fn with_secrets(text: String) -> Self {
        Page { text, show_secrets: true }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// The pipe rules, relays and webhooks of the app at `index` whose origins are wanted.
    pub(super) fn rules_and_webhooks(
        &mut self,
        index: usize,
        draft: &AppDraft,
        origins: &Origins,
        is_wanted: impl Fn(&Origin) -> bool,
    ) {
        let origin = |path: String| Some(origins.of(&path)).filter(|origin| is_wanted(origin));
        for (number, rule) in draft.pipe.iter().enumerate() {
            if let Some(origin) = origin(format!("apps[{index}].pipe[{number}]")) {
                self.header("[[apps.pipe]]", Some(origin));
                self.text.push_str(&rule_lines(rule));
            }
        }
        for (number, relay) in draft.relays.iter().enumerate() {
            if let Some(origin) = origin(format!("apps[{index}].relay[{number}]")) {
                self.header("[[apps.relay]]", Some(origin));
                let lines = self.relay_lines(relay);
                self.text.push_str(&lines);
            }
        }
        for (number, endpoint) in draft.webhooks.endpoints.iter().enumerate() {
            if let Some(origin) = origin(format!("apps[{index}].webhooks[{number}]")) {
                self.header("[[apps.webhooks]]", Some(origin));
                let lines = self.webhook_lines(endpoint);
                self.text.push_str(&lines);
            }
        }
    }

    /// A setting below what is to be known of it, which begins each line with `# `.
    pub(super) fn explained(&mut self, comment: &[&str], key: &str, value: &str, origin: &Origin) {
        if !self.text.ends_with("]\n") {
            self.text.push('\n');
        }
        comment.iter().for_each(|line| self.text.extend([*line, "\n"]));
        let _ = writeln!(self.text, "{key} = {value}  # {origin}");
    }

    pub(super) fn header(&mut self, header: &str, origin: Option<&Origin>) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
        let comment = origin.map(|origin| format!("  # {}", origin.comment())).unwrap_or_default();
        let _ = writeln!(self.text, "{header}{comment}");
    }

    fn line(&mut self, key: &str, value: &str, origin: &Origin) {
        const COMMENT_COLUMN: usize = 48;
        let setting = format!("{key} = {value}");
        let _ = writeln!(self.text, "{setting:COMMENT_COLUMN$}  # {}", origin.comment());
    }

    fn secret(&self, secret: &str) -> String {
        quote(if self.show_secrets { secret } else { MASK })
    }

    pub(super) fn relay_lines(&self, relay: &RelaySettings) -> String {
        relays::lines(relay, &self.secret(relay.key.secret.text()))
    }

    pub(super) fn webhook_lines(&self, endpoint: &WebhookEndpoint) -> String {
        // Its query may hold a secret.
        let hidden = endpoint.url.to_string();
        let url = if self.show_secrets { endpoint.url.as_str() } else { &hidden };
        let mut lines = format!("url = {}\n", quote(url));
        let names: Vec<_> = endpoint.events.iter().map(|one| quote(one.name())).collect();
        let _ = writeln!(lines, "events = [{}]", names.join(", "));
        if let Some(pattern) = &endpoint.channels {
            let _ = writeln!(lines, "channels = {}", quote(&pattern.to_string()));
        }
        let header = |of: &WebhookHeader| format!("{} = {}", quote(of.name()), self.secret(of.value()));
        let headers: Vec<_> = endpoint.headers.iter().map(header).collect();
        if !headers.is_empty() {
            let _ = writeln!(lines, "headers = {{ {} }}", headers.join(", "));
        }
        lines
    }

    pub(super) fn pair(&self, key: &Key) -> String {
        format!("{{ key = {}, secret = {} }}", quote(&key.key), self.secret(key.secret.text()))
    }
}

/// The value of a setting, or what stands for it where it is not to be shown.
pub(super) fn shown_value(setting: &Setting<Config>, config: &Config, show_secrets: bool) -> String {
    let is_given = match setting.path {
        "development.encryption_master_key_base64" => config.development.encryption_master_key.is_some(),
        "admin.password" => config.admin.password.is_some(),
        "admin.token" => config.admin.token.is_some(),
        "cluster.password" => config.cluster.password.is_some(),
        "cluster.sentinel_password" => config.cluster.sentinel_password.is_some(),
        "cluster.url" => match &config.cluster.url {
            Some(url) if !show_secrets => return quote(&url.to_string()),
            _ => false,
        },
        _ => false,
    };
    if is_given && !show_secrets { quote(MASK) } else { setting.write(config) }
}

pub(super) fn listener_lines(listener: &ListenerConfig) -> String {
    let ListenerConfig { address, mode, proxy_protocol, tls } = listener;
    let mut lines = format!("address = {}\n", ListenPlace.write(address));
    if matches!(address, ListenAddress::Unix(_)) {
        let _ = writeln!(lines, "mode = {}", FileMode.write(mode));
    }
    let _ = writeln!(lines, "proxy_protocol = {proxy_protocol}\ntls = {tls}");
    lines
}

pub(super) fn channel_lines(settings: &ChannelSettings) -> String {
    let ChannelSettings { pattern, delivery, history, video } = settings;
    let (pattern, delivery) = (quote(&pattern.to_string()), DELIVERY.write(delivery));
    let mut lines = format!("pattern = {pattern}\ndelivery = {delivery}\n");
    if let Some(bounds) = history {
        let _ = writeln!(lines, "history = {}", write_history(bounds));
    }
    if let Some(VideoSettings { publishers, cache_bytes }) = video {
        let publishers: Vec<String> = publishers.iter().map(|id| quote(id)).collect();
        let publishers = publishers.join(", ");
        let _ = writeln!(lines, "publishers = [{publishers}]\ncache_bytes = {cache_bytes}");
    }
    lines
}

pub(super) fn rule_lines(rule: &RuleSpec) -> String {
    let list = |texts: &mut dyn Iterator<Item = &str>| {
        let texts: Vec<_> = texts.map(quote).collect();
        format!("[{}]", texts.join(", "))
    };
    let mut lines = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(lines, "{key} = {value}");
    };
    line("from", &quote(&rule.from.to_string()));
    line("event", &quote(&rule.event));
    let to: Vec<_> = rule.to.iter().map(ToString::to_string).collect();
    match to.as_slice() {
        [] => line("drop", "true"),
        [one] => line("to", &quote(one)),
        several => line("to", &list(&mut several.iter().map(String::as_str))),
    }
    if let Some(name) = &rule.rename {
        line("as", &quote(name));
    }
    for (key, members) in [("where", &rule.filter), ("add", &rule.add)] {
        if !members.is_empty()
            && let Ok(table) = toml::Value::try_from(members)
        {
            line(key, &table.to_string());
        }
    }
    if let Some(names) = &rule.pick {
        line("pick", &list(&mut names.iter().map(String::as_str)));
    }
    if let Some(rate) = rule.rate {
        line("rate", &quote(&rate.to_string()));
    }
    if let Some(interval) = rule.min_interval {
        line("min_interval", &quote(&write_interval(interval)));
    }
    if rule.keep_latest {
        line("keep", &KEEP.write(&true));
    }
    let sources = [("client", rule.hears_clients), ("http", rule.hears_http)];
    line("source", &list(&mut sources.into_iter().filter(|(_, heard)| *heard).map(|(name, _)| name)));
    lines
}
