//! What the broker prints when it is ready.

use std::fmt::Write;
use std::net::IpAddr;

use crate::app::App;
use crate::config::{AppConfig, ClusterSettings, Config, Mode};

/// What the broker prints once it accepts connections at `url` (`http://` and the address and port): a line that says
/// so, and in development mode what is on, why, and where to begin. Configured secrets are never shown. `reachable` are
/// the addresses by which other machines find the broker. The lines of `also` follow the first.
pub(super) fn welcome(config: &Config, url: &str, mode: Mode, reachable: &[IpAddr], also: &str) -> String {
    let mut text = format!("heliostat listening on {url}\n{also}");
    let because = match mode {
        Mode::Configured => return text,
        Mode::DevelopmentByDefault => "there is no configuration file and only this machine can reach it",
        Mode::DevelopmentByName => "it was asked for",
    };
    let _ = writeln!(text, "\nDevelopment mode, because {because}.");
    let exposed = !config.server.widest_host().is_loopback();
    if exposed {
        text.push_str("Other machines can reach this broker, and may do all that is listed here.\n");
    }
    if config.development.pages {
        let base = format!("{}{}", openable(url), config.server.path_prefix);
        let pages = [
            ("/", "snippets for clients and server libraries"),
            ("/stream", "sends your camera's frames"),
            ("/mirror", "shows them, in another window"),
        ];
        text.push_str("\nOpen\n");
        let width = base.len() + "/stream".len();
        for (path, what) in pages {
            let _ = writeln!(text, "  {:width$}   {what}", format!("{base}{path}"));
        }
        if exposed {
            describe_elsewhere(&base, reachable, &mut text);
        }
    }
    if let Some(first) = config.apps.first() {
        describe_app(first, &mut text);
    }
    if config.development.auth_endpoints {
        row(&mut text, "auth endpoints", "/dev/auth and /dev/user-auth sign whatever they are asked to");
    }
    text.push_str(
        "\nA configuration of your own switches all of this off:\n  \
         heliostat print-config --template > heliostat.toml\n  \
         heliostat serve --config heliostat.toml\n\n\
         heliostat --help tells more. Ctrl-C stops the broker.\n",
    );
    text
}

/// Where a phone finds the pages, whose address on this machine is `base`.
fn describe_elsewhere(base: &str, reachable: &[IpAddr], text: &mut String) {
    let elsewhere: Vec<_> = reachable.iter().filter_map(|address| with_host(base, *address)).collect();
    if elsewhere.iter().any(|url| url != base) {
        text.push_str("\nOn a phone, or another machine of the network, open\n");
        for url in elsewhere {
            let _ = writeln!(text, "  {url}/mirror");
        }
    }
    text.push_str("  Browsers lend the camera only to https:// pages and to those of their own machine.\n");
}

/// The same URL under another address.
fn with_host(url: &str, address: IpAddr) -> Option<String> {
    let mut url = url::Url::parse(url).ok()?;
    url.set_ip_host(address).ok()?;
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// What the broker prints about another place where it listens.
pub(super) fn further_line(url: &str) -> String {
    format!("heliostat listens on {url}, too\n")
}

/// What the broker prints where it is one of several nodes.
pub(super) fn cluster_line(cluster: &ClusterSettings) -> Option<String> {
    let url = cluster.url.as_ref()?;
    Some(format!(
        "heliostat is one of the nodes that {url} joins, under the prefix {}\n",
        cluster.node.prefix
    ))
}

/// What the broker prints about the pipe's own port, served at `url` (`ws://` and the address and port).
pub(super) fn pipe_line(url: &str) -> String {
    format!("heliostat serves the pipe on {url}\n")
}

/// What the broker prints about variables of other servers that count: their names.
pub(super) fn foreign_names(read: &[String]) -> String {
    match read {
        [] => String::new(),
        names => {
            format!("heliostat read {} (`heliostat print-config` shows what each sets)\n", names.join(", "))
        }
    }
}

/// What the broker prints about the admin listener at `url`; with the token, as a link that carries it.
pub(super) fn admin_line(url: &str, token: Option<&str>) -> String {
    // A socket's path takes no query.
    let token = token.filter(|_| !url.starts_with("unix:"));
    let link = token.map(|token| format!("/?token={token}")).unwrap_or_default();
    let line = format!("heliostat serves the admin listener on {url}{link}\n");
    let console =
        token.map(|token| format!("heliostat shows what happens at {url}/console/?token={token}\n"));
    line + &console.unwrap_or_default()
}

fn describe_app(config: &AppConfig, text: &mut String) {
    let AppConfig { app, pipe, webhooks, relays } = config;
    let key = app.keys.first();
    let secret = match key.map(|pair| pair.secret.text()) {
        Some(App::DEFAULT_SECRET) => "app-secret (public knowledge: for experiments only)",
        _ => "as configured, not shown",
    };
    text.push_str("\nCredentials\n");
    row(text, "app id", &app.id);
    row(text, "key", key.map_or("", |pair| pair.key.as_str()));
    row(text, "secret", secret);
    text.push_str("\nOn\n");
    if app.client_events {
        let limits = &app.limits;
        let rate = match limits.client_events_per_second {
            0 => "any number".to_owned(),
            rate => rate.to_string(),
        };
        let bytes = limits.client_event_payload_bytes;
        row(text, "client events", &format!("{rate} per second and connection, up to {bytes} bytes each"));
    }
    for (index, rule) in pipe.iter().enumerate() {
        let sent = rule.rename.as_ref().unwrap_or(&rule.event);
        let label = if index == 0 { "pipe" } else { "" };
        let to: Vec<_> = rule.to.iter().map(|to| format!("{to}:{sent}")).collect();
        let to = if to.is_empty() { "nowhere".to_owned() } else { to.join(", ") };
        row(text, label, &format!("{}:{} -> {to}", rule.from, rule.event));
    }
    for (index, endpoint) in webhooks.endpoints.iter().enumerate() {
        row(text, if index == 0 { "webhooks" } else { "" }, &endpoint.url.to_string());
    }
    for (index, relay) in relays.iter().enumerate() {
        let to = format!("app {} of {}", relay.app_id, relay.url);
        row(text, if index == 0 { "relay" } else { "" }, &to);
    }
}

fn row(text: &mut String, label: &str, value: &str) {
    let _ = writeln!(text, "  {label:14}   {value}");
}

/// An address that a browser on this machine can open, where the broker listens on every one.
fn openable(url: &str) -> String {
    url.replacen("//0.0.0.0:", "//127.0.0.1:", 1).replacen("//[::]:", "//[::1]:", 1)
}
