//! What keeps a node from joining is told in one sentence.

use super::super::{StartRefusal, check};
use super::engine::target;
use super::process::{RedisProcess, free_port};

async fn refused(url: &str) -> StartRefusal {
    check(&target(url)).await.expect_err("it is not refused")
}

#[tokio::test]
async fn an_engine_with_all_permissions_is_taken_and_one_without_is_told_which() {
    let users = [
        "full on >pass ~heliostat:* &heliostat:* -@all +publish +subscribe +unsubscribe +evalsha +script|load +get +set +del \
         +pexpire +pttl +time +hget +hset +hdel +xadd +xdel +xlen +xrange +info",
        "less on >pass ~heliostat:* &heliostat:* -@all +publish +subscribe +unsubscribe +script|load +get +set +info",
        "elsewhere on >pass ~other:* &other:* +@all",
    ];
    let arguments = users.iter().flat_map(|user| std::iter::once("--user").chain(user.split(' ')));
    let redis = RedisProcess::start(&arguments.collect::<Vec<_>>());
    let url = |user: &str| format!("redis://{user}:pass@127.0.0.1:{}", redis.port);
    assert_eq!(check(&target(&url("full"))).await, Ok(()));
    for (user, about) in [("less", "evalsha"), ("elsewhere", "key")] {
        let refusal = refused(&url(user)).await;
        assert!(
            matches!(&refusal, StartRefusal::Permission { reason, .. } if reason.contains(about)),
            "{refusal}"
        );
        let text = refusal.to_string();
        assert!(text.contains("+publish") && text.contains("~heliostat:* &heliostat:*"), "{text}");
    }
    let refusal = refused(&format!("redis://full:wrong@127.0.0.1:{}", redis.port)).await;
    assert!(matches!(refusal, StartRefusal::Login { .. }), "{refusal}");
}

#[tokio::test]
async fn a_password_that_is_missing_and_an_address_where_nobody_is_are_told() {
    let redis = RedisProcess::start(&["--requirepass", "pass"]);
    let refusal = refused(&format!("redis://127.0.0.1:{}", redis.port)).await;
    assert!(matches!(refusal, StartRefusal::Login { .. }), "{refusal}");
    assert_eq!(check(&target(&format!("redis://:pass@127.0.0.1:{}/3", redis.port))).await, Ok(()));
    let port = free_port();
    let refusal = refused(&format!("redis://127.0.0.1:{port}")).await;
    let text = refusal.to_string();
    assert!(text.starts_with(&format!("the engine at 127.0.0.1:{port} cannot be reached: ")), "{text}");
    assert!(text.contains("refused"), "{text}");
    let refusal = refused(&format!("redis+unix:///nowhere/redis-{port}.sock")).await;
    assert!(matches!(refusal, StartRefusal::Unreachable { .. }), "{refusal}");
}

#[tokio::test]
async fn a_copy_of_another_and_what_is_no_cluster_are_told() {
    let primary = RedisProcess::start(&[]);
    let port = primary.port.to_string();
    let replica = RedisProcess::start(&["--replicaof", "127.0.0.1", &port]);
    let refusal = refused(&format!("redis://127.0.0.1:{}", replica.port)).await;
    assert!(matches!(refusal, StartRefusal::Replica { .. }), "{refusal}");
    let refusal = refused(&format!("redis+cluster://127.0.0.1:{}", primary.port)).await;
    assert!(matches!(refusal, StartRefusal::Incomplete { .. }), "{refusal}");
    let refusal = refused(&format!("redis+sentinel://127.0.0.1:{}/name", primary.port)).await;
    assert!(matches!(refusal, StartRefusal::NoPrimary { .. }), "{refusal}");
}
