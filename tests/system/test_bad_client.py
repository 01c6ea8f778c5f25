"""A client of an HVM instance that misbehaves costs only its own instance, is told or cut off with a
line in the log, and costs little memory."""
import contextlib
import random
import resource
import socket
import struct
import uuid
from pathlib import Path

import pytest

from contract import manager, spec
from host import until
from test_manager_console import instance_pid
from tpm12 import Tpm
from transport import Closed, Ioemu, Qemu, Raw, connect

BAD, GOOD = 7, 8  # the instance that is attacked, and its neighbour
CONNECTIONS = 1000
MEMORY = 8 << 20  # what an attack may cost of it
PCR_READ = struct.pack(">HIII", spec.TPM_TAG_RQU_COMMAND, 14, spec.TPM_ORD_PcrRead, 0)
CTRL, IOEMU = manager.VTPM_PATH_CTRL, manager.VTPM_PATH_IOEMU


def start(qemu):
    assert qemu.init() == 0
    tpm = Tpm(qemu)
    tpm.startup()
    return tpm


@pytest.fixture
def attacked(host):
    """A host with both instances; .neighbour is a guest of the good one. The bad one waits for its
    first client. Afterwards both serve as if nothing had been."""
    host.process = host.manager()
    for number in (BAD, GOOD):
        host.vtpmctl("define", uuid.uuid4(), "--type", "hvm", "--id", number)
    host.neighbour = start(host.closes(Qemu(host.run_dir / (CTRL % GOOD))))
    host.address = {path: f"unix:{host.run_dir / (path % BAD)}" for path in (CTRL, IOEMU)}
    yield host
    assert host.neighbour.pcr_read(0) == bytes(20)
    assert start(host.closes(Qemu(host.run_dir / (CTRL % BAD)))).pcr_read(0) == bytes(20)
    assert Tpm(host.closes(Ioemu(host.run_dir, BAD))).pcr_read(0) == bytes(20)


def memory(host, number):
    status = Path(f"/proc/{instance_pid(host, number)}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line) << 10


def send_what_is_taken(s, data):
    """Sends data over and over until nothing is taken any more; how much was."""
    s.settimeout(2)
    sent = 0
    with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
        while sent < 64 << 20:
            sent += s.send(data)
    return sent


def read_to_the_end(s):
    s.settimeout(60)
    with contextlib.suppress(ConnectionResetError):
        while s.recv(1 << 16):
            pass


@pytest.mark.parametrize("path", [CTRL, IOEMU], ids=["ctrl", "ioemu"])
@pytest.mark.parametrize("running", [False, True], ids=["starting", "running"])
def test_garbage(attacked, path, running):
    if running:
        attacked.vtpmctl("open", BAD)
    for seed in range(8):
        with connect(attacked.address[path]) as s:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                s.sendall(random.Random(seed).randbytes(100_000))
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_WR)
            read_to_the_end(s)
    said = {CTRL: "there is no command", IOEMU: "size"}[path]
    until(lambda: said in attacked.process.log(), "the log tells of it", attacked.process)


def test_garbage_on_the_data_channel(attacked):
    qemu = attacked.closes(Qemu(attacked.run_dir / (CTRL % BAD)))
    start(qemu)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        qemu.data.send(random.Random(1).randbytes(100_000))
        qemu.data.socket.shutdown(socket.SHUT_WR)
    read_to_the_end(qemu.data.socket)
    assert "QEMU's data channel" in attacked.process.log()
    # QEMU may pass another one.
    qemu.data.close()
    qemu.set_datafd()
    assert Tpm(qemu).pcr_read(0) == bytes(20)
    qemu.close()


@pytest.mark.parametrize("path, request_", [
    (CTRL, struct.pack(">IIII", Qemu.SET_STATEBLOB, 0, 1, 0xffffffff)),
    (CTRL, struct.pack(">II", Qemu.HASH_DATA, 0xfffffff0)),
    (IOEMU, struct.pack(">IHII", BAD, spec.TPM_TAG_RQU_COMMAND, 0xffffffff, spec.TPM_ORD_PcrRead)),
], ids=["SET_STATEBLOB", "HASH_DATA", "TPM command"])
@pytest.mark.parametrize("running", [False, True], ids=["starting", "running"])
def test_4_gib_are_announced(attacked, path, request_, running):
    if running:
        attacked.vtpmctl("open", BAD)
    with connect(attacked.address[path]) as s:
        s.sendall(request_)
        send_what_is_taken(s, bytes(65536))
        read_to_the_end(s)
    assert "cut off" in attacked.process.log()
    assert memory(attacked, BAD) < memory(attacked, GOOD) + MEMORY


