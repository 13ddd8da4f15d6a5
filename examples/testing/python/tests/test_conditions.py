"""What can be waited for, with real clients and a real backend."""

import asyncio
import json
import re
import threading

import pytest
from pusher.errors import PusherBadAuth

from listener import DEADLINE_SECONDS, backend
from pytest_heliostat import control
from pytest_heliostat import (
    ControlError,
    NotMet,
    connections,
    delivered,
    event,
    logged,
    members,
    nothing,
    refused,
    signed_in,
    subscribers,
    webhook,
)


def test_connections_and_subscribers_are_waited_for(pusher, connect):
    for user in ("ann", "bob"):
        connect(user).subscribe("room")
    outcome = pusher.until(subscribers("room", 2))
    assert (outcome["met"], outcome["found"]) == (True, 2)
    pusher.until(connections({"at_least": 1, "at_most": 2}))


def test_an_event_is_waited_for_by_its_payload_and_delivered_once_to_each(pusher, connect):
    for user in ("ann", "bob"):
        connect(user).subscribe("room")
    pusher.until(subscribers("room", 2))
    backend(pusher).trigger("room", "message", {"user": {"id": 7}, "text": "hello"})
    common = {"channel": "room", "name": "message"}
    for data in (
        {"user.id": 7, "text": "hello"},
        [{"path": "user.id", "equals": 7}, {"path": "text"}],
        [{"equals": {"user": {"id": 7}, "text": "hello"}}],
    ):
        pusher.until(event(**common, data=data, source="http", count=1))
    pusher.until(delivered(**common, sockets=2, count=2), holds=0.02)
    for data in ({"user.id": 8}, "hello", None):
        with pytest.raises(NotMet):
            pusher.until(event(**common, data=data), timeout=0.02)


@pytest.mark.parametrize("payload, data", [("hello", "hello"), ("7", 7), ("true", True), ("null", None)])
def test_a_payload_that_is_no_object_is_compared_as_a_whole(pusher, payload, data):
    backend(pusher).trigger("room", "message", payload)
    pusher.until(event(data=data, count=1))
    with pytest.raises(NotMet):
        pusher.until(event(data="another"), timeout=0.02)


def test_members_are_counted_or_named(pusher, connect):
    for user in ("ann", "bob"):
        connect(user).subscribe("presence-room")
    pusher.until(members("presence-room", 2))
    pusher.until(members("presence-room", {"at_least": 1}))
    pusher.until(members("presence-room", ["bob", "ann"]))
    with pytest.raises(NotMet):
        pusher.until(members("presence-room", ["ann"]), timeout=0.02)
    with pytest.raises(TypeError, match='expected a count or a list of user ids, got "ann"'):
        members("presence-room", "ann")


def test_users_are_waited_for_until_they_are_signed_in(pusher, connect):
    connect().signin("ann")
    pusher.until(signed_in("ann"))
    pusher.until(signed_in("ann", 1))
    with pytest.raises(NotMet):
        pusher.until(signed_in("bob"), timeout=0.02)


def test_webhooks_are_waited_for_until_their_endpoint_has_taken_them(heliostat, connect, endpoint):
    webhooks = [{"url": endpoint, "events": ["presence"], "channels": "presence-*"}]
    with heliostat.create_app(webhooks=webhooks) as app:
        connect("ann", app=app).subscribe("presence-room")
        wanted = webhook(name="member_added", channel="presence-room", user_id="ann", path="/webhook", count=1)
        (entry,) = app.until(wanted)["entries"]
        assert json.loads(entry["data"])["user_id"] == "ann"


def test_refusals_are_waited_for(pusher, connect):
    with pytest.raises(PusherBadAuth, match="Invalid signature"):
        backend(pusher, secret="wrong").trigger("room", "message", {})
    pusher.until(refused(status=401, reason="Invalid signature", count=1))
    connect().subscribe("private-room", auth=f"{pusher.key}:wrong")
    pusher.until(refused(channel="private-room", count=1))


def test_entries_of_the_log_are_waited_for_and_their_absence(pusher, room):
    pusher.until(logged(type=["channel_occupied", "subscribed"], channel="room", count=2))
    pusher.until(logged(type="connected"))
    pusher.until(logged(type="subscribed", sockets=1))
    outcome = pusher.until(nothing(0.05, type="unsubscribed"))
    assert outcome["waited_ms"] >= 50
    before = pusher.last()
    with pytest.raises(NotMet):
        pusher.until(logged(type="subscribed", after=before), timeout=0.02)
    room.unsubscribe("room")
    with pytest.raises(NotMet):
        pusher.until(nothing(60, type="unsubscribed", after=before))


