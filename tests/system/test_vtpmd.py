"""vtpmd by itself: durable before answered, killed and resumed, clients that misbehave."""
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from contract import manager, spec
from host import BUILD, tpm_at, until
from tpm12 import SIGNING_KEY, WELL_KNOWN, Tpm, TpmError, sha1, u16, u32, u8
from transport import Closed, Ioemu, Raw, Stream, connect

DIGEST = sha1(b"measurement")


class OneManager:
    """The manager of one instance, as far as vtpmd sees it: four pipes, a journal, its NVM.

    NVM requests are answered by a thread, unless refuse says with which status. exchange() is a
    numbered command, repeat() sends the last one again.
    """

    def __init__(self, host, instance=7):
        self.host, self.instance = host, instance
        self.run_dir = host.path("run")
        (self.run_dir / "fifos").mkdir(parents=True)
        self.journal = os.memfd_create("journal")
        self.nvm, self.refuse, self.saves, self.sequence, self.ready = b"", None, 0, 0, 0
        self.open_pipes()
        self.process = None
        self.ended = False
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        host.closes(self)

    def open_pipes(self):
        def opened(name):
            path = self.run_dir / (name % self.instance)
            path.unlink(missing_ok=True)
            os.mkfifo(path, 0o600)
            return os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.requests = Stream(opened(manager.VTPM_PATH_VTPM_CMD),
                               opened(manager.VTPM_PATH_VTPM_RSP), timeout=0.1)
        self.commands = Stream(opened(manager.VTPM_PATH_TPM_RSP),
                               opened(manager.VTPM_PATH_TPM_CMD))

    def _serve(self):
        while not self.ended:
            requests = self.requests
            try:
                head = requests.read(14)
            except TimeoutError:
                continue
            instance, tag, size, ordinal = struct.unpack(">IHII", head)
            requests.timeout = 10
            params = requests.read(size - 10)
            requests.timeout = 0.1
            assert (instance, tag) == (self.instance, manager.VTPM_TAG_REQ)
            status, answer = 0, b""
            if self.refuse is not None and ordinal == manager.VTPM_ORD_SAVENVM:
                status = self.refuse
            elif ordinal == manager.VTPM_ORD_SAVENVM:
                self.nvm, self.saves = params, self.saves + 1
            elif ordinal == manager.VTPM_ORD_LOADNVM:
                answer = self.nvm
            elif ordinal == manager.VTPM_ORD_READY:
                self.ready += 1
            else:
                status = manager.VTPM_UNSUPPORTED
            requests.write(struct.pack(">IHII", instance, manager.VTPM_TAG_RSP,
                                       10 + len(answer), status) + answer)

    def start(self, mode="clear", kind="pvm"):
        ready = self.ready

        def hand_over():
            os.dup2(self.journal, 3)

        self.process = subprocess.Popen(
            [BUILD / "vtpmd", "--run-dir", self.run_dir, mode, kind, str(self.instance)],
            env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": manager.VTPM_FDNAME_JOURNAL},
            preexec_fn=hand_over, pass_fds=[3], stderr=open(self.host.path("log"), "ab"))
        until(lambda: self.ready > ready or self.process.poll() is not None, "vtpmd is ready")
        assert self.process.poll() is None, self.log()
        return Tpm(self)

    def log(self):
        return self.host.path("log").read_text()

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def order(self, ordinal, params=b""):
        """Gives the instance an order; returns (status, parameters of the response)."""
        self.commands.write(struct.pack(">IHII", self.instance, manager.VTPM_TAG_REQ,
                                        10 + len(params), ordinal) + params)
        return self.answer()

    def answer(self):
        instance, tag, size, status = struct.unpack(">IHII", self.commands.read(14))
        assert (instance, tag) == (self.instance, manager.VTPM_TAG_RSP)
        return status, self.commands.read(size - 10)

    def repeat(self, command, locality=0):
        status, response = self.order(manager.VTPM_ORD_EXECUTE,
                                      struct.pack(">QB", self.sequence, locality) + command)
        assert status == 0 and struct.unpack_from(">Q", response)[0] == self.sequence
        return response[8:]

    def exchange(self, command):
        self.sequence += 1
        return self.repeat(command)

    def close(self):
        self.ended = True
        self.thread.join()
        if self.process and self.process.poll() is None:
            self.kill9()
        os.close(self.journal)


def extend_command(pcr, digest=DIGEST):
    body = u32(spec.TPM_ORD_Extend) + u32(pcr) + digest
    return u16(spec.TPM_TAG_RQU_COMMAND) + u32(6 + len(body)) + body


@pytest.fixture
def one(host):
    return OneManager(host)


# Durable before answered

