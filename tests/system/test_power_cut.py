"""The power fails at any one call of a save: what the guest was told is there, else old or new.

strace kills the manager when the thread that commits enters its first, second, ... openat, write,
fsync and so on, and everything else dies with it. What a disk may make of data that was not flushed
is simulated in tests/unit/disk.h.
"""
import itertools
import os
import select
import shutil
import subprocess
from pathlib import Path

import pytest

from contract import spec
from host import until
from tpm12 import Tpm, sha1
from transport import Closed, FifoBackend

GUEST = "5b7e4a8e-3f64-4c7a-a6d4-4a1f0b6c9d01"
OWNER, INDEX = sha1(b"owner"), 0x00011234
CALLS = ["openat", "write", "pwrite64", "fdatasync", "renameat", "fsync", "rename", "ftruncate"]

class Watching:
    """The way to a guest's TPM, which ends when the manager does."""

    def __init__(self, backend, number, manager):
        self.backend, self.number, self.manager = backend, number, manager

    def exchange(self, command):
        pidfd = os.pidfd_open(self.manager.pid)
        try:
            self.backend.send(self.number, command)
            ready, _, _ = select.select([self.backend.stream.read_fd, pidfd], [], [], 60)
            if not ready:
                raise TimeoutError("neither an answer nor a dead manager")
            if self.backend.stream.read_fd not in ready:
                raise Closed("the manager died")
            return self.backend.receive(self.number)
        finally:
            os.close(pidfd)


def committer(manager):
    """The manager's thread that changes files."""
    thread, = [task for task in Path(f"/proc/{manager.pid}/task").iterdir()
               if (task / "comm").read_text() == "store\n"]
    return thread


def kill_at_call(manager, call, number):
    """Has the manager killed when its committing thread enters that call for the number-th time."""
    thread = committer(manager)
    tracer = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-p", thread.name, "-e",
                               f"trace={call}", "-e",
                               f"inject={call}:signal=SIGKILL:when={number}"],
                              stderr=subprocess.DEVNULL)
    until(lambda: f"TracerPid:\t{tracer.pid}" in (thread / "status").read_text(),
          "the manager is traced")
    return tracer


def start(host):
    """A manager, the back-end's pipes, and the guest's TPM."""
    manager = host.manager()
    host.vtpmctl("define", GUEST, "--id", 1)
    host.vtpmctl("open", GUEST)
    backend = FifoBackend(host.run_dir)
    return manager, backend, Tpm(Watching(backend, 1, manager))


def save(tpm, value):
    """Has the guest change its TPM's permanent state; was it answered?"""
    try:
        tpm.nv_write(INDEX, value, OWNER)
        return True
    except Closed:
        return False


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_a_save_is_answered_when_it_is_durable_and_never_torn(host):
    manager, backend, tpm = start(host)
    tpm.take_ownership(OWNER)
    tpm.nv_define(OWNER, INDEX, 4, spec.TPM_NV_PER_OWNERREAD | spec.TPM_NV_PER_OWNERWRITE)
    old = bytes(4)
    tpm.nv_write(INDEX, old, OWNER)
    kills = 0
    for call in CALLS:
        for number in itertools.count(1):
            new = call[:3].encode() + bytes([number])
            tracer = kill_at_call(manager, call, number)
            answered = save(tpm, new)
            # Until it is gone it may kill, also what comes after the answer.
            tracer.terminate()
            tracer.wait()
            killed = host.vtpmctl("status", check=False).returncode != 0
            kills += killed
            if killed:
                host.kill9_everything()
                backend.close()
                shutil.rmtree(host.run_dir)  # pipes, sockets and what else is in memory
                manager, backend, tpm = start(host)
            found = tpm.nv_read(INDEX, 4, OWNER)
            assert found == new or (found == old and not answered), \
                f"killed at {call} {number}, answered {answered}: found {found}"
            old = found
            if not killed:
                break
    backend.close()
    assert kills >= 5, "the committing thread does its work by other calls"
