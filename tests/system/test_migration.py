"""A vTPM moves to another host: whole, once, and only to whom its operator trusts."""
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from uuid import UUID

import pytest

from contract import manager
from host import TIMEOUT, Network, until
from meddler import HELLO, Meddler, read_message
from migration import (CHIPS, GUEST, NUMBER, NV_DATA, OWNER, GuestState, Side, State, ca,
                       certificate)
from tpm12 import sha1

OTHER = "7e8b2b2f-3a6b-4a1b-8e1f-1c7d9e2e3f40"


@pytest.fixture
def sides(request):
    """sides(chip, chip): two hosts, the vTPM runs on the first; .guest is what it has in it."""
    made = []

    def make(*chips, running=True):
        for name, chip in zip(("hosta", "hostb"), chips or ("emulated", "emulated")):
            side = Side(name, chip)
            made.append(side)
            side.boot()
        source, destination = made
        destination.forget_guest()
        if running:
            source.vtpmctl("open", NUMBER)
            source.guest_state = GuestState(source.tpm(), source.key)
        request.node.host = source
        return source, destination

    yield make
    for side in made:
        side.close()


@pytest.fixture
def pair(sides):
    source, destination = sides()
    destination.migratord()
    return source, destination


def alone(source, destination, *options, **more):
    return source.migrator(*options, "--no-domain", GUEST, destination.name, to=destination, **more)


def check_moved(source, destination):
    assert source.standing()[0] == State.MIGRATED
    assert destination.standing() == (State.HERE, source.standing()[1])
    source.guest_state.check(destination.tpm(destination.number()))


@pytest.mark.parametrize("there", CHIPS)
@pytest.mark.parametrize("here", CHIPS)
def test_vtpm_moves_with_all_that_the_guest_has_open(sides, here, there):
    source, destination = sides(here, there)
    destination.migratord()
    done = alone(source, destination)
    assert re.search(r"downtime \d+ ms$", done.stdout, re.M)
    check_moved(source, destination)


def test_vtpm_moves_over_the_pipes_of_ssh(sides):
    source, destination = sides()
    done = source.migrator("--ssh-command", destination.stdio_command(), "--no-domain", GUEST,
                           "hostb")
    assert done.stderr == ""  # what vtpm_migratord would say there comes to this terminal
    check_moved(source, destination)


def test_closed_vtpm_moves_and_stays_closed(sides):
    source, destination = sides(running=False)
    destination.migratord()
    alone(source, destination)
    shown = json.loads(destination.vtpmctl("show", GUEST, "--json").stdout)
    assert shown["state"] == "closed"
    assert "downtime" not in json.dumps(shown)


def test_vtpm_goes_there_and_back_again(pair):
    source, destination = pair
    source.migratord()
    for _ in range(2):
        alone(source, destination)
        destination.migrator("--no-domain", GUEST, "hosta", to=source)
    assert source.standing() == (State.HERE, 4)
    source.guest_state.check(source.tpm())


def test_recover_drops_an_offer_to_come_back_and_says_where_the_vtpm_is(pair):
    source, destination = pair
    source.migratord()
    alone(source, destination)
    destination.migrator("hosta", "guest", destination.number(), 1, to=source)
    assert source.standing()[0] == State.OFFERED
    assert "lives on hostb" in source.migrator("--recover", GUEST, to=destination).stdout
    assert source.standing()[0] == State.MIGRATED


def test_migrated_vtpm_says_where_it_is(pair):
    source, destination = pair
    alone(source, destination)
    refused = source.vtpmctl("open", NUMBER, check=False)
    assert re.search(r"migrated to hostb at \d{4}-", refused.stderr)
    again = alone(source, destination, check=False)
    assert again.returncode == 1 and "migrated to hostb" in again.stderr
    assert "lives on hostb" in source.migrator("--recover", GUEST, to=destination).stdout


