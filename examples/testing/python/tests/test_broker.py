"""Brokers: found, started, stopped, and what is said when that does not work."""

import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from listener import DEADLINE_SECONDS, Listener, backend
from pytest_heliostat import Broker, ControlError, HeliostatError, NotMet, connections, event, subscribers
from pytest_heliostat.process import _running


@pytest.fixture
def started():
    """A broker for one test."""
    with Broker.start() as broker:
        yield broker


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("PUSHER_TEST_URL", "PUSHER_TEST_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def listening(url):
    """A connection that is closed when the broker has ended: it asks for nothing, and is not answered."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), DEADLINE_SECONDS)


def assert_ended(connection, url):
    """The broker of this connection ends, and nobody listens there any more."""
    with connection:
        while True:
            try:
                if not connection.recv(1024):
                    break
            except ConnectionError:
                break
    # The port is free once the process is gone.
    deadline = time.monotonic() + DEADLINE_SECONDS
    with pytest.raises(ConnectionError):
        while time.monotonic() < deadline:
            listening(url).close()


def test_a_broker_is_started_and_stopped():
    broker = Broker.start()
    assert broker.url.startswith("http://127.0.0.1:") and broker.url.endswith("/test")
    connection = listening(broker.url)
    broker.stop()
    assert_ended(connection, broker.url)
    broker.stop()


def test_a_broker_runs_even_if_nobody_holds_it():
    others = set(_running)
    app = Broker.start().create_app()
    gc.collect()
    app.until(connections(0), holds=0.1)
    (stop,) = _running - others
    stop()


def test_a_broker_takes_arguments_and_an_environment():
    env = {"HELIOSTAT_APP_ID": "77", "HELIOSTAT_APP_KEY": "key-of-77", "HELIOSTAT_APP_SECRET": "secret-of-77"}
    with Broker.start(args=["--test-token", "known", "--path-prefix", "/realtime"], env=env) as broker:
        assert broker.token == "known"
        app = broker.app("77")
        assert (app.key, app.secret, app.path_prefix) == ("key-of-77", "secret-of-77", "/realtime")


@pytest.mark.parametrize(
    "end",
    ["pass", "os._exit(1)", "raise RuntimeError('on purpose')", "os.kill(os.getpid(), 15)", "os.kill(os.getpid(), 9)"],
)
def test_a_broker_does_not_outlive_its_process(end):
    text = f"import os, pytest_heliostat\nprint(pytest_heliostat.Broker.start().url, flush=True)\ninput()\n{end}"
    command = [sys.executable, "-c", text]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program:
        try:
            url = program.stdout.readline().decode().strip()
            connection = listening(url)
            program.stdin.write(b"now\n")
            program.stdin.close()
            program.wait(DEADLINE_SECONDS)
            assert_ended(connection, url)
        finally:
            program.kill()


def test_an_interrupt_from_the_keyboard_is_not_for_the_broker():
    text = """if True:
        from pytest_heliostat import Broker
        broker = Broker.start()
        try:
            print("ready", flush=True)
            input()
        except KeyboardInterrupt:
            print(broker.create_app().id)
    """
    command = [sys.executable, "-c", text]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as program:
        try:
            assert program.stdout.readline() == b"ready\n"
            os.killpg(program.pid, signal.SIGINT)
            assert program.communicate(timeout=DEADLINE_SECONDS)[0].strip().isdigit()
        finally:
            program.kill()


def test_the_broker_of_the_environment_is_used_and_left_running(started, monkeypatch):
    environment = {"PUSHER_TEST_URL": started.url + "/", "PUSHER_TEST_TOKEN": started.token}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for found in (Broker.from_environment(environment), Broker.from_environment(), Broker.open()):
        assert found.url == started.url
        found.stop()
    started.create_app()


def test_heliostat_exec_is_the_environment(under_exec):
    text = """if True:
        import os
        from pytest_heliostat import Broker
        with Broker.open() as broker:
            app = broker.app(os.environ["PUSHER_APP_ID"])
        print(app.key == os.environ["PUSHER_APP_KEY"], broker.create_app().id != app.id)
    """
    assert under_exec("-c", text) == "True True\n"


def test_a_broker_is_reset_as_a_whole(started):
    app = started.create_app()
    backend(app).trigger("room", "message", {})
    app.until(event(count=1))
    started.reset()
    assert app.timeline() == ""


def test_strangers_are_those_who_have_the_key_of_no_app(started):
    stranger = Listener(started.create_app(), key="mistyped")
    try:
        assert stranger.heard(None, "closed") == 4001
    finally:
        stranger.close()
    (entry,) = started.strangers(type="connection_refused", code=4001)["entries"]
    assert "mistyped" in entry["path"]


@pytest.mark.parametrize("env", [{}, {"PUSHER_TEST_URL": "http://127.0.0.1:1/test"}, {"PUSHER_TEST_TOKEN": "token"}], ids=str)
def test_without_an_environment_it_is_said_what_was_expected(env):
    with pytest.raises(HeliostatError) as caught:
        Broker.from_environment(env)
    assert str(caught.value) == (
        "expected the variables PUSHER_TEST_URL and PUSHER_TEST_TOKEN: run the tests with `heliostat exec -- COMMAND`, "
        "or set them to the control_url and token that `heliostat serve --test` prints"
    )


@pytest.mark.parametrize("url", ["127.0.0.1:6001", "ftp://127.0.0.1/test", "http://:x/test", "http://[/test"])
def test_what_is_no_url_is_said_to_be_none(url):
    with pytest.raises(HeliostatError) as caught:
        Broker(url, "token")
    assert str(caught.value) == f'expected the URL of a control API, such as http://127.0.0.1:6001/test, got "{url}"'


@pytest.mark.parametrize(
    "options, message",
    [
        ({"program": "./none"}, r'^there is no program "./none": install heliostat, or name the program in HELIOSTAT_BIN, with'),
        ({"program": "/"}, r"^the broker cannot be started: .*Permission denied"),
        (
            {"args": ["--no-such-flag"]},
            r"ended before it was ready, with status 2; it wrote to standard error:\n.*'--no-such-flag'",
        ),
        ({"env": {"HELIOSTAT_APP_LIMITS_CONNECTIONS": "x"}}, r'HELIOSTAT_APP_LIMITS_CONNECTIONS: .*got "x"$'),
        ({"program": "false"}, r"^the broker \(false\) ended before it was ready, with status 1$"),
        ({"program": "echo"}, r'^expected a line of JSON from the broker \(echo\), got "serve --test\\n"$'),
    ],
    ids=str,
)
def test_a_broker_that_cannot_be_started_says_why(options, message):
    with pytest.raises(HeliostatError, match=message):
        Broker.start(**options)


@pytest.mark.parametrize("line", ["{}", "[]", "7"])
def test_a_program_that_says_something_else_is_no_broker_and_is_ended(tmp_path, line):
    other = tmp_path / "other"
    other.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\necho '{line}'\nexec tail -f /dev/null\n")
    other.chmod(0o755)
    with pytest.raises(HeliostatError, match="^expected a line of JSON from the broker "):
        Broker.start(str(other))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_broker_that_is_not_ready_in_time_is_ended(tmp_path):
    silent = tmp_path / "silent"
    # It says its number, so that one can see that it is gone.
    silent.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\necho 'still warming up' >&2\nexec tail -f /dev/null\n")
    silent.chmod(0o755)
    with pytest.raises(HeliostatError, match=r"was not ready after 2 s; it wrote to standard error:\nstill warming up$"):
        Broker.start(str(silent), start_timeout=2)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_wrong_token_is_refused_in_the_words_of_the_broker(started):
    with pytest.raises(ControlError) as caught:
        Broker(started.url, "wrong").create_app()
    error = caught.value
    assert isinstance(error, HeliostatError)
    assert (error.method, error.path, error.status) == ("POST", "/test/apps", 401)
    assert str(error).startswith("POST /test/apps: 401: expected the header Authorization: Bearer TOKEN")


def test_what_is_mistaken_is_refused_in_the_words_of_the_broker(started):
    app = started.create_app()
    for ask, message in [
        (lambda: app.until({"type": "subscriberz"}), r': 400: expected "type" to be one of subscribers, .*, got "subscriberz"; did you mean "subscribers"\?$'),
        (lambda: app.until(event(chanel="room")), "chanel"),
        (lambda: app.until(subscribers("room", -1)), "count"),
        (lambda: app.fault("http", status=42), 'expected "status" to be from 200 to 599, got 42'),
        (lambda: app.log(type="events"), "expected a type of entry"),
        (lambda: app.advance(-1), "-1000"),
        (lambda: started.create_app(settings={"client_eventz": True}), 'unknown key "client_eventz"'),
        (lambda: started.create_app(id=app.id), f'two apps have the id "{app.id}"'),
    ]:
        with pytest.raises(ControlError, match=message):
            ask()


def test_errors_survive_a_process_pool(started):
    app = started.create_app()
    for ask, kind in [(lambda: app.until(connections(1), timeout=0), NotMet), (lambda: app.advance(-1), ControlError)]:
        with pytest.raises(kind) as caught:
            ask()
        copy = pickle.loads(pickle.dumps(caught.value))
        assert (type(copy), str(copy), vars(copy)) == (kind, str(caught.value), vars(caught.value))


def test_a_broker_that_is_not_there_is_named():
    broker = Broker.start()
    broker.stop()
    with pytest.raises(HeliostatError) as caught:
        broker.create_app()
    assert str(caught.value).startswith(f"the broker's control API at {broker.url} cannot be reached: ")
    assert "refused" in str(caught.value)


def test_a_broker_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr("pytest_heliostat.control.ANSWER_DEADLINE_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/test"
        with pytest.raises(HeliostatError, match=f"^the broker's control API at {url} cannot be reached: no answer within 0.05 s$"):
            Broker(url, "token").create_app()
