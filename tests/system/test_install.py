"""make install: all that a host needs, at the places where others look for it."""
import os
import subprocess

from host import TREE


def test_install_below_a_folder(tmp_path):
    subprocess.run(["make", "-s", "install", f"DESTDIR={tmp_path}"], cwd=TREE, check=True)
    for program in ("vtpm_managerd", "vtpmd", "vtpmctl"):
        assert os.access(tmp_path / "usr/local/sbin" / program, os.X_OK)
        assert (tmp_path / "usr/local/share/man/man8" / f"{program}.8").exists()
    unit = (tmp_path / "lib/systemd/system/vtpm_managerd.service").read_text()
    assert "ExecStart=/usr/local/sbin/vtpm_managerd" in unit
    assert (tmp_path / "usr/local/share/bash-completion/completions/vtpmctl").exists()
    assert os.access(tmp_path / "etc/xen/scripts/vtpm", os.X_OK)
    assert os.readlink(tmp_path / "var/vtpm/sockets") == "socks"
