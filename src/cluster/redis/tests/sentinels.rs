//! Sentinels tell where the primary is, and are asked again when it has moved.

use std::time::Duration;

use heliostat_protocol_tests::engine::{SENTINEL_NAME, Watched};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::super::places::locate;
use super::super::{RedisTarget, StartRefusal, check};
use super::engine::target;
use super::member::{Member, channel};
use crate::app::Secret;
use crate::cluster::EngineLogin;

fn target_of(watched: &Watched) -> RedisTarget {
    // The first one is not there: the next is asked.
    target(&format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{}/{SENTINEL_NAME}", watched.sentinel().port()))
}

async fn fail_over(watched: Watched) -> Watched {
    let failing_over = move || {
        watched.fail_over();
        watched.await_replica();
        watched
    };
    tokio::task::spawn_blocking(failing_over).await.unwrap()
}

#[tokio::test]
async fn a_fail_over_is_followed_there_and_back_while_events_flow() {
    let mut watched = tokio::task::spawn_blocking(Watched::start).await.unwrap();
    let mut one = Member::join(target_of(&watched)).await;
    let mut two = Member::join(target_of(&watched)).await;
    let subject = channel("a");
    one.subscribe(&subject).await;
    two.subscribe(&subject).await;
    for round in ["there", "back"] {
        let before = one.up().await;
        assert_eq!(two.up().await, before, "both name it alike");
        let failing_over = fail_over(watched);
        tokio::pin!(failing_over);
        let mut said = 0u32;
        watched = loop {
            tokio::select! {
                watched = &mut failing_over => break watched,
                answer = one.say(&subject, "meanwhile") => said += u32::from(answer.is_ok()),
            }
            for member in [&mut one, &mut two] {
                while member.words.try_next().is_some() {}
            }
            tokio::task::yield_now().await;
        };
        assert!(said > 0);
        let after = one.another_than(&before).await;
        assert_eq!(two.another_than(&before).await, after, "both have followed");
        assert_eq!(one.say(&subject, round).await, Ok(()));
        for member in [&mut one, &mut two] {
            while member.hear().await != round {}
        }
        // The old one is a replica of the new one by now, and nobody is drawn to it.
        assert!(one.is_up() && two.is_up());
    }
}

/// What answers one request of each connection after the other with these; its host and port.
async fn answers_in_turn(answers: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut read, mut answers) = ([0; 1000], answers.iter());
            while stream.read(&mut read).await.is_ok_and(|n| n > 0)
                && let Some(answer) = answers.next()
            {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    address
}

/// Whoever learned of a fail-over so late would take those for dead who have followed it.
#[tokio::test]
async fn a_sentinel_that_says_nothing_holds_nobody_up() {
    const DEADLINE: Duration = Duration::from_secs(60);
    const GREETING: &str = "%2\r\n+version\r\n+7.0.0\r\n+mode\r\n+sentinel\r\n";
    // It accepts, and answers nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tells = answers_in_turn(&[GREETING, "*2\r\n+127.0.0.1\r\n+7\r\n"]).await;
    let knows_none = answers_in_turn(&[GREETING, "_\r\n"]).await;
    let of = |sentinels: String| RedisTarget {
        connect_timeout: 2 * DEADLINE,
        ..target(&format!("redis+sentinel://{sentinels}/{SENTINEL_NAME}"))
    };
    let asked = of(format!("{},{knows_none},{tells}", silent.local_addr().unwrap()));
    let found = timeout(DEADLINE, locate(&asked)).await.expect("the others are asked").unwrap();
    assert_eq!(found.servers[0].to_string(), "127.0.0.1:7");
    let refusal = locate(&of(format!("127.0.0.1:1,{knows_none}"))).await.unwrap_err().to_string();
    assert!(refusal.contains("127.0.0.1:1 ") && refusal.contains(" knows none"), "{refusal}");
}

#[tokio::test]
async fn sentinels_have_a_password_of_their_own() {
    let watched = tokio::task::spawn_blocking(Watched::start).await.unwrap();
    let mut client = watched.sentinel().client();
    assert_eq!(client.call(&["ACL", "SETUSER", "default", "resetpass", ">hush"]).text(), "OK");
    let refusal = check(&target_of(&watched)).await.unwrap_err();
    let told = refusal.to_string();
    assert!(
        matches!(refusal, StartRefusal::NoPrimary { .. }) && told.contains("user and password"),
        "{told}"
    );
    assert!(!told.contains("hush"));
    let mut target = target_of(&watched);
    target.sentinel_login = EngineLogin { user: None, password: Some(Secret::new("hush")) };
    let mut member = Member::join(target.clone()).await;
    member.subscribe(&channel("a")).await;
    assert_eq!(member.say(&channel("a"), "heard").await, Ok(()));
    assert_eq!(member.hear().await, "heard");
    let mut strange = target;
    strange.place =
        super::engine::target(&format!("redis+sentinel://127.0.0.1:{}/another", watched.sentinel().port()))
            .place;
    let told = check(&strange).await.unwrap_err().to_string();
    assert!(told.contains("primary another") && told.contains("knows none"), "{told}");
}
