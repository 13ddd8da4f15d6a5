"""The real libraries: `pusher` as a backend, pysher as a client whose frames one can wait for."""

import contextlib
import json
import threading

import pusher
import pysher
import websocket

# The longest that any expectation of these tests may take. Reached only by a test that fails.
DEADLINE_SECONDS = 10


def backend(app, **different):
    return pusher.Pusher(**{**app.server_options, **different})


class Listener:
    """One pysher connection. It signs for itself, as pysher does when it is given the secret."""

    def __init__(self, app, user_id="ann", **different):
        self._app = app
        self._pusher = pysher.Pusher(
            **{**app.client_options, "secret": app.secret, "user_data": {"user_id": user_id}, **different}
        )
        self._connection = self._pusher.connection
        self._changed = threading.Condition()
        self._record = []
        for event in ["pusher:connection_established", "pusher:pong", "pusher:signin_success"]:
            self._connection.bind(event, lambda data, event: self._note(event, data, None), event)
        self._connection.event_handler = self._note
        self._connection._on_close = self._closed
        self._pusher.connect()

    def connected(self):
        """Waits until it is connected, and its first ping, which pysher says by itself, has been answered."""
        self.heard(None, "pusher:connection_established")
        self.heard(None, "pusher:pong")
        return self

    @property
    def socket_id(self):
        return self._connection.socket_id

    def subscribe(self, channel, auth=None):
        self._pusher.subscribe(channel, auth)

    def unsubscribe(self, channel):
        self._pusher.unsubscribe(channel)

    def signin(self, user_id):
        self._connection.send_event("pusher:signin", backend(self._app).authenticate_user(self.socket_id, {"id": user_id}))

    def heard(self, channel, event):
        """The data of the next `event` on `channel` that nobody has asked for yet."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: self._index(channel, event) is not None, DEADLINE_SECONDS)
            assert arrived, f"waited {DEADLINE_SECONDS} s for {event} on {channel}; record: {self._record[-8:]}"
            return self._record.pop(self._index(channel, event))[2]

    def close(self):
        # pysher's own `disconnect` closes the socket under its reading thread, which then may not notice for 100 s.
        # Say goodbye instead, and let that thread end on the broker's answer.
        self._connection.disconnect_called = True
        with contextlib.suppress(AttributeError, OSError, websocket.WebSocketException):
            self._connection.socket.sock.send_close()
        self._connection.join(DEADLINE_SECONDS)
        assert not self._connection.is_alive(), "the broker did not answer the close frame"

    def _closed(self, _, code, reason):
        # And stay closed: pysher would sleep for 10 s before it came back.
        self._connection.disconnect_called = True
        self._connection._stop_timers()
        self._note("closed", code, None)

    def _index(self, channel, event):
        found = (index for index, entry in enumerate(self._record) if entry[:2] == (channel, event))
        return next(found, None)

    def _note(self, event, data, channel):
        with self._changed:
            self._record.append((channel, event, _decoded(data)))
            self._changed.notify_all()


def _decoded(data):
    try:
        return json.loads(data)
    except (TypeError, ValueError):
        return data
