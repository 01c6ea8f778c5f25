"""Bad input gets a clear error, nothing is lost, and nobody else notices."""
import shutil
import signal
import struct
import subprocess

import pytest

from contract import RESULT_NAMES, spec
from host import BUILD, TIMEOUT, tpm_at
from tpm12 import WELL_KNOWN, Tpm, TpmError, sha1
from transport import Closed, FifoBackend, Raw

GUEST = "6d7a1a1e-2f5a-4f0a-9d0e-0b6c8f1d2e3f"
OTHER = "c0ffee00-1111-4222-8333-444455556666"
PCR_READ = struct.pack(">HIII", spec.TPM_TAG_RQU_COMMAND, 14, spec.TPM_ORD_PcrRead, 0)


def result(response):
    """The result code's name, of an error response that is as short as it has to be."""
    tag, size, code = struct.unpack(">HII", response)
    assert (tag, size) == (spec.TPM_TAG_RSP_COMMAND, 10)
    return RESULT_NAMES[code]


def run(program, *args):
    """Runs one of our programs to its end."""
    return subprocess.run([BUILD / program, *map(str, args)], text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=TIMEOUT)


# A TPM on a byte stream

@pytest.fixture
def vtpmd(host):
    return host.vtpmd()


@pytest.mark.parametrize("command, expected", [
    pytest.param(struct.pack(">HII", 0xC1, 10, spec.TPM_ORD_PcrRead), "TPM_BAD_PARAM_SIZE",
                 id="parameter missing"),
    pytest.param(struct.pack(">HIIH", 0xC1, 12, spec.TPM_ORD_PcrRead, 0), "TPM_BAD_PARAM_SIZE",
                 id="parameter cut"),
    pytest.param(struct.pack(">HIIIB", 0xC1, 15, spec.TPM_ORD_PcrRead, 0, 0), "TPM_BAD_PARAM_SIZE",
                 id="trailing byte"),
    pytest.param(struct.pack(">HII", 0xC0, 10, spec.TPM_ORD_PcrRead), "TPM_BADTAG", id="bad tag"),
    pytest.param(struct.pack(">HII", 0xC1, 10, 0x7FFFFFFF), "TPM_BAD_ORDINAL", id="bad ordinal"),
    pytest.param(struct.pack(">HIII", 0xC1, 14, spec.TPM_ORD_PcrRead, 24), "TPM_BADINDEX",
                 id="no such PCR"),
    pytest.param(struct.pack(">HII", 0xC1, 5000, spec.TPM_ORD_PcrRead) + bytes(4990),
                 "TPM_BAD_PARAM_SIZE", id="over 4096 bytes"),
])
def test_malformed_command_gets_an_error_and_the_connection_stays(vtpmd, command, expected):
    raw = Raw(vtpmd.address)
    assert result(raw.exchange(command)) == expected
    assert Tpm(raw).pcr_read(0) == bytes(20)


@pytest.mark.parametrize("size", [0, 9, 0x7FFFFFFF, 0xFFFFFFFF])
def test_absurd_size_costs_no_more_than_its_connection(vtpmd, size):
    raw = Raw(vtpmd.address)
    raw.send(struct.pack(">HII", 0xC1, size, spec.TPM_ORD_PcrRead) + bytes(64))
    try:
        assert result(raw.receive()) == "TPM_BAD_PARAM_SIZE"
    except (Closed, ConnectionError):
        pass
    assert tpm_at(vtpmd).pcr_read(0) == bytes(20)


def test_half_a_command_holds_up_nobody_else(vtpmd):
    slow, quick = Raw(vtpmd.address), tpm_at(vtpmd)
    slow.send(PCR_READ[:7])
    assert quick.pcr_read(0) == bytes(20)
    slow.send(PCR_READ[7:])
    assert slow.receive()[10:] == bytes(20)


def test_commands_arrive_in_any_pieces(vtpmd):
    raw = Raw(vtpmd.address)
    for byte in PCR_READ:
        raw.send(bytes([byte]))
    raw.send(PCR_READ * 3)
    assert [raw.receive()[10:] for _ in range(4)] == [bytes(20)] * 4


