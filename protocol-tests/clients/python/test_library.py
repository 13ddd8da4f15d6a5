"""The `pusher` server library: publishing, asking, signing, and reading refusals."""

import base64
import hashlib
import hmac
import json
import time

import nacl.secret
import pusher
import pytest

from listener import DEADLINE_SECONDS
from record import LIBRARY, shown


# Proves: 178, 55, 56.
@pytest.mark.parametrize("data", [{"hi": 1, "nested": [1, "two", None]}, "plain text", "ünïcode 🎥", []], ids=str)
def test_trigger_reaches_a_subscriber(library, listen, fresh, data):
    listener, name = listen(), fresh("news")
    listener.subscribe(name, "greet")
    assert library.trigger(name, "greet", data) == {}
    assert listener.received(name, "greet") == data
    shown(LIBRARY, "trigger")


# Proves: 178, 182.
def test_trigger_reaches_several_channels_once_each(library, listen, fresh):
    listener, names = listen(), [fresh("news"), fresh("private-room"), fresh("presence-room")]
    listener = listen(user_id="ann")
    for name in names:
        listener.subscribe(name, "greet", "last")
    library.trigger([*names, names[0]], "greet", {"hi": 1})
    library.trigger(names, "last", {})
    for name in names:
        listener.received(name, "last")
        assert listener.all(name, "greet") == [{"hi": 1}]
    shown(LIBRARY, "many channels")


# Proves: 183.
def test_the_socket_that_caused_an_event_is_left_out(library, listen, fresh):
    author, reader, name = listen(), listen(), fresh("news")
    for listener in (author, reader):
        listener.subscribe(name, "edited", "for-all")
    library.trigger(name, "edited", {"by": "author"}, author.socket_id)
    library.trigger(name, "for-all", {})
    for listener in (author, reader):
        listener.received(name, "for-all")
    assert reader.all(name, "edited") == [{"by": "author"}]
    assert author.all(name, "edited") == []
    shown(LIBRARY, "exclude")


# Proves: 193, 194.
def test_a_batch_arrives_in_its_order(library, listen, fresh):
    listener, name = listen(), fresh("news")
    listener.subscribe(name, "tick")
    answer = library.trigger_batch([{"channel": name, "name": "tick", "data": {"n": n}} for n in range(10)])
    assert answer == {}
    listener.received(name, "tick", count=10)
    assert listener.all(name, "tick") == [{"n": n} for n in range(10)]
    shown(LIBRARY, "batch")


# Proves: 195.
def test_a_batch_item_may_ask_for_its_counts(library, listen, fresh):
    room = fresh("presence-room")
    listen(user_id="ann").subscribe(room)
    answer = library.trigger_batch(
        [
            {"channel": "news", "name": "greet", "data": "1"},
            {"channel": room, "name": "greet", "data": "2", "info": "user_count"},
        ]
    )
    assert answer == {"batch": [{}, {"user_count": 1}]}
    shown(LIBRARY, "batch info")


# Proves: publish ids.
def test_what_has_an_id_is_published_once_in_whatever_batch(library, listen, fresh):
    listener, name = listen(), fresh("news")
    listener.subscribe(name, "tick")
    ids = [fresh("id") for _ in range(3)]
    for batch in (range(2), range(2), range(1, 3), range(2, 3)):
        answer = library.trigger_batch([{"channel": name, "name": "tick", "data": {"n": n}, "id": ids[n]} for n in batch])
        assert answer == {}
    library.trigger(name, "tick", {"n": "last"})
    listener.received(name, "tick", count=4)
    assert listener.all(name, "tick") == [{"n": 0}, {"n": 1}, {"n": 2}, {"n": "last"}]


# Proves: 177, 196, 197.
def test_channels_of_a_prefix_are_listed_with_their_users(library, listen, fresh):
    prefix = fresh("presence-list")
    assert library.channels_info(prefix) == {"channels": {}}
    for name in ("a", "b"):
        listen(user_id="ann").subscribe(f"{prefix}-{name}")
    listen(user_id="bob").subscribe(f"{prefix}-b")
    listen(user_id="bob").subscribe(fresh("presence-other"))
    assert library.channels_info(prefix) == {"channels": {f"{prefix}-a": {}, f"{prefix}-b": {}}}
    assert library.channels_info(prefix, ["user_count"]) == {
        "channels": {f"{prefix}-a": {"user_count": 1}, f"{prefix}-b": {"user_count": 2}}
    }
    shown(LIBRARY, "channels")


# Proves: 177, 199, 205.
def test_one_channel_is_described(library, listen, fresh):
    room = fresh("presence-room")
    assert library.channel_info(room) == {"occupied": False}
    for user in ("ann", "ann", "bob"):
        listen(user_id=user).subscribe(room)
    assert library.channel_info(room, ["user_count"]) == {"occupied": True, "user_count": 2}
    shown(LIBRARY, "channel")


# Proves: 177, 202.
def test_the_users_of_a_channel_are_named(library, listen, fresh):
    room = fresh("presence-room")
    assert library.users_info(room) == {"users": []}
    for user in ("ann", 7):
        listen(user_id=user).subscribe(room)
    users = library.users_info(room)["users"]
    assert sorted(user["id"] for user in users) == ["7", "ann"]
    shown(LIBRARY, "users")


