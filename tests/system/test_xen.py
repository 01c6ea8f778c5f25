"""The Xen back-end and the hotplug scripts, with a real xenstored but no hypervisor: front-ends share
files instead of pages (manager/grants.h)."""
import hashlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from host import BUILD, TREE, until
from test_survival import pids

SCRIPTS = TREE / "hotplug"
PCR_READ = "00c10000000e00000015{:08x}"
EXTEND = "00c10000002200000014{:08x}{:040x}"
SUCCESS = "00000000"
TIMEOUT = 400  # seconds; forty endorsement keys take theirs on a busy machine
UUIDS = [f"5e1c3d9e-0f7b-4c58-8a39-{n:012}" for n in range(100)]


class XenHost:
    """A host with xenstored and a folder of shared pages."""

    def __init__(self, host, monkeypatch):
        self.program = next(iter(Path("/usr/lib").glob("xen-*/bin/xenstored")), None)
        if not self.program:
            pytest.skip("no xenstored here (Debian: xen-utils-4.17)")
        self.host, self.pages = host, host.path("pages")
        self.pages.mkdir()
        monkeypatch.setenv("XENSTORED_RUNDIR", str(host.folder))
        monkeypatch.setenv("XENSTORED_PATH", str(host.path("socket")))
        monkeypatch.setenv("PATH", f"{BUILD.absolute()}:{os.environ['PATH']}")
        self.start_xenstored()

    def start_xenstored(self):
        self.xenstored = self.host.start(
            self.program, "--no-fork",
            env=os.environ | {"LD_PRELOAD": str(BUILD.absolute() / "xenstored_shim.so")})
        until(lambda: self.host.path("socket").exists(), "xenstored listens")

    def manager(self, script=SCRIPTS / "vtpm"):
        self.script = script
        return self.host.manager("--backend", f"xen:{self.pages}", "--hotplug-script", script)

    def kill_manager(self):
        """kill -9, and a new one."""
        [p for p in self.host.processes if p.name == "vtpm_managerd"][-1].kill9()
        self.manager(self.script)

    def front_end(self, n, *action):
        """Starts front-end n with TPM n."""
        return subprocess.Popen([BUILD / "frontend", "--shm", self.pages, "--uuid", UUIDS[n],
                                 "--handle", str(n + 1), *map(str, action)],
                                text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def act(self, n, *action, check=True):
        """Has front-end n do something; its output in lines."""
        done = self.front_end(n, *action)
        out, error = done.communicate(timeout=TIMEOUT)
        assert not check or done.returncode == 0, error
        return out.split("\n")[:-1] if done.returncode == 0 else error

    def send(self, n, *commands):
        return self.act(n, "send", *commands)


@pytest.fixture
def xen(host, monkeypatch):
    return XenHost(host, monkeypatch)


@pytest.fixture(params=["script", "none"])
def served(xen, request):
    """A XenHost whose manager attaches devices through the scripts, or by itself."""
    xen.manager(*["none"] if request.param == "none" else [])
    return xen


def test_device_has_the_same_tpm_again_with_fresh_pcrs(served):
    extended, = served.send(0, EXTEND.format(10, 1))
    assert extended[12:20] == SUCCESS
    read, = served.send(0, PCR_READ.format(10))
    assert read[12:] == SUCCESS + "00" * 20
    assert served.host.vtpmctl("list").stdout.count("pvm") == 1


def test_tpm_in_use_is_refused_to_another_device(served):
    load = served.front_end(0, "load", 20000)
    until(lambda: "running" in served.host.vtpmctl("list").stdout, "the TPM runs")
    other = subprocess.run([BUILD / "frontend", "--shm", served.pages, "--uuid", UUIDS[0],
                            "--handle", "77", "send", PCR_READ.format(1)], text=True,
                           capture_output=True, check=True)
    assert other.stdout == "00c40000000a00000009\n"
    assert "20000 commands" in load.communicate(timeout=TIMEOUT)[0]


def test_killed_manager_and_instance_are_not_noticed(served):
    # No two are the same: one that equals the last one may be taken for it by a new manager.
    commands = [EXTEND.format(10, n) for n in range(6000)]
    front_end = served.front_end(0, "send", *commands)
    until(lambda: "running" in served.host.vtpmctl("list").stdout, "the TPM runs")
    served.kill_manager()
    vtpmd, = pids(served.host, "pvm", "1")
    os.kill(vtpmd, signal.SIGKILL)
    out, error = front_end.communicate(timeout=TIMEOUT)
    value = bytes(20)
    for n, line in enumerate(out.split()):
        value = hashlib.sha1(value + n.to_bytes(20, "big")).digest()
        assert line[12:] == SUCCESS + value.hex(), f"command {n}: {error}"
    assert n == 5999


def test_hostile_front_ends_do_not_disturb_another(served):
    load = served.front_end(0, "load", 5000)
    for n, action in enumerate((["flood", 200000], ["scribble", 5000], ["die"]), start=1):
        served.act(n, *action)
    assert "5000 commands" in load.communicate(timeout=TIMEOUT)[0]
    # Where one died another begins.
    assert served.send(3, PCR_READ.format(1))[0][12:20] == SUCCESS


def test_forty_guests_come_at_once(xen):
    xen.manager()
    front_ends = [xen.front_end(n, "load", 10) for n in range(40)]
    for front_end in front_ends:
        out, error = front_end.communicate(timeout=TIMEOUT)
        assert "10 commands" in out, error
    lines = (xen.host.state_dir / "vtpm.db").read_text().split("\n")[1:-1]
    assert len(lines) == 40
    assert len({line.split()[1] for line in lines}) == 40


def test_new_xenstored_is_served(served):
    served.send(0, PCR_READ.format(1))
    served.xenstored.kill9()
    served.host.path("socket").unlink()
    served.start_xenstored()
    assert served.send(1, PCR_READ.format(1))[0][12:20] == SUCCESS


def test_failed_script_says_why(xen):
    xen.manager()
    (xen.host.state_dir / "vtpm.db.lock").mkdir()
    error = xen.act(0, "load", 1, check=False)
    assert "failed" in error
    said = subprocess.run(["xenstore-read", "/local/domain/0/backend/vtpm/0/1/hotplug-error"],
                          text=True, capture_output=True, check=True).stdout
    assert "vtpm.db.lock" in said


def test_deleted_tpm_is_a_new_one(xen):
    xen.manager()
    xen.send(0, PCR_READ.format(1))
    env = os.environ | {"VTPM_RUN_DIR": str(xen.host.run_dir),
                        "VTPM_STATE_DIR": str(xen.host.state_dir)}
    subprocess.run([SCRIPTS / "vtpm-delete", UUIDS[0]], env=env, check=True)
    assert "pvm" not in xen.host.vtpmctl("list").stdout
    assert UUIDS[0] not in (xen.host.state_dir / "vtpm.db").read_text()
    refused = subprocess.run([SCRIPTS / "vtpm-delete", "--vmname", "nobody"], env=env, text=True,
                             capture_output=True)
    assert refused.returncode == 1 and "nobody" in refused.stderr
