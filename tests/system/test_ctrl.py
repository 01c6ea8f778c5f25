"""The control channel of an HVM instance: all that a QEMU, or swtpm_ioctl, asks of it."""
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import uuid

import pytest

from contract import spec
from host import BUILD, until
from tpm12 import SIGNING_KEY, WELL_KNOWN, Tpm, TpmError, sha1, u32
from transport import Closed, Qemu, Stream, connect

DIGEST = sha1(b"measurement")
OWNER = sha1(b"owner")
PERMANENT, VOLATILE, SAVED = 1, 2, 3


class Machine:
    """A vtpmd for an HVM guest, alone in a folder of its own."""

    def __init__(self, host, name="vm"):
        self.folder = host.path(name)
        self.folder.mkdir(exist_ok=True)
        self.host = host
        self.process = host.start(BUILD / "vtpmd", "--run-dir", self.folder, "--state",
                                  self.folder / "state", "clear", "hvm", "1")
        self.ctrl = self.folder / "socks/1.ctrl"
        until(self.accepts, "vtpmd listens", self.process)

    def accepts(self):
        try:
            connect(f"unix:{self.ctrl}").close()
            return True
        except OSError:
            return False

    def qemu(self, **options):
        return self.host.closes(Qemu(self.ctrl, **options))


@pytest.fixture
def machine(host):
    return Machine(host)


@pytest.fixture
def qemu(machine):
    return machine.qemu()


@pytest.fixture
def tpm(qemu):
    """A TPM that the firmware has started."""
    assert qemu.init() == 0
    tpm = Tpm(qemu)
    tpm.startup()
    return tpm


def get_blob(qemu, kind, offset=0):
    qemu.stream.write(struct.pack(">IIII", qemu.GET_STATEBLOB, 0, kind, offset))
    result, flags, total, length = struct.unpack(">IIII", qemu.stream.read(16))
    assert (result, flags, length) == (0, 0, total - offset)
    return qemu.stream.read(length)


def set_blob(qemu, kind, blob):
    return qemu.request(qemu.SET_STATEBLOB, struct.pack(">III", 0, kind, len(blob)) + blob)[0]


def test_version_probes_are_answered_before_init(qemu):
    for probe in ("80010000000a00000181", "00c10000000a000000f1"):
        tag, size, result = struct.unpack(">HII", qemu.exchange(bytes.fromhex(probe)))
        assert (tag, size) == (spec.TPM_TAG_RSP_COMMAND, 10) and result != 0


def test_capabilities_name_all_commands(qemu):
    assert qemu.capabilities() == 0x17fff


def test_guest_reset_resets_the_pcrs_and_keeps_the_owner(qemu, tpm):
    tpm.create_ek()
    tpm.take_ownership(OWNER)
    tpm.extend(1, DIGEST)
    assert qemu.init() == 0
    with pytest.raises(TpmError) as error:
        tpm.pcr_read(1)
    assert error.value.result == spec.TPM_INVALID_POSTINIT
    tpm.startup()
    assert tpm.pcr_read(1) == bytes(20) and tpm.has_owner()


def test_stopped_tpm_answers_errors_until_init(qemu, tpm):
    assert qemu.request(qemu.STOP)[0] == 0
    with pytest.raises(TpmError) as error:
        tpm.pcr_read(1)
    assert error.value.result == spec.TPM_FAIL
    assert qemu.init() == 0
    tpm.startup()


def test_locality_is_that_of_the_commands(qemu, tpm):
    with pytest.raises(TpmError) as error:
        tpm.extend(20, DIGEST)
    assert error.value.result == spec.TPM_BAD_LOCALITY
    assert qemu.set_locality(2) == 0
    tpm.extend(20, DIGEST)
    assert qemu.set_locality(5) == spec.TPM_BAD_LOCALITY
    tpm.extend(20, DIGEST)
    assert qemu.request(qemu.SET_LOCALITY, b"\0")[0] == 0  # one byte, without padding
    with pytest.raises(TpmError):
        tpm.extend(20, DIGEST)


DYNAMIC_PCRS = range(17, 23)