def test_instance_of_a_manager_is_saved_with_its_ek_before_it_is_ready(one):
    tpm = one.start()
    assert one.saves > 0 and one.nvm
    tpm.read_pubek()


def test_standalone_tpm_begins_without_an_ek(host):
    with pytest.raises(TpmError) as error:
        tpm_at(host.vtpmd()).read_pubek()
    assert error.value.result == spec.TPM_NO_ENDORSEMENT


def test_refused_save_fails_the_command_and_changes_nothing(one):
    tpm = one.start()
    pubek, nvm = tpm.read_pubek().modulus, one.nvm
    one.refuse = manager.VTPM_FAIL
    with pytest.raises(TpmError) as error:
        tpm.take_ownership(sha1(b"owner"))
    assert error.value.result == spec.TPM_FAIL
    assert one.nvm == nvm and "cannot save its state" in one.log()
    one.refuse = None
    assert tpm.read_pubek().modulus == pubek  # with an owner it could not be read
    tpm.take_ownership(sha1(b"owner"))
    assert one.nvm != nvm and "can be saved again" in one.log()


def test_full_disk_fails_the_command_and_recovers_without_a_restart(host):
    vtpmd = host.vtpmd()
    tpm = tpm_at(vtpmd)
    in_the_way = Path(f"{host.path('tpm.state')}.tmp")
    in_the_way.mkdir()  # no temporary file can be made
    before = host.path("tpm.state").read_bytes()
    with pytest.raises(TpmError) as error:
        tpm.create_ek()
    assert error.value.result == spec.TPM_FAIL
    assert host.path("tpm.state").read_bytes() == before
    in_the_way.rmdir()
    key = tpm.create_ek()
    vtpmd.kill9()
    assert tpm_at(host.vtpmd()).read_pubek().modulus == key.modulus


def test_state_file_in_a_missing_folder_is_named(host):
    done = subprocess.run([BUILD / "vtpmd", "--state", host.path("none/tpm"), "--raw",
                           f"unix:{host.path('s')}", "clear", "pvm", "0"],
                          text=True, capture_output=True)
    assert done.returncode == 1 and str(host.path("none/tpm")) in done.stderr


# Killed, resumed, restarted

def test_killed_vtpmd_goes_on_with_volatile_state_and_sessions(one):
    tpm = one.start()
    value = tpm.extend(3, DIGEST)
    session = tpm.oiap(sha1(b"owner"))
    one.kill9()
    tpm = one.start()
    assert tpm.pcr_read(3) == value
    tpm.flush(session.handle, spec.TPM_RT_AUTH)
    assert "goes on where" in one.log()


def test_repeated_command_is_answered_again_and_not_executed_again(one):
    tpm = one.start()
    first = one.exchange(extend_command(5))
    assert one.repeat(extend_command(5)) == first
    one.kill9()
    one.start()
    assert one.repeat(extend_command(5)) == first
    assert tpm.pcr_read(5) == sha1(bytes(20), DIGEST)


def test_change_that_was_not_saved_when_the_process_died_is_saved_by_the_next(one):
    tpm = one.start()
    old = one.nvm
    tpm.take_ownership(sha1(b"owner"))
    new = one.nvm
    one.kill9()
    one.nvm = old  # as if the process had died before the manager got it
    tpm = one.start()
    assert one.nvm == new and tpm.has_owner()


def test_power_cycle_without_journal_resets_the_pcrs_and_keeps_the_rest(one):
    tpm = one.start()
    tpm.extend(3, DIGEST)
    pubek = tpm.read_pubek().modulus
    one.kill9()
    os.ftruncate(one.journal, 0)
    tpm = one.start()
    assert tpm.pcr_read(3) == bytes(20)
    assert tpm.read_pubek().modulus == pubek


def test_new_manager_gets_the_last_answer_again_over_new_pipes(one):
    tpm = one.start()
    first = one.exchange(extend_command(5))
    one.open_pipes()
    one.process.send_signal(signal.SIGHUP)
    status, answer = one.answer()
    assert status == 0 and answer == struct.pack(">Q", one.sequence) + first
    assert tpm.pcr_read(5) == sha1(bytes(20), DIGEST)
    one.order(manager.VTPM_ORD_CLEAR_TPM)  # the request pipes are new ones, too
    assert one.saves >= 2


def test_told_to_end_it_exits_with_0(one):
    one.start()
    one.process.terminate()
    assert one.process.wait(60) == 0


def test_startup_save_goes_on_from_savestate(host):
    vtpmd = host.vtpmd()
    tpm = tpm_at(vtpmd)
    value = tpm.extend(2, DIGEST)
    tpm.save_state()
    vtpmd.kill9()
    assert tpm_at(host.vtpmd(mode="save")).pcr_read(2) == value


