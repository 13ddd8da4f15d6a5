"""The Python snippets of docs/compatibility.md, run as they stand but for the address and the credentials."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from listener import DEADLINE_SECONDS

PAGE = (Path(__file__).parents[3] / "docs/compatibility.md").read_text("utf-8")
SNIPPETS = re.findall(r"<!-- run: python (client|server) -->\n```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def run(broker):
    """Starts a snippet in a process of its own, which ends with the test."""
    started = []

    def start(code):
        for placeholder, value in [
            ("localhost", broker.host),
            ("6001", str(broker.port)),
            ("app-key", broker.key),
            ("app-secret", broker.secret),
            ("'1001'", repr(broker.app_id)),
        ]:
            code = code.replace(placeholder, value)
        started.append(subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def snippet(side):
    (found,) = [code for marked, code in SNIPPETS if marked == side]
    return found


# Proves: clients.
def test_the_server_snippet_publishes(listen, run):
    listener = listen()
    listener.subscribe("my-channel", "my-event")
    assert run(snippet("server")).wait(DEADLINE_SECONDS) == 0
    assert listener.received("my-channel", "my-event") == {"message": "hello"}


# Proves: clients.
def test_the_client_snippet_prints_what_is_published(library, run):
    process = run(snippet("client"))
    deadline = time.monotonic() + DEADLINE_SECONDS
    # Until it has subscribed, the channel is empty.
    while not library.channel_info("my-channel")["occupied"]:
        assert time.monotonic() < deadline, "the snippet did not subscribe"
    library.trigger("my-channel", "my-event", {"message": "hello"})
    assert "hello" in process.stdout.readline()
