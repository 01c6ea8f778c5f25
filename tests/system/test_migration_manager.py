"""Migration as the two managers see it: the ordinals of vtpm/migration.h, spoken directly.

The steps are carried out here one by one; vtpm_migrator does the same.
"""
import contextlib
import itertools
import os
import shutil
import signal
import struct
import uuid as uuids
from enum import IntEnum
from pathlib import Path

import pytest

from contract import manager, spec
from host import Host, children, until
from test_manager_console import connection, u32
from test_power_cut import CALLS, kill_at_call
from tpm12 import (Reader, Tpm, TpmError, WELL_KNOWN, key_template, rsa_parms, sha1, sized)
from transport import Closed, FifoBackend

State = IntEnum("State", "NONE HERE OUTGOING MIGRATED OFFERED PREPARED", start=0)
OWNER, KEY_AUTH = sha1(b"owner"), sha1(b"key")
DIED = (Closed, BrokenPipeError, ConnectionResetError)  # what is seen of a manager that did


def u64(number):
    return struct.pack(">Q", number)


def name(text):
    return sized(text.encode())


class Refused(Exception):
    """The manager refused a request, with a status and a sentence."""

    def __init__(self, status, text):
        super().__init__(f"status {status}: {text}")
        self.status, self.text = status, text


class Site(Host):
    """A host with a manager that is spoken to over its console socket."""

    def __init__(self, hostname, *options):
        super().__init__()
        self.hostname, self.options = hostname, options

    def boot(self):
        self.process = self.manager(*self.options)
        self.console = connection(self)
        self.ask(manager.VTPM_ORD_STATUS)  # answered by its threads, which start last
        self.backend = self.closes(FifoBackend(self.run_dir))

    def kill_manager(self):
        """kill -9, and a new one."""
        self.process.kill9()
        self.boot()

    def power_cut(self):
        """Everything that runs here ends, what is in memory is gone; and it boots again."""
        self.process.kill9()
        # Its orphans are children of this process, as are those of the other site.
        for pid in filter(self.has, children()):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        shutil.rmtree(self.run_dir)
        self.boot()

    def has(self, pid):
        """Is this a process of this site? Its vtpmds are in the run folder, its chip names it."""
        try:
            return os.readlink(f"/proc/{pid}/cwd") == str(self.run_dir) \
                or str(self.run_dir).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:  # it has ended
            return False

    def ask(self, ordinal, *parameters):
        status, answer = self.console.request(ordinal, b"".join(parameters))
        if status != manager.VTPM_SUCCESS:
            raise Refused(status, answer.decode())
        return answer

    def define(self, uuid):
        """A running instance of this uuid; its number."""
        number = int(self.vtpmctl("define", uuids.UUID(bytes=uuid)).stdout)
        self.vtpmctl("open", number)
        return number

    def query(self, uuid):
        """(state, fence, name of the other host)"""
        reader = Reader(self.ask(manager.VTPM_ORD_QUERY, uuid))
        state, fence = reader.u8(), struct.unpack(">Q", reader.take(8))[0]
        return State(state), fence, reader.sized().decode()

    def answers(self, uuid):
        """Whether the manager is still there."""
        try:
            self.query(uuid)
        except DIED:
            return False
        return True


