"""The systemd units of examples/deploy: systemd finds no fault in them, and little that they leave open."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "examples/deploy"

#: What `systemd-analyze security` may give the service at most, of 10: the units get 1.4.
MOST_EXPOSURE = 2.0

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")


@pytest.fixture
def units(tmp_path):
    """The units, with a program that is there in place of the broker."""
    for name in ("heliostat.socket", "heliostat.service"):
        text = (DEPLOY / name).read_text()
        (tmp_path / name).write_text(text.replace("/usr/local/bin/heliostat", "/bin/true"))
    return tmp_path


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_systemd_finds_no_fault(units):
    verified = analyze("verify", units / "heliostat.socket", units / "heliostat.service")
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_a_fault_would_be_found(units):
    service = units / "heliostat.service"
    service.write_text(service.read_text().replace("Type=notify", "Type=notifi"))
    assert "notifi" in analyze("verify", service).stderr


def test_little_is_left_open(units):
    judged = analyze("security", "--offline=true", units / "heliostat.service")
    overall = re.search(r"Overall exposure level for heliostat\.service: ([0-9.]+)", judged.stdout)
    assert overall and float(overall[1]) <= MOST_EXPOSURE, judged.stdout + judged.stderr
