"""The Dockerfile, as far as it can be judged where no container engine runs: its style, that what it copies is all that the
broker is built from, that what it runs before that builds, and what it sets."""

import re
import subprocess
from pathlib import Path

import dockerfile
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
    assert " wget " in f" {words['RUN']} " and "CMD wget " in words["HEALTHCHECK"]
