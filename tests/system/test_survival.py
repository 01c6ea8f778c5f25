"""kill -9 under load: every command is answered exactly once, and the guest notices nothing."""
import os
import shutil
import signal
import struct
import tempfile
import threading
from pathlib import Path

import pytest

from contract import manager, spec
from host import until
from tpm12 import SIGNING_KEY, WELL_KNOWN, Tpm, TpmError, sha1
from transport import FifoBackend, Qemu

GUEST = "6d7a1a1e-2f5a-4f0a-9d0e-0b6c8f1d2e3f"
OWNER = sha1(b"owner")


def begin(host, **options):
    """A manager and a running instance 5; host.tpm is the guest's view of it."""
    host.manager(**options)
    host.vtpmctl("define", GUEST, "--id", 5)
    host.vtpmctl("open", GUEST)
    host.tpm = Tpm(host.closes(FifoBackend(host.run_dir)).guest(5))
    return host


@pytest.fixture
def managed(host):
    return begin(host)


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


@pytest.fixture
def in_memory(host):
    """The run folder of a host in tmpfs, as below /run."""
    host.run_dir = Path(tempfile.mkdtemp(prefix="vtpm-", dir="/dev/shm"))
    host.run_dir.chmod(0o711)
    yield host
    shutil.rmtree(host.run_dir)


def kill_both(host):
    """kill -9 of the manager and of every vtpmd at once; a new manager."""
    managers = [p for p in host.processes if p.name == "vtpm_managerd" and p.poll() is None]
    os.kill(managers[-1].pid, signal.SIGKILL)
    for pid in pids(host, "pvm", "5"):
        os.kill(pid, signal.SIGKILL)
    managers[-1].wait()
    host.tpm.transport.manager_died()
    host.manager()


def kill_manager(host, **next_manager):
    managers = [p for p in host.processes if p.name == "vtpm_managerd" and p.poll() is None]
    managers[-1].kill9()
    host.tpm.transport.manager_died()
    host.manager(**next_manager)


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


# An HVM guest, whose QEMU is connected to vtpmd itself

@pytest.fixture
def hvm(host):
    """The same for an HVM guest's QEMU; .qemu is the QEMU."""
    host.manager()
    host.vtpmctl("define", GUEST, "--id", 5, "--type", "hvm")
    host.qemu = host.closes(Qemu(host.run_dir / (manager.VTPM_PATH_CTRL % 5)))
    assert host.qemu.init() == 0
    host.tpm = Tpm(host.qemu)
    host.tpm.startup()
    return host


def kill_hvm_vtpmd(host):
    pid, = until(lambda: pids(host, "hvm", "5"), "vtpmd runs")
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in pids(host, "hvm", "5"), "vtpmd is gone")


def test_qemu_notices_no_kill(hvm):
    load = Load(hvm.tpm)
    load.start()
    try:
        for round_number in range(7):
            load.advance(3 + round_number)
            kill_hvm_vtpmd(hvm)
        load.advance(10)
    finally:
        load.finish()
    assert hvm.tpm.pcr_read(load.pcr) == load.value


def test_what_qemu_has_set_outlives_a_kill(hvm):
    assert hvm.qemu.set_locality(2) == 0
    value = hvm.tpm.extend(21, sha1(b"a"))
    kill_hvm_vtpmd(hvm)
    assert hvm.tpm.extend(21, sha1(b"b")) == sha1(value, sha1(b"b"))  # at locality 2 only
    assert hvm.qemu.request(hvm.qemu.STOP)[0] == 0
    assert hvm.qemu.request(hvm.qemu.SET_BUFFERSIZE, (3500).to_bytes(4, "big"), 16)[0] == 0
    kill_hvm_vtpmd(hvm)
    with pytest.raises(TpmError, match="TPM_FAIL"):
        hvm.tpm.pcr_read(0)
    size = hvm.qemu.request(hvm.qemu.SET_BUFFERSIZE, bytes(4), 16)[1]
    assert int.from_bytes(size[:4], "big") == 3500
    assert hvm.qemu.init() == 0
    hvm.tpm.startup()
    kill_hvm_vtpmd(hvm)
    assert hvm.qemu.established() is False
    kill_hvm_vtpmd(hvm)
    assert hvm.qemu.request(hvm.qemu.SHUTDOWN)[0] == 0
    until(lambda: "listening" in hvm.vtpmctl("show", 5).stdout, "the instance waits for the next")


def test_qemu_that_dies_while_there_is_no_vtpmd_ends_the_instance(hvm):
    pid, = pids(hvm, "hvm", "5")
    os.kill(pid, signal.SIGSTOP)
    hvm.qemu.data.send(struct.pack(">HIII", 0xC1, 14, spec.TPM_ORD_PcrRead, 0))
    hvm.qemu.close()
    os.kill(pid, signal.SIGKILL)
    until(lambda: "listening" in hvm.vtpmctl("show", 5).stdout, "the instance waits for the next")


def test_qemu_survives_the_kill_of_a_vtpmd_that_an_earlier_manager_started(hvm):
    value = hvm.tpm.extend(1, sha1(b"a"))
    next(p for p in hvm.processes if p.name == "vtpm_managerd").kill9()
    hvm.manager()
    kill_hvm_vtpmd(hvm)
    assert hvm.tpm.pcr_read(1) == value


def test_failure_is_passed_on_by_the_next_manager(managed):
    """It is the TPM's own, not that of a manager that finds no TPM."""
    pid, = pids(managed, "pvm", "5")
    os.kill(pid, signal.SIGSTOP)
    backend = managed.tpm.transport.backend
    no_pcrs = bytes(20) + b"\0\3" + bytes(3)
    backend.send(5, struct.pack(">HII", spec.TPM_TAG_RQU_COMMAND, 10 + len(no_pcrs),
                                manager.VTPM_TPM_ORD_DEEP_QUOTE) + no_pcrs)
    spool, = managed.run_dir.glob("instances/*.spool")
    until(lambda: spool.stat().st_size > 0, "the manager has read the command")
    kill_manager(managed)
    os.kill(pid, signal.SIGCONT)
    assert int.from_bytes(backend.receive(5)[6:10], "big") == spec.TPM_FAIL


def test_death_of_manager_and_vtpmd_together_costs_nothing(in_memory, managed):
    load = Load(managed.tpm)
    load.start()
    try:
        for round_number in range(5):
            load.advance(7 + round_number)
            kill_both(managed)
        load.advance(10)
    finally:
        load.finish()
    assert managed.tpm.pcr_read(load.pcr) == load.value


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_unprivileged_manager_leaves_its_instances_to_the_next_one(in_memory):
    host = begin(in_memory, user="nobody")
    load = Load(host.tpm)
    load.start()
    try:
        for round_number in range(3):
            load.advance(7 + round_number)
            kill_manager(host, user="nobody")
            kill_vtpmd(host)  # goes on from the journal that the new manager has taken over
        load.advance(10)
    finally:
        load.finish()
    assert host.tpm.pcr_read(load.pcr) == load.value
    assert "cannot be taken over" not in "".join(text for _, text in host.logs())
