"""What a release consists of: the same bytes every time, complete, with sums and a bill of materials that fit."""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from project import HELIOSTAT, ROOT


def release(*arguments, root=ROOT):
    return subprocess.run([root / ".ci" / "release", *arguments], capture_output=True, text=True, cwd=root)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two releases of the same binary."""
    directory = tmp_path_factory.mktemp("release")
    binary = directory / "heliostat"
    if subprocess.run(["strip", "-o", binary, HELIOSTAT]).returncode != 0:
        shutil.copyfile(HELIOSTAT, binary)
    binary.chmod(0o755)
    for name in ("one", "two"):
        ran = release("--binary", binary, "--output", directory / name)
        assert ran.returncode == 0, ran.stderr
    return directory


def only(directory, pattern):
    [file] = directory.glob(pattern)
    return file


def test_it_is_the_same_every_time(made):
    one, two = ({file.name: file.read_bytes() for file in (made / name).iterdir()} for name in ("one", "two"))
    assert sorted(one) == sorted(two) and len(one) == 3
    assert [name for name in one if one[name] != two[name]] == []


def test_the_sums_are_those_of_the_files(made):
    lines = [line.split() for line in (made / "one" / "SHA256SUMS").read_text().splitlines()]
    assert len(lines) == 2
    for digest, name in lines:
        assert hashlib.sha256((made / "one" / name).read_bytes()).hexdigest() == digest


def test_the_archive_holds_the_command_and_what_goes_with_it(made, tmp_path):
    with tarfile.open(only(made / "one", "*.tar.gz")) as archive:
        members = archive.getmembers()
        # Older Pythons than 3.11.4 know no filters.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(tmp_path)
    top = {member.name.split("/")[0] for member in members}
    assert len(top) == 1 and all(member.uid == member.gid == 0 and not member.mode & 0o022 for member in members)
    unpacked = tmp_path / top.pop()
    held = {file.name for file in unpacked.iterdir()}
    documents = {"README.md", "CHANGELOG.md", "LICENSE", "SECURITY.md", "docs", "examples"}
    assert held == {"heliostat", "man", "completions"} | documents
    assert (unpacked / "man" / "heliostat.1").read_text().startswith(".")
    assert {file.name for file in (unpacked / "completions").iterdir()} == {f"heliostat.{shell}" for shell in ("bash", "fish", "zsh")}
    said = subprocess.run([unpacked / "heliostat", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("heliostat ")


def test_the_bill_of_materials_is_valid_and_complete(made):
    text = only(made / "one", "*.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    listed = {each["bom-ref"] for each in bill["components"]}
    assert all("hashes" in each and "licenses" in each for each in bill["components"])
    # What Cargo.toml names without a condition is compiled in, and what only tests name is not.
    assert {"tokio", "rustls", "actix-http"} <= {each["name"] for each in bill["components"]}
    assert not {"proptest", "heliostat-protocol-tests"} & {each["name"] for each in bill["components"]}
    broker = bill["metadata"]["component"]["bom-ref"]
    edges = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert set(edges) == listed | {broker}
    reached, left = set(), [broker]
    while left:
        ref = left.pop()
        if ref not in reached:
            reached.add(ref)
            left += edges[ref]
    assert reached == listed | {broker}


def test_what_is_mistaken_is_said(made, tmp_path):
    assert release("--fast").returncode == 2
    assert release("--binary").returncode == 2
    nothing = release("--binary", tmp_path / "nothing", "--output", tmp_path / "out")
    assert nothing.returncode == 1 and "is no program" in nothing.stderr
    assert not (tmp_path / "out").exists()
    bill = subprocess.run([ROOT / ".ci" / "bill-of-materials", "no-such-target"], capture_output=True, text=True)
    assert bill.returncode == 1 and "could not find specification" in bill.stderr


def test_only_a_committed_and_dated_version_is_released(tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", clone], check=True)
    changelog = clone / "CHANGELOG.md"
    headings = [line for line in changelog.read_text().splitlines(keepends=True) if not line.startswith("## ")]
    changelog.write_text("".join(headings))
    refused = release(root=clone)
    assert refused.returncode == 1 and "not committed" in refused.stderr
    author = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.com", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.com"}
    subprocess.run(["git", "commit", "--quiet", "-am", "No headings"], cwd=clone, check=True, env={**os.environ, **author})
    refused = release(root=clone)
    assert refused.returncode == 1 and "CHANGELOG.md has no heading" in refused.stderr
