"""Instances as the manager keeps them: measured, watched, restarted, taken over, kept apart."""
import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import struct
from pathlib import Path

import pytest

from contract import manager, spec
from host import BUILD, until
from test_manager_console import instance_pid
from tpm12 import SIGNING_KEY, WELL_KNOWN, Tpm, TpmError, sha1
from transport import FifoBackend, Qemu, Stream

GUEST = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"
OTHER = "2c5f39cb-3fb2-4e4c-b406-f02ac6b87440"


class Rig:
    """A manager with running instances 5 and 6 and their guests' view of them."""

    def __init__(self, host, *options):
        self.host = host
        self.process = host.manager(*options)
        for uuid, number in ((GUEST, 5), (OTHER, 6)):
            host.vtpmctl("define", uuid, "--id", number)
            host.vtpmctl("open", number)
        self.backend = host.closes(FifoBackend(host.run_dir))

    def tpm(self, number):
        return Tpm(self.backend.guest(number))

    def show(self, number):
        return json.loads(self.host.vtpmctl("show", number, "--json").stdout)


@pytest.fixture
def rig(host):
    return Rig(host)


def test_program_is_measured(rig):
    expected = hashlib.sha256((BUILD / "vtpmd").read_bytes()).hexdigest()
    assert rig.show(5)["program"] == expected
    rig.host.vtpmctl("close", 5)
    assert rig.show(5)["program"] == expected  # it is recorded, too


def test_changed_program_has_another_measurement(host):
    program = host.path("vtpmd")
    shutil.copy(BUILD / "vtpmd", program)
    rig = Rig(host, "--vtpmd", program)
    before = rig.show(5)["program"]
    host.vtpmctl("close", 5)
    program.unlink()
    program.write_bytes((BUILD / "vtpmd").read_bytes() + b"\0")
    program.chmod(0o755)
    host.vtpmctl("open", 5)
    assert rig.show(5)["program"] == hashlib.sha256(program.read_bytes()).hexdigest() != before


def test_instance_gets_a_clean_environment_and_its_own_descriptors_only(rig):
    pid = rig.show(5)["pid"]
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")[:-1]
    assert {name.split(b"=")[0] for name in environment} == \
        {b"LISTEN_FDS", b"LISTEN_FDNAMES", b"LISTEN_PID"}
    fds = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    foreign = [fd for fd in fds if str(rig.host.folder) in fd
               and not fd.endswith(("_5.fifo", ".log"))]
    assert foreign == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
@pytest.mark.parametrize("option, name", [((), "nobody"), (("--user", "daemon"), "daemon"),
                                          (("--user", "root"), "root")])
