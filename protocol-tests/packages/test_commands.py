"""The project's own commands say how they are used, and do nothing else then."""

import subprocess

import pytest
from project import ROOT


@pytest.mark.parametrize("command", ["protocol-tests/run", ".ci/release"])
def test_help_is_text_and_nothing_is_run_for_it(command):
    told = subprocess.run([ROOT / command, "--help"], capture_output=True, text=True, timeout=30, cwd=ROOT)
    assert (told.returncode, told.stderr) == (0, "")
    assert command in told.stdout
