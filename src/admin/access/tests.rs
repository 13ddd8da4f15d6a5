//! Every way of asking, on a loopback address and on others.

use actix_web::test::TestRequest;

use super::*;

const TOKEN: &str = "a-long-token";
const PASSWORD: &str = "pass:word";

fn access(host: &str) -> Access {
    let config = AdminConfig {
        host: ListenHost::Address(host.parse().unwrap()),
        password: Some(Secret::new(PASSWORD)),
        token: Some(Secret::new(TOKEN)),
        hostnames: vec!["admin.example.com".to_owned()],
        ..AdminConfig::default()
    };
    Access::new(&config, || unreachable!("there are credentials"))
}

fn judge(access: &Access, area: Area, uri: &str, headers: &[(&str, &str)]) -> Result<(), AdminError> {
    let request = TestRequest::default().uri(uri);
    let request = headers.iter().fold(request, |request, header| request.append_header(*header));
    access.check(&request.to_http_request(), area)
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[test]
fn figures_are_open_on_loopback_alone_and_control_nowhere() {
    let own = [("host", "localhost:9601")];
    for (host, figures) in [
        ("127.0.0.1", Ok(())),
        ("::1", Ok(())),
        ("0.0.0.0", Err(AdminError::NoCredentials)),
        ("10.0.0.1", Err(AdminError::NoCredentials)),
    ] {
        let access = access(host);
        assert_eq!(judge(&access, Area::Figures, "/", &own), figures, "{host}");
        assert_eq!(judge(&access, Area::Control, "/", &own), Err(AdminError::NoCredentials), "{host}");
    }
    let proxied = [("host", "localhost:9601"), ("x-forwarded-for", "203.0.113.7")];
    assert_eq!(judge(&access("::1"), Area::Figures, "/", &proxied), Err(AdminError::NoCredentials));
}

#[test]
fn either_of_the_credentials_does_and_nothing_that_resembles_them() {
    for area in [Area::Figures, Area::Control] {
        let judged = |authorization: &str| {
            judge(&access("0.0.0.0"), area, "/", &[("host", "localhost"), ("authorization", authorization)])
        };
        for right in [format!("Bearer {TOKEN}"), format!("bearer  {TOKEN} "), basic("admin", PASSWORD)] {
            assert_eq!(judged(&right), Ok(()), "{right}");
        }
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer a-long-tokem",
            "Bearer a-long-token2",
            "Bearer pass:word",
            "Basic",
            "Basic %%%",
            "Basic YWRtaW4=",
            "Digest x",
            TOKEN,
            &basic("root", PASSWORD),
            &basic("admin", "pass"),
            &basic("admin", TOKEN),
            &basic("admin", ""),
        ] {
            assert_eq!(judged(wrong), Err(AdminError::WrongCredentials), "{wrong:?}");
        }
    }
}

#[test]
fn only_a_drawn_token_may_come_in_a_link() {
    let own = [("host", "localhost")];
    let configured = access("127.0.0.1");
    assert_eq!(configured.drawn_token(), None);
    let linked = format!("/api?token={TOKEN}");
    assert_eq!(judge(&configured, Area::Control, &linked, &own), Err(AdminError::NoCredentials));
    let drawn = Access::new(&AdminConfig::default(), || "drawn-at-the-start".to_owned());
    assert_eq!(drawn.drawn_token(), Some("drawn-at-the-start"));
    assert_eq!(judge(&drawn, Area::Control, "/api?token=drawn-at-the-start", &own), Ok(()));
    let wrong = judge(&drawn, Area::Control, "/api?token=another", &own);
    assert_eq!(wrong, Err(AdminError::WrongCredentials));
    let shown = [("host", "localhost"), ("authorization", "Bearer drawn-at-the-start")];
    assert_eq!(judge(&drawn, Area::Control, "/api", &shown), Ok(()));
    let empty = [("host", "localhost"), ("authorization", &basic("admin", ""))];
    assert_eq!(judge(&drawn, Area::Control, "/api", &empty), Err(AdminError::WrongCredentials));
}

#[test]
fn only_names_of_its_own_are_answered() {
    let token = ("authorization", "Bearer a-long-token");
    let answers = |listener: &str, host: &str| {
        let judged = judge(&access(listener), Area::Figures, "/", &[("host", host), token]);
        assert!(judged.is_ok() || judged == Err(AdminError::ForeignHost(host.to_owned())), "{host}");
        judged.is_ok()
    };
    for host in ["localhost", "LOCALHOST:9601", "127.0.0.1:9601", "[::1]:9601", "Admin.Example.com:443"] {
        for listener in ["127.0.0.1", "0.0.0.0", "10.0.0.1", "::"] {
            assert!(answers(listener, host), "{listener} {host}");
        }
    }
    for host in
        ["", "evil.example", "localhost.evil.example", "example.com", "heliostat:9601", "x@localhost", "a/b"]
    {
        for listener in ["127.0.0.1", "0.0.0.0", "10.0.0.1", "::"] {
            assert!(!answers(listener, host), "{listener} {host}");
        }
    }
    assert!(answers("10.0.0.1", "10.0.0.1:9601") && !answers("10.0.0.1", "10.0.0.2:9601"));
    assert!(answers("0.0.0.0", "10.0.0.2:9601") && answers("::", "[2001:db8::1]:9601"));
    assert!(!answers("127.0.0.1", "10.0.0.2:9601"));
}

