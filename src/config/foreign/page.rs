//! The tables of names in `docs/configuration.md`, made from the tables here.

use std::fmt::Write;

use super::row::{ForeignName, Meaning, NameFamily};
use super::{reverb, soketi};
use crate::config::reference::{BEGIN_FOREIGN, END_FOREIGN, replace_or_compare};

fn here(meaning: Meaning) -> String {
    match meaning {
        Meaning::Sets(paths, form) => {
            let paths: Vec<_> = paths.iter().map(|path| format!("`{path}`")).collect();
            let form = match form {
                super::ForeignForm::Same => String::new(),
                form => format!("; {}", form.expected()),
            };
            paths.join(", ") + &form
        }
        Meaning::Webhooks => {
            "`[[apps.webhooks]]`; a JSON array of objects with `url`, `event_types`, `filter` and `headers`"
                .to_owned()
        }
        Meaning::Engine(part) => part.here(),
        Meaning::Only(values, advice) => {
            format!("as here where it is `{}`; else a warning: {advice}", values.join("` or `"))
        }
        Meaning::Advice(advice) => format!("a warning: {advice}"),
        Meaning::ForClients => "not read: it says where clients find the broker".to_owned(),
    }
}

fn table(page: &mut String, title: &str, names: &[ForeignName], families: &[NameFamily], has_options: bool) {
    let options = if has_options { " Option |" } else { "" };
    let _ = write!(
        page,
        "\n### {title}\n\n| Variable |{options} Here |\n|---|{}---|\n",
        if has_options { "---|" } else { "" }
    );
    let code = |name: &str| if name.is_empty() { "–".to_owned() } else { format!("`{name}`") };
    let mut line = |variable: &str, option: &str, here: &str| {
        let option = if has_options { format!(" {option} |") } else { String::new() };
        let _ = writeln!(page, "| {variable} |{option} {} |", here.replace('|', "\\|"));
    };
    for row in names {
        line(&code(row.variable), &code(row.option), &here(row.meaning));
    }
    for row in families {
        let all = |begins: &str| if begins.is_empty() { code("") } else { code(&format!("{begins}*")) };
        line(&all(row.variables), &all(row.options), &format!("a warning: {}", row.advice));
    }
}

#[test]
fn the_tables_of_names_are_up_to_date() {
    let mut page = String::new();
    table(&mut page, "soketi", soketi::NAMES, soketi::FAMILIES, true);
    table(&mut page, "Reverb", reverb::NAMES, reverb::FAMILIES, false);
    table(&mut page, "Pusher's libraries, and platforms", reverb::PUSHER_NAMES, &[], false);
    for row in reverb::PLATFORM_NAMES {
        let _ = writeln!(page, "| `{}` | {} |", row.variable, here(row.meaning));
    }
    replace_or_compare(BEGIN_FOREIGN, END_FOREIGN, &page);
}
