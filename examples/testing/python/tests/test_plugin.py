"""What the plugin does in pytest runs of its own."""

import os
import re

import pytest

from listener import DEADLINE_SECONDS
from pytest_heliostat import Broker

# For tests of tests: a message is published to the app that the environment names.
PUBLISHES = """
    import os
    import pusher as library
    import pytest
    from pytest_heliostat import Broker, connections, event, subscribers, webhook

    def publish(channel):
        given = {name: os.environ["PUSHER_APP_" + name.upper()] for name in ("key", "secret")}
        host, port = os.environ["PUSHER_HOST"], int(os.environ["PUSHER_PORT"])
        server = library.Pusher(os.environ["PUSHER_APP_ID"], **given, host=host, port=port, ssl=False)
        server.trigger(channel, "message", {})
"""


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("PUSHER_TEST_URL", "PUSHER_TEST_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs pytest on a file of these tests."""
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__))
    pytester.makeini("[pytest]\naddopts = --strict-markers -W error::pytest.PytestWarning -p no:cacheprovider\n")

    def run(tests, *args):
        pytester.makepyfile(test_it=f"{PUBLISHES}\n{tests}")
        return pytester.runpytest_subprocess(*args, timeout=6 * DEADLINE_SECONDS)

    return run


@pytest.fixture
def shared(monkeypatch):
    """A broker that the environment names."""
    with Broker.start() as broker:
        monkeypatch.setenv("PUSHER_TEST_URL", broker.url)
        monkeypatch.setenv("PUSHER_TEST_TOKEN", broker.token)
        yield broker


