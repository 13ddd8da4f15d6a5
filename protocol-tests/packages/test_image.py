"""The Dockerfile, as far as it can be judged where no container engine runs: its style, that what it copies is all that the
broker is built from, that what it runs before that builds, and what it sets."""

import os
import re
import socket
import subprocess
from pathlib import Path

import dockerfile
import pytest
from project import HELIOSTAT, ROOT, assert_sound, check_config

TEXT = (ROOT / "Dockerfile").read_text()
BUILD, IMAGE = dockerfile.stages(TEXT)


def test_hadolint_has_nothing_to_say():
    said = subprocess.run(["hadolint", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


def test_nothing_that_the_broker_is_built_from_is_missing(tmp_path):
    """The compiler notes what it has read. All of it that is ours is copied, at the same place."""
    dockerfile.copied(BUILD, ROOT, tmp_path)
    noted = Path(f"{HELIOSTAT}.d")
    assert noted.exists(), f"{noted}: the broker that is tested was not built by cargo here"
    read = {Path(path.replace("\\ ", " ")) for path in re.split(r"(?<!\\) ", noted.read_text().split(": ", 1)[1].strip())}
    ours = {path.relative_to(ROOT) for path in read if path.is_relative_to(ROOT)}
    ours = {path for path in ours if path.parts[0] != "target" and (ROOT / path).is_file()}
    assert Path("src/main.rs") in ours and len(ours) > 100, "the compiler's notes are read wrongly"
    assert [str(path) for path in sorted(ours) if not (tmp_path / path).is_file()] == []


def test_nothing_superfluous_is_sent_to_the_builder():
    sent = {str(path) for path in dockerfile.context_files(ROOT)}
    assert {path.split("/")[0] for path in sent} <= {
        ".cargo", "Cargo.lock", "Cargo.toml", "LICENSE", "build.rs", "examples", "protocol-tests", "src",
    }
    assert not [path for path in sent if path.endswith(".rs") and path.startswith("protocol-tests")]


def test_the_layer_of_dependencies_is_a_workspace_that_cargo_takes(tmp_path):
    """Cargo reads the manifests and the lock file with the empty crates, and finds the lock file fit."""
    stage = [line for line in BUILD if line != ("COPY", "src src")]
    dockerfile.copied(stage, ROOT, tmp_path)
    run = [rest for word, rest in BUILD if word == "RUN" and "for crate in" in rest]
    assert len(run) == 1, "one line makes the empty crates"
    empty, build = run[0].rsplit("&&", 1)
    assert build.strip() == "cargo build --release --locked --bin heliostat"
    subprocess.run(["sh", "-euc", empty], cwd=tmp_path, check=True)
    cargo = ["cargo", "metadata", "--locked", "--offline", "--format-version", "1"]
    read = subprocess.run(cargo, cwd=tmp_path, capture_output=True, text=True)
    assert read.returncode == 0, read.stderr
    # And again with what is copied afterwards.
    dockerfile.copied(BUILD, ROOT, tmp_path)
    read = subprocess.run(cargo, cwd=tmp_path, capture_output=True, text=True)
    assert read.returncode == 0, read.stderr


def test_every_crate_of_the_workspace_is_known_to_it():
    members = re.search(r"members = \[([^\]]*)\]", (ROOT / "Cargo.toml").read_text())[1]
    for member in re.findall(r'"([^"]+)"', members):
        if member != ".":
            assert ("COPY", f"{member}/Cargo.toml {member}/") in BUILD, member
            assert re.search(rf"for crate in [^;]*{re.escape(member)}[ ;]", TEXT), member


def test_the_image_uses_the_toolchain_that_the_project_asks_for():
    asked = re.search(r'rust-version = "([^"]+)"', (ROOT / "Cargo.toml").read_text())[1]
    assert f"ARG RUST_VERSION={asked}\n" in TEXT


def test_its_settings_are_sound_and_take_an_app():
    """The image alone does not start: whoever reaches it would know the app's secret."""
    variables = dockerfile.environment(IMAGE)
    assert variables["HELIOSTAT_SERVER_HOST"] == "0.0.0.0"
    app = {"HELIOSTAT_APP_ID": "1", "HELIOSTAT_APP_KEY": "key", "HELIOSTAT_APP_SECRET": "of-our-own"}
    assert_sound({**variables, **app})
    assert check_config(variables).returncode == 2


def test_it_is_not_root_and_can_be_asked_for_its_health():
    words = dict(IMAGE)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", words["USER"]), "a number, for Kubernetes' runAsNonRoot"
    assert words["EXPOSE"].split() == ["6001", "9601"]
    assert words["STOPSIGNAL"] == "SIGTERM"
    assert " wget " in words["RUN"]
    assert words["HEALTHCHECK"].endswith('CMD ["heliostat-health"]')


def test_what_the_image_copies_is_there(tmp_path):
    dockerfile.copied(IMAGE, ROOT, tmp_path)
    assert (tmp_path / "usr/local/bin/heliostat-health").is_file()


CONFIGURED = {
    "as it is": ({}, ""),
    "by a variable": ({"HELIOSTAT_SERVER_PORT": "{port}"}, "port = 1\n"),
    "by a platform's": ({"PORT": "{port}"}, ""),
    "below a prefix": ({}, 'port = {port}\npath_prefix = "/realtime"\n'),
    "on all addresses": ({"HELIOSTAT_SERVER_HOST": "0.0.0.0"}, "port = {port}\n"),
    "over TLS": ({}, 'port = {port}\ntls_certificate = "{directory}/c.pem"\ntls_key = "{directory}/k.pem"\n'),
    "over TLS, by the name that is asked for": (
        {},
        'port = {port}\ncertificates = [{{ certificate = "{directory}/c.pem", key = "{directory}/k.pem" }}]\n',
    ),
}


@pytest.mark.parametrize("variables, server", CONFIGURED.values(), ids=CONFIGURED)
def test_its_health_is_asked_for_where_the_broker_listens(variables, server, tmp_path):
    """Whatever says where that is. Of a broker that is not there, and of one that stops, it is bad."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=realtime.example.com"]
    subprocess.run([*command, "-keyout", tmp_path / "k.pem", "-out", tmp_path / "c.pem"], check=True, capture_output=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    filled = {"port": port, "directory": tmp_path}
    file = tmp_path / "heliostat.toml"
    app = '[[apps]]\nid = "1"\nkey = "key"\nsecret = "secret-of-the-app"\n'
    if server == "" and not variables:
        server = "port = {port}\n"
    file.write_text(f"[server]\n{server.format(**filled)}{app}")
    named = {name: value.format(**filled) for name, value in variables.items()}
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HELIOSTAT_CONFIG": str(file), **named}
    (tmp_path / "heliostat").symlink_to(HELIOSTAT)

    def health():
        asked = [ROOT / "examples/deploy/health"]
        return subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=30)

    assert health().returncode != 0
    broker = subprocess.Popen(["heliostat", "serve"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert "heliostat listening" in broker.stdout.readline()
        asked = health()
        assert asked.returncode == 0, asked.stderr
        if any(name.endswith("PORT") for name in variables):
            file.write_text("rubbish")
            asked = health()
            assert asked.returncode == 0, f"a file that was edited makes a broker that serves bad: {asked.stderr}"
    finally:
        broker.terminate()
        broker.communicate()
    assert health().returncode != 0
