"""pysher, with its callbacks turned into a record one can wait on."""

import json
import threading

import pysher

# The longest any single expectation may take. Reached only by a failing test.
DEADLINE_SECONDS = 10


class Listener:
    """One pysher connection. It signs for itself, as pysher does when it is given the secret; `options` are pysher's."""

    def __init__(self, broker, member, **options):
        user_id = member.get("user_id")
        info = {name: value for name, value in member.items() if name != "user_id"}
        user_data = {"user_id": user_id, **({"user_info": info} if info else {})} if user_id is not None else None
        self.pusher = pysher.Pusher(
            broker.key,
            secret=broker.secret,
            user_data=user_data,
            secure=False,
            **{"custom_host": broker.host, "port": broker.port, **options},
        )
        self._changed = threading.Condition()
        self._record = []
        for event in ["pusher:connection_established", "pusher:error", "pusher:pong"]:
            self.pusher.connection.bind(event, self._note, None, event)

    def connect(self):
        self.pusher.connect()
        self.received(None, "pusher:connection_established")
        return self

    def close(self):
        # pysher's own `disconnect` closes the socket under its reading thread, which then may not notice for 100 s.
        # Say goodbye instead, and let that thread end on the broker's answer.
        connection = self.pusher.connection
        connection.disconnect_called = True
        if connection.socket.sock:
            connection.socket.sock.send_close()
        connection.join(DEADLINE_SECONDS)
        assert not connection.is_alive(), "the broker did not answer the close frame"

    @property
    def socket_id(self):
        return self.pusher.connection.socket_id

    def subscribe(self, channel, *events, auth=None):
        """Subscribes, records `events`, and returns the data of `subscription_succeeded`."""
        self._ask(channel, events, auth)
        return self.received(channel, "pusher_internal:subscription_succeeded")

    def try_subscribe(self, channel, auth):
        """Subscribes with this signature and returns the data of the `pusher:error` that refuses it."""
        self._ask(channel, (), auth)
        return self.received(None, "pusher:error")

    def trigger(self, channel, event, data):
        self.pusher.channel(channel).trigger(event, data)

    def unsubscribe(self, channel):
        self.pusher.unsubscribe(channel)

    def received(self, channel, event, count=1):
        """The decoded data of the `count`-th `event` on `channel`, as soon as there are so many."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.all(channel, event)) >= count, DEADLINE_SECONDS)
            assert arrived, f"waited {DEADLINE_SECONDS} s for {count} x {event} on {channel}; record: {self._record[-8:]}"
            return self.all(channel, event)[count - 1]

    def all(self, channel, event):
        """The decoded data of every `event` on `channel` until now."""
        with self._changed:
            return [data for place, name, data in self._record if (place, name) == (channel, event)]

    def _ask(self, channel, events, auth):
        # pysher makes the channel object, and so takes handlers, only after it has sent the frame: hold back the
        # reader's thread for that moment, or an answer may find nobody to tell.
        with self._changed:
            handlers = ["pusher_internal:subscription_succeeded", "pusher_internal:member_added"]
            handlers += ["pusher_internal:member_removed", *events]
            original = self.pusher.connection.event_handler
            self.pusher.connection.event_handler = lambda *frame: self._in_turn(original, *frame)
            subscribed = self.pusher.subscribe(channel, auth)
            for event in handlers:
                subscribed.bind(event, self._note, channel, event)

    def _in_turn(self, handle, *frame):
        with self._changed:
            handle(*frame)

    def _note(self, data, channel, event):
        with self._changed:
            self._record.append((channel, event, _decoded(data)))
            self._changed.notify_all()


def _decoded(data):
    if not isinstance(data, str):
        return data
    try:
        return json.loads(data)
    except ValueError:
        return data
