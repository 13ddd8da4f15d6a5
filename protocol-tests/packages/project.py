"""The project's files, and what the broker says of settings."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "examples" / "deploy"
HELIOSTAT = os.environ["PROTOCOL_TESTS_BIN"]
# The command of the last release, to upgrade from.
PREVIOUS = os.environ.get("PROTOCOL_TESTS_PREVIOUS_BIN", HELIOSTAT)


def check_config(environment, *arguments):
    """`heliostat check-config` with these variables and none of ours."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    command = [HELIOSTAT, "check-config", *arguments]
    return subprocess.run(command, env={**kept, **environment}, capture_output=True, text=True, timeout=30)


def assert_sound(environment, *arguments):
    """That the broker takes these variables, and has nothing to remark on any of them."""
    checked = check_config(environment, *arguments)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "warning" not in checked.stdout + checked.stderr, checked.stdout + checked.stderr