def test_startup_save_with_nothing_saved_starts_afresh_and_says_so(host):
    host.vtpmd().kill9()
    vtpmd = host.vtpmd(mode="save")
    assert tpm_at(vtpmd).pcr_read(2) == bytes(20)
    assert "no saved state" in vtpmd.log()


def test_saved_state_is_not_lost_by_a_start_that_cannot_save(one):
    tpm = one.start()
    value = tpm.extend(2, DIGEST)
    tpm.save_state()
    one.kill9()
    os.ftruncate(one.journal, 0)
    one.refuse = manager.VTPM_FAIL
    with pytest.raises(AssertionError):
        one.start("save")
    assert one.process.returncode == 1
    one.refuse = None
    os.ftruncate(one.journal, 0)
    assert one.start("save").pcr_read(2) == value


def test_startup_deactivated(host):
    tpm = tpm_at(host.vtpmd(mode="deactivated"))
    with pytest.raises(TpmError) as error:
        tpm.get_random(8)
    assert error.value.result == spec.TPM_DEACTIVATED


# The manager's orders

def test_suspended_instance_resumes_with_its_volatile_state(one):
    tpm = one.start()
    value = tpm.extend(4, DIGEST)
    assert one.order(manager.VTPM_ORD_KEEP_VOLATILE) == (0, b"")
    late = struct.pack(">QB", one.sequence + 1, 0) + bytes.fromhex("00c10000000c00000099") + u16(1)
    assert one.order(manager.VTPM_ORD_EXECUTE, late)[0] == manager.VTPM_FORBIDDEN
    one.kill9()
    os.ftruncate(one.journal, 0)
    tpm = one.start("save")
    assert tpm.pcr_read(4) == value
    # What has gone on from it cannot go back to it.
    tpm.extend(4, DIGEST)
    one.kill9()
    os.ftruncate(one.journal, 0)
    assert one.start("save").pcr_read(4) == bytes(20)


def test_clear_start_forgets_what_was_suspended(one):
    tpm = one.start()
    tpm.extend(4, DIGEST)
    one.order(manager.VTPM_ORD_KEEP_VOLATILE)
    for mode in ("clear", "save"):
        one.kill9()
        os.ftruncate(one.journal, 0)
        assert one.start(mode).pcr_read(4) == bytes(20)


def test_operator_clears_the_owner(one):
    tpm = one.start()
    tpm.take_ownership(sha1(b"owner"))
    nvm = one.nvm
    assert one.order(manager.VTPM_ORD_CLEAR_TPM) == (0, b"")
    assert one.nvm != nvm and not tpm.has_owner()


def test_physical_presence_is_the_operators(one):
    tpm = one.start()
    with pytest.raises(TpmError) as error:
        tpm.command(spec.TPM_ORD_ForceClear)
    assert error.value.result == spec.TPM_BAD_PRESENCE
    assert one.order(manager.VTPM_ORD_SET_PRESENCE, u8(1)) == (0, b"")
    one.kill9()
    tpm = one.start()
    tpm.command(spec.TPM_ORD_ForceClear)
    assert one.order(manager.VTPM_ORD_SET_PRESENCE, u8(0)) == (0, b"")


def test_orders_that_make_no_sense_are_refused(one):
    one.start()
    assert one.order(0x02ffffff)[0] == manager.VTPM_UNSUPPORTED
    assert one.order(manager.VTPM_ORD_SET_PRESENCE)[0] == manager.VTPM_INVALID_REQUEST
    assert one.order(manager.VTPM_ORD_EXECUTE, bytes(8))[0] == manager.VTPM_INVALID_REQUEST
    assert one.order(manager.VTPM_ORD_OPEN, bytes(7))[0] == manager.VTPM_UNSUPPORTED


def test_cancel_ends_a_key_generation(one):
    tpm = one.start()
    tpm.take_ownership(sha1(b"owner"))
    ended = []

    def cancel():
        while not ended:
            one.process.send_signal(signal.SIGUSR1)
            time.sleep(0.001)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(TpmError) as error:
        tpm.create_wrap_key(spec.TPM_KH_SRK, WELL_KNOWN, SIGNING_KEY, WELL_KNOWN)
    ended.append(True)
    canceller.join()
    assert error.value.result == spec.TPM_FAIL
    tpm.create_wrap_key(spec.TPM_KH_SRK, WELL_KNOWN, SIGNING_KEY, WELL_KNOWN)


def test_rubbish_in_the_pipe_is_dropped_and_the_next_command_works(one):
    tpm = one.start()
    one.commands.write(b"\xff" * 5000)
    until(lambda: "rubbish" in one.log(), "vtpmd has seen it")
    one.commands.read(14)  # an error response with the number that was in front of it
    assert tpm.pcr_read(0) == bytes(20)


# Clients

