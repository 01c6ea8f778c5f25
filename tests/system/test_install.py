"""make install: all that a host needs, at the places where others look for it."""
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from host import TREE
from tpm12 import Tpm, sha1
from transport import FifoBackend, Qemu

HVM_GUEST = "7e3a8a3c-5a52-4b1f-8a0b-6f0f6c1f4a07"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(["make", "-s", "install", f"DESTDIR={folder}"], cwd=TREE, check=True)
    return folder


def test_programs_pages_and_scripts_are_where_others_look(installed):
    for program in ("vtpm_managerd", "vtpmd", "vtpmctl", "vtpm_migrator", "vtpm_migratord"):
        assert os.access(installed / "usr/local/sbin" / program, os.X_OK)
        assert (installed / "usr/local/share/man/man8" / f"{program}.8").exists()
    for tool in ("vtpmctl", "vtpm_migrator"):
        assert (installed / "usr/local/share/bash-completion/completions" / tool).exists()
    assert os.access(installed / "usr/local/sbin/vtpm-pki", os.X_OK)
    assert (installed / "var/vtpm/sockets").readlink() == Path("socks")
    scripts = {path.name for path in (installed / "etc/xen/scripts").iterdir()}
    assert {"vtpm", "vtpm-delete", "external-device-migrate"} <= scripts
    assert not any(name.endswith((".in", ".sysusers", ".tmpfiles")) for name in scripts)


def done(*args):
    """Runs a program of systemd, which says nothing when all is well; returns what it says."""
    return subprocess.run(list(map(str, args)), text=True, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT).stdout


def test_units_are_what_systemd_understands(installed, tmp_path):
    for daemon in ("vtpm_managerd", "vtpm_migratord"):
        unit = (installed / f"lib/systemd/system/{daemon}.service").read_text()
        assert f"ExecStart=/usr/local/sbin/{daemon}" in unit
        here = tmp_path / f"{daemon}.service"
        here.write_text(unit.replace("/usr/local/sbin", str(installed / "usr/local/sbin")))
        assert done("systemd-analyze", "verify", "--man=no", here) == ""


def bounding_set(unit):
    """The capabilities of a unit, in the words of setpriv(1)."""
    words = re.search(r"^CapabilityBoundingSet=((?:.*\\\n)*.*)$", unit, re.M)[1].replace("\\\n", " ")
    return {word.removeprefix("CAP_").lower() for word in words.split()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to give up")
def test_capabilities_of_the_unit_are_enough(installed, host):
    unit = (installed / "lib/systemd/system/vtpm_managerd.service").read_text()
    others = set(done("setpriv", "--list-caps").split()) - bounding_set(unit)
    host.wrapper = ("setpriv", "--no-new-privs",
                    "--bounding-set", ",".join(f"-{name}" for name in sorted(others)))
    manager = host.manager()
    host.vtpmctl("open", 5)
    host.vtpmctl("define", HVM_GUEST, "--type", "hvm", "--id", 7)
    qemu = host.closes(Qemu(host.run_dir / f"socks/{HVM_GUEST}.ctrl"))
    assert qemu.init() == 0
    Tpm(qemu).startup()
    backend = host.closes(FifoBackend(host.run_dir))
    values = [Tpm(way).extend(3, sha1(b"a")) for way in (backend.guest(5), qemu)]
    pids = [json.loads(host.vtpmctl("show", n, "--json").stdout)["pid"] for n in (5, 7)]
    assert all(Path(f"/proc/{pid}").stat().st_uid != 0 for pid in pids)
    # The next one takes over what runs, and the volatile state of what does not any more.
    manager.kill9()
    manager = host.manager()
    os.kill(pids[0], signal.SIGKILL)
    assert [Tpm(way).pcr_read(3) for way in (backend.guest(5), qemu)] == values
    assert json.loads(host.vtpmctl("show", 7, "--json").stdout)["pid"] == pids[1]
    manager.send_signal(signal.SIGINT)
    assert manager.wait(60) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give folders away")
def test_user_and_folders_are_made_as_those_of_a_package(installed):
    done("systemd-sysusers", f"--root={installed}", "vtpm.conf")
    assert re.search("^vtpm:.*:/usr/sbin/nologin$", (installed / "etc/passwd").read_text(), re.M)
    done("systemd-tmpfiles", f"--root={installed}", "--create", "vtpm.conf")
    state = installed / "var/vtpm"
    assert state.stat().st_mode & 0o777 == 0o711
    assert os.readlink(state / "sockets") == "socks"
    assert os.readlink(state / "instances") == "/run/vtpm"
    assert (installed / "run/vtpm").stat().st_mode & 0o777 == 0o700
