"""pytest's fixtures: a broker, an app of its own for each test, and what the broker saw of a test that failed."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any, Callable, Generator, Iterator, TypeVar

import pytest

from .control import App, Broker
from .errors import ControlError, HeliostatError

Made = TypeVar("Made")

_APP = pytest.StashKey[App]()
#: What the marker takes.
_TAKEN = ("settings", "webhooks")


def pytest_addoption(parser: pytest.Parser) -> None:
    what = "the broker's program (default: that of HELIOSTAT_BIN, else heliostat on the PATH)"
    parser.getgroup("heliostat").addoption("--heliostat-program", metavar="PATH", help=what)
    parser.addini("heliostat_program", what)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "pusher(settings={}, webhooks=[]): settings and webhooks of the test's app, or functions of fixtures")


@pytest.fixture(scope="session")
def heliostat(pytestconfig: pytest.Config) -> Iterator[Broker]:
    """The broker: that of PUSHER_TEST_URL, else one that is started now and stopped at the end."""
    with _or_fail(lambda: Broker.open(_program(pytestconfig))) as broker:
        yield broker


@pytest.fixture
def pusher(heliostat: Broker, request: pytest.FixtureRequest) -> Iterator[App]:
    """An app for this test alone, as the marker `pusher` wants it."""
    options = _options(request)
    app = _or_fail(lambda: heliostat.create_app(**options))
    request.node.stash[_APP] = app
    yield app
    del request.node.stash[_APP]
    try:
        app.delete()
    except ControlError as error:
        # A test may have deleted its app itself.
        if error.status != 404:
            raise


@pytest.fixture
def pusher_environment(pusher: App) -> Iterator[dict[str, str]]:
    """The variables of the test's app are in `os.environ` while the test runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in pusher.environment.items():
            patch.setenv(name, value)
        yield pusher.environment


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    outcome = yield
    report = outcome.get_result()
    # Of the teardown nothing is told: the app may be gone by then.
    if report.failed and report.when != "teardown" and _APP in item.stash:
        report.sections.append(("what the broker saw", _seen(item.stash[_APP])))


def _or_fail(make: Callable[[], Made]) -> Made:
    """What is made; or the test fails with that sentence alone."""
    try:
        return make()
    except HeliostatError as error:
        why = str(error)
    pytest.fail(why, pytrace=False)


def _seen(app: App) -> str:
    try:
        return f"app {app.id}:\n{app.timeline().rstrip() or '  nothing'}"
    except HeliostatError as error:
        return f"not known: {error}"


def _program(config: pytest.Config) -> str | None:
    program: str | None = config.getoption("--heliostat-program")
    if program:
        return program
    program = config.getini("heliostat_program")
    # A path in a file is meant from there; a name is looked for on the PATH.
    if program and os.sep in program and config.inipath:
        return str(Path(config.inipath).parent / program)
    return program or None


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the markers say: of the module, the class, the test; the closest last."""
    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("pusher"))):
        mistaken = [repr(value) for value in marker.args] + [name for name in marker.kwargs if name not in _TAKEN]
        if mistaken:
            pytest.fail(f"@pytest.mark.pusher takes settings= and webhooks=, got {', '.join(mistaken)}", pytrace=False)
        options.update(marker.kwargs)
    return {name: _made(request, value) for name, value in options.items()}


def _made(request: pytest.FixtureRequest, value: Any) -> Any:
    """The value; if it is a function, what that makes of the fixtures that its parameters are named like."""
    if not callable(value):
        return value
    names = inspect.signature(value).parameters
    return value(*(request if name == "request" else request.getfixturevalue(name) for name in names))