@pytest.mark.parametrize("locality", range(5))
def test_each_locality_may_extend_the_pcrs_of_the_pc_client_specification(qemu, tpm, locality):
    may = {17: {2, 3, 4}, 18: {2, 3, 4}, 19: {2, 3}, 20: {1, 2, 3}, 21: {2}, 22: {2},
           16: {0, 1, 2, 3, 4}, 23: {0, 1, 2, 3, 4}}
    assert qemu.set_locality(locality) == 0
    for pcr, localities in may.items():
        if locality in localities:
            tpm.extend(pcr, DIGEST)
        else:
            with pytest.raises(TpmError, match="TPM_BAD_LOCALITY"):
                tpm.extend(pcr, DIGEST)


def test_dynamic_launch(qemu, tpm):
    assert all(tpm.pcr_read(pcr) == b"\xff" * 20 for pcr in DYNAMIC_PCRS)
    assert not qemu.established()
    assert qemu.set_locality(2) == 0
    tpm.extend(16, DIGEST)
    tpm.extend(20, DIGEST)
    others = {pcr: tpm.pcr_read(pcr) for pcr in range(24) if pcr not in DYNAMIC_PCRS}
    assert qemu.request(qemu.HASH_START)[0] == 0
    for part in (b"some ", b"code"):
        assert qemu.request(qemu.HASH_DATA, u32(len(part)) + part)[0] == 0
    assert qemu.request(qemu.HASH_END)[0] == 0
    assert tpm.pcr_read(17) == sha1(bytes(20), sha1(b"some code"))
    assert all(tpm.pcr_read(pcr) == bytes(20) for pcr in DYNAMIC_PCRS[1:])
    assert {pcr: tpm.pcr_read(pcr) for pcr in others} == others
    assert qemu.established()
    assert qemu.request(qemu.RESET_TPMESTABLISHED, struct.pack(">B3x", 0))[0] != 0
    assert qemu.established()
    assert qemu.request(qemu.RESET_TPMESTABLISHED, struct.pack(">B3x", 3))[0] == 0
    assert not qemu.established()


def test_buffer_size_is_kept_within_its_limits_and_asked_with_0(qemu):
    def size(wish):
        result, rest = qemu.request(qemu.SET_BUFFERSIZE, u32(wish), answer=16)
        assert result == 0
        now, least, most = struct.unpack(">III", rest)
        assert (least, most) == (3072, 4096)
        return now
    assert size(0) == 4096
    for wish, given in ((100, 3072), (3500, 3500), (0, 3500), (0xffffffff, 4096), (1, 3072)):
        assert size(wish) == given
    assert qemu.init() == 0
    assert size(0) == 3072


def test_buffer_size_does_not_change_under_a_running_guest(qemu, tpm):
    tpm.pcr_read(0)
    assert qemu.request(qemu.SET_BUFFERSIZE, u32(3072))[0] == spec.TPM_BAD_ORDINAL
    assert qemu.request(qemu.SET_BUFFERSIZE, u32(0), answer=16)[1][:4] == u32(4096)
    assert qemu.request(qemu.STOP)[0] == 0
    assert qemu.request(qemu.SET_BUFFERSIZE, u32(3072), answer=16)[1][:4] == u32(3072)


def test_established_outlives_power_until_it_is_reset(machine, qemu, tpm):
    for command in (qemu.HASH_START, qemu.HASH_END):
        assert qemu.request(command)[0] == 0
    assert qemu.init() == 0
    assert qemu.established()
    assert qemu.request(qemu.SHUTDOWN)[0] == 0
    machine.process.wait(60)
    again = Machine(machine.host).qemu()
    assert again.init() == 0
    Tpm(again).startup()
    assert again.established()


def test_guest_reset_ends_a_launch_that_had_begun(qemu, tpm):
    assert qemu.request(qemu.HASH_START)[0] == 0
    assert qemu.request(qemu.HASH_DATA, u32(4) + b"code")[0] == 0
    assert qemu.init() == 0
    tpm.startup()
    assert qemu.request(qemu.HASH_END)[0] != 0
    assert tpm.pcr_read(17) == b"\xff" * 20


