//! Apps of a file of their own, beside the configuration file.

use super::*;

fn sources<'s>(file: Option<&'s str>, apps: Option<&'s str>) -> Sources<'s> {
    Sources { file, apps, ..Sources::default() }
}

fn app(id: &str, key: &str) -> String {
    format!("[[apps]]\nid = \"{id}\"\nkey = \"{key}\"\nsecret = \"hush\"\n")
}

fn ids(loaded: &Loaded) -> Vec<&str> {
    loaded.config.apps.iter().map(|app| app.app.id.as_str()).collect()
}

#[test]
fn its_apps_come_behind_those_of_the_configuration_file() {
    let own = with_app("");
    let apps = format!("{}limits.connections = 5\n{}", app("8", "k8"), app("9", "k9"));
    let loaded = sources(Some(&own), Some(&apps)).load().unwrap();
    assert_eq!(ids(&loaded), ["7", "8", "9"]);
    assert_eq!((loaded.own_apps, loaded.apps_file.as_deref()), (1, Some(Path::new("h.apps.toml"))));
    assert_eq!(loaded.config.apps[1].app.limits.connections, 5);
    assert_eq!(loaded.origins.of("apps[1].limits.connections").to_string(), "h.apps.toml:5:22");
    let alone = sources(Some(&own), None).load().unwrap();
    assert_eq!((ids(&alone), alone.own_apps), (vec!["7"], 1));
}

#[test]
fn without_apps_in_the_configuration_file_it_is_enough() {
    let apps = app("8", "k8");
    let loaded = sources(Some(""), Some(&apps)).load().unwrap();
    assert_eq!((ids(&loaded), loaded.own_apps, loaded.mode), (vec!["8"], 0, Mode::Configured));
    let none = sources(Some(""), Some("# nothing\n")).complaints();
    assert!(none[0].starts_with("h.toml defines no app"), "{none:?}");
}

#[test]
fn the_environment_has_an_app_of_its_own_or_none() {
    let apps = app("8", "k8");
    let variables = &[
        ("HELIOSTAT_APP_ID", "7"),
        ("HELIOSTAT_APP_KEY", "k7"),
        ("HELIOSTAT_APP_SECRET", "s7"),
        ("HELIOSTAT_APP_CLIENT_EVENTS", "true"),
    ];
    let both = Sources { variables, ..sources(Some(""), Some(&apps)) }.load().unwrap();
    assert_eq!((ids(&both), both.own_apps), (vec!["7", "8"], 1));
    assert!(both.config.apps[0].app.client_events && !both.config.apps[1].app.client_events);
    let half = Sources { variables: &variables[2..], ..sources(Some(""), Some(&apps)) }.load().unwrap();
    assert_eq!((ids(&half), half.config.apps[0].app.keys[0].secret.text()), (vec!["8"], "hush"));
    assert_eq!(half.unused, ["HELIOSTAT_APP_SECRET", "HELIOSTAT_APP_CLIENT_EVENTS"]);
}

#[test]
fn it_may_be_elsewhere_and_no_configuration_file_is_needed() {
    let apps = app("8", "k8");
    let variables =
        &[("HELIOSTAT_ADMIN_APPS_FILE", "/elsewhere/h.apps.toml"), ("HELIOSTAT_APP_SECRET", "own")];
    let own = with_app("");
    let loaded = Sources { variables: &variables[..1], ..sources(Some(&own), Some(&apps)) };
    let loaded = loaded.load().unwrap();
    assert_eq!(loaded.apps_file.as_deref(), Some(Path::new("/elsewhere/h.apps.toml")));
    assert_eq!(ids(&loaded), ["7", "8"]);
    let development = Sources { variables: &variables[..1], ..sources(None, Some(&apps)) }.load().unwrap();
    assert_eq!((development.mode, development.own_apps), (Mode::DevelopmentByDefault, 1));
    assert_eq!(ids(&development), [crate::app::App::DEFAULT_ID, "8"]);
    assert_eq!(
        Sources::default().load().unwrap().apps_file,
        None,
        "there is nothing that it could be beside"
    );
}

#[test]
fn what_is_wrong_with_it_is_told_with_its_place() {
    let own = with_app("");
    let same_id = app("7", "k8");
    let same_key = app("8", "key-7");
    let twice = format!("{}{}", app("8", "k8"), app("8", "k9"));
    for (apps, expected) in [
        (
            "[server]\nport = 1\n",
            "h.apps.toml:1:2: expected [[apps]] and nothing else, got \"server\", which belongs in the configuration file",
        ),
        ("[[apps]\n", "h.apps.toml:1:8: not valid TOML: "),
        ("[[apps]]\nid = 7\nkey = \"k\"\nsecret = \"s\"\n", "h.apps.toml:2:6: apps.id must be "),
        ("[[apps]]\nid = \"8\"\n", "h.apps.toml:1:1: an app needs \"key\", which is missing"),
        (
            &same_id,
            "h.apps.toml:2:6: two apps have the id \"7\"; ids must be unique; the first is that of h.toml:3:6",
        ),
        (
            &same_key,
            "h.apps.toml:3:7: the key \"key-7\" is used twice; keys must be unique across all apps; the first is that of h.toml:4:7",
        ),
        (&twice, "h.apps.toml:6:6: two apps have the id \"8\"; ids must be unique"),
    ] {
        let complaints = sources(Some(&own), Some(apps)).complaints();
        assert!(complaints.len() == 1 && complaints[0].starts_with(expected), "{complaints:?}");
    }
    let flags = Flags { config: Some("h.toml".into()), ..Flags::default() };
    let unreadable = load([], &flags, |path| {
        if path.ends_with("h.toml") {
            Ok(own.clone().into())
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    });
    assert_eq!(
        unreadable.unwrap_err()[0].to_string(),
        "cannot read the apps file h.apps.toml: permission denied"
    );
    let itself = format!("[admin]\napps_file = \"h.toml\"\n{own}");
    assert_eq!(
        sources(Some(&itself), None).complaints()[0],
        "h.toml:2:13: admin.apps_file must be another file than the configuration file, got h.toml"
    );
}
