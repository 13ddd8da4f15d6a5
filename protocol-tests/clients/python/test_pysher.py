"""pysher, an independent client of protocol 6: it pings before it is greeted and signs for itself."""

import pytest

from record import PYSHER, shown


# Proves: 3, 11, 36.
def test_connects_and_is_answered_its_early_ping(listen):
    listener = listen()
    first, second = listener.socket_id.split(".")
    assert first.isdigit() and second.isdigit()
    assert listener.received(None, "pusher:pong") == {}
    shown(PYSHER, "connection", "ping")


# Proves: 66, 69.
@pytest.mark.parametrize("prefix", ["news", "private-room"])
def test_subscribes_and_hears_events(listen, library, fresh, prefix):
    listener, name = listen(), fresh(prefix)
    assert listener.subscribe(name, "greet") == {}
    library.trigger(name, "greet", {"hi": 1})
    assert listener.received(name, "greet") == {"hi": 1}
    shown(PYSHER, "private" if prefix.startswith("private-") else "public")


# Proves: 70, 73, 76.
@pytest.mark.parametrize(
    ("auth", "complaint"),
    [
        ("{key}:" + "0" * 64, "Invalid signature: Expected HMAC SHA256 hex digest of {socket_id}:{channel}, but got " + "0" * 64),
        ("nobodys-key:" + "0" * 64, "Invalid key in subscription auth data: 'nobodys-key'"),
    ],
    ids=["wrong signature", "wrong key"],
)
def test_a_refused_subscription_leaves_the_connection_open(broker, listen, fresh, auth, complaint):
    listener, name = listen(), fresh("private-room")
    refused = listener.try_subscribe(name, auth.format(key=broker.key))
    expected = complaint.format(socket_id=listener.socket_id, channel=name)
    assert refused == {"code": None, "message": expected}
    assert listener.subscribe(fresh("news")) == {}
    shown(PYSHER, "bad auth")


# Proves: 90, 91, 92, 93, 94.
def test_joins_a_presence_channel_and_finds_everybody(listen, fresh):
    room = fresh("presence-room")
    listen(user_id="ann", name="Ann").subscribe(room)
    joined = listen(user_id=7).subscribe(room)
    assert set(joined) == {"presence"}
    presence = joined["presence"]
    assert sorted(presence["ids"]) == ["7", "ann"]
    assert presence["hash"] == {"ann": {"name": "Ann"}, "7": None}
    assert presence["count"] == 2


# Proves: 95, 96, 99, 100.
def test_hears_members_come_and_go(listen, fresh):
    room = fresh("presence-room")
    ann, bob = listen(user_id="ann"), listen(user_id="bob", name="Bob")
    ann.subscribe(room)
    bob.subscribe(room)
    assert ann.received(room, "pusher_internal:member_added") == {"user_id": "bob", "user_info": {"name": "Bob"}}
    bob.unsubscribe(room)
    assert ann.received(room, "pusher_internal:member_removed") == {"user_id": "bob"}
    assert bob.all(room, "pusher_internal:member_added") == []
    shown(PYSHER, "presence")


# Proves: 113, 114, 116.
@pytest.mark.parametrize("prefix", ["private-room", "presence-room"])
def test_client_events_go_both_ways_and_never_back(listen, fresh, prefix):
    name = fresh(prefix)
    ann, bob = listen(user_id="ann"), listen(user_id="bob")
    for listener in (ann, bob):
        listener.subscribe(name, "client-said")
    ann.trigger(name, "client-said", {"by": "ann"})
    assert bob.received(name, "client-said") == {"by": "ann"}
    bob.trigger(name, "client-said", {"by": "bob"})
    assert ann.received(name, "client-said") == {"by": "bob"}
    assert bob.all(name, "client-said") == [{"by": "ann"}]
    assert ann.all(name, "client-said") == [{"by": "bob"}]
    shown(PYSHER, "client events")


# Proves: 127.
def test_an_oversize_client_event_is_refused_with_4301(listen, fresh):
    name = fresh("private-room")
    sender, reader = listen(), listen()
    for listener in (sender, reader):
        listener.subscribe(name, "client-picture")
    sender.trigger(name, "client-picture", "x" * 10_241)
    assert sender.received(None, "pusher:error")["code"] == 4301
    sender.trigger(name, "client-picture", "x" * 10_240)
    reader.received(name, "client-picture")
    assert reader.all(name, "client-picture") == ["x" * 10_240]
    shown(PYSHER, "payload too large")


# Proves: 82.
def test_after_unsubscribe_nothing_arrives(listen, library, fresh):
    name = fresh("news")
    leaver, stayer = listen(), listen()
    for listener in (leaver, stayer):
        listener.subscribe(name, "greet")
    frames = []
    leaver.pusher.connection.event_handler = lambda *frame: frames.append(frame)
    leaver.pusher.connection.send_event("pusher:unsubscribe", {"channel": name})
    leaver.pusher.connection.send_ping()
    leaver.received(None, "pusher:pong", count=2)
    library.trigger(name, "greet", {})
    stayer.received(name, "greet")
    leaver.pusher.connection.send_ping()
    leaver.received(None, "pusher:pong", count=3)
    assert frames == []
    shown(PYSHER, "unsubscribe")
