"""The broker under test: one started on a free port, or the server that the environment names.

PUSHER_HOST, PUSHER_PORT, PUSHER_APP_ID, PUSHER_APP_KEY, PUSHER_APP_SECRET  use that server, start nothing
PROTOCOL_TESTS_BIN                                                        the binary to start otherwise
"""

import os
import re
import select
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BINARY = Path(os.environ.get("PROTOCOL_TESTS_BIN", Path(__file__).parents[3] / "target/debug/heliostat"))

# How long a broker may take to accept connections, or to end when told to.
START_DEADLINE_SECONDS = 20
STOP_DEADLINE_SECONDS = 15

# Development mode lifts this for the camera; the clients are to meet the value of hosted Pusher.
HOSTED_LIMITS = {"HELIOSTAT_APP_LIMITS_CLIENT_EVENT_PAYLOAD_BYTES": "10240"}


@dataclass(frozen=True)
class Broker:
    """Where it listens, and the credentials that development mode uses unless told otherwise."""

    host: str
    port: int
    app_id: str = "1001"
    key: str = "app-key"
    secret: str = "app-secret"


# Whether the environment names a server: then no test may reconfigure it.
EXTERNAL = bool(os.environ.get("PUSHER_HOST"))


@contextmanager
def running_broker(settings=None, arguments=()):
    """A broker; `settings` are added to its environment, `arguments` to its command line."""
    if EXTERNAL:
        yield _named(os.environ)
        return
    if not BINARY.exists():
        raise FileNotFoundError(
            f"no broker at {BINARY}: run `cargo build` first, or name a binary in PROTOCOL_TESTS_BIN"
        )
    # The developer's own broker settings must not reach the broker under test.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HELIOSTAT_")}
    process = subprocess.Popen(
        [BINARY, "--port", "0", "--log-level", "warn", *arguments],
        env={**inherited, **HOSTED_LIMITS, **(settings or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        yield Broker(*_listening_on(process))
        process.terminate()
        code = process.wait(STOP_DEADLINE_SECONDS)
        assert code == 0, f"the broker did not stop cleanly: exit code {code}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _named(environment):
    def required(name):
        if not environment.get(name):
            raise LookupError(f"PUSHER_HOST is set, so {name} must be set as well")
        return environment[name]

    return Broker(
        host=environment["PUSHER_HOST"],
        port=int(environment.get("PUSHER_PORT") or 80),
        app_id=required("PUSHER_APP_ID"),
        key=required("PUSHER_APP_KEY"),
        secret=required("PUSHER_APP_SECRET"),
    )


def _listening_on(process):
    said = b""
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    while time.monotonic() < deadline:
        ready, _, _ = select.select([process.stdout], [], [], deadline - time.monotonic())
        chunk = os.read(process.stdout.fileno(), 65536) if ready else b""
        if ready and not chunk:
            raise RuntimeError(f"the broker ended at its start, exit code {process.wait()}; it said: {said.decode()}")
        said += chunk
        line = re.search(rb"listening on http://([^\s/:]+):(\d+)", said)
        if line:
            return line[1].decode(), int(line[2])
    raise TimeoutError(f"the broker did not say where it listens within {START_DEADLINE_SECONDS} s; it said: {said.decode()}")