def test_4_gib_are_announced_on_the_data_channel(attacked):
    qemu = attacked.closes(Qemu(attacked.run_dir / (CTRL % BAD)))
    start(qemu)
    qemu.data.send(struct.pack(">HII", spec.TPM_TAG_RQU_COMMAND, 0xffffffff, spec.TPM_ORD_PcrRead))
    assert qemu.data.receive()[6:10] == struct.pack(">I", spec.TPM_BAD_PARAM_SIZE)
    with pytest.raises((Closed, ConnectionResetError)):
        qemu.data.receive()
    assert "QEMU's data channel: a client that announced" in attacked.process.log()
    qemu.close()


def test_flood_that_nobody_reads_the_answers_of(attacked):
    """On all three channels at once; each is cut off."""
    qemu = attacked.closes(Qemu(attacked.run_dir / (CTRL % BAD)))
    start(qemu)
    ioemu = attacked.closes(Ioemu(attacked.run_dir, BAD))
    # The end of this one ends its instance, so it has one of its own.
    attacked.vtpmctl("define", uuid.uuid4(), "--type", "hvm", "--id", BAD + 2)
    other = attacked.closes(Qemu(attacked.run_dir / (CTRL % (BAD + 2))))
    sent = [
        send_what_is_taken(ioemu.socket, ioemu.prefix + PCR_READ),
        send_what_is_taken(qemu.data.socket, PCR_READ),
        send_what_is_taken(other.control, struct.pack(">IIII", Qemu.GET_STATEBLOB, 0, 1, 0)),
    ]
    assert max(sent) < 64 << 20, "somebody takes what nobody answers"
    assert attacked.neighbour.pcr_read(0) == bytes(20)
    for number in (BAD, BAD + 2):
        assert memory(attacked, number) < memory(attacked, GOOD) + MEMORY
    log = attacked.process.log
    until(lambda: log().count("does not read its answers is cut off") == 3, "all are cut off")
    qemu.close()


def test_flood_of_commands(attacked):
    """Whoever reads the answers, too, is served in turn with others."""
    ioemu = attacked.closes(Ioemu(attacked.run_dir, BAD))
    qemu = attacked.closes(Qemu(attacked.run_dir / (CTRL % BAD)))
    tpm = start(qemu)
    for _ in range(20):
        ioemu.stream.write((ioemu.prefix + PCR_READ) * 100)
        assert tpm.pcr_read(0) == bytes(20)
        assert attacked.neighbour.pcr_read(0) == bytes(20)
        for _ in range(100):
            assert ioemu.receive()[10:] == bytes(20)
    qemu.close()


@pytest.fixture
def descriptors():
    """Enough of them for all connections."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("path", [CTRL, IOEMU], ids=["ctrl", "ioemu"])
@pytest.mark.parametrize("running", [False, True], ids=["starting", "running"])
def test_1000_connections(attacked, descriptors, path, running):
    if running:
        attacked.vtpmctl("open", BAD)
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            s = stack.enter_context(connect(attacked.address[path]))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                s.send(b"\0")
        assert attacked.neighbour.pcr_read(0) == bytes(20)
        until(lambda: "turned away" in attacked.process.log(), "somebody is turned away")
        assert memory(attacked, BAD) < memory(attacked, GOOD) + MEMORY
        assert len(list(Path(f"/proc/{instance_pid(attacked, BAD)}/fd").iterdir())) < 128


def test_clients_of_the_ioemu_socket_come_and_go(attacked):
    for _ in range(100):
        ioemu = Ioemu(attacked.run_dir, BAD)
        for byte in ioemu.prefix + PCR_READ:
            ioemu.stream.write(bytes([byte]))
        response = ioemu.receive()
        ioemu.close()
    assert response[:2] == struct.pack(">H", spec.TPM_TAG_RSP_COMMAND)


def test_raw_commands_are_no_data_channel(attacked):
    """The two channels mixed up: an error at once instead of a client that waits forever."""
    raw = Raw(attacked.address[CTRL])
    raw.send(PCR_READ)
    assert raw.stream.read(4) == struct.pack(">I", spec.TPM_BAD_ORDINAL)
    raw.close()