def test_instances_of_root_run_as_a_user_without_privileges(host, option, name):
    if not option and "vtpm" in {entry.pw_name for entry in pwd.getpwall()}:
        name = "vtpm"
    rig = Rig(host, *option)
    user = pwd.getpwnam(name)
    status = Path(f"/proc/{rig.show(5)['pid']}/status").read_text()
    assert re.search(r"^Uid:\t(.*)$", status, re.M)[1].split() == 4 * [str(user.pw_uid)]
    if name != "root":
        assert re.search(r"^Groups:\t(.*)$", status, re.M)[1].split() == []
        assert int(re.search(r"^CapEff:\t(.*)$", status, re.M)[1], 16) == 0
    rig.tpm(5).pcr_read(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_instances_of_root_need_no_way_to_their_folder_and_program(host):
    private = host.path("private")
    private.mkdir(mode=0o700)
    program = private / "vtpmd"
    shutil.copy(BUILD / "vtpmd", program)
    host.run_dir = private / "run"
    rig = Rig(host, "--vtpmd", program)
    assert Path(f"/proc/{rig.show(5)['pid']}").stat().st_uid != 0
    tpm = rig.tpm(5)
    tpm.take_ownership(sha1(b"owner"))
    # A new manager makes new pipes, which are found, too; so does the next process.
    rig.process.kill9()
    tpm.transport.manager_died()
    host.manager("--vtpmd", program)
    tpm.pcr_read(0)
    os.kill(rig.show(5)["pid"], signal.SIGKILL)
    tpm.get_random(20)
    program.chmod(0o700)
    host.vtpmctl("close", 6)
    assert host.vtpmctl("open", 6, check=False).returncode == 1


def test_instance_that_hangs_is_killed_and_its_command_answered_by_the_next(rig):
    # Making a TPM takes long on a busy machine: only a manager that finds one is impatient.
    rig.process.kill9()
    process = rig.host.manager("--answer-seconds", 2)
    value = rig.tpm(5).extend(3, sha1(b"a"))
    os.kill(rig.show(5)["pid"], signal.SIGSTOP)
    assert rig.tpm(5).extend(3, sha1(b"b")) == sha1(value, sha1(b"b"))
    assert rig.show(5)["restarts"] == 1
    assert "does not answer" in process.log()


@pytest.mark.parametrize("program, reason", [("/bin/false", "exit status 1"),
                                             ("/nonexistent", "No such file")])
def test_program_that_does_not_run_is_reported_to_who_opens(host, program, reason):
    process = host.start(BUILD / "vtpmd", "--run-dir", host.folder, "--state", host.path("chip"),
                         "--raw", f"unix:{host.path('chip.sock')}", "clear", "pvm", "0")
    until(host.path("chip.sock").exists, "the chip is there", process)
    managed = host.manager("--vtpmd", program, "--tpm", f"socket:unix:{host.path('chip.sock')}")
    done = host.vtpmctl("open", 5, check=False)
    assert done.returncode == 1
    assert "instance 5" in done.stderr
    assert reason in managed.log()


def test_instance_that_dies_again_and_again_is_restarted_with_growing_pauses(rig):
    for death in range(5):
        pid = until(lambda: rig.show(5)["state"] == "running" and rig.show(5)["pid"], "it runs")
        os.kill(pid, signal.SIGKILL)
        until(lambda: rig.show(5)["restarts"] == death + 1, "its death is noticed")
    pauses = [int(ms) for ms in re.findall(r"instance 5: .* it is started again in (\d+) ms",
                                           rig.process.log())]
    assert pauses == [0, 50, 100, 200, 400]
    assert rig.tpm(5).pcr_read(0) == bytes(20)
    assert rig.show(6)["restarts"] == 0


def test_stopped_instance_delays_no_other(rig):
    os.kill(rig.show(5)["pid"], signal.SIGSTOP)
    command = bytes.fromhex("00c1 0000000e 00000015 00000003")
    for _ in range(20):
        rig.backend.send(5, command)
    for number in range(100):
        rig.tpm(6).extend(3, sha1(str(number).encode()))
    assert not rig.backend.waiting[5]
    os.kill(rig.show(5)["pid"], signal.SIGCONT)
    for _ in range(20):
        assert rig.backend.receive(5)[6:10] == bytes(4)


def test_fifty_neighbours_of_a_busy_instance_are_answered(host):
    """However long its command takes: it is stopped in the middle until all others have answered."""
    host.manager()
    busy, neighbours = 1, range(2, 52)
    for number in (busy, *neighbours):
        host.vtpmctl("open", number)
    backend = host.closes(FifoBackend(host.run_dir))
    pid = instance_pid(host, busy)
    os.kill(pid, signal.SIGSTOP)
    read = struct.pack(">HIII", spec.TPM_TAG_RQU_COMMAND, 14, spec.TPM_ORD_PcrRead, 3)
    for _ in range(3):
        for number in (busy, *neighbours):
            backend.send(number, read)
        for number in neighbours:
            assert backend.receive(number)[6:10] == bytes(4)
    assert not backend.waiting[busy]
    os.kill(pid, signal.SIGCONT)
    assert backend.receive(busy)[6:10] == bytes(4)


def threads(pid):
    """[(nice, ticks of processor time)] of a process's threads, the first one first."""
    found = []
    for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name)):
        fields = (task / "stat").read_text().rpartition(") ")[2].split()  # from the third on
        found.append((int(fields[16]), int(fields[11]) + int(fields[12])))
    return found