class Move:
    """One vTPM, at a source, on its way to a destination."""

    def __init__(self, uuid, source, destination, number):
        self.uuid, self.source, self.destination = uuid, source, destination
        self.number = number  # at the source
        self.fence = source.query(uuid)[1] + 1
        self.peer = name(source.hostname)

    # The steps, in their order. Each may be repeated.

    def load_key(self):
        key = self.destination.ask(manager.VTPM_ORD_GET_MIG_KEY, self.peer)
        self.session = self.source.ask(manager.VTPM_ORD_LOAD_MIG_KEY,
                                       name(self.destination.hostname), key)

    def offer(self):
        answer = self.destination.ask(
            manager.VTPM_ORD_OFFER, self.uuid, u64(self.fence), bytes([manager.VTPM_DOMAIN_PVM]),
            name("guest"), sized(self.session), self.peer)
        self.place = struct.unpack(">I", answer)[0]

    def migrate_out(self):
        self.envelope = self.source.ask(manager.VTPM_ORD_MIGRATE_OUT, u32(self.number),
                                        name(self.destination.hostname), name("guest"))

    def migrate_in(self):
        self.destination.ask(manager.VTPM_ORD_MIGRATE_IN, u32(self.place), sized(self.envelope),
                             self.peer)

    def commit(self):
        self.secret = self.source.ask(manager.VTPM_ORD_COMMIT, u32(self.number), u64(self.fence))

    def activate(self):
        self.destination.ask(manager.VTPM_ORD_ACTIVATE, self.uuid, u64(self.fence), self.secret,
                             self.peer)

    STEPS = [load_key, offer, migrate_out, migrate_in, commit, activate]
    THERE = [offer, migrate_in, activate]  # at the destination

    def upto(self, last):
        """All steps up to this one."""
        for step in self.STEPS[:self.STEPS.index(last) + 1]:
            step(self)
        return self

    def repeat(self, step):
        """Once more; a source that has lost the session's key says which step comes before."""
        try:
            step(self)
        except Refused as refused:
            assert "load the key" in refused.text
            self.load_key()
            step(self)

    def back(self):
        """The way back, when it is there."""
        return Move(self.uuid, self.destination, self.source, self.place)

    # Others

    def needed(self, milliseconds=0):
        return self.destination.ask(manager.VTPM_ORD_AWAIT, self.uuid, u64(self.fence),
                                    u32(milliseconds), self.peer) == b"\1"

    def abort(self):
        self.source.ask(manager.VTPM_ORD_ABORT, u32(self.number), u64(self.fence))

    def undo(self):
        self.source.ask(manager.VTPM_ORD_UNDO, u32(self.number), u64(self.fence))

    def forget(self, committed=False):
        self.destination.ask(manager.VTPM_ORD_FORGET, self.uuid, u64(self.fence),
                             bytes([committed]), self.peer)

    def resolve(self, peer=None):
        return self.source.ask(manager.VTPM_ORD_RESOLVE, self.uuid, u64(self.fence),
                               name(peer or self.destination.hostname))

    def states(self):
        return self.source.query(self.uuid)[0], self.destination.query(self.uuid)[0]

    def guest(self, there=False):
        """The TPM, as the guest sees it here or there."""
        return Tpm(self.destination.backend.guest(self.place) if there
                   else self.source.backend.guest(self.number))


@pytest.fixture(scope="module")
def sites():
    """Two hosts that trust each other."""
    with Site("alpha") as one, Site("beta") as other:
        one.boot()
        other.boot()
        yield one, other


@pytest.fixture
def move(sites, request):
    """A vTPM of the test's own, running at the first of the sites, that may go to the other."""
    request.node.host = sites[0]
    uuid = uuids.uuid4().bytes
    return Move(uuid, *sites, sites[0].define(uuid))


def test_vtpm_moves_with_its_volatile_state(move):
    value = move.guest().extend(3, sha1(b"a"))
    move.upto(Move.activate)
    assert move.source.query(move.uuid) == (State.MIGRATED, 1, "beta")
    assert move.destination.query(move.uuid) == (State.HERE, 1, "alpha")
    there = move.guest(there=True)
    assert there.extend(3, sha1(b"b")) == sha1(value, sha1(b"b"))


def test_vtpm_that_has_left_says_where_it_is(move):
    move.upto(Move.activate)
    with pytest.raises(TpmError):
        move.guest().pcr_read(3)
    refused = move.source.vtpmctl("open", move.number, check=False).stderr
    assert "migrated to beta at 20" in refused and "vtpm_migrator --recover" in refused
    assert "migrated to beta at 20" in move.source.vtpmctl("show", move.number).stdout


