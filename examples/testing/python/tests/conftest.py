import contextlib
import http.server
import os
import subprocess
import sys
import threading

import pytest

from listener import DEADLINE_SECONDS, Listener
from pytest_heliostat import subscribers


@pytest.fixture
def connect(pusher):
    """pysher clients that end with the test: `connect()`, or `connect("bob", app=another)`."""
    with contextlib.ExitStack() as opened:

        def open_one(user_id="ann", app=pusher):
            listener = Listener(app, user_id)
            opened.callback(listener.close)
            return listener.connected()

        yield open_one


@pytest.fixture
def room(pusher, connect):
    """A client that is subscribed to `room`."""
    client = connect()
    client.subscribe("room")
    pusher.until(subscribers("room", 1))
    return client


@pytest.fixture(scope="session")
def endpoint():
    """The URL of an endpoint of webhooks that takes everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/webhook"
        server.shutdown()


@pytest.fixture
def under_exec():
    """Runs Python under `heliostat exec` and answers what it wrote."""

    def run(*args):
        command = [os.environ["HELIOSTAT_BIN"], "exec", "--", sys.executable, *args]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=6 * DEADLINE_SECONDS
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