def test_instance_makes_keys_where_they_give_way_to_others(rig):
    pid, tpm = rig.show(5)["pid"], rig.tpm(5)
    before = threads(pid)
    tpm.take_ownership(sha1(b"owner"))
    for _ in range(4):
        tpm.create_wrap_key(spec.TPM_KH_SRK, WELL_KNOWN, SIGNING_KEY, sha1(b"key"))
    (nice, ticks), (nicer, their_ticks) = threads(pid)
    assert nicer > nice
    assert their_ticks - before[1][1] > ticks - before[0][1]


def test_all_threads_of_an_instance_are_in_its_sandbox(rig):
    for task in Path(f"/proc/{rig.show(5)['pid']}/task").iterdir():
        status = (task / "status").read_text()
        assert re.search(r"^NoNewPrivs:\t1$", status, re.M)
        assert re.search(r"^Seccomp:\t2$", status, re.M)


def test_flood_of_commands_costs_only_its_own_instance(rig):
    pid = rig.show(5)["pid"]
    os.kill(pid, signal.SIGSTOP)
    command = bytes.fromhex("00c1 0000000e 00000015 00000003")
    for _ in range(100):
        rig.backend.send(5, command)
    # What does not fit into its queue is turned away at once, the rest answered in time.
    refused = [rig.backend.receive(5) for _ in range(68)]
    assert {struct.unpack(">I", response[6:10])[0] for response in refused} == {spec.TPM_RETRY}
    assert rig.tpm(6).pcr_read(3) == bytes(20)
    os.kill(pid, signal.SIGCONT)
    assert all(rig.backend.receive(5)[6:10] == bytes(4) for _ in range(32))


def test_closed_instance_answers_an_error_and_opens_again(rig):
    rig.host.vtpmctl("close", 5)
    for _ in range(20):
        with pytest.raises(TpmError) as error:
            rig.tpm(5).pcr_read(3)
        assert error.value.result == spec.TPM_FAIL
    assert rig.process.log().count("a command came, but it is closed") == 5
    assert not list((rig.host.run_dir / "fifos").glob("*_5.fifo"))
    rig.host.vtpmctl("open", 5)
    assert rig.tpm(5).pcr_read(3) == bytes(20)


def test_suspended_instance_keeps_its_pcrs_over_a_restart_of_the_manager(rig):
    value = rig.tpm(5).extend(3, sha1(b"a"))
    rig.host.vtpmctl("suspend", 5)
    assert rig.show(5)["state"] == "suspended"
    rig.host.vtpmctl("suspend", 5)  # as a script does whose answer was lost
    rig.process.kill9()
    rig.host.manager()
    assert rig.show(5)["state"] == "suspended"
    rig.host.vtpmctl("open", 5, "--startup", "save")
    assert rig.tpm(5).pcr_read(3) == value
    rig.host.vtpmctl("close", 5)
    assert rig.show(5)["state"] == "closed"


def test_clean_stop_leaves_instances_to_the_next_manager(rig):
    value = rig.tpm(5).extend(3, sha1(b"a"))
    pid = rig.show(5)["pid"]
    assert rig.process.terminate_and_wait() == 0
    rig.host.manager()
    assert rig.show(5)["pid"] == pid
    assert rig.tpm(5).pcr_read(3) == value


def test_interrupt_closes_everything(rig):
    rig.process.send_signal(signal.SIGINT)
    assert rig.process.wait(60) == 0
    until(lambda: not any(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in rig.host.running()),
          "no process is left, but for zombies of this one")
    assert not list((rig.host.run_dir / "instances").glob("[0-9]*"))


def test_nothing_is_opened_while_everything_is_closed(rig):
    """It would not be closed any more, and the manager would wait for it for ever."""
    rig.host.vtpmctl("close", 6)
    pid = rig.show(5)["pid"]
    os.kill(pid, signal.SIGSTOP)
    rig.process.send_signal(signal.SIGINT)
    until(lambda: rig.show(5)["state"] == "closing", "it closes everything")
    refused = rig.host.vtpmctl("open", 6, check=False)
    os.kill(pid, signal.SIGCONT)
    assert refused.returncode == 1 and "the manager ends" in refused.stderr
    assert rig.process.wait(60) == 0


