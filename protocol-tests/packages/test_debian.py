"""The Debian package: installed, started, upgraded, removed and purged, on a copy of this system that nothing is written
back from."""

import os
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import debian
import pytest
from project import HELIOSTAT, PREVIOUS, ROOT

# Everything within is on a layer above the system's own files, in memory, and gone with the shell that made it.
LAYER = """
set -eu
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay none -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount --rbind /dev "$1/root/dev"
mount -t proc none "$1/root/proc"
mkdir -p "$1/root/packages"
mount --bind "$2" "$1/root/packages"
echo ready
exec chroot "$1/root" sh
"""


class Machine:
    """A shell as root on a copy of this system."""

    def __init__(self, layer, packages):
        command = ["unshare", "--mount", "--fork", "sh", "-c", LAYER, "sh", str(layer), str(packages)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.shell = subprocess.Popen(command, **pipes)
        if self.shell.stdout.readline() != "ready\n":
            pytest.skip(f"no layer can be laid over this system's files: {self.shell.communicate()[1]}")

    def run(self, command):
        """What a command prints, and its status."""
        self.shell.stdin.write(f"{{ {command}\n}} 2>&1 </dev/null; printf '\\n<%s>\\n' $?\n")
        self.shell.stdin.flush()
        lines = []
        while not (status := re.fullmatch(r"<(\d+)>\n", line := self.shell.stdout.readline())):
            assert line, f"the shell has ended: {''.join(lines)}"
            lines.append(line)
        return "".join(lines).strip(), int(status[1])

    def do(self, command):
        """The same of one that must succeed."""
        printed, status = self.run(command)
        assert status == 0, f"{command}: {printed}"
        return printed

    def served(self, while_it_runs=None):
        """Starts the broker as the service does, asks for its health, reloads it and ends it; returns its app's credentials."""
        [start], [reload], [directory], [user] = map(debian.unit_lines, ("ExecStart", "ExecReload", "RuntimeDirectory", "User"))
        [state] = debian.unit_lines("StateDirectory")
        self.do(f"install -d -o {user} -g {user} -m 750 /run/{directory} /var/lib/{state}; rm -f /tmp/said; mkfifo /tmp/said")
        as_user = f"setpriv --reuid {user} --regid {user} --init-groups"
        # Its variables are the service's alone: who is at a shell has none of them.
        started = f"set -a; . {debian.unit_lines('EnvironmentFile')[0]}; exec {as_user} {start}"
        pid = self.do(f"({started}) >/tmp/said 2>/tmp/log & echo $!")
        # It says where it listens when it does, or ends, and then there is nothing to read.
        line = self.do("head -n 1 /tmp/said")
        port = re.search(r"listening on http://127\.0\.0\.1:(\d+)", line)
        assert port, self.do("cat /tmp/log")
        with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/health", timeout=10) as answer:
            assert answer.read() == b"ok\n"
        self.do(f"{as_user} {reload}")
        if while_it_runs:
            while_it_runs()
        self.do(f"kill -TERM {pid}; wait {pid}")
        return self.do(". /etc/heliostat/credentials; echo $HELIOSTAT_APP_KEY $HELIOSTAT_APP_SECRET")


@pytest.fixture
def machine(tmp_path):
    if os.geteuid() != 0 or not shutil.which("dpkg-deb") or not shutil.which("unshare"):
        pytest.skip("a package can be installed by root, on a Debian system")
    (tmp_path / "layer").mkdir()
    packages = tmp_path / "packages"
    packages.mkdir()
    for version, command in (("0.9.0", PREVIOUS), ("0.9.1", HELIOSTAT)):
        binary = tmp_path / version
        if subprocess.run(["strip", "-o", binary, command]).returncode != 0:
            shutil.copyfile(command, binary)
        debian.package(binary, version, packages)
    machine = Machine(tmp_path / "layer", packages)
    yield machine
    machine.shell.communicate()
    assert not Path("/etc/heliostat").exists() or Path("/usr/bin/heliostat").exists(), "the layer leaks"


def test_it_is_installed_started_upgraded_removed_and_purged(machine):
    machine.do("dpkg -i /packages/heliostat-0.9.0.deb")
    assert machine.do("stat -c '%a %U:%G' /etc/heliostat/credentials") == "640 root:heliostat"
    assert machine.do("stat -c '%a %U:%G' /etc/heliostat/heliostat.toml") == "640 root:heliostat"
    assert re.search(r"^heliostat:[^:]*:\d+:\d+:[^:]*:/nonexistent:/usr/sbin/nologin$", machine.do("getent passwd heliostat"), re.M)
    if shutil.which("systemd-analyze"):
        machine.do("systemd-analyze verify /usr/lib/systemd/system/heliostat.service")
    # What an operator changes, he keeps; and so a port that is free here.
    machine.do("sed -i 's/^port = 6001$/port = 0/' /etc/heliostat/heliostat.toml")
    key, secret = machine.served().split()
    assert re.fullmatch("[0-9a-f]{20}", key) and re.fullmatch("[0-9a-f]{40}", secret)

    machine.do("dpkg -i /packages/heliostat-0.9.1.deb")
    assert machine.do("dpkg-query -W -f '${Version}' heliostat") == "0.9.1"
    assert machine.do("grep -c '^port = 0$' /etc/heliostat/heliostat.toml") == "1"
    assert machine.served().split() == [key, secret]

    machine.do("dpkg -r heliostat")
    assert machine.run("command -v heliostat")[1] != 0
    machine.do("test -e /etc/heliostat/heliostat.toml && test -e /etc/heliostat/credentials")
    machine.do("dpkg -i /packages/heliostat-0.9.1.deb")
    assert machine.served().split() == [key, secret]
    machine.do("dpkg --purge heliostat")
    assert machine.run("ls -d /etc/heliostat /usr/share/doc/heliostat")[1] != 0


APPS = "heliostat apps --config /etc/heliostat/heliostat.toml"
AS_BROKER = "setpriv --reuid heliostat --regid heliostat --init-groups"


def test_root_changes_the_apps_of_the_service(machine):
    """At a shell, without the service's variables: in the file that the service reads, and it takes the change."""
    machine.do("dpkg -i /packages/heliostat-0.9.1.deb")
    machine.do("sed -i 's/^port = 6001$/port = 0/' /etc/heliostat/heliostat.toml")

    def change():
        assert "added 1 (7)" in machine.do(f"{APPS} create id=7 client_events=true")
        assert machine.do("stat -c '%a %U' /var/lib/heliostat/apps.toml /var/lib/heliostat/apps.toml.lock") == "\n".join(["600 heliostat"] * 2)
        assert "changed 1 (7)" in machine.do(f"{AS_BROKER} {APPS} rotate 7")

    machine.served(change)
    # Who edits it by hand has the lock, and may have made it: as root, too.
    machine.do("rm /var/lib/heliostat/apps.toml.lock; flock /var/lib/heliostat/apps.toml.lock true")
    assert machine.do("stat -c %U /var/lib/heliostat/apps.toml.lock") == "root"
    machine.served(lambda: machine.do(f"{APPS} set 7 enabled=false"))
    assert "it takes effect when the broker starts" in machine.do(f"{AS_BROKER} {APPS} set 7 enabled=true")
    # While none runs, it changes the same file.
    assert "it takes effect when the broker starts" in machine.do(f"{APPS} create id=8")
    assert machine.do(f"{APPS} list").count("(/var/lib/heliostat/apps.toml:") == 2
    assert machine.run("ls /etc/heliostat/*.apps.toml*")[1] != 0


def test_what_root_writes_in_its_own_folder_does_not_keep_the_broker_from_starting(machine):
    """A set-up by hand: the folder and the configuration are root's, the broker's group may read it."""
    machine.do("dpkg -i /packages/heliostat-0.9.1.deb")
    machine.do("mkdir /etc/own; printf '[server]\\nport = 0\\n' >/etc/own/h.toml; chgrp heliostat /etc/own/h.toml; chmod 640 /etc/own/h.toml")
    machine.do("heliostat apps --config /etc/own/h.toml create id=7")
    assert machine.do("stat -c '%a %U:%G' /etc/own/h.apps.toml /etc/own/h.apps.toml.lock") == "\n".join(["640 root:heliostat"] * 2)
    machine.do(f"{AS_BROKER} heliostat check-config --config /etc/own/h.toml")
    # Of files that the broker may not keep as they are, the reason is told.
    machine.do("install -d -o heliostat /etc/its; cp -p /etc/own/* /etc/its; rm /etc/its/*.lock")
    said, status = machine.run(f"{AS_BROKER} heliostat apps --config /etc/its/h.toml create")
    assert status == 1 and "it belongs to the user 0 and the group" in said and "the folder has to be" not in said, said
    # Nor can one be replaced that is mounted by itself.
    machine.do("cp /etc/own/h.apps.toml /tmp/alone.toml; mount --bind /tmp/alone.toml /etc/own/h.apps.toml")
    said, status = machine.run("heliostat apps --config /etc/own/h.toml create")
    assert status == 1 and "mount the folder that it is in" in said, said
    machine.do("umount /etc/own/h.apps.toml")


def test_the_licence_and_the_documentation_are_in_it():
    places = {str(place) for _, place, _ in debian.assets()}
    assert {"usr/bin/heliostat", "usr/share/doc/heliostat/copyright", "usr/share/doc/heliostat/configuration.md"} <= places
    conffiles = [place for place in places if place.startswith("etc/")]
    assert conffiles == ["etc/heliostat/heliostat.toml"]
    for source, _, mode in debian.assets():
        assert mode & 0o022 == 0, source
        if not source.startswith("target/"):
            assert (ROOT / source).is_file()
