//! Other brokers, started with the limits lifted that a scenario would run into.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::wire::signature::App;

/// sockudo, with everything in memory and nothing else listening.
pub(super) fn sockudo(program: &Path, directory: &Path, port: u16, app: &App) -> io::Result<Command> {
    let App { id, key, secret } = app;
    let configuration = directory.join("config.json");
    fs::write(
        &configuration,
        format!(
            r#"{{
  "host": "127.0.0.1", "port": {port}, "debug": false,
  "adapter": {{"driver": "local"}}, "cache": {{"driver": "memory"}}, "queue": {{"driver": "memory"}},
  "rate_limiter": {{"enabled": false}}, "metrics": {{"enabled": false}},
  "websocket_max_payload_kb": 4096,
  "event_limits": {{"max_payload_in_kb": 1024}},
  "http_api": {{"request_limit_in_mb": 4}},
  "presence": {{"max_members_per_channel": 10000}},
  "app_manager": {{"driver": "memory", "array": {{"apps": [{{
    "id": "{id}", "key": "{key}", "secret": "{secret}", "enabled": true,
    "max_connections": 100000, "enable_client_messages": true,
    "max_client_events_per_second": 1000000, "max_backend_events_per_second": 1000000,
    "max_read_requests_per_second": 1000000, "max_presence_members_per_channel": 10000,
    "max_event_payload_in_kb": 1024
  }}]}}}}
}}
"#
        ),
    )?;
    let mut command = Command::new(program);
    command.arg("--config").arg(configuration).current_dir(directory);
    Ok(command)
}

/// Any other, by a shell command. The shell gives way to the server, so that its process is the one that is measured.
pub(super) fn shell(command: &str, port: u16) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec {}", command.replace("{port}", &port.to_string())));
    shell
}