def test_a_condition_in_the_words_of_the_control_api_is_one_too(pusher):
    pusher.until({"type": "connections", "count": 0})
    pusher.until({"type": "nothing", "for_ms": 1, "filter": {"data": [{"path": "user.id", "equals": 7}]}})


def test_what_is_not_met_says_so_in_one_sentence(pusher):
    with pytest.raises(NotMet, match=r'^expected "room" to have exactly 2 subscribers, it has 0, after \d+ ms$') as caught:
        pusher.until(subscribers("room", 2), timeout=0.02)
    assert isinstance(caught.value, AssertionError)
    assert (caught.value.outcome["met"], caught.value.outcome["found"]) == (False, 0)


def test_what_holds_in_time_is_given_its_time_to_hold(pusher):
    assert pusher.until(connections(0), timeout=0.02, holds=0.1)["waited_ms"] >= 100


def test_what_is_interrupted_has_not_held(pusher, connect):
    failures = []

    def wait():
        try:
            pusher.until(connections(0), timeout=0.02, holds=60)
        except NotMet as error:
            failures.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    connect()
    waiting.join(DEADLINE_SECONDS)
    assert len(failures) == 1


def test_a_request_has_more_time_than_the_broker_is_asked_to_wait(pusher, monkeypatch):
    given = []
    send = control._Control._send
    monkeypatch.setattr(control._Control, "_send", lambda *args: given.append(args[-1]) or send(*args))
    pusher.until(connections(0), timeout=600)
    pusher.until(connections(0), timeout=3, holds=0.02)
    pusher.until(nothing(0.05), timeout=0)
    assert given == [630, 33.02, 30.05]


def test_the_patience_of_an_app_holds_where_nothing_is_said(pusher):
    assert pusher.timeout == 5
    pusher.timeout = 0.02
    with pytest.raises(NotMet) as caught:
        pusher.until(connections(1))
    assert caught.value.outcome["waited_ms"] < 4000


def test_an_app_that_ends_ends_the_waiting(pusher):
    deleting = threading.Thread(target=pusher.delete)
    deleting.start()
    # Whichever of the two requests comes first.
    with pytest.raises((NotMet, ControlError), match=r"but the app or its broker ended$|there is no app"):
        pusher.until(connections(1), timeout=60)
    deleting.join(DEADLINE_SECONDS)


def test_none_is_not_taken_for_any(pusher):
    def says(member):
        return pytest.raises(TypeError, match=f'^"{member}" is None in .*: leave it out, or give it a value$')

    with says("count"):
        subscribers("room", None)
    with says("count"):
        members("presence-room", None)
    with says("user_id"):
        event(user_id=None)
    with says("channel"):
        logged(type="event", channel=None)
    with says("socket_id"):
        pusher.close(socket_id=None)
    with says("channel"):
        pusher.fault("frames", action="drop", channel=None)
    with says("name"):
        pusher.log(name=None)
    with says("user_id"):
        pusher.until({"type": "event", "user_id": None})
    with says("user_id"):
        pusher.until({"type": "nothing", "for_ms": 1, "filter": {"user_id": None}})


def test_waiting_fits_into_asyncio(pusher):
    async def both():
        waiting = asyncio.create_task(asyncio.to_thread(pusher.until, event(name="message", count=1)))
        await asyncio.to_thread(backend(pusher).trigger, "room", "message", {})
        return await waiting

    assert asyncio.run(both())["met"]


def test_what_is_not_met_says_what_nearly_met_it_and_marks_where_it_gave_up(pusher, connect):
    connect("ann").subscribe("presence-lobby")
    pusher.until(members("presence-lobby", ["ann"]))
    backend(pusher).trigger("presence-lobby", "message", {"user": {"id": 7}})
    pusher.until(delivered(name="message"))
    for condition, near in [
        (subscribers("presence-loby", 1), r'^"presence-lobby" has 1 subscribed, 1 members$'),
        (event(channel="presence-lobby", name="message", data={"user.id": 8}), r"message on presence-lobby .*\(another data\)$"),
        (webhook(channel="presence-lobby", name="message"), r"\(of type delivered\)$"),
    ]:
        with pytest.raises(NotMet) as caught:
            pusher.until(condition, timeout=0.02)
        found = [line for line in caught.value.outcome["near"] if re.search(near, line)]
        assert found, caught.value.outcome["near"]
        assert "it was nearly met by: " in str(caught.value) and found[0] in str(caught.value)
    entries = pusher.log(type="gave_up")["entries"]
    assert len(entries) == 3
    assert entries[0]["reason"].startswith('expected "presence-loby" to have exactly 1 subscriber')
    assert ' s  GAVE UP expected "presence-loby" to have exactly 1 subscriber' in pusher.timeline()
