"""kill -9 under load: every command is answered exactly once, and the guest notices nothing."""
import os
import signal
import threading
from pathlib import Path

import pytest

from contract import spec
from host import until
from tpm12 import SIGNING_KEY, WELL_KNOWN, Tpm, sha1
from transport import FifoBackend

GUEST = "6d7a1a1e-2f5a-4f0a-9d0e-0b6c8f1d2e3f"
OWNER = sha1(b"owner")


@pytest.fixture
def managed(host):
    """A host with a manager and a running instance 5; .tpm is the guest's view of it."""
    host.manager()
    host.vtpmctl("define", GUEST, "--id", 5)
    host.vtpmctl("open", GUEST)
    host.tpm = Tpm(host.closes(FifoBackend(host.run_dir)).guest(5))
    return host


def pids(host, *words):
    """The processes whose command line ends with these words."""
    def words_of(pid):
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
        except OSError:
            return []
    return [pid for pid in host.running() if words_of(pid)[-len(words):] == list(words)]


def kill_vtpmd(host):
    """kill -9 of instance 5's vtpmd, as soon as there is one."""
    pid, = until(lambda: pids(host, "pvm", "5"), "vtpmd runs")
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in pids(host, "pvm", "5"), "vtpmd is gone")


def kill_manager(host):
    managers = [p for p in host.processes if p.name == "vtpm_managerd" and p.poll() is None]
    managers[-1].kill9()
    host.tpm.transport.manager_died()
    host.manager()


class Load(threading.Thread):
    """A guest that extends a PCR without pause, and knows what each answer has to be."""

    def __init__(self, tpm, pcr=10):
        super().__init__()
        self.tpm, self.pcr, self.value = tpm, pcr, tpm.pcr_read(pcr)
        self.count, self.error, self.stopped = 0, None, False

    def run(self):
        try:
            while not self.stopped:
                measured = sha1(self.count.to_bytes(8, "big"))
                self.value = sha1(self.value, measured)
                assert self.tpm.extend(self.pcr, measured) == self.value, \
                    f"extend {self.count} was lost or done twice"
                self.count += 1
        except Exception as error:
            self.error = error

    def advance(self, by):
        """Waits until the guest has had that many more answers."""
        goal = self.count + by
        until(lambda: self.count >= goal or self.error, f"{by} answers")
        if self.error:
            raise self.error

    def finish(self):
        self.stopped = True
        self.join()
        if self.error:
            raise self.error


@pytest.mark.parametrize("kill, rounds", [(kill_vtpmd, 10), (kill_manager, 5)])
def test_no_command_is_lost_or_done_twice(managed, kill, rounds):
    load = Load(managed.tpm)
    load.start()
    try:
        for round_number in range(rounds):
            load.advance(7 + round_number)
            kill(managed)
        load.advance(10)
    finally:
        load.finish()
    assert managed.tpm.pcr_read(load.pcr) == load.value


@pytest.mark.parametrize("kill", [kill_vtpmd, kill_manager])
def test_sessions_and_loaded_keys_live_on(managed, kill):
    tpm = managed.tpm
    tpm.take_ownership(OWNER)
    key = tpm.create_wrap_key(spec.TPM_KH_SRK, WELL_KNOWN, SIGNING_KEY, OWNER)
    handle = tpm.load_key2(spec.TPM_KH_SRK, WELL_KNOWN, key)
    session = tpm.oiap(OWNER, keep=True)
    tpm.command(spec.TPM_ORD_OwnerReadPubek, sessions=[session])

    kill(managed)
    tpm.command(spec.TPM_ORD_OwnerReadPubek, sessions=[session])
    digest = sha1(b"message")
    key.verify(tpm.sign(handle, OWNER, digest), digest)