@pytest.fixture
def brokers(pytester, monkeypatch):
    """The numbers of the brokers that were started since."""
    file = pytester.path / "brokers"
    program = pytester.path / "counted-heliostat"
    program.write_text(f'#!/bin/sh\necho $$ >> "{file}"\nexec "{os.environ["HELIOSTAT_BIN"]}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("HELIOSTAT_BIN", str(program))

    def numbers():
        found = [int(line) for line in file.read_text().split()] if file.exists() else []
        for number in found:
            with pytest.raises(ProcessLookupError):
                os.kill(number, 0)
        return found

    return numbers


def test_each_test_has_an_app_of_its_own_and_one_broker(run, brokers):
    result = run(
        """
    seen = []

    @pytest.mark.parametrize("number", range(3))
    def test_room(pusher, pusher_environment, heliostat, number):
        publish("room")
        pusher.until(event(channel="room", count=1), holds=0.02)
        seen.append((heliostat.url, pusher.id))

    def test_they_are_gone(heliostat):
        assert len(set(seen)) == 3 and {url for url, _ in seen} == {heliostat.url}
        for _, id in seen:
            with pytest.raises(Exception, match="there is no app"):
                heliostat.app(id)
        assert "PUSHER_URL" not in os.environ

    def test_an_app_may_be_deleted_by_its_test(pusher):
        pusher.delete()
    """
    )
    result.assert_outcomes(passed=5)
    assert len(brokers()) == 1


def test_without_a_test_that_needs_it_no_broker_is_started(run, brokers):
    run("    def test_nothing(): pass").assert_outcomes(passed=1)
    assert brokers() == []


FAILING = """
    def test_fails(pusher, pusher_environment):
        publish("half-full")
        pusher.until(subscribers("half-full", 2), timeout=0.02)

    @pytest.fixture
    def full(pusher, pusher_environment):
        publish("still-empty")
        pusher.until(subscribers("still-empty", 1), timeout=0.02)

    def test_fails_in_a_fixture(full):
        pass

    def test_fails_in_silence(pusher):
        assert 1 == 2

    def test_has_lost_its_app(pusher):
        pusher.delete()
        assert 1 == 3

    def test_passes(pusher, pusher_environment):
        publish("fine")
"""


@pytest.mark.parametrize("args", [[], ["-n", "2"]], ids=["one process", "xdist"])
def test_the_report_of_a_test_that_fails_holds_what_the_broker_saw(run, shared, args):
    result = run(FAILING, *args)
    result.assert_outcomes(failed=3, errors=1, passed=1)
    text = result.stdout.str()
    said = re.findall(r"-+ what the broker saw -+\n(.*)\n(.*)\n", text)
    assert len(said) == 4, text
    lines = [f"{app} {first}" for app, first in said]
    assert sum(bool(re.search(r"^app \d+: .* s  .*message on half-full", line)) for line in lines) == 1, lines
    assert sum(bool(re.search(r"^app \d+: .* s  .*message on still-empty", line)) for line in lines) == 1, lines
    assert sum(bool(re.search(r"^app \d+:   nothing$", line)) for line in lines) == 1, lines
    assert "not known: GET /test/apps/" in text
    assert len(re.findall(r"^ .* s  GAVE UP expected \"(?:half-full|still-empty)\" to have exactly", text, re.MULTILINE)) == 2
    assert 'NotMet: expected "half-full" to have exactly 2 subscribers, it has 0, after' in text
    assert "on fine" not in text
    # The test's own line is the last: what the package does is hidden.
    assert "control.py" not in text
    for id in re.findall(r"^app (\d+):", text, re.MULTILINE):
        with pytest.raises(Exception, match="there is no app"):
            shared.app(id)


def test_settings_and_webhooks_are_those_of_the_markers(run, endpoint):
    result = run(
        f"""
    pytestmark = pytest.mark.pusher(settings={{"limits.event_payload_bytes": 1}}, webhooks=[{{"url": "{endpoint}"}}])

    def test_module(pusher, pusher_environment):
        with pytest.raises(Exception, match="too large|exceeds|limit|bytes"):
            publish("room")

    @pytest.mark.pusher(settings={{}})
    def test_the_closest_wins(pusher, pusher_environment):
        publish("cache-room")
        pusher.until(event(count=1))

    @pytest.mark.pusher(settings={{"no_such": 1}})
    def test_mistaken(pusher):
        pass

    @pytest.mark.pusher({{}}, setings={{}})
    def test_mistyped(pusher):
        pass
    """
    )
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(
        [
            '*POST /test/apps: 400: the app: unknown key "no_such"*',
            "*@pytest.mark.pusher takes settings= and webhooks=, got {}, setings",
        ]
    )


def test_a_marker_is_given_what_fixtures_have_made(run, endpoint):
    result = run(
        f"""
    from listener import Listener

    @pytest.fixture
    def listening():
        return "{endpoint}"

    @pytest.fixture
    def limit():
        return 1

    @pytest.mark.pusher(
        settings=lambda limit, request: {{"limits.event_payload_bytes": limit, "connection.outbox_bytes": 65536}},
        webhooks=lambda listening: [{{"url": listening}}],
    )
    def test_made(pusher, pusher_environment):
        with pytest.raises(Exception, match="too large|exceeds|limit|bytes"):
            publish("room")
        client = Listener(pusher).connected()
        client.subscribe("room")
        pusher.until(webhook(name="channel_occupied", channel="room", path="/webhook", count=1))
        client.close()

    @pytest.mark.pusher(webhooks=lambda nobody: [])
    def test_unknown(pusher):
        pass
    """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*fixture 'nobody' not found*"])


def test_the_webhooks_of_a_marker_are_sent(run, endpoint):
    result = run(
        f"""
    from listener import Listener

    @pytest.mark.pusher(webhooks=[{{"url": "{endpoint}"}}])
    def test_webhooks(pusher):
        client = Listener(pusher).connected()
        client.subscribe("room")
        pusher.until(webhook(name="channel_occupied", channel="room", path="/webhook", count=1))
        client.close()
    """
    )
    result.assert_outcomes(passed=1)


NEEDS_A_BROKER = """
    def test_one(pusher): pass
    def test_two(pusher): pass
"""


@pytest.mark.parametrize("how", ["option", "ini", "variable"])
def test_a_program_that_is_missing_is_named(run, pytester, monkeypatch, how):
    args, program = [], "./no/heliostat"
    if how == "option":
        args = ["--heliostat-program", program]
    elif how == "ini":
        args = ["-o", f"heliostat_program={program}"]
        program = str(pytester.path / "no/heliostat")
    else:
        monkeypatch.setenv("HELIOSTAT_BIN", program)
    result = run(NEEDS_A_BROKER, *args)
    result.assert_outcomes(errors=2)
    sentence = f'there is no program "{program}": install heliostat, or name the program in HELIOSTAT_BIN, '
    assert result.stdout.str().count("\n" + sentence) == 2, "said once for each test, and nothing around it"


def test_the_program_of_the_option_is_used_before_all_others(run, pytester, brokers):
    ini = ["-o", "heliostat_program=./no/heliostat"]
    run(NEEDS_A_BROKER, *ini, "--heliostat-program", "./counted-heliostat").assert_outcomes(passed=2)
    run(NEEDS_A_BROKER, "-o", "heliostat_program=./counted-heliostat").assert_outcomes(passed=2)
    assert len(brokers()) == 2


@pytest.mark.parametrize(
    "environment, sentence",
    [
        ({"PUSHER_TEST_URL": "http://127.0.0.1:1/test"}, "expected the variables PUSHER_TEST_URL and PUSHER_TEST_TOKEN: "),
        ({"PUSHER_TEST_TOKEN": "token"}, "expected the variables PUSHER_TEST_URL and PUSHER_TEST_TOKEN: "),
        ({"PUSHER_TEST_URL": "6001", "PUSHER_TEST_TOKEN": "token"}, "expected the URL of a control API, such as http://"),
        (
            {"PUSHER_TEST_URL": "http://127.0.0.1:1/test", "PUSHER_TEST_TOKEN": "token"},
            "the broker's control API at http://127.0.0.1:1/test cannot be reached: ",
        ),
    ],
    ids=str,
)
def test_a_mistaken_environment_is_explained(run, brokers, monkeypatch, environment, sentence):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = run(NEEDS_A_BROKER)
    result.assert_outcomes(errors=2)
    assert result.stdout.str().count("\n" + sentence) == 2
    assert brokers() == []


WORKERS = """
    @pytest.mark.parametrize("number", range(16))
    def test_room(pusher, pusher_environment, heliostat, number):
        publish("room")
        pusher.until(event(channel="room", count=1))
        with open("urls", "a") as file:
            file.write(heliostat.url + "\\n")
"""


def test_each_worker_of_xdist_has_a_broker_of_its_own(run, pytester, brokers):
    run(WORKERS, "-n", "4").assert_outcomes(passed=16)
    urls = (pytester.path / "urls").read_text().split()
    assert len(urls) == 16
    assert len(brokers()) == len(set(urls)) == 4


def test_all_workers_share_the_broker_of_the_environment(run, pytester, shared, brokers):
    run(WORKERS, "-n", "4").assert_outcomes(passed=16)
    assert set((pytester.path / "urls").read_text().split()) == {shared.url}
    assert brokers() == []


@pytest.mark.parametrize("args", [[], ["-n", "4"]], ids=["one process", "xdist"])
def test_under_heliostat_exec_its_broker_is_used(pytester, under_exec, args):
    pytester.makepyfile(
        """
        import os
        import pytest

        @pytest.mark.parametrize("number", range(8))
        def test_it(pusher, heliostat, number):
            assert heliostat.url == os.environ["PUSHER_TEST_URL"]
            assert pusher.id != os.environ["PUSHER_APP_ID"]
            assert heliostat.app(os.environ["PUSHER_APP_ID"]).secret == os.environ["PUSHER_APP_SECRET"]
        """
    )
    said = under_exec("-m", "pytest", "-p", "no:cacheprovider", *args, "--heliostat-program", "./none", str(pytester.path))
    assert "8 passed" in said


def test_what_there_is_is_listed(run):
    result = run("", "--fixtures", "-q")
    for fixture in ("heliostat [[]session scope[]] -- *", "pusher -- *", "pusher_environment -- *"):
        result.stdout.fnmatch_lines([fixture])
    run("", "--markers").stdout.fnmatch_lines(["@pytest.mark.pusher(settings={}, webhooks=[[][]]): *"])
