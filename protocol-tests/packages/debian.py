"""Makes the Debian package that `[package.metadata.deb]` in Cargo.toml describes, of a binary that is there already. What
`cargo deb` adds to the scripts for systemd is left out: no service manager runs where this is installed."""

import glob
import shutil
import subprocess
import tomllib
from pathlib import Path

from project import ROOT

MANIFEST = tomllib.loads((ROOT / "Cargo.toml").read_text())
METADATA = MANIFEST["package"]["metadata"]["deb"]
UNITS = sorted((ROOT / METADATA["systemd-units"]["unit-scripts"]).glob("*.service"))


def unit_lines(name):
    """The values of a setting of the service's unit."""
    text = next(unit for unit in UNITS if unit.name == "heliostat.service").read_text()
    return [line.split("=", 1)[1] for line in text.splitlines() if line.startswith(f"{name}=")]


def assets():
    """Where each file is, where it goes, and its mode."""
    for source, target, mode in METADATA["assets"]:
        files = [source] if source.startswith("target/release/") else sorted(glob.glob(source, root_dir=ROOT))
        assert files, f"an asset that does not exist: {source}"
        for file in files:
            place = Path(target) / Path(file).name if target.endswith("/") else Path(target)
            yield file, place, int(mode, 8)
    for unit in UNITS:
        yield str(unit.relative_to(ROOT)), Path("usr/lib/systemd/system") / unit.name, 0o644


def package(binary, version, directory):
    """Makes the package of that version, and returns its path."""
    tree = directory / f"tree-{version}"
    control = tree / "DEBIAN"
    control.mkdir(parents=True)
    conffiles = []
    for source, place, mode in assets():
        target = tree / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(binary if source.startswith("target/release/") else ROOT / source, target)
        target.chmod(mode)
        if place.parts[0] == "etc":
            conffiles.append(f"/{place}\n")
    (control / "conffiles").write_text("".join(conffiles))
    scripts = ROOT / METADATA["maintainer-scripts"]
    for name in ("preinst", "postinst", "prerm", "postrm"):
        if (scripts / name).exists():
            text = (scripts / name).read_text()
            assert "\n#DEBHELPER#\n" in text, f"{name} has no place for what cargo deb adds"
            (control / name).write_text(text.replace("#DEBHELPER#", ""))
            (control / name).chmod(0o755)
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    depends = METADATA["depends"].replace("$auto", "libc6")
    (control / "control").write_text(
        f"Package: heliostat\nVersion: {version}\nArchitecture: {architecture.stdout.strip()}\nDepends: {depends}\n"
        f"Maintainer: {METADATA['maintainer']}\nDescription: {MANIFEST['package']['description']}\n"
    )
    file = directory / f"heliostat-{version}.deb"
    made = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(file)]
    subprocess.run(made, check=True, capture_output=True)
    shutil.rmtree(tree)
    return file