@pytest.mark.parametrize("number, payload, result", [
    pytest.param(Qemu.HASH_DATA, u32(3) + b"abc", spec.TPM_SHA_THREAD, id="HASH_DATA before START"),
    pytest.param(Qemu.HASH_END, b"", spec.TPM_SHA_THREAD, id="HASH_END before START"),
    pytest.param(Qemu.SET_LOCALITY, b"\5\0\0\0", spec.TPM_BAD_LOCALITY, id="SET_LOCALITY 5"),
    pytest.param(Qemu.RESET_TPMESTABLISHED, b"\2\0\0\0", spec.TPM_BAD_LOCALITY,
                 id="RESET_TPMESTABLISHED at 2"),
    pytest.param(Qemu.RESET_TPMESTABLISHED, b"\xff\0\0\0", spec.TPM_BAD_LOCALITY,
                 id="RESET_TPMESTABLISHED at 255"),
    pytest.param(Qemu.GET_STATEBLOB, struct.pack(">III", 0, 0, 0), spec.TPM_BAD_PARAMETER,
                 id="GET_STATEBLOB of type 0"),
    pytest.param(Qemu.GET_STATEBLOB, struct.pack(">III", 0, 4, 0), spec.TPM_BAD_PARAMETER,
                 id="GET_STATEBLOB of type 4"),
    pytest.param(Qemu.GET_STATEBLOB, struct.pack(">III", 0, PERMANENT, 0xffffffff),
                 spec.TPM_BAD_PARAMETER, id="GET_STATEBLOB beyond its end"),
    pytest.param(Qemu.SET_STATEBLOB, struct.pack(">III", 0, PERMANENT, 1) + b"x",
                 spec.TPM_BAD_ORDINAL, id="SET_STATEBLOB of a running TPM"),
    pytest.param(Qemu.SET_DATAFD, b"", spec.TPM_BAD_PARAMETER, id="SET_DATAFD without one"),
    pytest.param(Qemu.SET_BUFFERSIZE, u32(3072), spec.TPM_BAD_ORDINAL,
                 id="SET_BUFFERSIZE of a running TPM"),
    pytest.param(Qemu.GET_INFO, struct.pack(">QII", 3, 0xffffffff, 0), spec.TPM_BAD_PARAMETER,
                 id="GET_INFO beyond its end"),
])
def test_error_is_told_and_nothing_else_happens(qemu, tpm, number, payload, result):
    value = tpm.extend(1, DIGEST)
    assert qemu.request(number, payload)[0] == result
    assert tpm.pcr_read(1) == value
    assert qemu.capabilities() == 0x17fff


@pytest.mark.parametrize("number, payload", [
    (Qemu.STORE_VOLATILE, b""), (Qemu.HASH_START, b""), (Qemu.HASH_DATA, u32(3) + b"abc"),
    (Qemu.HASH_END, b""), (Qemu.RESET_TPMESTABLISHED, b"\3\0\0\0")])
def test_what_needs_a_running_tpm_is_refused_after_stop(qemu, tpm, number, payload):
    assert qemu.request(qemu.STOP)[0] == 0
    assert qemu.request(number, payload)[0] == spec.TPM_BAD_ORDINAL
    assert qemu.request(qemu.STOP)[0] == 0  # once more is no error
    assert qemu.init() == 0
    tpm.startup()


def test_info_is_json(qemu):
    def info(flags, offset=0):
        qemu.stream.write(struct.pack(">IQII", qemu.GET_INFO, flags, offset, 0))
        result, total, length = struct.unpack(">III", qemu.stream.read(12))
        assert result == 0 and length == total - offset
        return qemu.stream.read(length)
    whole = info(3)
    described = json.loads(whole.rstrip(b"\0"))
    assert described["TPMSpecification"] == {"family": "1.2", "level": 2, "revision": 116}
    assert set(described["TPMAttributes"]) == {"manufacturer", "version", "model"}
    assert info(3, 10) == whole[10:]
    assert json.loads(info(0).rstrip(b"\0")) == {}


def test_config_and_lock(qemu):
    assert qemu.request(qemu.GET_CONFIG, answer=8) == (0, bytes(4))
    assert qemu.request(qemu.LOCK_STORAGE, u32(3))[0] == 0


def test_migration_carries_everything(host, machine, qemu, tpm):
    tpm.create_ek()
    tpm.take_ownership(OWNER)
    value = tpm.extend(1, DIGEST)
    secret = tpm.seal(spec.TPM_KH_SRK, WELL_KNOWN, OWNER, b"secret")
    session = tpm.oiap(OWNER)
    blobs = {kind: get_blob(qemu, kind) for kind in (PERMANENT, SAVED, VOLATILE)}
    assert get_blob(qemu, VOLATILE, 100) == blobs[VOLATILE][100:]

    there = Machine(host, "there").qemu()
    assert there.request(there.STOP)[0] == 0
    for kind, blob in blobs.items():
        if blob:
            assert set_blob(there, kind, blob) == 0
    assert there.init(1) == 0
    tpm = Tpm(there)
    assert tpm.pcr_read(1) == value
    assert tpm.unseal(spec.TPM_KH_SRK, WELL_KNOWN, OWNER, secret) == b"secret"
    tpm.command(spec.TPM_ORD_OwnerReadPubek, sessions=[session])
    # A reset afterwards is a reset, and what came is durable.
    assert there.init() == 0
    tpm.startup()
    assert tpm.pcr_read(1) == bytes(20) and tpm.has_owner()