def test_every_step_survives_kill_9_of_either_manager(move):
    value = move.guest().extend(3, sha1(b"start"))
    for step in Move.STEPS:
        for victim in "source", "destination":
            for done in Move.STEPS[:Move.STEPS.index(step) + 1]:
                move.repeat(done)
            getattr(move, victim).kill_manager()
            for again in Move.STEPS[Move.STEPS.index(step):]:
                move.repeat(again)
            assert move.states() == (State.MIGRATED, State.HERE)
            move = move.back()
            assert move.guest().pcr_read(3) == value
            value = move.guest().extend(3, sha1(step.__name__.encode()))


def test_every_step_survives_a_power_cut_of_either_host(move):
    value = move.guest().extend(3, sha1(b"start"))
    for step in (Move.migrate_out, Move.migrate_in, Move.commit):
        for victim in "source", "destination":
            for done in Move.STEPS[:Move.STEPS.index(step) + 1]:
                move.repeat(done)
            getattr(move, victim).power_cut()
            for again in Move.STEPS[Move.STEPS.index(step):]:
                move.repeat(again)
            assert move.states() == (State.MIGRATED, State.HERE)
            move = move.back()
            assert move.guest().pcr_read(3) == value
            value = move.guest().extend(3, sha1(step.__name__.encode()))


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.parametrize("step", Move.STEPS[1:], ids=lambda step: step.__name__)
def test_step_survives_kill_9_of_its_manager_at_any_call(move, step):
    """strace kills it when the thread that changes the store enters a call."""
    value = move.guest().extend(3, sha1(b"start"))
    kills = 0
    for call in CALLS:
        for count in itertools.count(1):
            for done in Move.STEPS[:Move.STEPS.index(step)]:
                move.repeat(done)
            victim = move.destination if step in Move.THERE else move.source
            tracer = kill_at_call(victim.process, call, count)
            with contextlib.suppress(*DIED):
                move.repeat(step)
            # Until it is gone it may kill, also what comes after the answer.
            tracer.terminate()
            tracer.wait()
            killed = not victim.answers(move.uuid)
            if killed:
                victim.process.wait(60)
                victim.boot()
            for again in Move.STEPS[Move.STEPS.index(step):]:
                move.repeat(again)
            assert move.states() == (State.MIGRATED, State.HERE)
            move = move.back()
            assert move.guest().pcr_read(3) == value, f"killed at {call} {count}"
            value = move.guest().extend(3, sha1(call.encode()))
            if not killed:
                break
            kills += 1
    assert kills > 1


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.parametrize("verb", ["suspend", "migrate"])
def test_guest_goes_on_when_the_manager_dies_while_it_freezes_the_vtpm(move, verb):
    value = move.guest().extend(3, sha1(b"start"))
    move.upto(Move.offer)
    for call in "pwrite64", "fdatasync":
        for count in 1, 2:
            tracer = kill_at_call(move.source.process, call, count)
            if verb == "suspend":
                move.source.vtpmctl("suspend", move.number, check=False)
            else:
                with pytest.raises(DIED):
                    move.migrate_out()
            move.source.process.wait(60)
            tracer.wait()
            move.source.boot()
            if verb == "suspend":  # its domain is restored at once
                move.source.vtpmctl("open", move.number, "--startup", "save")
            value = sha1(value, sha1(call.encode()))
            assert move.guest().extend(3, sha1(call.encode())) == value, f"{call} {count}"
            move.load_key()


