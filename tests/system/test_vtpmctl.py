"""vtpmctl: what operators and scripts see."""
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tpm12 import WELL_KNOWN, Tpm, TpmError, sha1
from transport import FifoBackend

UUIDS = [f"{n:08x}-0000-4000-8000-000000000000" for n in range(1, 8)]


@pytest.fixture
def managed(host):
    host.manager()
    return host


def define(host, *args):
    return int(host.vtpmctl("define", *args).stdout)


def test_same_uuid_is_always_the_same_instance(managed):
    number = define(managed, UUIDS[0])
    assert define(managed, UUIDS[0]) == number
    assert define(managed, UUIDS[0].upper().replace("-", "")) == number
    managed.vtpmctl("open", UUIDS[0])
    assert define(managed, UUIDS[0]) == number


def test_lowest_free_number_is_taken(managed):
    assert define(managed, UUIDS[0], "--id", 2) == 2
    assert [define(managed, uuid) for uuid in UUIDS[1:4]] == [1, 3, 4]
    managed.vtpmctl("delete", 3)
    assert define(managed, UUIDS[4]) == 3


def test_scripts_at_the_same_time_get_an_instance_each_and_one_for_the_same_uuid(managed):
    uuids = [f"00000000-0000-4000-8000-{i % 10:012}" for i in range(20)]
    with ThreadPoolExecutor(10) as pool:
        numbers = list(pool.map(lambda uuid: define(managed, uuid), uuids))
    assert numbers[:10] == numbers[10:] and sorted(numbers[:10]) == list(range(1, 11))


def test_number_and_uuid_of_another_are_refused_by_name(managed):
    define(managed, UUIDS[0], "--id", 4294967295)
    taken = managed.vtpmctl("define", UUIDS[1], "--id", 4294967295, check=False)
    assert taken.returncode == 1 and "4294967295" in taken.stderr
    moved = managed.vtpmctl("define", UUIDS[0], "--id", 6, check=False)
    assert moved.returncode == 1 and UUIDS[0] in moved.stderr and "4294967295" in moved.stderr


@pytest.mark.parametrize("arguments", [
    ["define"], ["define", "no-uuid"], ["define", UUIDS[0], "--id", "0"],
    ["define", UUIDS[0], "--id", "4294967296"], ["define", UUIDS[0], "--type", "pv"],
    ["open"], ["open", "5", "6"], ["open", "5", "--startup", "now"], ["close", "-1"],
    ["presence", "5"], ["presence", "5", "maybe"], ["rollback", "5"], ["list", "5"],
    ["list", "--yaml"], ["fly"], [],
])
def test_wrong_usage_has_exit_status_2(host, arguments):
    done = host.vtpmctl(*arguments, check=False)
    assert done.returncode == 2
    assert done.stderr


def test_each_command_has_help(host):
    lines = host.vtpmctl("--help").stdout.partition("commands:\n")[2].splitlines(keepends=True)
    helps = ["".join(lines[i:i + 2]) for i in range(0, len(lines), 2)]
    assert len(helps) > 10
    for text in helps:
        assert host.vtpmctl(text.split()[0], "--help").stdout == text


def test_missing_manager_is_named(host):
    done = host.vtpmctl("list", check=False)
    assert done.returncode == 1
    assert str(host.run_dir) in done.stderr


def test_list_shows_all_in_order(managed):
    for uuid, kind in zip(UUIDS, ("pvm", "hvm", "pvm")):
        define(managed, uuid, "--type", kind)
    managed.vtpmctl("open", 1)
    listed = json.loads(managed.vtpmctl("list", "--json").stdout)
    assert [(i["instance"], i["uuid"], i["type"], i["state"]) for i in listed] == [
        (1, UUIDS[0], "pvm", "running"), (2, UUIDS[1], "hvm", "listening"),
        (3, UUIDS[2], "pvm", "closed")]
    table = managed.vtpmctl("list").stdout.splitlines()
    assert len(table) == 4 and all(uuid in line for uuid, line in zip(UUIDS, table[1:]))