def test_state_is_not_set_under_a_running_tpm(qemu, tpm):
    value = tpm.extend(1, DIGEST)
    blob = get_blob(qemu, VOLATILE)
    assert set_blob(qemu, VOLATILE, blob) == spec.TPM_BAD_ORDINAL
    assert tpm.pcr_read(1) == value


def test_damaged_state_is_refused_and_the_old_one_is_still_there(qemu, tpm):
    key = tpm.create_ek()
    blob = bytearray(get_blob(qemu, PERMANENT))
    blob[len(blob) // 2] ^= 1
    assert qemu.request(qemu.STOP)[0] == 0
    assert set_blob(qemu, PERMANENT, bytes(blob)) != 0
    assert set_blob(qemu, PERMANENT, b"") != 0
    assert set_blob(qemu, 4, b"") == spec.TPM_BAD_PARAMETER
    assert set_blob(qemu, VOLATILE, b"rubbish") == 0
    assert qemu.init(1) != 0  # it cannot be what the guest expects
    assert qemu.request(qemu.STOP)[0] == 0
    assert set_blob(qemu, VOLATILE, b"") == 0
    assert qemu.init() == 0
    tpm.startup()
    assert tpm.read_pubek().modulus == key.modulus


def test_encrypted_state_is_refused(qemu, tpm):
    """Ours never is: who says so has another TPM's."""
    blob = get_blob(qemu, PERMANENT)
    assert qemu.request(qemu.STOP)[0] == 0
    encrypted = struct.pack(">III", 2, PERMANENT, len(blob)) + blob
    assert qemu.request(qemu.SET_STATEBLOB, encrypted)[0] == spec.TPM_BAD_PARAMETER
    assert set_blob(qemu, PERMANENT, blob) == 0


def test_state_in_pieces_is_that_of_the_first(qemu, tpm):
    whole = get_blob(qemu, VOLATILE)
    tpm.extend(1, DIGEST)
    assert get_blob(qemu, VOLATILE, 50) == whole[50:]
    assert get_blob(qemu, VOLATILE) != whole


# QEMU pushes what it had saved: never behind the back of the operator in place of newer state

@pytest.fixture
def owned(qemu, tpm):
    """A TPM that got an owner after its state was saved; that state."""
    tpm.create_ek()
    old = get_blob(qemu, PERMANENT)
    tpm.take_ownership(OWNER)
    assert qemu.request(qemu.STOP)[0] == 0
    return old


def test_state_of_before_is_refused_and_what_follows_it_too(machine, qemu, tpm, owned):
    volatile = get_blob(qemu, VOLATILE)
    assert set_blob(qemu, PERMANENT, owned) == spec.TPM_DISABLED_CMD
    for kind in (VOLATILE, SAVED):
        assert set_blob(qemu, kind, volatile) == spec.TPM_DISABLED_CMD
    assert "'vtpmctl rollback 1 on'" in machine.process.log()
    assert qemu.init() == 0
    tpm.startup()
    assert tpm.has_owner()


def test_state_that_is_as_new_is_taken(qemu, tpm, owned):
    now = get_blob(qemu, PERMANENT)
    assert set_blob(qemu, PERMANENT, now) == 0
    assert set_blob(qemu, PERMANENT, owned) == spec.TPM_DISABLED_CMD
    assert qemu.request(qemu.STOP)[0] == 0
    assert set_blob(qemu, PERMANENT, now) == 0


def test_state_of_another_tpm_is_taken_only_by_one_that_was_never_used(host, qemu, tpm, owned):
    other = Machine(host, "other").qemu()
    assert other.request(other.STOP)[0] == 0
    assert set_blob(qemu, PERMANENT, get_blob(other, PERMANENT)) == spec.TPM_DISABLED_CMD
    assert set_blob(other, PERMANENT, get_blob(qemu, PERMANENT)) == 0
    # It is that TPM from now on, and so is newer than what was saved of it.
    assert set_blob(other, PERMANENT, owned) == spec.TPM_DISABLED_CMD
    assert other.init() == 0
    tpm = Tpm(other)
    tpm.startup()
    assert tpm.has_owner()


def test_operator_allows_one_rollback(host):
    host.manager()
    host.vtpmctl("define", uuid.uuid4(), "--type", "hvm", "--id", 7)
    assert host.vtpmctl("rollback", 7, "on", check=False).returncode == 1  # it does not run
    qemu = host.closes(Qemu(host.run_dir / "socks/7.ctrl"))
    assert qemu.init() == 0
    tpm = Tpm(qemu)
    tpm.startup()
    first = get_blob(qemu, PERMANENT)
    tpm.take_ownership(OWNER)
    second = get_blob(qemu, PERMANENT)
    assert qemu.request(qemu.STOP)[0] == 0
    host.vtpmctl("rollback", 7, "on")
    host.vtpmctl("rollback", 7, "off")
    assert set_blob(qemu, PERMANENT, first) == spec.TPM_DISABLED_CMD
    host.vtpmctl("rollback", 7, "on")
    assert qemu.request(qemu.STOP)[0] == 0
    assert set_blob(qemu, PERMANENT, first) == 0
    # That was the one time; and nothing of before it is newer.
    for blob in (first, second):
        assert qemu.request(qemu.STOP)[0] == 0
        assert set_blob(qemu, PERMANENT, blob) == spec.TPM_DISABLED_CMD
    assert qemu.init() == 0
    tpm.startup()
    assert not tpm.has_owner()


def test_stored_volatile_state_is_taken_up_once(qemu, tpm):
    value = tpm.extend(1, DIGEST)
    assert qemu.request(qemu.STORE_VOLATILE)[0] == 0
    assert qemu.init(1) == 0
    assert tpm.pcr_read(1) == value
    assert qemu.init(1) == 0
    tpm.startup()
    assert tpm.pcr_read(1) == bytes(20)


def test_cancel_ends_a_key_generation(qemu, tpm):
    tpm.create_ek()
    tpm.take_ownership(OWNER)
    ended = threading.Event()

    def cancel():
        while not ended.wait(0.002):
            assert qemu.request(qemu.CANCEL_TPM_CMD)[0] == 0

    canceller = threading.Thread(target=cancel)
    session = tpm.osap_key(spec.TPM_KH_SRK, WELL_KNOWN)
    canceller.start()
    try:
        with pytest.raises(TpmError) as error:
            params = (session.encrypt_auth(WELL_KNOWN) + session.encrypt_auth(WELL_KNOWN, True)
                      + SIGNING_KEY)
            tpm.command(spec.TPM_ORD_CreateWrapKey, params, [spec.TPM_KH_SRK], [session])
    finally:
        ended.set()
        canceller.join()
    assert error.value.result == spec.TPM_FAIL
    tpm.create_wrap_key(spec.TPM_KH_SRK, WELL_KNOWN, SIGNING_KEY, WELL_KNOWN)


def test_shutdown_ends_vtpmd(machine, qemu, tpm):
    assert qemu.request(qemu.SHUTDOWN)[0] == 0
    assert machine.process.wait(60) == 0


def test_second_qemu_is_turned_away_and_the_first_goes_on(machine, qemu, tpm):
    second = connect(f"unix:{machine.ctrl}")
    with pytest.raises(Closed):
        Stream(second.fileno()).read(1)
    tpm.pcr_read(0)
    assert "second client" in machine.process.log()


def test_when_qemu_dies_the_next_one_finds_a_tpm_that_is_off(machine, qemu, tpm):
    value = tpm.extend(1, DIGEST)
    qemu.close()
    following = machine.qemu()
    tpm = Tpm(following)
    with pytest.raises(TpmError) as error:
        tpm.pcr_read(1)
    assert error.value.result == spec.TPM_FAIL
    assert following.init() == 0
    tpm.startup()
    assert tpm.extend(1, DIGEST) == value


def test_unknown_commands_are_refused_and_the_channel_stays_in_step(qemu, tpm):
    for number in (0, 20, 0xffffffff):
        assert qemu.request(number, bytes(40))[0] == spec.TPM_BAD_ORDINAL
    tpm.pcr_read(0)
    assert qemu.capabilities() == 0x17fff


@pytest.mark.parametrize("size", [2 << 20, 0x7fffffff, 0xffffffff])
def test_absurd_lengths_cut_the_client_off(machine, qemu, tpm, size):
    assert qemu.request(qemu.SET_STATEBLOB, struct.pack(">III", 0, PERMANENT, size))[0] \
        == spec.TPM_BAD_PARAM_SIZE
    with pytest.raises(Closed):
        qemu.stream.read(1)
    following = machine.qemu()
    assert following.init() == 0


def test_what_is_no_socket_is_no_data_channel(qemu):
    pipe = os.pipe()
    for fds in ([pipe[0]], [pipe[0], pipe[1], pipe[0]], []):
        socket.send_fds(qemu.control, [u32(qemu.SET_DATAFD)], fds)
        assert struct.unpack(">I", qemu.stream.read(4))[0] == spec.TPM_BAD_PARAMETER
    assert qemu.init() == 0


# Started by the connection

@pytest.fixture
def link(host):
    """Of a defined instance, by its uuid: what an xl configuration names."""
    guest = uuid.uuid4()
    host.process = host.manager()
    host.vtpmctl("define", guest, "--type", "hvm")
    return host.run_dir / f"socks/{guest}.ctrl"


def use(host, link):
    """A QEMU's whole life."""
    qemu = host.closes(Qemu(link))
    assert qemu.init() == 0
    tpm = Tpm(qemu)
    tpm.startup()
    assert tpm.pcr_read(0) == bytes(20)
    tpm.extend(0, DIGEST)
    assert qemu.request(qemu.SHUTDOWN)[0] == 0
    qemu.close()


def test_instance_listens_again_after_manager_and_host_were_restarted(host, link):
    use(host, link)
    host.process.terminate_and_wait()
    host.process = host.manager()
    use(host, link)
    # A boot: nothing runs, and what was in the run folder is gone.
    host.kill9_everything()
    shutil.rmtree(host.run_dir)
    host.manager()
    use(host, link)


def test_qemu_that_comes_while_the_one_before_goes_is_served(host, link):
    for _ in range(10):
        use(host, link)


# swtpm's own tool

@pytest.fixture
def ioctl(machine):
    if not shutil.which("swtpm_ioctl"):
        pytest.skip("swtpm_ioctl is not installed (package swtpm-tools)")

    def run(*args):
        done = subprocess.run(["swtpm_ioctl", "--unix", machine.ctrl, *map(str, args)],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout
    return run


def ioemu(machine):
    from transport import Ioemu
    return Tpm(machine.host.closes(Ioemu(machine.folder, 1)))


def test_swtpm_ioctl_understands_all_answers(ioctl, machine):
    assert "0x17fff" in ioctl("-c")
    ioctl("-i")
    tpm = ioemu(machine)
    tpm.startup()
    ioctl("-h", "some code")
    assert tpm.pcr_read(17) == sha1(bytes(20), sha1(b"some code"))
    assert "tpmEstablished is 1" in ioctl("-e")
    ioctl("-r", 3)
    assert "tpmEstablished is 0" in ioctl("-e")
    ioctl("-l", 2)
    ioctl("-C")
    ioctl("-v")
    assert "0x0" in ioctl("-g")
    assert "4096" in ioctl("-b", 0)
    assert json.loads(ioctl("--info", 1))["TPMSpecification"]["family"] == "1.2"
    ioctl("--stop")
    assert "3072" in ioctl("-b", 100)
    ioctl("-s")
    assert machine.process.wait(60) == 0


def test_swtpm_ioctl_saves_and_loads_state(ioctl, machine, host):
    ioctl("-i")
    tpm = ioemu(machine)
    tpm.startup()
    key = tpm.create_ek()
    value = tpm.extend(1, DIGEST)
    for kind in ("permanent", "volatile"):
        ioctl("--save", kind, host.path(kind))
    ioctl("--stop")
    (machine.folder / "state").unlink()
    ioctl("-s")
    machine.process.wait(60)
    machine.__init__(host)
    for kind in ("permanent", "volatile"):
        ioctl("--load", kind, host.path(kind))
    ioctl("-i")
    tpm = ioemu(machine)
    assert tpm.pcr_read(1) == value and tpm.read_pubek().modulus == key.modulus