def test_no_chip_is_waited_for_while_the_guest_stands_still(move):
    value = move.guest().extend(3, sha1(b"a"))
    move.upto(Move.offer)
    chips = [pid for pid in children() | children(move.source.process.pid)
             | children(move.destination.process.pid)
             if b"emulated-tpm.data" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(chips) == 2
    for chip in chips:
        os.kill(chip, signal.SIGSTOP)
    try:
        for step in Move.STEPS[2:]:
            step(move)
        assert move.guest(there=True).pcr_read(3) == value
    finally:
        for chip in chips:
            os.kill(chip, signal.SIGCONT)


def test_aborted_migration_leaves_the_vtpm_running_where_it_was(move):
    value = move.guest().extend(3, sha1(b"a"))
    move.upto(Move.migrate_in).abort()
    assert move.guest().pcr_read(3) == value
    assert move.states() == (State.HERE, State.PREPARED)
    with pytest.raises(Refused, match="came back to this host"):
        move.commit()
    move.forget()
    assert move.states() == (State.HERE, State.NONE)
    move.abort()  # once more, to no effect
    again = Move(move.uuid, move.source, move.destination, move.number).upto(Move.activate)
    assert again.fence == move.fence + 1
    assert again.guest(there=True).pcr_read(3) == value


def test_command_at_the_source_takes_the_vtpm_back(move):
    value = move.guest().extend(3, sha1(b"a"))
    move.upto(Move.migrate_in)
    assert move.guest().extend(3, sha1(b"b")) == sha1(value, sha1(b"b"))
    assert move.states() == (State.HERE, State.PREPARED)
    with pytest.raises(Refused, match="came back"):
        move.commit()
    # What is there now is newer than what the destination holds.
    again = Move(move.uuid, move.source, move.destination, move.number).upto(Move.activate)
    assert again.guest(there=True).pcr_read(3) == sha1(value, sha1(b"b"))


def test_command_at_the_destination_waits_until_it_is_activated(move):
    value = move.guest().extend(3, sha1(b"a"))
    move.upto(Move.offer)
    assert not move.needed()
    backend = move.destination.backend
    command = bytes.fromhex("00c1 0000000e 00000015 00000003")
    backend.send(move.place, command)
    assert move.needed(10000)
    for step in Move.STEPS[2:]:
        step(move)
    assert backend.receive(move.place)[10:] == value


def test_open_while_it_is_on_its_way_succeeds_and_lasts(move):
    """What the back-end does for a domain that is being built: it must not wait."""
    value = move.guest().extend(3, sha1(b"a"))
    move.source.vtpmctl("suspend", move.number)
    move.upto(Move.offer)
    move.destination.vtpmctl("close", move.place)
    move.destination.vtpmctl("open", move.place)
    assert not move.needed()  # a device is not yet a guest that runs
    move.destination.kill_manager()
    for step in Move.STEPS[2:]:
        move.repeat(step)
    assert move.guest(there=True).pcr_read(3) == value


@pytest.mark.parametrize("state", ["closed", "suspended"])
def test_vtpm_that_does_not_run_arrives_as_it_left(move, state):
    move.guest().extend(3, sha1(b"a"))
    move.source.vtpmctl("close" if state == "closed" else "suspend", move.number)
    move.upto(Move.activate)
    assert f" {state}\n" in move.destination.vtpmctl("show", move.place).stdout


def test_domain_may_be_torn_down_while_its_vtpm_leaves_and_when_it_has_left(move):
    for step in (Move.migrate_out, Move.commit):
        for done in Move.STEPS[:Move.STEPS.index(step) + 1]:
            done(move)
        move.source.vtpmctl("suspend", move.number)
        move.source.vtpmctl("close", move.number)
    assert move.source.query(move.uuid)[0] == State.MIGRATED


def test_commit_is_undone_only_by_the_destinations_leave(move):
    value = move.guest().extend(3, sha1(b"a"))
    move.upto(Move.commit)
    with pytest.raises(Refused, match="committed"):
        move.abort()
    move.forget(committed=True)
    move.undo()
    move.forget(committed=True)
    move.undo()
    assert move.states() == (State.HERE, State.NONE)
    assert move.guest().pcr_read(3) == value
    # Late and replayed messages revive nothing.
    with pytest.raises(Refused, match="no copy here"):
        move.activate()
    with pytest.raises(Refused, match="no place is reserved"):
        move.migrate_in()
    with pytest.raises(Refused, match="older copy"):
        move.offer()


def test_copy_that_never_came_is_forgotten_to_no_effect(move):
    move.fence = 99
    move.forget()
    back = move
    move = Move(move.uuid, move.source, move.destination, move.number).upto(Move.activate)
    back.destination, back.source = move.source, move.destination
    back.forget()  # of what has left there with a lower fence
    with pytest.raises(Refused, match="no place is reserved"):
        back.place, back.envelope = move.number, move.envelope
        back.migrate_in()
    assert move.source.query(move.uuid) == (State.MIGRATED, 1, "beta")


def test_copy_that_runs_is_not_forgotten(move):
    move.upto(Move.activate)
    with pytest.raises(Refused, match="lives here"):
        move.forget()
    there = move.back().upto(Move.activate)
    with pytest.raises(Refused, match="has been here since"):
        move.forget()
    assert there.states() == (State.MIGRATED, State.HERE)


@pytest.mark.parametrize("knows", ["nothing", "a place", "that it had it before"])
def test_destination_that_lost_it_keeps_its_promise_when_everything_is_replayed(move, knows):
    if knows == "that it had it before":
        move = move.upto(Move.activate).back().upto(Move.activate).back()
    move.upto(Move.commit)
    if knows == "that it had it before":
        # Its own migrations begin with a copy that it forgets, as an old copy of its store would.
        move.forget(committed=True)
        move.undo()
        move = Move(move.uuid, move.source, move.destination, move.number)
        move.load_key()
        move.migrate_out()
        move.commit()
    else:
        move.destination.vtpmctl("delete", move.place)
    if knows == "a place":
        move.offer()
    for _ in range(2):
        move.forget(committed=True)
    assert move.destination.query(move.uuid)[:2] == (State.NONE, move.fence)
    move.undo()
    for site in move.source, move.destination:
        site.kill_manager()
    with pytest.raises(Refused, match="older copy"):
        move.offer()
    # A place for the next one changes nothing about that, neither while it is there nor when it goes.
    later = Move(move.uuid, move.source, move.destination, move.number)
    later.load_key()
    later.offer()
    later.forget()
    with pytest.raises(Refused, match="older copy"):
        move.offer()
    with pytest.raises(Refused, match="no copy here"):
        move.activate()
    assert move.states() == (State.HERE, State.NONE)
    later.upto(Move.activate)
    assert later.states() == (State.MIGRATED, State.HERE)


def test_other_hosts_do_not_make_a_source_forget_where_it_sent_the_vtpm(move):
    move.upto(Move.commit)
    with pytest.raises(Refused, match="left here for beta") as refused:
        move.source.ask(manager.VTPM_ORD_FORGET, move.uuid, u64(99), b"\1", name("gamma"))
    assert f"vtpmctl delete {move.number}" in refused.value.text
    assert move.resolve() == move.secret
    for uuid, fence in ((bytes(16), 1), (move.uuid, 0), (move.uuid, 2 ** 64 - 1)):
        with pytest.raises(Refused, match="impossible uuid or fence"):
            move.destination.ask(manager.VTPM_ORD_FORGET, uuid, u64(fence), b"\1", move.peer)


def test_place_that_nobody_comes_to_is_given_up(sites, request):
    with Site("alpha") as source, Site("beta", "--offer-seconds", 1) as destination:
        request.node.host = destination
        source.boot()
        destination.boot()

        def offered(uuid):
            move = Move(uuid, source, destination, source.define(uuid))
            return move.upto(Move.offer)

        def is_given_up(move):
            until(lambda: destination.query(move.uuid)[0] != State.OFFERED, "its place is given up")
            return destination.query(move.uuid)[0]

        assert is_given_up(offered(uuids.uuid4().bytes)) == State.NONE
        # What was defined here before is as it was.
        defined = uuids.uuid4().bytes
        destination.vtpmctl("define", uuids.UUID(bytes=defined))
        assert is_given_up(offered(defined)) == State.HERE
        # So is what has left.
        back = offered(uuids.uuid4().bytes)
        back.upto(Move.activate)
        back = back.back()
        back.upto(Move.activate)
        back = back.back()
        back.upto(Move.offer)
        assert is_given_up(back) == State.MIGRATED
        # A manager that dies in between knows it still, and a guest that waits keeps it.
        waited = offered(uuids.uuid4().bytes)
        destination.vtpmctl("open", waited.place)
        left = offered(uuids.uuid4().bytes)
        destination.kill_manager()
        assert is_given_up(left) == State.NONE
        assert destination.query(waited.uuid)[0] == State.OFFERED
        destination.vtpmctl("close", waited.place)
        assert is_given_up(waited) == State.NONE


def test_destination_that_asks_gets_the_secret_or_an_abort(move):
    move.upto(Move.commit)
    secret, move.secret = move.secret, None
    with pytest.raises(Refused, match="went to beta, not to gamma"):
        move.resolve(peer="gamma")
    assert move.resolve() == secret
    move.secret = secret
    move.activate()
    back = move.back()
    back.upto(Move.migrate_in)
    with pytest.raises(Refused, match="not committed"):
        back.resolve()
    assert back.states() == (State.HERE, State.PREPARED)
    with pytest.raises(Refused):
        back.commit()
    assert len(back.guest().pcr_read(3)) == 20


def test_what_does_not_fit_is_refused_by_name(move):
    move.upto(Move.migrate_in)
    back = Move(move.uuid, move.destination, move.source, move.place)
    back.load_key()
    with pytest.raises(Refused, match="just about to leave here for beta"):
        back.offer()
    with pytest.raises(Refused, match="only on its way here, from alpha"):
        back.migrate_out()
    move.peer = name("gamma")
    with pytest.raises(Refused, match="a copy from alpha is here already"):
        move.offer()
    with pytest.raises(Refused, match="expected from alpha, not from gamma"):
        move.migrate_in()
    move.abort()
    with pytest.raises(Refused, match="lives here already"):
        back.offer()


def test_secret_of_another_copy_does_not_activate(move):
    move.upto(Move.commit)
    secret = move.secret
    move.secret = bytes(32)
    with pytest.raises(Refused, match="not the secret") as refused:
        move.activate()
    assert refused.value.status == manager.VTPM_FORBIDDEN
    move.secret, peer, move.peer = secret, move.peer, name("gamma")
    with pytest.raises(Refused, match="has come from alpha, not from gamma"):
        move.activate()
    move.peer = peer
    move.activate()


def test_envelope_of_another_vtpm_or_changed_or_old_is_refused(move):
    move.upto(Move.migrate_out)
    good = move.envelope

    def refused(envelope, match):
        move.envelope = envelope
        with pytest.raises(Refused, match=match):
            move.migrate_in()

    refused(good[:4] + bytes(16) + good[20:], "of another vTPM")
    refused(bytes([0, 0, 0, 9]) + good[4:], "of a later version")
    refused(good[:20] + u64(99) + good[28:], "changed on its way")
    refused(good[:20] + u64(0) + good[28:], "older copy")
    refused(good[:20] + u64(2 ** 64 - 1) + good[28:], "impossible")
    refused(good[:-1], "changed on its way")
    refused(good[:-1] + bytes([good[-1] ^ 1]), "changed on its way")
    refused(good[:100], "no envelope")
    refused(good[:40] + bytes([good[40] ^ 1]) + good[41:], "not for this host's TPM")
    assert move.destination.query(move.uuid)[0] == State.OFFERED
    move.envelope = good
    move.migrate_in()


def test_vtpm_that_may_not_leave_stays(sites):
    uuid = uuids.uuid4().bytes
    number = int(sites[0].vtpmctl("define", uuids.UUID(bytes=uuid), "--no-migrate").stdout)
    move = Move(uuid, *sites, number)
    move.upto(Move.offer)
    with pytest.raises(Refused, match="not to leave"):
        move.migrate_out()
    move.forget()
    assert str(uuids.UUID(bytes=uuid)) not in sites[1].vtpmctl("list").stdout


def test_vtpm_on_its_way_is_not_deleted(move):
    move.upto(Move.migrate_out)
    assert "on its way to beta" in move.source.vtpmctl("delete", move.number, check=False).stderr
    move.abort()
    move.source.vtpmctl("delete", move.number)


def test_state_that_was_not_kept_is_not_resumed(move):
    """A domain that was saved, ran on, and is restored from the stale file."""
    move.source.vtpmctl("suspend", move.number)
    move.source.vtpmctl("open", move.number, "--startup", "save")
    move.source.vtpmctl("close", move.number)
    stale = move.source.vtpmctl("open", move.number, "--startup", "save", check=False)
    assert stale.returncode == 1 and "has run on since" in stale.stderr
    assert f"vtpmctl open {move.number} --startup clear" in stale.stderr
    move.source.vtpmctl("open", move.number, "--startup", "clear")


def test_old_copy_of_the_whole_folder_does_not_bring_back_what_has_left(move):
    site = move.source

    def chip_is_done():
        """The chip's worker has one thing after the other to do; so all that was asked before is done."""
        site.ask(manager.VTPM_ORD_GET_MIG_KEY)

    # The chip's own state is in the folder of a host with an emulated one; a real one is not copied.
    old, new, chip = site.path("old"), site.path("new"), "emulated-tpm.data*"
    move.upto(Move.migrate_in)
    chip_is_done()
    shutil.copytree(site.state_dir, old, ignore=shutil.ignore_patterns(chip))
    move.commit()
    chip_is_done()
    move.activate()
    site.process.kill9()
    shutil.copytree(site.state_dir, new, ignore=shutil.ignore_patterns(chip))
    shutil.copytree(old, site.state_dir, dirs_exist_ok=True)
    refusing = site.manager(wait=False)
    assert refusing.wait(60) == 1 and "old copy" in refusing.log().lower()
    shutil.copytree(new, site.state_dir, dirs_exist_ok=True)
    site.boot()
    assert move.states() == (State.MIGRATED, State.HERE)


CHIPS = {"emulated": None, "1.2": False, "2.0": True}


def test_client_goes_on_between_all_pairs_of_chips():
    """One session and one loaded key, over hosts with each kind of TPM, in every order of two."""
    with contextlib.ExitStack() as stack:
        def site(kind, hostname):
            made = stack.enter_context(Site(hostname))
            if kind != "emulated":
                chip = made.swtpm(tpm2=CHIPS[kind])
                made.options = ("--tpm", f"socket:{chip.address}")
            made.boot()
            return made

        pairs = {kind: [site(kind, f"{kind}-{n}") for n in (1, 2)] for kind in CHIPS}
        route = ["emulated", "1.2", "1.2", "2.0", "2.0", "emulated", "2.0", "1.2", "emulated"]
        here = pairs["emulated"][0]
        uuid = uuids.uuid4().bytes
        number = here.define(uuid)
        tpm = Tpm(here.backend.guest(number))
        tpm.take_ownership(OWNER)
        wrapped = tpm.create_wrap_key(spec.TPM_KH_SRK, WELL_KNOWN,
                                      key_template(spec.TPM_KEY_SIGNING, rsa_parms(
                                          enc=spec.TPM_ES_NONE,
                                          sig=spec.TPM_SS_RSASSAPKCS1v15_SHA1)), KEY_AUTH)
        key = tpm.load_key2(spec.TPM_KH_SRK, WELL_KNOWN, wrapped)
        session = tpm.oiap(KEY_AUTH, keep=True)
        value = bytes(20)
        for kind in ["emulated"] + route:
            there = next(site for site in pairs[kind] if site is not here)
            move = Move(uuid, here, there, number).upto(Move.activate)
            here, number, tpm = there, move.place, move.guest(there=True)
            tpm.command(spec.TPM_ORD_Sign, sized(sha1(kind.encode())), [key], [session])
            value = tpm.extend(4, sha1(kind.encode()))
            assert tpm.pcr_read(4) == value