def test_damaged_state_file_is_refused_by_name_and_left_alone(host, vtpmd):
    vtpmd.kill9()
    state = host.path("tpm.state")
    damaged = bytearray(state.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    state.write_bytes(damaged)
    done = run("vtpmd", "--run-dir", host.path("tpm.run"), "--state", state, "clear", "pvm", 0)
    assert done.returncode == 1
    assert str(state) in done.stderr
    assert state.read_bytes() == damaged


def test_state_file_has_one_vtpmd_at_a_time(host, vtpmd):
    state = host.path("tpm.state")
    done = run("vtpmd", "--run-dir", host.path("tpm.run"), "--state", state, "clear", "pvm", 0)
    assert done.returncode == 1
    assert str(state) in done.stderr
    assert tpm_at(vtpmd).pcr_read(0) == bytes(20)


# A host of instances

@pytest.fixture
def managed(host):
    """A manager with a running instance 5."""
    process = host.manager()
    host.vtpmctl("define", GUEST, "--id", 5)
    host.vtpmctl("open", GUEST)
    backend = host.closes(FifoBackend(host.run_dir))
    process.guest = lambda number: Tpm(backend.guest(number))
    return process


def test_unknown_instance_is_an_error_and_no_more(host, managed):
    with pytest.raises(TpmError):
        managed.guest(99).pcr_read(0)
    for command in ("close", "delete", "show"):
        done = host.vtpmctl(command, 99, check=False)
        assert done.returncode == 1
        assert "99" in done.stderr
    done = host.vtpmctl("open", OTHER, check=False)
    assert done.returncode == 1
    assert OTHER in done.stderr
    assert managed.guest(5).pcr_read(0) == bytes(20)


def test_second_manager_is_refused_and_told_who_runs(host, managed):
    second = host.manager(wait=False)
    assert second.wait(TIMEOUT) == 1
    assert str(managed.pid) in second.log()
    assert managed.guest(5).pcr_read(0) == bytes(20)


def test_state_folder_that_is_none_is_named(host):
    host.path("file").touch()
    process = host.manager("--state-dir", host.path("file"), wait=False)
    assert process.wait(TIMEOUT) == 1
    assert str(host.path("file")) in process.log()


def test_state_folder_that_is_read_only_is_named(host):
    folder = host.path("read-only")
    folder.mkdir()
    host.run_dir.mkdir()
    process = host.start(
        "unshare", "--mount", "sh", "-ec", 'mount --bind -o ro "$1" "$1"; shift; exec "$@"', "sh",
        folder, BUILD / "vtpm_managerd", "--foreground", "--tpm", "emulated", "--backend", "fifo",
        "--hotplug-script", "none", "--state-dir", folder, "--run-dir", host.run_dir)
    status = process.wait(TIMEOUT)
    if "unshare failed" in process.log():
        pytest.skip("a read-only mount needs root")
    assert status == 1
    assert str(folder) in process.log()


@pytest.fixture
def small_disk(host):
    """The state folder on a file system of its own; returns it."""
    host.state_dir.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "vtpm", host.state_dir])
    if mounted.returncode:
        pytest.skip("a small file system needs root")
    yield host.state_dir
    subprocess.run(["umount", "--lazy", host.state_dir], check=True)


def test_full_disk_costs_the_change_and_nothing_else_and_no_restart(small_disk, host):
    process = host.manager()
    for uuid, number in ((GUEST, 5), (OTHER, 6)):
        host.vtpmctl("define", uuid, "--id", number)
        host.vtpmctl("open", number)
    backend = host.closes(FifoBackend(host.run_dir))
    guest, other = Tpm(backend.guest(5)), Tpm(backend.guest(6))
    value = guest.extend(3, sha1(b"a"))
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.raises(TpmError):
        guest.take_ownership(sha1(b"owner"))
    assert str(small_disk) in process.log() and "No space left" in process.log()
    assert guest.pcr_read(3) == value and other.pcr_read(3) == bytes(20)
    filler.unlink()
    guest.take_ownership(sha1(b"owner"))
    sealed = guest.seal(spec.TPM_KH_SRK, WELL_KNOWN, WELL_KNOWN, b"secret")
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT) == 0
    host.manager()
    host.vtpmctl("open", 5)
    assert guest.unseal(spec.TPM_KH_SRK, WELL_KNOWN, WELL_KNOWN, sealed) == b"secret"


def test_damaged_instance_is_refused_by_name_and_others_run(host, managed):
    host.vtpmctl("define", OTHER, "--id", 6)
    host.vtpmctl("open", OTHER)
    ek = managed.guest(5).read_pubek().modulus
    host.kill9_everything()

    data = host.state_dir / "vtpm_dm_5.data"
    whole = data.read_bytes()
    shutil.copy(data, host.path("backup"))
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    data.write_bytes(damaged)

    process = host.manager()
    backend = host.closes(FifoBackend(host.run_dir))
    done = host.vtpmctl("open", GUEST, check=False)
    assert done.returncode == 1
    assert "5" in done.stderr
    assert "instance 5" in process.log()
    host.vtpmctl("open", OTHER)
    assert Tpm(backend.guest(6)).pcr_read(0) == bytes(20)
    assert data.read_bytes() == damaged

    # What helps is the file put back, with no restart.
    assert "damaged" in host.vtpmctl("verify", GUEST, check=False).stdout
    shutil.copy(host.path("backup"), data)
    host.vtpmctl("verify", GUEST)
    host.vtpmctl("open", GUEST)
    assert Tpm(backend.guest(5)).read_pubek().modulus == ek


def test_owner_and_sealed_data_survive_kill_9_of_everything(host, managed):
    owner = sha1(b"owner")
    tpm = managed.guest(5)
    tpm.take_ownership(owner)
    blob = tpm.seal(spec.TPM_KH_SRK, WELL_KNOWN, owner, b"secret")
    host.kill9_everything()

    host.manager()
    host.vtpmctl("open", GUEST)
    tpm = Tpm(host.closes(FifoBackend(host.run_dir)).guest(5))
    assert tpm.has_owner()
    assert tpm.unseal(spec.TPM_KH_SRK, WELL_KNOWN, owner, blob) == b"secret"


# Command lines

@pytest.mark.parametrize("program", ["vtpmd", "vtpm_managerd", "vtpmctl"])
def test_command_line_errors_are_told_apart(program):
    assert run(program, "--help").returncode == 0
    assert program in run(program, "--version").stdout
    done = run(program, "--no-such-option")
    assert done.returncode == 2
    assert "no-such-option" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("arguments", [
    ("clear", "pvm"), ("clear", "pvm", "x"), ("clear", "pvm", "-1"), ("warm", "pvm", "1"),
    ("clear", "xen", "1"), ("clear", "pvm", "1", "2"), ("clear", "pvm", "4294967296"),
    ("--raw", "tcp:0.0.0.0:1", "--state", "/nonexistent/state", "clear", "pvm", "0"),
])
def test_vtpmd_refuses_a_wrong_command_line(arguments):
    done = run("vtpmd", *arguments)
    assert done.returncode in (1, 2)
    assert done.stderr
