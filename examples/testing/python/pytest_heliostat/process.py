"""A broker as a child process."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from typing import IO, Callable, Mapping, Sequence

from .errors import HeliostatError

#: How long a broker may take to end when it is told to, before it is killed.
STOP_DEADLINE_SECONDS = 10.0
#: So much of what the broker writes to standard error is kept for messages.
KEPT_CHARACTERS = 10_000

#: What stops the brokers that run. Nobody else needs to keep them: they go with this process, not with an object.
_running: set[Callable[[], None]] = set()


def start_broker(
    program: str | None, args: Sequence[str], env: Mapping[str, str] | None, start_timeout: float
) -> tuple[str, str, Callable[[], None]]:
    """Starts `heliostat serve --test`; answers the URL and the token of its control API, and what stops it."""
    program = program or os.environ.get("HELIOSTAT_BIN") or "heliostat"
    try:
        broker = subprocess.Popen(
            [program, "serve", "--test", *args],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A Ctrl-C is for the tests: they still need their broker when they end.
            start_new_session=True,
        )
    except FileNotFoundError:
        raise HeliostatError(
            f'there is no program "{program}": install heliostat, or name the program in HELIOSTAT_BIN, '
            "with --heliostat-program, or in the ini option heliostat_program"
        ) from None
    except OSError as error:
        raise HeliostatError(f"the broker cannot be started: {error}") from None
    release = _end_with_this_process(broker)

    def stop() -> None:
        broker.terminate()
        try:
            broker.wait(STOP_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            broker.kill()
            broker.wait()
        release()
        _running.discard(stop)

    try:
        ready = _first_line(broker, program, start_timeout)
    except BaseException:
        broker.kill()
        stop()
        raise
    _running.add(stop)
    return ready["control_url"], ready["token"], stop


def _first_line(broker: subprocess.Popen[bytes], program: str, deadline: float) -> dict[str, str]:
    """What the broker says when it is ready."""
    assert broker.stdout and broker.stderr
    said: queue.Queue[bytes] = queue.Queue(1)
    complaints = bytearray()

    def hear(line: bytes) -> None:
        # What comes after the first line is of no interest.
        with contextlib.suppress(queue.Full):
            said.put_nowait(line)

    def keep(text: bytes) -> None:
        complaints.extend(text)
        del complaints[:-KEPT_CHARACTERS]

    # They read on for as long as the broker lives, so that it never has to wait for a reader.
    _read(broker.stdout, hear)
    errors = _read(broker.stderr, keep)

    def failure(why: str) -> HeliostatError:
        text = complaints.decode(errors="replace").rstrip()
        return HeliostatError(f"{why}; it wrote to standard error:\n{text}" if text else why)

    try:
        line = said.get(timeout=deadline)
    except queue.Empty:
        raise failure(f"the broker ({program}) was not ready after {deadline:g} s") from None
    if not line:
        try:
            status = broker.wait(STOP_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            raise failure(f"the broker ({program}) closed its standard output before it was ready") from None
        errors.join(STOP_DEADLINE_SECONDS)
        how = f"status {status}" if status >= 0 else signal.Signals(-status).name
        raise failure(f"the broker ({program}) ended before it was ready, with {how}")
    try:
        ready = json.loads(line)
        return {name: str(ready[name]) for name in ("control_url", "token")}
    except (ValueError, TypeError, LookupError):
        text = json.dumps(line.decode(errors="replace"))
        raise failure(f"expected a line of JSON from the broker ({program}), got {text}") from None


def _read(stream: IO[bytes], take: Callable[[bytes], None]) -> threading.Thread:
    """Gives each line to `take`, and at the end an empty one."""

    def read() -> None:
        with stream:
            for line in stream:
                take(line)
        take(b"")

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _end_with_this_process(broker: subprocess.Popen[bytes]) -> Callable[[], None]:
    """
    A shell waits until the pipe from this process is gone, and then ends the broker: so it goes however this process
    ends, SIGKILL included. Answers what ends the shell.
    """
    try:
        shell = subprocess.Popen(
            ["sh", "-c", 'read -r _; kill "$0"', str(broker.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        # Without a shell, what this process can do at its own end must do.
        atexit.register(broker.kill)
        return lambda: atexit.unregister(broker.kill)

    def release() -> None:
        shell.kill()
        shell.wait()
        if shell.stdin:
            shell.stdin.close()

    return release
