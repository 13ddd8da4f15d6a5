//! `print-config`: the effective values as TOML, each with its origin in a comment.

use std::fmt::Write;

use super::channels::{DELIVERY, write_history};
use super::draft::AppDraft;
use super::relays;
use super::rules::KEEP;
use super::settings::{app_settings, node_settings};
use super::value_type::{FileMode, ListenPlace, MASK, ValueType, quote};
use super::{ListenAddress, ListenerConfig, Loaded, Origin, Origins};
use crate::app::{ChannelSettings, Key, Secret, VideoSettings};
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
            let value = match (setting.path, self.password(setting.path)) {
                ("development.encryption_master_key_base64", _) => {
                    match &self.config.development.encryption_master_key {
                        Some(master) => page.secret(&master.to_base64()),
                        None => setting.write(&self.config),
                    }
                }
                ("cluster.url", _) => match &self.config.cluster.url {
                    Some(url) if !page.show_secrets => quote(&url.to_string()),
                    _ => setting.write(&self.config),
                },
                (_, Some(password)) => page.secret(password.text()),
                (_, None) => setting.write(&self.config),
            };
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
            let ListenerConfig { address, mode, proxy_protocol, tls } = listener;
            let _ = writeln!(page.text, "address = {}", ListenPlace.write(address));
            if matches!(address, ListenAddress::Unix(_)) {
                let _ = writeln!(page.text, "mode = {}", FileMode.write(mode));
            }
            let _ = writeln!(page.text, "proxy_protocol = {proxy_protocol}\ntls = {tls}");
        }
    }

    /// The value of a setting that is not to be shown, if it has one.
    fn password(&self, path: &str) -> Option<&Secret> {
        match path {
            "admin.password" => self.config.admin.password.as_ref(),
            "admin.token" => self.config.admin.token.as_ref(),
            "cluster.password" => self.config.cluster.password.as_ref(),
            "cluster.sentinel_password" => self.config.cluster.sentinel_password.as_ref(),
            _ => None,
        }
    }

    /// The app at `index` as a file has it, secrets included.
    pub(crate) fn app_to_toml(&self, index: usize) -> Option<String> {
        let mut page = Page::with_secrets(String::new());
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
            let ChannelSettings { pattern, delivery, history, video } = settings;
            let (pattern, delivery) = (quote(&pattern.to_string()), DELIVERY.write(delivery));
            let _ = writeln!(page.text, "pattern = {pattern}\ndelivery = {delivery}");
            if let Some(bounds) = history {
                let _ = writeln!(page.text, "history = {}", write_history(bounds));
            }
            if let Some(VideoSettings { publishers, cache_bytes }) = video {
                let publishers: Vec<String> = publishers.iter().map(|id| quote(id)).collect();
                let publishers = publishers.join(", ");
                let _ = writeln!(page.text, "publishers = [{publishers}]\ncache_bytes = {cache_bytes}");
            }
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
                let secret = self.secret(relay.key.secret.text());
                self.text.push_str(&relays::lines(relay, &secret));
            }
        }
        for (number, endpoint) in draft.webhooks.endpoints.iter().enumerate() {
            if let Some(origin) = origin(format!("apps[{index}].webhooks[{number}]")) {
                self.header("[[apps.webhooks]]", Some(origin));
                self.webhook(endpoint);
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

    fn webhook(&mut self, endpoint: &WebhookEndpoint) {
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
        self.text.push_str(&lines);
    }

    fn pair(&self, key: &Key) -> String {
        format!("{{ key = {}, secret = {} }}", quote(&key.key), self.secret(key.secret.text()))
    }
}

fn rule_lines(rule: &RuleSpec) -> String {
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
