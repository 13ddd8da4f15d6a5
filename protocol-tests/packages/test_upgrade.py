"""What the last release was configured with, the broker under test takes, and means the same by it. Where no release is named,
the two are one, and what it prints it reads again."""

import os
import subprocess
import tomllib

from project import HELIOSTAT, PREVIOUS, check_config

CONFIGURATION = """
[server]
host = "127.0.0.1"
port = 7001
path_prefix = "/realtime"
[[apps]]
id = "1"
key = "key"
secret = "secret-of-the-app"
client_events = true
limits = { connections = 10 }
[[apps.pipe]]
from = "camera-*"
event = "frame"
to = "screen-*"
[[apps.webhooks]]
url = "https://example.com/webhooks"
events = ["channel_existence"]
[[apps.channels]]
pattern = "camera-*"
delivery = "latest"
"""


def settings(command, file):
    """Every setting with its value, as a command that is given this file says."""
    printed = [command, "print-config", "--show-secrets", "--config", file]
    ran = subprocess.run(printed, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def missing(before, after, path=""):
    """Where a value of `before` is another in `after`."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [each for name, value in before.items() for each in missing(value, after.get(name), f"{path}.{name}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [each for at, pair in enumerate(zip(before, after)) for each in missing(*pair, f"{path}[{at}]")]
    return [] if before == after else [f"{path}: {before!r} became {after!r}"]


def test_its_settings_are_taken_and_mean_the_same(tmp_path):
    written, printed = tmp_path / "written.toml", tmp_path / "printed.toml"
    written.write_text(CONFIGURATION)
    printed.write_text(settings(PREVIOUS, written))
    before = tomllib.loads(printed.read_text())
    assert before["server"]["port"] == 7001 and before["apps"][0]["limits"]["connections"] == 10
    for file in (written, printed):
        checked = check_config({}, "--config", file)
        assert checked.returncode == 0, checked.stderr
        assert missing(before, tomllib.loads(settings(HELIOSTAT, file))) == []


def test_a_setting_that_means_another_thing_would_be_seen():
    assert missing({"a": [{"b": 1}]}, {"a": [{"b": 2}]}) == [".a[0].b: 1 became 2"]
    assert missing({"a": 1}, {}) == [".a: 1 became None"]
    assert missing({"a": 1}, {"a": 1, "new": 2}) == []