@pytest.fixture
def hvm(host):
    """A TPM that stands alone and has an HVM guest's sockets, started up."""
    process = host.start(BUILD / "vtpmd", "--run-dir", host.folder, "--state",
                         host.path("state"), "clear", "hvm", "9")
    until(host.path("socks/9.ctrl").exists, "vtpmd listens", process)
    tpm = Tpm(host.closes(Ioemu(host.folder, 9)))
    tpm.startup()
    return tpm


def test_ioemu_clients_come_and_go(hvm, host):
    value = hvm.extend(1, DIGEST)
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(host.path("socks/9.socket")))
            command = u32(9) + extend_command(1)
            for byte in command[:-1]:
                s.send(bytes([byte]))
            value = sha1(value, DIGEST)
            s.send(command[-1:])
            assert Stream(s.fileno()).read(34)[14:] == value
    assert hvm.pcr_read(1) == value


def test_wrong_instance_number_is_an_error_with_that_number(hvm, host):
    other = Ioemu(host.folder, 9)
    other.prefix = u32(10)
    response = other.exchange(extend_command(1))
    assert response == u16(spec.TPM_TAG_RSP_COMMAND) + u32(10) + u32(spec.TPM_BAD_PARAMETER)
    other.prefix = u32(9)
    other.exchange(extend_command(1))
    assert hvm.pcr_read(1) == sha1(bytes(20), DIGEST)


def memory_of(process):
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])


def test_a_thousand_connections_and_those_that_were_there_still_work(host):
    vtpmd = host.vtpmd()
    tpm = tpm_at(vtpmd)
    crowd = []
    for _ in range(1000):
        crowd.append(connect(vtpmd.address))
        try:
            crowd[-1].send(extend_command(1)[:-1])  # all but the last byte
        except BrokenPipeError:
            pass  # turned away already
        if len(crowd) % 50 == 0:
            tpm.pcr_read(0)
    assert memory_of(vtpmd) < 64 * 1024
    assert tpm.pcr_read(1) == bytes(20)
    assert "turned away" in vtpmd.log() and vtpmd.log().count("turned away") <= 5
    for s in crowd:
        s.close()
    until(lambda: works(vtpmd), "new clients are served again")


def works(vtpmd):
    try:
        raw = Raw(vtpmd.address)
        Tpm(raw).pcr_read(0)
        raw.close()
        return True
    except (Closed, OSError):
        return False


def test_client_that_never_reads_is_stopped_at_its_buffers(host):
    vtpmd = host.vtpmd()
    tpm = tpm_at(vtpmd)
    deaf = connect(vtpmd.address)
    deaf.setblocking(False)
    sent = 0
    try:
        while sent < 64 << 20:
            sent += deaf.send(extend_command(1) * 100)
            tpm.pcr_read(0)
    except BlockingIOError:
        pass
    assert sent < 8 << 20
    assert memory_of(vtpmd) < 64 * 1024
    tpm.pcr_read(0)


def test_client_that_shuts_down_its_side_still_gets_its_answers(host):
    with connect(host.vtpmd().address) as s:
        s.send(extend_command(1) * 20)
        s.shutdown(socket.SHUT_WR)
        stream = Stream(s.fileno())
        value = bytes(20)
        for _ in range(20):
            value = sha1(value, DIGEST)
            assert stream.read(30)[10:] == value
        with pytest.raises(Closed):
            stream.read(1)


def test_flooding_client_does_not_starve_another(host):
    vtpmd = host.vtpmd()
    tpm = tpm_at(vtpmd)
    flood = connect(vtpmd.address)
    stop = []

    def drain():
        while flood.recv(65536):
            pass

    def fill():
        while not stop:
            flood.sendall(extend_command(1) * 50)
        flood.shutdown(socket.SHUT_WR)

    threads = [threading.Thread(target=work) for work in (drain, fill)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        tpm.pcr_read(0)
    stop.append(True)
    for thread in threads:
        thread.join()


def test_raw_addresses_are_loopback_only(host):
    done = subprocess.run([BUILD / "vtpmd", "--state", host.path("tpm"), "--raw",
                           "tcp:0.0.0.0:2412", "clear", "pvm", "0"],
                          text=True, capture_output=True)
    assert done.returncode == 2 and "loopback" in done.stderr
    assert not host.path("tpm").exists()


def test_running_vtpmd_is_confined_and_leaves_no_core(host):
    vtpmd = host.vtpmd()
    tpm_at(vtpmd).pcr_read(0)  # it listens a moment earlier
    status = dict(line.split(":\t", 1) for line in
                  Path(f"/proc/{vtpmd.pid}/status").read_text().splitlines())
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    limits = Path(f"/proc/{vtpmd.pid}/limits").read_text()
    assert limits.split("Max core file size", 1)[1].split()[:2] == ["0", "0"]