def test_instance_that_died_while_no_manager_ran_is_started_again(rig):
    rig.process.kill9()
    for pid in rig.host.running():
        if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"\0005\0"):
            os.kill(pid, signal.SIGKILL)
    process = rig.host.manager()
    assert rig.tpm(5).pcr_read(3) == bytes(20)
    assert "instance 5" in process.log() and "PCRs and sessions are lost" in process.log()


def test_running_hvm_instance_is_taken_over_and_listens_again_afterwards(host):
    process = host.manager()
    host.vtpmctl("define", GUEST, "--id", 7, "--type", "hvm")
    path = host.run_dir / (manager.VTPM_PATH_CTRL % 7)
    assert (host.run_dir / "socks" / f"{GUEST}.ctrl").resolve() == path
    qemu = host.closes(Qemu(path))
    assert qemu.init() == 0
    Tpm(qemu).startup()
    pid = instance_pid(host, 7)
    process.kill9()
    host.manager()
    assert instance_pid(host, 7) == pid
    assert Tpm(qemu).pcr_read(0) == bytes(20)
    assert qemu.request(Qemu.SHUTDOWN)[0] == 0

    def listens():
        return json.loads(host.vtpmctl("show", 7, "--json").stdout)["state"] == "listening"
    until(listens, "the instance rests")
    again = host.closes(Qemu(path))
    assert again.init() == 0
    assert instance_pid(host, 7) != pid


class Impostor:
    """Speaks in the place of instance 5, whose process is stopped meanwhile."""

    def __init__(self, rig):
        self.pid = rig.show(5)["pid"]
        os.kill(self.pid, signal.SIGSTOP)
        self.fds = [os.open(rig.host.run_dir / (name % 5), os.O_RDWR | os.O_NONBLOCK)
                    for name in (manager.VTPM_PATH_VTPM_RSP, manager.VTPM_PATH_VTPM_CMD)]
        self.stream = Stream(*self.fds)

    def request(self, ordinal, parameters=b"", instance=5):
        self.stream.write(struct.pack(">IHII", instance, manager.VTPM_TAG_REQ,
                                      10 + len(parameters), ordinal) + parameters)
        number, tag, size, status = struct.unpack(">IHII", self.stream.read(14))
        assert (number, tag) == (5, manager.VTPM_TAG_RSP)
        return status, self.stream.read(size - 10)

    def close(self):
        for fd in self.fds:
            os.close(fd)


@pytest.fixture
def impostor(rig):
    return rig.host.closes(Impostor(rig))


def test_instance_acts_on_itself_whatever_number_it_writes(rig, impostor):
    own = impostor.request(manager.VTPM_ORD_LOADNVM)
    assert own[0] == 0
    assert impostor.request(manager.VTPM_ORD_LOADNVM, instance=6) == own
    generation = rig.show(6)["generation"]
    assert impostor.request(manager.VTPM_ORD_SAVENVM, b"not a TPM", instance=6)[0] == 0
    assert impostor.request(manager.VTPM_ORD_LOADNVM) == (0, b"not a TPM")
    assert rig.show(6)["generation"] == generation


@pytest.mark.parametrize("ordinal", [manager.VTPM_ORD_CLOSE, manager.VTPM_ORD_DELETE,
                                     manager.VTPM_ORD_STATUS, manager.VTPM_ORD_EXECUTE, 0x99])
def test_privileged_requests_are_not_for_instances(rig, impostor, ordinal):
    for _ in range(20):
        assert impostor.request(ordinal, struct.pack(">I", 6))[0] == manager.VTPM_UNSUPPORTED
    assert rig.process.log().count("which is not for instances") == 5
    assert rig.tpm(6).pcr_read(3) == bytes(20)


def chip_command(version, code, parameters=b"", tag=None):
    """A command without sessions of a TPM 1.2 or 2.0."""
    tag = tag or {"1.2": spec.TPM_TAG_RQU_COMMAND, "2.0": 0x8001}[version]
    return struct.pack(">HII", tag, 10 + len(parameters), code) + parameters


