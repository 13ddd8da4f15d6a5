"""What the `pusher` server library's own validator makes of the broker's webhooks."""

import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from broker import EXTERNAL, running_broker
from conftest import library_with
from listener import DEADLINE_SECONDS, Listener
from record import LIBRARY, shown

pytestmark = pytest.mark.skipif(EXTERNAL, reason="it needs a broker of its own")


@pytest.fixture(scope="module")
def endpoint():
    """The backend's endpoint: a queue of `(headers, body)`, with its URL."""
    arrived = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            arrived.put((self.headers, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    arrived.url = f"http://127.0.0.1:{server.server_port}/webhooks"
    yield arrived
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def telling_broker(endpoint):
    settings = {
        "HELIOSTAT_APP_WEBHOOK_URL": endpoint.url,
        "HELIOSTAT_APP_WEBHOOK_DELIVERY_REMOVAL_DELAY_SECONDS": "0.2",
    }
    with running_broker(settings) as running:
        yield running


# Proves: 212, 213, 214, 215, 218, 219, 221, 223.
def test_webhooks_are_valid_and_say_what_happened(endpoint, telling_broker, fresh):
    library, room = library_with(telling_broker), fresh("presence-room")
    listener = Listener(telling_broker, {"user_id": 7}).connect()
    try:
        listener.subscribe(room)
        listener.trigger(room, "client-wave", {"to": "all"})
    finally:
        socket_id = listener.socket_id
        listener.close()
    events = []
    while not events or events[-1]["name"] != "channel_vacated":
        headers, body = endpoint.get(timeout=DEADLINE_SECONDS)
        assert headers["Content-Type"] == "application/json"
        webhook = library.validate_webhook(headers["X-Pusher-Key"], headers["X-Pusher-Signature"], body)
        assert webhook is not None, body
        assert library.validate_webhook(headers["X-Pusher-Key"], headers["X-Pusher-Signature"], body + " ") is None
        assert headers["X-Heliostat-Attempt"] == "1"
        events += webhook["events"]
        # The library hands on what heliostat adds to an event.
        assert len(events[-1].pop("id")) == 32
    client_event = events.pop(2)
    assert client_event.pop("data").replace(" ", "") == '{"to":"all"}'
    assert client_event == {
        "name": "client_event",
        "channel": room,
        "event": "client-wave",
        "socket_id": socket_id,
        "user_id": "7",
    }
    assert events == [
        {"name": "channel_occupied", "channel": room},
        {"name": "member_added", "channel": room, "user_id": "7"},
        {"name": "member_removed", "channel": room, "user_id": "7"},
        {"name": "channel_vacated", "channel": room},
    ]
    shown(LIBRARY, "webhook")