def test_vtpm_that_the_other_host_has_deleted_comes_back_at_the_operators_word_only(pair):
    source, destination = pair
    alone(source, destination)
    destination.tpm(destination.number()).extend(10, sha1(b"there"))
    destination.vtpmctl("delete", GUEST)

    asked = source.migrator("--recover", GUEST, to=destination, check=False)
    assert asked.returncode == 1 and "may have run there" in asked.stderr
    assert "--force" in asked.stderr and f"vtpmctl delete {NUMBER}" in asked.stderr
    assert (source.standing()[0], destination.standing()[0]) == (State.MIGRATED, State.NONE)

    done = source.migrator("--recover", GUEST, "--force", to=destination)
    assert "as it was when it left" in done.stdout
    source.guest_state.check(source.tpm())
    assert destination.standing() == (State.NONE, 1)
    # It may go there again.
    alone(source, destination)
    check_moved(source, destination)


def test_force_takes_nothing_from_a_host_that_has_it(pair):
    source, destination = pair
    alone(source, destination)
    assert "lives on hostb" in source.migrator("--recover", GUEST, "--force", to=destination).stdout
    destination.vtpmctl("delete", GUEST)
    destination.vtpmctl("define", GUEST)  # another one
    for options in ([], ["--force"]):
        refused = source.migrator("--recover", GUEST, *options, to=destination, check=False)
        assert refused.returncode == 1 and re.search("is another one|lives here", refused.stderr)
    assert (source.standing()[0], destination.standing()[0]) == (State.MIGRATED, State.HERE)


def test_undo_that_was_interrupted_is_finished_without_another_word(pair):
    source, destination = pair
    alone(source, destination)
    destination.vtpmctl("delete", GUEST)
    status, _ = destination.ask(manager.VTPM_ORD_FORGET, UUID(GUEST).bytes
                                + struct.pack(">QB", 1, True) + struct.pack(">I5s", 5, b"hosta"))
    assert status == 0
    source.migrator("--recover", GUEST, to=destination)
    source.guest_state.check(source.tpm())


# Whom to trust

def refusal(source, destination, here=None, there=None):
    """A migration that must not happen: what vtpm_migrator says, and how to see what the other does."""
    process = destination.migratord(pki=there)
    done = alone(source, destination, "--timeout", 3, pki=here, check=False)
    assert done.returncode == 1
    assert source.standing()[0] == State.HERE and destination.standing()[0] == State.NONE
    source.guest_state.check(source.tpm())
    assert "is hosta" not in process.log()
    return done.stderr, process.log


def says(log, text):
    """The daemon may take a moment to say it."""
    until(lambda: re.search(text, log()), f"'{text}' in the log", timeout=10)


def expired(name):
    """A certificate of the same CA that was good for no day."""
    certificate(name, "127.0.0.1")
    if not ca("ca-old").exists():
        ca("ca-old").mkdir()
        for file in ("ca.key", "ca.pem"):
            shutil.copy(ca() / file, ca("ca-old"))
    return certificate(name, "127.0.0.1", authority="ca-old", days=0)


@pytest.mark.parametrize("folder, here, there", [
    (lambda: certificate("hosta", authority="other-ca"), "hostb is refused: .*another CA",
     "refuses this host's certificate: it is of another CA"),
    (lambda: expired("hosta"), "hostb refuses this host's certificate: it has expired",
     "certificate 'hosta' has expired"),
], ids=["other CA", "expired"])
def test_client_with_a_wrong_certificate_is_refused(sides, folder, here, there):
    error, log = refusal(*sides(), here=folder())
    assert re.search(here, error)
    says(log, there)


@pytest.mark.parametrize("folder, here, there", [
    (lambda: certificate("hostb", authority="other-ca"), "hostb is refused: .*another CA",
     "refuses this host's certificate: it is of another CA"),
    (lambda: expired("hostb"), "hostb is refused: its certificate 'hostb' has expired",
     "refuses this host's certificate: it has expired"),
    (lambda: certificate("hostc"), "hostb is refused: its certificate is for 'hostc'",
     "refuses this host's certificate: it is for another host"),
], ids=["other CA", "expired", "wrong name"])
def test_server_with_a_wrong_certificate_is_refused(sides, folder, here, there):
    error, log = refusal(*sides(), there=folder())
    assert re.search(here, error)
    says(log, there)