def test_list_of_more_than_fits_into_one_answer(managed):
    numbers = [define(managed, f"{n:08x}-1111-4000-8000-000000000000") for n in range(600)]
    listed = json.loads(managed.vtpmctl("list", "--json").stdout)
    assert [i["instance"] for i in listed] == numbers


def test_status_tells_about_the_manager(managed):
    status = json.loads(managed.vtpmctl("status", "--json").stdout)
    assert status["pid"] == managed.processes[-1].pid
    assert status["tpm-version"] == "1.2" and status["tpm-state"] == "present"
    assert status["run-dir"] == str(managed.run_dir)
    assert "run-dir" in managed.vtpmctl("status").stdout


def test_deleted_instance_is_gone_with_its_state(managed):
    define(managed, UUIDS[0])
    managed.vtpmctl("open", 1)
    assert list(managed.state_dir.glob("vtpm_dm_1.data"))
    managed.vtpmctl("delete", UUIDS[0])
    assert not list(managed.state_dir.glob("vtpm_dm_1.data"))
    assert managed.vtpmctl("show", 1, check=False).returncode == 1
    assert define(managed, UUIDS[0]) == 1


def test_operator_clears_an_owner_and_asserts_presence(managed):
    define(managed, UUIDS[0])
    managed.vtpmctl("open", 1)
    tpm = Tpm(managed.closes(FifoBackend(managed.run_dir)).guest(1))
    tpm.take_ownership(sha1(b"owner"), WELL_KNOWN)
    with pytest.raises(TpmError):
        tpm.take_ownership(sha1(b"owner"), WELL_KNOWN)
    managed.vtpmctl("clear", UUIDS[0])
    tpm.take_ownership(sha1(b"another"), WELL_KNOWN)
    force_clear = bytes.fromhex("00c1 0000000a 0000005d")
    assert tpm.transport.exchange(force_clear)[6:10] != bytes(4)
    managed.vtpmctl("presence", 1, "on")
    assert tpm.transport.exchange(force_clear)[6:10] == bytes(4)
    managed.vtpmctl("close", 1)
    closed = managed.vtpmctl("presence", 1, "off", check=False)
    assert closed.returncode == 1 and "vtpmctl open 1" in closed.stderr


def test_verify_of_a_sound_store(managed):
    define(managed, UUIDS[0])
    managed.vtpmctl("open", 1)
    assert managed.vtpmctl("verify").returncode == 0
    assert managed.vtpmctl("verify", 1).returncode == 0
    assert managed.vtpmctl("verify", 2, check=False).returncode == 1


def test_recover_accepts_what_was_refused(managed):
    define(managed, UUIDS[0])
    managed.vtpmctl("open", 1)
    tpm = Tpm(managed.closes(FifoBackend(managed.run_dir)).guest(1))
    nothing = managed.vtpmctl("recover", 1, check=False)
    assert nothing.returncode == 1 and "not refused" in nothing.stderr
    old = (managed.state_dir / "vtpm_dm_1.data").read_bytes()
    tpm.take_ownership(sha1(b"owner"), WELL_KNOWN)
    managed.vtpmctl("close", 1)
    (managed.state_dir / "vtpm_dm_1.data").write_bytes(old)
    assert managed.vtpmctl("verify", check=False).returncode == 1
    refused = managed.vtpmctl("open", 1, check=False)
    assert refused.returncode == 1 and "instance 1" in refused.stderr
    managed.vtpmctl("recover", 1)
    managed.vtpmctl("open", 1)
    tpm.take_ownership(sha1(b"owner"), WELL_KNOWN)  # the state of before


def test_reseal_to_registers_and_back(managed):
    managed.vtpmctl("reseal", "0,7")
    assert json.loads(managed.vtpmctl("status", "--json").stdout)["tpm-pcrs"] == "0x000081"
    managed.vtpmctl("reseal", "none")
    assert managed.vtpmctl("reseal", "24", check=False).returncode == 1
