//! What commands answer in words: that all is well, or what is wrong.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::app::Key;
use crate::app_admin::draw_key;
use crate::config::{self, Config, Loaded};
use crate::test_mode::{Credentials, credentials_of};

/// What `serve --test` prints when it is ready: one line of JSON. `address` is where it listens.
pub(super) fn ready(config: &Config, address: SocketAddr, token: &str) -> String {
    let tls = config.server.serves_tls();
    let host = Credentials::host_of(address);
    let prefix = &config.server.path_prefix;
    let mut told = match config.apps.first() {
        Some(first) => {
            let credentials = credentials_of(&first.app, &host, address.port(), tls, prefix);
            let mut told = serde_json::json!(credentials);
            told["control_url"] = credentials.control_url().into();
            told
        }
        None => serde_json::json!({ "host": host, "port": address.port() }),
    };
    told["token"] = token.into();
    format!("{told}\n")
}

/// The text for standard error when the configuration is not sound: one line per error.
pub(super) fn complaint(errors: &[config::Error]) -> String {
    errors.iter().fold(String::new(), |text, error| text + &format!("heliostat: {error}\n"))
}

/// The commented default file with an app of credentials that are drawn for it, so that it can be used as it is.
pub(super) fn template() -> String {
    let Key { key, secret } = draw_key();
    let secret = secret.text();
    config::TEMPLATE
        .replacen("\n#[[apps]]\n", "\n[[apps]]\n", 1)
        .replacen("\n#id = \"1001\"\n", "\nid = \"1001\"\n", 1)
        .replacen("\n#key = \"app-key\"\n", &format!("\nkey = \"{key}\"\n"), 1)
        .replacen("\n#secret = \"app-secret\"\n", &format!("\nsecret = \"{secret}\"\n"), 1)
}

/// The answer of `check-config` when the configuration is sound.
pub(super) fn verdict(loaded: &Loaded) -> String {
    let Config { server, apps, .. } = &loaded.config;
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let rules = apps.iter().map(|app| app.pipe.len()).sum();
    let webhooks = apps.iter().map(|app| app.webhooks.endpoints.len()).sum();
    let mode = if loaded.mode.is_development() { ", development mode" } else { "" };
    let (apps, rules) = (count(apps.len(), "app"), count(rules, "pipe rule"));
    let webhooks = count(webhooks, "webhook");
    let mut text = format!("ok: {apps}, {rules}, {webhooks}, to listen on {}{mode}\n", server.address());
    for warning in &loaded.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// The complaint of a command that does not know where the broker is, and what can be done instead.
pub(super) fn no_control_socket(instead: &str) -> String {
    format!(
        "heliostat: expected the control socket of the running broker, got none: name it with --control-socket, or set\n\
         server.control_socket in its configuration; without one, {instead}\n"
    )
}