def test_peer_that_is_no_tls_gets_nothing(sides):
    source, destination = sides()
    process = destination.migratord()
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(TIMEOUT)
        plain.connect(destination.address.removeprefix("unix:"))
        # HELLO and a GET_MIG_KEY in plain text
        plain.sendall(struct.pack(">HIIII5s", 0x02c1, 23, HELLO, 1, 5, b"hosta")
                      + struct.pack(">HII", 0x02c1, 10, manager.VTPM_ORD_GET_MIG_KEY))
        assert b"\x02\xc4" not in plain.recv(4096)
    says(process.log, "the connection with a local connection failed")


def test_name_that_the_certificate_does_not_cover_is_not_believed(pair):
    source, destination = pair
    alone(source, destination, "--name", "hostz")
    status, answer = destination.ask(manager.VTPM_ORD_QUERY, UUID(GUEST).bytes)
    assert status == 0 and b"hosta" in answer and b"hostz" not in answer


def test_only_requests_of_a_migration_are_handed_on(sides):
    source, destination = sides()
    ours, theirs = socket.socketpair()
    daemon = subprocess.Popen(["/bin/sh", "-c", destination.stdio_command()], stdin=theirs,
                              stdout=theirs, stderr=subprocess.DEVNULL)
    theirs.close()

    def ask(ordinal, parameters=b""):
        ours.sendall(struct.pack(">HII", 0x02c1, 10 + len(parameters), ordinal) + parameters)
        return struct.unpack_from(">I", read_message(ours), 6)[0]

    assert ask(manager.VTPM_ORD_GET_MIG_KEY) == manager.VTPM_FORBIDDEN  # HELLO comes first
    assert ask(HELLO, struct.pack(">II5s", 1, 5, b"hosta")) == 0
    for ordinal in (manager.VTPM_ORD_DELETE, manager.VTPM_ORD_LIST, manager.VTPM_ORD_COMMIT,
                    manager.VTPM_ORD_UNDO, manager.VTPM_ORD_MIGRATE_OUT, 0x1, 0x2):
        assert ask(ordinal, struct.pack(">I", NUMBER)) == manager.VTPM_UNSUPPORTED
    ours.sendall(struct.pack(">HII", 0x02c1, 0xffffffff, HELLO))
    assert read_message(ours) == b""
    ours.close()
    assert daemon.wait(TIMEOUT) == 0


# What travels

@pytest.fixture
def tapped(sides, request):
    """Two hosts, and a Meddler before the second."""
    source, destination = sides()
    destination.meddler = Meddler(destination)
    request.addfinalizer(destination.meddler.close)
    destination.reach = ("--ssh-command", destination.meddler.command, "--name", "hosta")
    return source, destination


def all_bytes(meddler):
    return b"".join(message for _, _, message in meddler.seen)


def test_eavesdropper_finds_nothing_of_the_vtpm_in_all_traffic(tapped):
    source, destination = tapped
    value = source.guest_state.pcr
    source.migrator(*destination.reach, "--no-domain", GUEST, "hostb")
    heard = all_bytes(destination.meddler)
    assert len(heard) > 3000
    for secret in (NV_DATA, OWNER, value, source.guest_state.oiap.nonce_even):
        assert secret not in heard
    check_moved(source, destination)


def test_replayed_stream_brings_nothing_back(tapped):
    source, destination = tapped
    source.migrator(*destination.reach, "--no-domain", GUEST, "hostb")
    tpm = destination.tpm(destination.number())
    later = tpm.extend(10, sha1(b"later"))
    heard = [message for _, way, message in destination.meddler.seen if way == "request"]
    destination.migratord()
    source.migratord()
    destination.migrator("--no-domain", GUEST, "hosta", to=source)

    ours, theirs = socket.socketpair()
    daemon = subprocess.Popen(["/bin/sh", "-c", destination.stdio_command()], stdin=theirs,
                              stdout=theirs, stderr=subprocess.PIPE, text=True)
    theirs.close()
    statuses = []
    for message in heard:
        ours.sendall(message)
        statuses.append(struct.unpack_from(">I", read_message(ours), 6)[0])
    ours.close()
    assert statuses[:2] == [0, 0] and 0 not in statuses[2:-1]  # HELLO, key; offer ... activate
    said = daemon.communicate(timeout=TIMEOUT)[1]
    assert re.search(r"OFFER .* refused: .*older copy: this host had fence 2, offered is 1", said)
    assert destination.standing()[0] == State.MIGRATED
    assert source.tpm().pcr_read(10) == later


