"""What an app tells and what can be done to it, with real clients and a real backend."""

import os

import pytest

from listener import Listener, backend
from pytest_heliostat import ControlError, Fault, connections, delivered, event, logged, refused, subscribers


def test_an_app_has_what_it_was_made_with(heliostat):
    made = {"id": f"4242{os.getpid()}", "key": f"key-{os.getpid()}", "secret": "secret-of-4242"}
    with heliostat.create_app(**made, settings={"client_events": False}) as app:
        assert {name: getattr(app, name) for name in made} == made
        assert (app.host, app.scheme, app.path_prefix) == ("127.0.0.1", "http", "")
        assert app.environment["PUSHER_URL"] == app.url
        assert app.environment["VITE_PUSHER_PORT"] == str(app.port)
        same = heliostat.app(app.id)
        assert (same.key, same.url, same.environment, same.cluster) == (app.key, app.url, app.environment, app.cluster)
        with heliostat.create_app(like=app.id) as alike:
            assert alike.key != app.key
    with pytest.raises(ControlError, match="there is no app"):
        heliostat.app(app.id)


def test_apps_hear_nothing_of_each_other(heliostat, pusher, room):
    with heliostat.create_app() as other:
        backend(other).trigger("room", "message", "for the other")
        other.until(event(name="message", count=1))
    assert pusher.log(type=["event", "delivered"])["entries"] == []


def test_the_log_is_filtered_and_told_for_people(pusher, room):
    for number in (7, 8):
        backend(pusher).trigger("room", "message", {"user": {"id": number}})
    pusher.until(delivered(count=2))
    entries = pusher.log(type=["event", "delivered"], channel="room", data={"user.id": 8})["entries"]
    assert sorted(entry["type"] for entry in entries) == ["delivered", "event"]
    first = pusher.log(limit=1)
    assert len(first["entries"]) == 1
    rest = pusher.log(after=first["last"])
    assert (rest["entries"][-1]["seq"], rest["forgotten"]) == (pusher.last(), 0)
    subscribed, arrived = pusher.timeline().index("subscribed to room"), pusher.timeline().index("delivered message on room")
    assert subscribed < arrived


def test_counts_and_connections(pusher, room):
    counts = pusher.counts()
    found = (counts["connections"], counts["channels"]["room"]["subscribers"], counts["logged"]["subscribed"])
    assert found == (1, 1, 1)
    assert pusher.connections() == [{"socket_id": room.socket_id, "user_id": None, "channels": ["room"]}]


def test_a_fault_is_listed_while_it_is_at_work_and_cleared(pusher):
    fault = pusher.fault("http", status=503, body="busy")
    assert isinstance(fault, Fault)
    (listed,) = pusher.faults()
    assert (listed["id"], listed["type"], listed["used"]) == (fault.id, "http", 0)
    with pytest.raises(Exception, match="busy"):
        backend(pusher).trigger("room", "message", {})
    assert fault.clear() is True
    assert fault.clear() is False
    backend(pusher).trigger("room", "message", {})
    pusher.until(event(count=1))


def test_a_fault_ends_with_its_block_and_all_of_them_at_once(pusher):
    with pusher.fault(type="refuse_connections", code=4100, reason="full", times=1):
        assert pusher.counts()["faults"] == 1
    assert pusher.faults() == []
    pusher.fault("frames", action="delay", delay_ms=100, share=0.5, seed=7)
    pusher.fault("ignore_pings", for_ms=1000)
    pusher.fault("http", hang=True, path="/events")
    pusher.fault("webhooks", status=500)
    assert pusher.clear_faults() == 4
    assert pusher.faults() == []


def test_frames_are_dropped(pusher, room):
    pusher.fault("frames", action="drop", channel="room", times=1)
    for text in ("lost", "found"):
        backend(pusher).trigger("room", "message", text)
    assert room.heard("room", "message") == "found"
    pusher.until(logged(type="fault", count=1))


def test_connections_are_refused(pusher):
    pusher.fault("refuse_connections", code=4000, reason="full")
    refusal = Listener(pusher)
    try:
        assert refusal.heard(None, "closed") == 4000
        pusher.until(refused(code=4000, reason="full"))
    finally:
        refusal.close()


