"""make install: all that a host needs, at the places where others look for it."""
import os
import subprocess

from host import TREE


def test_install_below_a_folder(tmp_path):
    subprocess.run(["make", "-s", "install", f"DESTDIR={tmp_path}"], cwd=TREE, check=True)
    for program in ("vtpm_managerd", "vtpmd", "vtpmctl", "vtpm_migrator", "vtpm_migratord"):
        assert os.access(tmp_path / "usr/local/sbin" / program, os.X_OK)
        assert (tmp_path / "usr/local/share/man/man8" / f"{program}.8").exists()
    for daemon in ("vtpm_managerd", "vtpm_migratord"):
        unit = (tmp_path / f"lib/systemd/system/{daemon}.service").read_text()
        assert f"ExecStart=/usr/local/sbin/{daemon}" in unit
    for tool in ("vtpmctl", "vtpm_migrator"):
        assert (tmp_path / "usr/local/share/bash-completion/completions" / tool).exists()
    assert os.access(tmp_path / "usr/local/sbin/vtpm-pki", os.X_OK)
    assert os.access(tmp_path / "etc/xen/scripts/vtpm", os.X_OK)
    assert os.readlink(tmp_path / "var/vtpm/sockets") == "socks"