def test_copy_of_an_older_host_is_refused_by_name(tapped):
    """The source's folder comes back from a backup, after the vTPM had left and returned."""
    source, destination = tapped
    destination.migratord()
    source.migratord()
    backup = source.path("backup")
    shutil.copytree(source.state_dir, backup)
    for _ in range(2):
        alone(source, destination)
        destination.migrator("--no-domain", GUEST, "hosta", to=source)
    source.process.send_signal(signal.SIGINT)  # and with it the instance
    source.process.wait(TIMEOUT)
    shutil.rmtree(source.state_dir)
    shutil.copytree(backup, source.state_dir)
    source.boot_again()
    done = alone(source, destination, check=False)
    assert done.returncode == 1 and "older copy: this host had fence 4, offered is 1" in done.stderr


# What the operator sees

def test_json_has_one_object_per_line(pair):
    source, destination = pair
    lines = alone(source, destination, "--json").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert [e["step"] for e in events[:-1]] == ["key", "offer", "prepare", "transfer", "commit",
                                                "activate", "check"]
    assert all(e["uuid"] == GUEST and e["seconds"] >= 0 for e in events)
    assert events[-1]["event"] == "done" and events[-1]["host"] == "hostb"
    assert events[-1]["bytes"] > 3000 and isinstance(events[-1]["downtime_ms"], int)


def test_terminal_gets_a_bar(pair):
    source, destination = pair
    terminal, inner = os.openpty()
    process = subprocess.Popen(source.migrator_words("--no-domain", GUEST, "hostb",
                                                     to=destination), stdout=inner)
    os.close(inner)
    assert process.wait(TIMEOUT) == 0
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert "[####" in shown and "\r" in shown and "activate" in shown
    assert re.search(r"vTPM .* is at hostb: \d+ bytes in [\d.]+ s, downtime \d+ ms", shown)


def test_interrupt_takes_everything_back(tapped):
    source, destination = tapped

    def interrupt(message, send, meddler):
        process.send_signal(signal.SIGINT)
        send(message)

    destination.meddler.faults[manager.VTPM_ORD_MIGRATE_IN, "response"] = interrupt
    process = source.start(*source.migrator_words(*destination.reach, "--no-domain", GUEST, "hostb"))
    assert process.wait(TIMEOUT) == 1
    assert "interrupted" in process.log() and "still on this host" in process.log()
    assert source.standing()[0] == State.HERE and destination.standing()[0] == State.NONE
    source.guest_state.check(source.tpm())


def test_interrupt_after_the_commit_comes_too_late(tapped):
    source, destination = tapped

    def interrupt(message, send, meddler):
        process.send_signal(signal.SIGINT)
        send(message)

    destination.meddler.faults[manager.VTPM_ORD_ACTIVATE, "request"] = interrupt
    process = source.start(*source.migrator_words(*destination.reach, "--no-domain", GUEST, "hostb"))
    assert process.wait(TIMEOUT) == 0, process.log()
    check_moved(source, destination)


def test_vtpm_that_may_not_leave_stays(pair):
    source, destination = pair
    source.vtpmctl("define", OTHER, "--no-migrate")
    done = source.migrator("--no-domain", OTHER, "hostb", to=destination, check=False)
    assert done.returncode == 1 and "--no-migrate" in done.stderr


@pytest.mark.parametrize("words, why", [
    (["--no-domain", "nobody", "hostb"], "'nobody' is neither a uuid nor an instance"),
    (["--no-domain", GUEST, "host:b:c"], "is not a host"),
    (["--no-domain", GUEST, "-oProxyCommand=touch x"], "unrecognized option|invalid option"),
])
def test_wrong_names_are_refused(pair, words, why):
    source, destination = pair
    done = source.migrator(*words, check=False)
    assert done.returncode in (1, 2) and re.search(why, done.stderr)