# Proves: 69, 77, 78.
@pytest.mark.parametrize("prefix", ["private", "presence"])
def test_what_authenticate_signs_is_accepted(library, listen, fresh, prefix):
    listener, name = listen(), fresh(prefix)
    member = {"user_id": "ünï", "user_info": {"name": "Ann  of two spaces"}} if prefix == "presence" else None
    signed = library.authenticate(name, listener.socket_id, member)
    # pysher passes a signature on but no channel_data beside it, so the frame goes out by hand.
    listener.pusher.channels[name] = channel = pysher_channel(listener, name)
    channel.bind("pusher_internal:subscription_succeeded", listener._note, name, "pusher_internal:subscription_succeeded")
    listener.pusher.connection.send_event("pusher:subscribe", {"channel": name, **signed})
    joined = listener.received(name, "pusher_internal:subscription_succeeded")
    if member:
        assert joined["presence"]["hash"] == {"ünï": {"name": "Ann  of two spaces"}}
    shown(LIBRARY, "authorize presence" if member else "authorize")


# Proves: 168, 171, 192.
def test_wrong_credentials_are_explained(stranger):
    with pytest.raises(pusher.errors.PusherBadRequest) as unknown:
        stranger(key="nobodys-key").trigger("news", "greet", {})
    assert str(unknown.value) == "Unknown auth_key\n"
    with pytest.raises(pusher.errors.PusherBadAuth) as forged:
        stranger(secret="not-the-secret").trigger("news", "greet", {})
    assert str(forged.value).startswith('Invalid signature: you should have sent HmacSHA256Hex("POST\\n/apps/')
    with pytest.raises(pusher.errors.PusherBadStatus, match="^404: App 999999 not found"):
        stranger(app_id="999999").trigger("news", "greet", {})


# Proves: 185, 187, 192, 193, 198, 200, 203.
def test_what_does_not_fit_is_explained(library):
    refusals = [
        (lambda: library.trigger("news", "pusher:x", {}), "The 'pusher' namespace is reserved for internal usage\n"),
        (lambda: library.trigger_batch([{"channel": "news", "name": "a", "data": "1"}] * 11), "Batch too large (11 > 10)\n"),
        (
            lambda: library.channels_info(attributes=["user_count"]),
            "user_count may only be requested for presence channels"
            " - please supply filter_by_prefix begining with presence-\n",
        ),
        (
            lambda: library.channel_info("news", ["user_count"]),
            "Cannot retrieve the user count unless the channel is a presence channel\n",
        ),
        (lambda: library.users_info("news"), "Users can only be retrieved for presence channels\n"),
    ]
    for ask, text in refusals:
        with pytest.raises(pusher.errors.PusherBadRequest) as refused:
            ask()
        assert str(refused.value) == text
    with pytest.raises(pusher.errors.PusherBadStatus, match="^413: The data content of this event exceeds"):
        library.trigger("news", "greet", "x" * 10_241)
    shown(LIBRARY, "refusals")


# Proves: clients.
def test_the_library_validates_a_webhook_signed_with_the_secret(broker, library):
    body = json.dumps({"time_ms": int(time.time() * 1000), "events": [{"name": "channel_occupied", "channel": "news"}]})
    signature = hmac.new(broker.secret.encode(), body.encode(), hashlib.sha256).hexdigest()
    assert library.validate_webhook(broker.key, signature, body)["events"][0]["channel"] == "news"
    assert library.validate_webhook(broker.key, signature, body + " ") is None


# Proves: 130, 131.
def test_what_is_encrypted_is_decrypted_by_who_has_the_key(stranger, listen, fresh):
    library = stranger(encryption_master_key_base64=base64.b64encode(b"k" * 32).decode())
    listener, name = listen(), fresh("private-encrypted-room")
    signed = library.authenticate(name, listener.socket_id)
    assert listener.subscribe(name, "secret", auth=signed["auth"]) == {}
    library.trigger(name, "secret", {"text": "für dich"})
    sealed = {part: base64.b64decode(text) for part, text in listener.received(name, "secret").items()}
    box = nacl.secret.SecretBox(base64.b64decode(signed["shared_secret"]))
    assert json.loads(box.decrypt(sealed["ciphertext"], sealed["nonce"])) == {"text": "für dich"}
    shown(LIBRARY, "encrypted", "authorize encrypted")


# Proves: 142, 150, 151, 209.
def test_a_user_is_signed_in_sent_an_event_and_disconnected(library, listen, fresh):
    listener, user = listen(), fresh("ann")
    own = f"#server-to-user-{user}"
    signed = library.authenticate_user(listener.socket_id, {"id": user, "user_info": {"name": "Ann"}})
    # pysher knows no users: the frames go out by hand, and what comes back is read by it.
    listener.pusher.connection.bind("pusher:signin_success", listener._note, None, "pusher:signin_success")
    listener.pusher.connection.send_event("pusher:signin", signed)
    assert json.loads(listener.received(None, "pusher:signin_success")["user_data"])["id"] == user
    listener.subscribe(own, "note")
    assert library.send_to_user(user, "note", {"for": "ann"}) == {}
    assert listener.received(own, "note") == {"for": "ann"}
    room = fresh("news")
    listener.subscribe(room)
    # It would come back after ten seconds.
    listener.pusher.connection.disconnect_called = True
    assert library.terminate_user_connections(user) == {}
    deadline = time.monotonic() + DEADLINE_SECONDS
    while library.channel_info(room)["occupied"]:
        assert time.monotonic() < deadline, "the connection is still there"
    shown(LIBRARY, "authenticate user", "send to user", "terminate")


def pysher_channel(listener, name):
    from pysher.channel import Channel

    return Channel(name, listener.pusher.connection)
