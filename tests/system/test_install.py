"""make install: all that a host needs, at the places where others look for it."""
import os
import re
import subprocess

import pytest

from host import TREE


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
