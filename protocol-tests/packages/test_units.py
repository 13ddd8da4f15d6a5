"""The systemd units of examples/deploy: systemd finds no fault in them, and little that they leave open."""

import re
import shutil
import subprocess
import tomllib
import pytest
from project import DEPLOY, assert_sound

#: What `systemd-analyze security` may give the service at most, of 10: the units get 1.4.
MOST_EXPOSURE = 2.0

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
SERVICES = [DEPLOY / "heliostat.service", DEPLOY / "debian/heliostat.service"]


@pytest.fixture
def units(tmp_path):
    """The units, with a program that is there in place of the broker."""
    for name in ("heliostat.socket", "heliostat.service"):
        text = (DEPLOY / name).read_text()
        (tmp_path / name).write_text(text.replace("/usr/local/bin/heliostat", "/bin/true"))
    return tmp_path


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False)


@needs_systemd
def test_systemd_finds_no_fault(units):
    verified = analyze("verify", units / "heliostat.socket", units / "heliostat.service")
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@needs_systemd
def test_a_fault_would_be_found(units):
    service = units / "heliostat.service"
    service.write_text(service.read_text().replace("Type=notify", "Type=notifi"))
    assert "notifi" in analyze("verify", service).stderr


@needs_systemd
def test_little_is_left_open(units):
    judged = analyze("security", "--offline=true", units / "heliostat.service")
    overall = re.search(r"Overall exposure level for heliostat\.service: ([0-9.]+)", judged.stdout)
    assert overall and float(overall[1]) <= MOST_EXPOSURE, judged.stdout + judged.stderr


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: str(service.relative_to(DEPLOY)))
def test_commands_find_in_the_configuration_what_the_service_has(service):
    """What stands in the unit alone, `heliostat apps` does not know: it would change a file that the service never reads."""
    unit, settings = service.read_text(), service.with_name("heliostat.toml")
    assert "--config /etc/heliostat/heliostat.toml" in unit
    assert not re.findall("^Environment=|^Exec.*(?:--control-socket|--set)", unit, re.M)
    assert {"RuntimeDirectory=heliostat", "StateDirectory=heliostat"} <= set(unit.splitlines())
    parsed = tomllib.loads(settings.read_text())
    assert parsed["server"]["control_socket"].startswith("/run/heliostat/")
    assert all(parsed["admin"][name].startswith("/var/lib/heliostat/") for name in ("apps_file", "usage_file"))
    app = {"HELIOSTAT_APP_ID": "1", "HELIOSTAT_APP_KEY": "key", "HELIOSTAT_APP_SECRET": "secret-of-the-app"}
    assert_sound(app, "--config", str(settings))
