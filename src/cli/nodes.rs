//! `nodes`: asks the running broker which nodes are one broker with it, and shows them as a table.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::answers::no_control_socket;
use crate::cluster::short_id;
use crate::config::{Flags, read_file_once};
use crate::node::Readiness;
use crate::server::control::{self, ControlAnswer};

/// What the running broker answers: its nodes as JSON.
pub(super) fn nodes_of(readiness: &Readiness) -> ControlAnswer {
    let alone = || "heliostat: this broker is one node alone: cluster.url is not set".to_owned();
    readiness.nodes().map(|nodes| nodes.to_string()).ok_or_else(alone)
}

/// Asks the running broker; returns what to print.
///
/// # Errors
/// Why there is nothing to show: whole lines.
pub(super) fn show_nodes(flags: &Flags, in_json: bool) -> Result<String, String> {
    let Some(socket) = super::control_socket(flags, &read_file_once)? else {
        return Err(no_control_socket("ask its admin listener for /nodes, which tells the same as JSON"));
    };
    let answer = match control::ask(&socket, control::NODES) {
        Ok(Ok(answer)) => answer,
        Ok(Err(complaint)) => return Err(format!("{complaint}\n")),
        Err(error) => return Err(format!("heliostat: {error}\n")),
    };
    let report: Json = serde_json::from_str(&answer)
        .map_err(|_| "heliostat: the broker gave no list of nodes that can be understood\n".to_owned())?;
    Ok(if in_json { format!("{report:#}\n") } else { table(&report) })
}

const HEADINGS: [&str; 9] =
    ["NAME", "ID", "RELEASE", "STATE", "LAST HEARD", "CHANNELS", "MEMBERS", "USERS", "LINK"];

/// The nodes, a line each, below a line of headings.
fn table(report: &Json) -> String {
    let empty = Vec::new();
    let nodes = report["nodes"].as_array().unwrap_or(&empty);
    let link = link(&report["link"]);
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(nodes.iter().map(|node| row(node, &link)));
    let widths: [usize; HEADINGS.len()] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    rows.iter().fold(String::new(), |mut text, row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", line.trim_end());
        text
    })
}

fn row(node: &Json, link: &str) -> [String; HEADINGS.len()] {
    // What other nodes say of themselves could move a terminal's cursor.
    let text = |name: &str| node[name].as_str().unwrap_or("-").escape_debug().to_string();
    let number = |name: &str| node[name].as_u64().map_or("-".to_owned(), |number| number.to_string());
    let is_this = node["is_this"] == true;
    let mut state = text("state");
    if node["is_namesake"] == true {
        state += ", namesake";
    }
    let differing = node["differing_settings"].as_array().into_iter().flatten().filter_map(Json::as_str);
    differing.for_each(|setting| {
        let _ = write!(state, ", other {}", setting.escape_debug());
    });
    let heard = match node["silent_for_seconds"].as_f64() {
        _ if is_this => "this node".to_owned(),
        Some(seconds) => format!("{seconds:.1} s ago"),
        None => "-".to_owned(),
    };
    let link = if is_this { link.to_owned() } else { String::new() };
    let id = short_id(&text("id")).to_owned();
    [
        text("name"),
        id,
        text("release"),
        state,
        heard,
        number("channels"),
        number("members"),
        number("users"),
        link,
    ]
}

/// How it is with the engine, as this node has it.
fn link(link: &Json) -> String {
    match link["round_trip_seconds"].as_f64() {
        Some(seconds) => format!("up, {:.1} ms", seconds * 1000.0),
        None => {
            let seconds = link["seconds"].as_f64().unwrap_or_default();
            let reason = link["reason"].as_str().unwrap_or_default().escape_debug().to_string();
            format!("away for {seconds:.0} s: {reason}")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nodes_are_a_table_in_which_nothing_can_move_the_cursor() {
        let report = json!({
            "link": { "state": "up", "engine": "e", "round_trip_seconds": 0.00042 },
            "bus": { "state": "up" },
            "nodes": [
                { "name": "a", "id": "0123456789abcdef0123456789abcdef", "is_this": true, "release": "1.2.3",
                  "state": "serving", "channels": 12, "members": 3, "users": 1 },
                { "name": "b\u{1b}[2J", "id": "ff", "is_this": false, "release": "1.2.3", "state": "catching up",
                  "silent_for_seconds": 0.5, "address": null, "is_namesake": true,
                  "differing_settings": ["fallback.path"],
                  "channels": 1000, "members": 0, "users": 0 },
            ],
        });
        let expected = "\
NAME        ID        RELEASE  STATE                                       LAST HEARD  CHANNELS  MEMBERS  USERS  LINK
a           01234567  1.2.3    serving                                     this node   12        3        1      up, 0.4 ms
b\\u{1b}[2J  ff        1.2.3    catching up, namesake, other fallback.path  0.5 s ago   1000      0        0
";
        assert_eq!(table(&report), expected);
        let away =
            json!({ "link": { "state": "away", "seconds": 12.3, "reason": "it is gone" }, "nodes": [] });
        assert!(link(&away["link"]).ends_with("away for 12 s: it is gone"));
    }
}
