//! What the documentation says is enough is enough, in each form of one server.

use heliostat_protocol_tests::engine::RedisServer;

use super::super::{StartRefusal, check};
use super::engine::target;
use super::member::{Member, channel};

/// The rule of the documentation, and that of the example beside it.
fn rule(text: &'static str) -> Vec<&'static str> {
    let line = text.lines().find(|line| line.starts_with("user heliostat on ")).unwrap();
    line.split(' ').skip(1).collect()
}

fn documented() -> Vec<&'static str> {
    rule(include_str!("../../../../docs/cluster.md"))
}

const PASSWORD: &str = ">choose-a-long-random-password";

/// Makes a user by these words of a rule, and returns its URL.
fn user(redis: &RedisServer, name: &str, rule: &[&str]) -> String {
    let command = ["ACL", "SETUSER", name].into_iter().chain(rule.iter().skip(1).copied());
    let answer = redis.client().call(&command.collect::<Vec<_>>()).text();
    assert_eq!(answer, "OK");
    format!("redis://{name}:{}@127.0.0.1:{}", &PASSWORD[1..], redis.port())
}

#[tokio::test]
async fn the_documented_user_may_do_all_that_is_needed_and_nothing_else() {
    let documented = documented();
    assert_eq!(documented, rule(include_str!("../../../../examples/deploy/cluster/users.acl")));
    assert!(documented.contains(&PASSWORD));
    let redis = RedisServer::start(&[]);
    let mut member = Member::join(target(&user(&redis, "heliostat", &documented))).await;
    let subject = channel("cache-a");
    member.subscribe(&subject).await;
    assert_eq!(member.remember(&subject, "remembered").await, Ok(()));
    assert_eq!(member.hear().await, "remembered");
    for (n, word) in documented.iter().enumerate().filter(|(_, word)| word.starts_with('+')) {
        // These are for a Redis Cluster.
        if word.starts_with("+cluster") || ["+spublish", "+ssubscribe", "+sunsubscribe"].contains(word) {
            continue;
        }
        let mut less = documented.clone();
        less.remove(n);
        let refusal = check(&target(&user(&redis, &format!("without{n}"), &less))).await;
        let told = refusal.expect_err(word).to_string();
        assert!(told.contains("lacks a permission"), "{word}: {told}");
    }
}

#[tokio::test]
async fn a_unix_socket_and_another_database_are_taken() {
    let path = std::env::temp_dir().join(format!("heliostat-{:032x}.sock", rand::random::<u128>()));
    let redis = RedisServer::start(&["--unixsocket", &path.display().to_string()]);
    let mut member = Member::join(target(&format!("redis+unix://{}?db=3", path.display()))).await;
    let mut other = Member::join(target(&format!("redis://127.0.0.1:{}/3", redis.port()))).await;
    let subject = channel("cache-a");
    for member in [&member, &other] {
        member.subscribe(&subject).await;
    }
    assert_eq!(member.remember(&subject, "remembered").await, Ok(()));
    assert_eq!((member.hear().await.as_str(), other.hear().await.as_str()), ("remembered", "remembered"));
    let mut client = redis.client();
    assert_eq!(client.call(&["DBSIZE"]).integer(), 0, "nothing in the usual one");
    client.call(&["SELECT", "3"]);
    assert!(client.call(&["DBSIZE"]).integer() > 0);
    let refusal = check(&target(&format!("redis://127.0.0.1:{}/99", redis.port()))).await.unwrap_err();
    assert!(matches!(&refusal, StartRefusal::Refuses { .. }), "{refusal}");
    drop(redis);
    member.away().await;
    let _ = std::fs::remove_file(path);
}
