"""The compose files: they have the form of the specification, as far as it is used here, and the broker takes their
settings."""

import re

import dockerfile
import pytest
import yaml
from project import DEPLOY, ROOT, assert_sound, check_config

FILES = sorted(DEPLOY.glob("compose*.yaml"))
IMAGE = dockerfile.stages((ROOT / "Dockerfile").read_text())[-1]
VALUES = {"id": "1001", "key": "key-of-the-app", "secret": "secret-of-the-app", "port": "6001", "host": "example.com",
          "password": "password-of-redis"}

# What each element of a service is, of those that are used; a mistyped one is none of them.
SERVICE = {
    "image": str, "build": str, "restart": str, "ports": list, "expose": list, "environment": dict, "volumes": list,
    "stop_grace_period": str, "ulimits": dict, "read_only": bool, "tmpfs": list, "cap_drop": list, "security_opt": list,
    "depends_on": dict, "command": list, "healthcheck": dict, "hostname": str,
}


def interpolated(node):
    """As compose does it to every string, with values for all variables that are asked for."""

    def value(match):
        return match[3] if match[2] == ":-" else VALUES[match[1].lower().rsplit("_", 1)[-1]]

    if isinstance(node, dict):
        return {name: interpolated(each) for name, each in node.items()}
    if isinstance(node, list):
        return [interpolated(each) for each in node]
    return re.sub(r"\$\{([A-Z_]+)(?:(:-|:\?)([^}]*))?\}", value, node) if isinstance(node, str) else node


def whole_of(file):
    return interpolated(yaml.safe_load(file.read_text()))


def services(file):
    return whole_of(file)["services"]


def test_all_are_there():
    assert [file.name for file in FILES] == ["compose.caddy.yaml", "compose.cluster.yaml", "compose.laravel.yaml", "compose.yaml"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_file_has_the_form_of_the_specification(file):
    whole = whole_of(file)
    assert set(whole) <= {"services", "volumes"}
    for name, service in whole["services"].items():
        for element, content in service.items():
            assert isinstance(content, SERVICE[element]), f"{name}.{element}"
        for port in service.get("ports", []):
            assert re.fullmatch(r"\d+:\d+", port), port
        for name, content in service.get("environment", {}).items():
            assert isinstance(content, str), f"{name} is no string: quote it"
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            if source.startswith("."):
                assert (file.parent / source).exists() and target.startswith("/"), volume
            else:
                assert source in whole["volumes"], volume
        for other in service.get("depends_on", {}):
            assert other in whole["services"]
        if "build" in service:
            assert ((file.parent / service["build"]).resolve() / "Dockerfile").is_file()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_broker_takes_its_settings(file):
    variables = services(file)["heliostat"]["environment"]
    assert_sound({**dockerfile.environment(IMAGE), **variables})
    # Without its credentials it does not start, rather than with some that everybody knows.
    without = {name: value for name, value in variables.items() if "_APP_" not in name}
    assert check_config({**dockerfile.environment(IMAGE), **without}).returncode == 2


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_is_given_the_time_that_it_takes_to_stop(file):
    grace = re.fullmatch(r"(\d+)s", services(file)["heliostat"]["stop_grace_period"])
    template = (ROOT / "src/config/default.toml").read_text()
    broker = float(re.search(r"shutdown_grace_seconds = ([\d.]+)", template)[1])
    assert int(grace[1]) > broker + 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_the_broker_writes_is_on_a_volume(file):
    """A container has nothing else that lasts, and with `read_only` nothing else that can be written to."""
    broker = services(file)["heliostat"]
    variables = {**dockerfile.environment(IMAGE), **broker["environment"]}
    written = {value for name, value in variables.items() if name in ("HELIOSTAT_ADMIN_APPS_FILE", "HELIOSTAT_ADMIN_USAGE_FILE")}
    assert "/var/lib/heliostat/apps.toml" in written
    volumes = dict(reversed(volume.split(":")[:2]) for volume in broker["volumes"])
    for path in written:
        source = volumes[path.rpartition("/")[0]]
        assert not source.startswith((".", "/")), f"{source} is the host's, and not this user's"


def test_the_nodes_of_a_cluster_are_alike_but_for_their_names_and_places():
    brokers = [service for service in services(DEPLOY / "compose.cluster.yaml").values() if "build" in service]
    own = ("hostname", "volumes")
    alike = [{name: content for name, content in broker.items() if name not in own} for broker in brokers]
    assert len(alike) == 3 and all(broker == alike[0] for broker in alike)
    assert len({(broker["hostname"], *broker["volumes"]) for broker in brokers}) == 3


def test_a_setting_that_does_not_exist_would_be_seen():
    app = {"HELIOSTAT_APP_ID": "1", "HELIOSTAT_APP_KEY": "key", "HELIOSTAT_APP_SECRET": "secret-of-the-app"}
    with pytest.raises(AssertionError, match="HELIOSTAT_SERVER_PROT"):
        assert_sound({**app, "HELIOSTAT_SERVER_PROT": "1"})


def test_nobody_reaches_the_broker_past_caddy():
    """Only then may it believe what Caddy says of TLS."""
    broker = services(DEPLOY / "compose.caddy.yaml")["heliostat"]
    assert broker["environment"]["HELIOSTAT_SERVER_TRUSTED_PROXIES"]
    assert "ports" not in broker