# What tells something and changes nothing, with its parameters.
READS = {
    "1.2": {spec.TPM_ORD_PcrRead: bytes(4), spec.TPM_ORD_GetRandom: bytes.fromhex("00000010"),
            spec.TPM_ORD_GetCapability: bytes.fromhex("00000006 00000000"),
            spec.TPM_ORD_ReadPubek: bytes(20), spec.TPM_ORD_GetTicks: b"",
            spec.TPM_ORD_ReadCounter: bytes(4)},
    "2.0": {0x17E: bytes.fromhex("00000001 000b 03 010000"),  # PCR_Read
            0x17B: bytes.fromhex("0010"),                     # GetRandom
            0x17A: bytes.fromhex("00000006 00000100 00000001"),  # GetCapability
            0x17C: b"",                                       # GetTestResult
            0x169: bytes.fromhex("01000000"),                 # NV_ReadPublic
            0x181: b"",                                       # ReadClock
            0x173: bytes.fromhex("81000001")},                # ReadPublic
}
# What the chip itself answers with an error: no such counter, index or key; the chip has an owner.
NOT_THERE = {spec.TPM_ORD_ReadCounter, spec.TPM_ORD_ReadPubek, 0x169, 0x173}
ALL_ORDINALS = {
    "1.2": {value for name, value in vars(spec).items()
            if name.startswith("TPM_ORD_")} | {0x20000000 | spec.TPM_ORD_PcrRead},
    "2.0": set(range(0x11F, 0x19F)) | {0x20000000 | 0x17E},  # with a vendor's bit
}


def test_chip_can_be_read_by_an_instance_and_nothing_be_done_to_it(host, chip):
    rig = Rig(host, *host.tpm_option)
    impostor = host.closes(Impostor(rig))
    reads = READS[host.version]
    for code, parameters in reads.items():
        status, response = impostor.request(manager.VTPM_ORD_TPMCOMMAND,
                                            chip_command(host.version, code, parameters))
        assert status == manager.VTPM_SUCCESS, f"{code:#x} is refused"
        tag, size, result = struct.unpack(">HII", response[:10])
        assert size == len(response) and (result == 0 or code in NOT_THERE), f"{code:#x}: {result:#x}"
    refused = [chip_command(host.version, code) for code in ALL_ORDINALS[host.version] - set(reads)]
    code, parameters = next(iter(reads.items()))
    refused += [b"", chip_command(host.version, code, parameters)[:-1],
                chip_command(host.version, code, parameters) + b"\0"]
    # With authorizations or sessions, and in the other version's words.
    refused += [chip_command(host.version, code, parameters, tag)
                for tag in (0x00C1, 0x00C2, 0x00C3, 0x8001, 0x8002)
                if tag != {"1.2": 0x00C1, "2.0": 0x8001}[host.version]]
    for command in refused:
        assert impostor.request(manager.VTPM_ORD_TPMCOMMAND, command) == \
            (manager.VTPM_FORBIDDEN, b""), command.hex()


def test_instance_that_saves_without_waiting_fills_no_memory(rig, impostor):
    count = 100
    request = struct.pack(">IHII", 5, manager.VTPM_TAG_REQ, 10 + 9, manager.VTPM_ORD_SAVENVM)
    impostor.stream.write(count * (request + b"not a TPM"))  # no more than a pipe takes as one
    answers = [struct.unpack(">IHII", impostor.stream.read(14))[3] for _ in range(count)]
    assert set(answers) == {manager.VTPM_SUCCESS, manager.VTPM_FAIL}
    assert impostor.request(manager.VTPM_ORD_SAVENVM, b"not a TPM") == (manager.VTPM_SUCCESS, b"")


def test_instance_that_sends_nonsense_is_replaced_and_no_other(rig, impostor):
    no_request = struct.pack(">IHII", 5, 0xBAD, 10, 0)
    impostor.stream.write(100 * no_request + b"nonsense, for as long as a header")
    until(lambda: rig.show(5)["restarts"] == 1, "the instance was restarted")
    assert rig.tpm(5).pcr_read(3) == bytes(20)
    assert rig.show(6)["restarts"] == 0
    assert rig.process.log().count("sends what is no request") == 1