#[test]
fn no_page_but_its_own_reaches_control() {
    let judged = |header: (&str, &str)| {
        let headers = [("host", "localhost:9601"), ("authorization", "Bearer a-long-token"), header];
        assert_eq!(judge(&access("127.0.0.1"), Area::Figures, "/", &headers), Ok(()), "{header:?}");
        judge(&access("127.0.0.1"), Area::Control, "/", &headers)
    };
    for own in
        [("origin", "http://localhost:9601"), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none")]
    {
        assert_eq!(judged(own), Ok(()), "{own:?}");
    }
    for foreign in [
        ("origin", "http://localhost:3000"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("referer", "http://localhost:3000/x"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "Cross-Site"),
    ] {
        assert!(matches!(judged(foreign), Err(AdminError::ForeignOrigin(_))), "{foreign:?}");
    }
}

/// The pages of development mode, on another port of this machine, link to it; what else they could ask for stays refused.
#[test]
fn a_link_of_this_machine_leads_to_the_console() {
    let site = ("sec-fetch-site", "same-site");
    let (mode, dest) = (("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"));
    let judged = |area, path, more: &[(&str, &str)]| {
        let own = [("host", "localhost:9601"), ("authorization", "Bearer a-long-token")];
        judge(&access("127.0.0.1"), area, path, &[&own, more].concat())
    };
    for path in ["/console", "/console/"] {
        assert_eq!(
            judged(Area::Console, path, &[site, mode, dest, ("referer", "http://localhost:1/")]),
            Ok(())
        );
        let bare = [("host", "localhost:9601"), site, mode, dest];
        assert_eq!(judge(&access("127.0.0.1"), Area::Console, path, &bare), Err(AdminError::NoCredentials));
    }
    for (area, path, headers) in [
        (Area::Console, "/console/api/status", [site, mode, dest]),
        (Area::Console, "/console/main.js", [site, mode, dest]),
        (Area::Console, "/console/?token=wrong", [site, mode, dest]),
        (Area::Control, "/api/apps", [site, mode, dest]),
        (Area::Console, "/console/", [("sec-fetch-site", "cross-site"), mode, dest]),
        (Area::Console, "/console/", [site, mode, ("sec-fetch-dest", "iframe")]),
        (Area::Console, "/console/", [site, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "script")]),
        (Area::Console, "/console/", [site, mode, ("origin", "http://localhost:1")]),
    ] {
        let refused = judged(area, path, &headers);
        assert!(matches!(refused, Err(AdminError::ForeignOrigin(_))), "{path} {headers:?}: {refused:?}");
    }
}

#[test]
fn guesses_are_bounded_by_client_and_shut_out_nobody_who_comes_by_the_same_proxy() {
    let access = |most: usize, proxies: &[&str]| {
        let refused = Arc::<RefusedAddresses>::default();
        refused.set_most(most);
        let proxies = proxies.iter().map(|text| text.parse().unwrap()).collect();
        (access("127.0.0.1").counting(Arc::clone(&refused), Arc::new(proxies)), refused)
    };
    let ask = |access: &Access, peer: &str, client: &str, token: &str| {
        let token = ("authorization", format!("Bearer {token}"));
        let request = TestRequest::default().uri("/api").append_header(("host", "localhost"));
        let request = request.append_header(token).peer_addr(peer.parse().unwrap());
        let request = match client {
            "" => request,
            client => request.append_header(("x-forwarded-for", client)),
        };
        match access.check(&request.to_http_request(), Area::Control) {
            Ok(()) => 200,
            Err(error) => error.status().as_u16(),
        }
    };
    const PROXY: &str = "127.0.0.1:5";
    const WRONG: &str = "wrong";
    // Of a proxy that nobody trusts it is not known for whom it speaks.
    let (untrusting, refused) = access(2, &[]);
    let by_proxy = |client: &str, token: &str| ask(&untrusting, PROXY, client, token);
    assert_eq!([(); 4].map(|()| by_proxy("192.0.2.1", WRONG)), [401, 401, 429, 429]);
    assert_eq!(by_proxy("192.0.2.2", TOKEN), 200, "an operator is not shut out");
    assert_eq!((by_proxy("192.0.2.2", WRONG), refused.unseen()), (429, 3));
    // Who comes himself is one.
    assert_eq!([(); 3].map(|()| ask(&untrusting, PROXY, "", WRONG)), [401, 401, 429]);
    assert_eq!(ask(&untrusting, PROXY, "", TOKEN), 429);
    assert_eq!(ask(&untrusting, "192.0.2.3:5", "", TOKEN), 200);

    let (trusting, refused) = access(2, &["127.0.0.1"]);
    let by_proxy = |client: &str, token: &str| ask(&trusting, PROXY, client, token);
    assert_eq!([(); 3].map(|()| by_proxy("192.0.2.1", WRONG)), [401, 401, 429]);
    assert_eq!((by_proxy("192.0.2.1", TOKEN), refused.unseen()), (429, 2), "it is one client");
    assert_eq!([(); 3].map(|()| by_proxy("192.0.2.2", WRONG)), [401, 401, 429], "another client");
    assert_eq!((by_proxy("192.0.2.3", TOKEN), refused.len(Instant::now())), (200, 2));
    // What it writes instead of an address is its own word, and so is nothing.
    for hidden in ["unknown", ""] {
        assert_eq!([(); 3].map(|()| by_proxy(hidden, WRONG)), [401, 401, 429], "{hidden:?}");
        assert_eq!(by_proxy(hidden, TOKEN), 200, "{hidden:?}");
    }
    let (unbounded, refused) = access(0, &[]);
    assert!([(); 50].iter().all(|()| ask(&unbounded, PROXY, "", WRONG) == 401));
    assert_eq!((refused.unseen(), refused.len(Instant::now())), (0, 0));
}
