"""Migration's ordinals in any order, with managers killed in between: never two vTPMs, never none.

Every step, old ones and those of earlier migrations included, is sent at random to either of two
managers, as by programs that crash, stutter and replay. The guest sends a command whenever there is
a vTPM that answers it: its PCR must hold just what was answered so far.
"""
import os
import random
import struct
import uuid as uuids
from contextlib import suppress

import pytest

from contract import manager
from test_manager_console import u32
from test_migration_manager import Refused, Site, State, name, u64
from tpm12 import Tpm, sha1, sized

SEEDS = int(os.environ.get("MIGRATION_SEEDS", 10))
STEPS = 60
PCR = 3


class Walk:
    """A vTPM, wherever it is, and all that has ever been said about it."""

    def __init__(self, sites, random):
        self.sites, self.random = sites, random
        self.uuid = uuids.uuid4().bytes
        self.numbers = {sites[0]: sites[0].define(self.uuid)}
        self.value, self.count = bytes(20), 0
        # (site that packed it, envelope), (site that told it, fence, secret)
        self.envelopes, self.secrets = [], []
        self.sessions = {}
        for source, destination in sites, sites[::-1]:
            self.load_key(source, destination)

    def load_key(self, source, destination):
        key = destination.ask(manager.VTPM_ORD_GET_MIG_KEY)
        self.sessions[source] = source.ask(manager.VTPM_ORD_LOAD_MIG_KEY,
                                           name(destination.hostname), key)

    def states(self):
        return [site.query(self.uuid)[0] for site in self.sites]

    def fence(self, site):
        """Mostly the right one."""
        now = site.query(self.uuid)[1]
        return max(1, now + self.random.choice([0, 0, 0, 0, -1, 1]))

    # What may happen, from source to destination

    def offer(self, source, destination):
        fence = source.query(self.uuid)[1] + self.random.choice([1, 1, 1, 0])
        answer = destination.ask(manager.VTPM_ORD_OFFER, self.uuid, u64(fence),
                                 bytes([manager.VTPM_DOMAIN_PVM]), name("guest"),
                                 sized(self.sessions[source]), name(source.hostname))
        self.numbers[destination] = struct.unpack(">I", answer)[0]

    def migrate_out(self, source, destination):
        self.envelopes.append((source, source.ask(
            manager.VTPM_ORD_MIGRATE_OUT, u32(self.numbers[source]), name(destination.hostname))))

    def migrate_in(self, source, destination):
        """The last envelope, or any."""
        came = [envelope for packer, envelope in self.envelopes if packer is source]
        envelope = self.random.choice([came[-1], came[-1], self.random.choice(came)])
        destination.ask(manager.VTPM_ORD_MIGRATE_IN, u32(self.numbers[destination]),
                        sized(envelope), name(source.hostname))

    def commit(self, source, destination):
        fence = self.fence(source)
        self.secrets.append((source, fence, source.ask(
            manager.VTPM_ORD_COMMIT, u32(self.numbers[source]), u64(fence))))

    def activate(self, source, destination):
        """The last secret, or any."""
        told = [secret for teller, *secret in self.secrets if teller is source]
        fence, secret = self.random.choice([told[-1], told[-1], self.random.choice(told)])
        destination.ask(manager.VTPM_ORD_ACTIVATE, self.uuid, u64(fence), secret,
                        name(source.hostname))

    def abort(self, source, destination):
        source.ask(manager.VTPM_ORD_ABORT, u32(self.numbers[source]), u64(self.fence(source)))

    def give_back(self, source, destination):
        """Nobody says that he has committed what he has not, nor takes it back without having said so."""
        state, last, _ = source.query(self.uuid)
        fence = self.fence(source)
        committed = state == State.MIGRATED and fence == last
        destination.ask(manager.VTPM_ORD_FORGET, self.uuid, u64(fence), bytes([committed]),
                        name(source.hostname))
        if (committed or fence != last) and self.random.random() < 0.7:
            source.ask(manager.VTPM_ORD_UNDO, u32(self.numbers[source]), u64(fence))

    def resolve(self, source, destination):
        fence = self.fence(destination)
        secret = source.ask(manager.VTPM_ORD_RESOLVE, self.uuid, u64(fence),
                            name(destination.hostname))
        self.secrets.append((source, fence, secret))

    def kill(self, source, destination):
        source.kill_manager()
        self.load_key(source, destination)
        self.load_key(destination, source)

    def guest(self, source, destination):
        """Where it runs, or is frozen: the guest is awake there, and nowhere else."""
        if source.query(self.uuid)[0] not in (State.HERE, State.OUTGOING):
            return
        self.count += 1
        digest = sha1(str(self.count).encode())
        self.value = sha1(self.value, digest)
        assert Tpm(source.backend.guest(self.numbers[source])).extend(PCR, digest) == self.value

    WAYS = [offer] * 6 + [migrate_out] * 6 + [migrate_in] * 6 + [commit] * 4 + [activate] * 6 \
        + [abort, give_back, resolve, kill, guest, guest]

    def step(self):
        way = self.random.choice(self.WAYS)
        source, destination = self.random.sample(self.sites, 2)
        with suppress(Refused, KeyError, IndexError):
            way(self, source, destination)
        return f"{way.__name__} {source.hostname}>{destination.hostname}"

    def settle(self):
        """What an operator's --recover does, at whichever host it is asked."""
        for source, destination in self.sites, self.sites[::-1]:
            state, fence, _ = destination.query(self.uuid)
            if state == State.PREPARED:
                self.settle_copy(source, destination, fence)
        for site in self.sites:
            state, fence, _ = site.query(self.uuid)
            if state == State.OUTGOING:
                site.ask(manager.VTPM_ORD_ABORT, u32(self.numbers[site]), u64(fence))
            elif state == State.OFFERED:
                site.ask(manager.VTPM_ORD_FORGET, self.uuid, u64(fence), b"\0")
        # Who had it last has committed last: the other one refuses to forget what it ran.
        source, destination = sorted(self.sites, reverse=True, key=lambda site: (
            site.query(self.uuid)[1], site.query(self.uuid)[0] == State.MIGRATED))
        if State.HERE not in self.states():
            fence = source.query(self.uuid)[1]
            destination.ask(manager.VTPM_ORD_FORGET, self.uuid, u64(fence), b"\1",
                            name(source.hostname))
            source.ask(manager.VTPM_ORD_UNDO, u32(self.numbers[source]), u64(fence))

    def settle_copy(self, source, destination, fence):
        """The copy runs, or never will: the source says which."""
        peer = name(source.hostname)
        try:
            secret = source.ask(manager.VTPM_ORD_RESOLVE, self.uuid, u64(fence),
                                name(destination.hostname))
        except Refused as refused:
            assert refused.status == manager.VTPM_FORBIDDEN
            destination.ask(manager.VTPM_ORD_FORGET, self.uuid, u64(fence), b"\0", peer)
        else:
            destination.ask(manager.VTPM_ORD_ACTIVATE, self.uuid, u64(fence), secret, peer)


@pytest.fixture(scope="module")
def sites():
    with Site("alpha") as one, Site("beta") as other:
        one.boot()
        other.boot()
        yield one, other


@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_order_of_steps_leaves_one_vtpm_with_its_last_state(sites, seed, request):
    request.node.host = sites[0]
    walk = Walk(sites, random.Random(seed))
    done = []
    for _ in range(STEPS):
        done.append(walk.step())
        states = walk.states()
        # Frozen or prepared is not running; whoever has it frozen may take it back.
        assert sum(state in (State.HERE, State.OUTGOING) for state in states) <= 1, done
    walk.settle()
    states = walk.states()
    assert states.count(State.HERE) == 1, (states, done)
    walk.guest(*sorted(sites, key=lambda site: site.query(walk.uuid)[0] != State.HERE))
