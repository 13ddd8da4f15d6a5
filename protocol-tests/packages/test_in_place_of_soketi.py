"""Where nothing but the line `image:` of somebody's compose file is changed, the container starts, is healthy, and takes the
app's credentials: with the variables that the file sets, above those of the image, in a network of its own."""

import os
import shutil
import subprocess

import dockerfile
import pytest
from project import HELIOSTAT, ROOT

IMAGE = dockerfile.stages((ROOT / "Dockerfile").read_text())[-1]

# What each sets, and how it asks for the container's health from within.
FILES = {
    "Laravel Sail's stub": (
        {
            "SOKETI_DEBUG": "1",
            "SOKETI_METRICS_SERVER_PORT": "9601",
            "SOKETI_DEFAULT_APP_ID": "app-id-of-env",
            "SOKETI_DEFAULT_APP_KEY": "app-key-of-env",
            "SOKETI_DEFAULT_APP_SECRET": "app-secret-of-env",
        },
        "wget --no-verbose --tries=1 -O - http://127.0.0.1:9601",
    ),
    "Coolify's file": (
        {
            "SOKETI_DEBUG": "0",
            "SOKETI_DEFAULT_APP_ID": "1",
            "SOKETI_DEFAULT_APP_KEY": "key-of-coolify",
            "SOKETI_DEFAULT_APP_SECRET": "secret-of-coolify",
        },
        "wget -qO- http://127.0.0.1:6001/ready",
    ),
    "a file without the prefix": (
        {"DEFAULT_APP_ID": "1", "DEFAULT_APP_KEY": "key", "DEFAULT_APP_SECRET": "secret-of-the-app"},
        "wget -qO- http://127.0.0.1:6001/ready",
    ),
}

# The ports are the usual ones, so the broker has a network of its own.
CONTAINER = """
set -eu
ip link set lo up
heliostat serve >"$1/said" 2>"$1/log" &
broker=$!
head -n 1 "$1/said"
status=0
sh -c "$2" || status=$?
heliostat-health || status=$((status + 100))
kill -TERM $broker
wait $broker
cat "$1/log" >&2
exit $status
"""


@pytest.mark.parametrize("variables, probe", FILES.values(), ids=FILES)
def test_the_container_is_healthy(variables, probe, tmp_path):
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("a network of its own is given by root, with unshare and ip")
    (tmp_path / "heliostat").symlink_to(HELIOSTAT)
    (tmp_path / "heliostat-health").symlink_to(ROOT / "examples/deploy/health")
    os.mkfifo(tmp_path / "said")
    environment = {**dockerfile.environment(IMAGE), **variables, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    environment["HELIOSTAT_SERVER_CONTROL_SOCKET"] = str(tmp_path / "control")
    command = ["unshare", "--net", "sh", "-c", CONTAINER, "sh", str(tmp_path), probe]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "heliostat listening on http://0.0.0.0:6001" in ran.stdout