def test_connections_are_closed(pusher, connect, room):
    other = connect("bob")
    assert pusher.close(socket_id=room.socket_id, code=4000, reason="a test") == [room.socket_id]
    assert room.heard(None, "closed") == 4000
    pusher.until(logged(type="disconnected", socket_id=room.socket_id, code=4000, count=1))
    with pytest.raises(ControlError, match="there is no connection") as missed:
        pusher.close(user_id="nobody")
    assert missed.value.status == 404
    assert pusher.close(abrupt=True) == [other.socket_id]
    assert other.heard(None, "closed") is None
    pusher.until(connections(0))


def test_time_passes_at_once(pusher, connect):
    backend(pusher).trigger("cache-room", "message", "remembered for half an hour")
    early = connect()
    early.subscribe("cache-room")
    assert early.heard("cache-room", "message") == "remembered for half an hour"
    assert pusher.advance(900) == 900.0
    assert pusher.advance(900.001) == 1800.001
    assert pusher.counts()["advanced_ms"] == 1_800_001
    # Not a client that was there before: it would be pinged, and closed where its pong is late.
    late = connect()
    late.subscribe("cache-room")
    late.heard("cache-room", "pusher:cache_miss")


@pytest.mark.pusher(settings={"cache_ttl_seconds": 1000})
def test_time_passes_until_something_is_due(pusher, connect):
    backend(pusher).trigger("cache-room", "message", "remembered for a while")
    reached = pusher.advance_to_next()
    assert (reached["due"], reached["advanced_ms"]) == (["cache_expiry"], reached["by_ms"])
    assert 900_000 < reached["by_ms"] <= 1_000_000
    with pytest.raises(ControlError, match="nothing is due") as missed:
        pusher.advance_to_next()
    assert missed.value.status == 404
    late = connect()
    late.subscribe("cache-room")
    late.heard("cache-room", "pusher:cache_miss")


@pytest.mark.pusher(settings={"connection": {"ping_after_seconds": 3000}})
def test_how_long_a_connection_may_be_silent_can_be_said_of_one_app(heliostat, pusher, connect):
    connect()
    reached = pusher.advance_to_next()
    assert reached["due"] == ["ping"] and 2_900_000 < reached["by_ms"] <= 3_000_000
    with pytest.raises(ControlError) as caught:
        heliostat.create_app(settings={"connection.outbox_byte": 9, "limits.conections": 3})
    for meant in ("connection.outbox_bytes", "limits.connections"):
        assert f'did you mean "{meant}"?' in str(caught.value), "all mistakes at once"


def test_what_has_been_mistyped_is_answered_with_what_was_meant(pusher):
    for ask, meant in [
        (lambda: pusher.until({"type": "subscriber", "channel": "room", "count": 1}), "subscribers"),
        (lambda: pusher.until(event(chanel="room")), "channel"),
        (lambda: pusher.log(chanel="room"), "channel"),
        (lambda: pusher.fault("frames", action="dorp"), "drop"),
    ]:
        with pytest.raises(ControlError, match=f'did you mean "{meant}"'):
            ask()


def test_what_has_happened_is_forgotten(heliostat, pusher, room):
    with heliostat.create_app() as other:
        backend(other).trigger("room", "message", {})
        other.until(event(count=1))
        pusher.fault("ignore_pings")
        pusher.reset()
        assert (pusher.counts()["connections"], pusher.faults(), pusher.timeline()) == (1, [], "")
        assert other.timeline() != ""
        pusher.reset(connections=True)
        pusher.until(connections(0))


def test_an_app_that_is_deleted_is_gone(heliostat, pusher, room):
    pusher.delete()
    assert room.heard(None, "closed") == 4001
    with pytest.raises(ControlError, match="there is no app") as caught:
        pusher.timeline()
    assert caught.value.status == 404


@pytest.mark.pusher(settings={"limits.connections": 1})
def test_settings_are_those_of_the_marker(pusher, connect):
    connect()
    second = Listener(pusher)
    try:
        pusher.until(refused(code=4004, count=1))
    finally:
        second.close()


def test_the_environment_is_that_of_the_app(pusher, pusher_environment):
    assert os.environ["PUSHER_APP_KEY"] == pusher.key
    assert {name: os.environ[name] for name in pusher.environment} == pusher_environment == pusher.environment


def test_a_subscription_is_seen_before_its_end(pusher, room):
    room.unsubscribe("room")
    pusher.until(subscribers("room", 0))