def test_host_that_does_not_answer_is_named(sides):
    source, destination = sides()
    done = alone(source, destination, check=False)
    assert done.returncode == 1
    assert "cannot reach hostb" in done.stderr and "still on this host" in done.stderr
    source.guest_state.check(source.tpm())


# Many at once, over a real network

def test_hundred_vtpms_in_one_go(sides, capsys):
    source, destination = sides()
    destination.migratord()
    uuids = [f"7c1e8f52-3b0e-4e0c-9a55-{n:012x}" for n in range(99)]
    for uuid in uuids:
        source.ask(manager.VTPM_ORD_DEFINE, bytes([manager.VTPM_DOMAIN_PVM, 1]) + bytes(4)
                   + UUID(uuid).bytes)
    source.vtpmctl("define", OTHER, "--no-migrate")
    # One of them cannot go: its like lives there already.
    destination.vtpmctl("define", uuids[50])
    destination.vtpmctl("open", uuids[50])
    start = time.monotonic()
    done = source.migrator("--all", "--json", "hostb", to=destination, check=False)
    seconds = time.monotonic() - start
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [e["uuid"] for e in events if e["event"] == "failed"] == [uuids[50]]
    moved = [e for e in events if e["event"] == "done"]
    assert len(moved) == 99 and events[-1]["moved"] == 99 and events[-1]["failed"] == 1
    check_moved(source, destination)
    assert source.standing(uuids[50])[0] == State.HERE
    assert source.standing(OTHER)[0] == State.HERE
    downtime = [e["downtime_ms"] for e in moved if "downtime_ms" in e]
    with capsys.disabled():
        print(f"\n99 vTPMs in {seconds:.1f} s, {1000 * seconds / 99:.0f} ms each; "
              f"the running one's downtime {downtime} ms")


def test_two_network_namespaces(sides, request):
    """Over TCP, by name of the address, between hosts that share nothing but a cable."""
    networks = []
    try:
        for _ in range(2):
            networks.append(Network())
            request.addfinalizer(networks[-1].close)
    except PermissionError as error:
        pytest.skip(str(error))
    here, there = networks
    cable(here, there)
    source, destination = sides()
    destination.migratord(address="tcp:10.9.0.2:48879", namespace=there,
                          pki=certificate("hostw", "10.9.0.2"))
    process = source.start(*source.migrator_words("--no-domain", GUEST, "10.9.0.2"),
                           namespace=here)
    assert process.wait(TIMEOUT) == 0, process.log()
    check_moved(source, destination)


def cable(here, there):
    """Joins two namespaces: 10.9.0.1 and 10.9.0.2."""
    def run(network, *words):
        subprocess.run(["ip", *words], preexec_fn=network.enter, check=True)

    run(here, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns",
        f"/proc/{os.getpid()}/fd/{there.fd}")
    for network, address in ((here, "10.9.0.1/24"), (there, "10.9.0.2/24")):
        run(network, "address", "add", address, "dev", "cable")
        run(network, "link", "set", "cable", "up")


# Only to a host that has booted what is known

@pytest.mark.parametrize("chip, size", [("emulated", 20), ("1.2", 20), ("2.0", 32)])
def test_host_shows_its_pcrs_before_the_vtpm_leaves(sides, chip, size):
    source, destination = sides("emulated", chip)
    destination.migratord()
    required = source.path("required")

    def refused(text, why):
        required.write_text(text)
        done = alone(source, destination, "--require-pcrs", required, check=False)
        assert done.returncode == 1 and re.search(why, done.stderr), done.stderr
        assert destination.standing()[0] == State.NONE

    booted = f"# what runs there\n7 {'00' * size}\n"
    refused(f"{booted}8 {'11' * size}\n", "PCR 8 of its chip has a value that is not listed")
    refused(f"{booted}key {'22' * 32}\n", "signed by a host key that is not listed")
    refused(f"{booted}7 xyz\n", "required, line 3: is neither")
    required.write_text(f"{booted}8 {'11' * size}\n8 {'00' * size} # or this\n")
    alone(source, destination, "--require-pcrs", required)
    check_moved(source, destination)
