"""Migration as the two managers see it: the ordinals of vtpm/migration.h, spoken directly."""
import struct
import uuid as uuids
from enum import IntEnum

import pytest

from contract import manager, spec
from host import Host, console_request
from test_manager_console import connection, u32
from tpm12 import Reader, Tpm, TpmError, WELL_KNOWN, sha1, sized
from transport import FifoBackend

GUEST = "6d1b1f7e-30cf-4d0f-8f5a-0f0d6c5b7a11"
UUID = uuids.UUID(GUEST).bytes
SOURCE, DESTINATION = "source.example", "destination.example"

State = IntEnum("State", "NONE HERE OUTGOING MIGRATED OFFERED PREPARED", start=0)


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

    def boot(self, *options):
        self.process = self.manager(*options)
        self.connect()

    def connect(self):
        self.console = connection(self)

    def kill_manager(self):
        self.process.kill9()

    def ask(self, ordinal, *parameters):
        status, answer = self.console.request(ordinal, b"".join(parameters))
        if status != manager.VTPM_SUCCESS:
            raise Refused(status, answer.decode())
        return answer

    def tpm(self, number):
        """A guest's view of an instance, over pipes of its own."""
        return Tpm(self.closes(FifoBackend(self.run_dir)).guest(number))

    # The ordinals

    def get_key(self):
        return self.ask(manager.VTPM_ORD_GET_MIG_KEY, name(SOURCE))

    def load_key(self, key, destination=DESTINATION):
        return self.ask(manager.VTPM_ORD_LOAD_MIG_KEY, name(destination), key)

    def offer(self, fence, session, uuid=UUID, peer=SOURCE):
        answer = self.ask(manager.VTPM_ORD_OFFER, uuid, u64(fence),
                          bytes([manager.VTPM_DOMAIN_PVM]), name("guest"), sized(session),
                          name(peer))
        return struct.unpack(">I", answer)[0]

    def migrate_out(self, number, destination=DESTINATION):
        return self.ask(manager.VTPM_ORD_MIGRATE_OUT, u32(number), name(destination),
                        name("guest"))

    def migrate_in(self, number, envelope, peer=SOURCE):
        self.ask(manager.VTPM_ORD_MIGRATE_IN, u32(number), sized(envelope), name(peer))

    def needed(self, fence, milliseconds=0):
        return self.ask(manager.VTPM_ORD_AWAIT, UUID, u64(fence), u32(milliseconds),
                        name(SOURCE)) == b"\1"

    def commit(self, number, fence):
        return self.ask(manager.VTPM_ORD_COMMIT, u32(number), u64(fence))

    def activate(self, fence, secret, peer=SOURCE):
        self.ask(manager.VTPM_ORD_ACTIVATE, UUID, u64(fence), secret, name(peer))

    def abort(self, number, fence):
        self.ask(manager.VTPM_ORD_ABORT, u32(number), u64(fence))

    def undo(self, number, fence):
        self.ask(manager.VTPM_ORD_UNDO, u32(number), u64(fence))

    def forget(self, fence, peer=SOURCE):
        self.ask(manager.VTPM_ORD_FORGET, UUID, u64(fence), name(peer))

    def resolve(self, fence, peer=DESTINATION):
        return self.ask(manager.VTPM_ORD_RESOLVE, UUID, u64(fence), name(peer))

    def query(self):
        """(state, fence, name of the other host)"""
        reader = Reader(self.ask(manager.VTPM_ORD_QUERY, UUID))
        state, fence = reader.u8(), struct.unpack(">Q", reader.take(8))[0]
        return State(state), fence, reader.sized().decode()

    @property
    def state(self):
        return self.query()[0]


class Pair:
    """A source with a guest's vTPM, instance 5, and a destination."""

    def __init__(self, request):
        self.source, self.destination = request.node.source, request.node.destination

    def offer(self, fence=1):
        """Up to a place that is reserved; the number there."""
        self.session = self.source.load_key(self.destination.get_key())
        self.number = self.destination.offer(fence, self.session)
        return self.number

    def prepare(self, fence=1):
        self.offer(fence)
        self.envelope = self.source.migrate_out(5)
        self.destination.migrate_in(self.number, self.envelope)

    def commit(self, fence=1):
        self.secret = self.source.commit(5, fence)

    def move(self, fence=1):
        self.prepare(fence)
        self.commit(fence)
        self.destination.activate(fence, self.secret)


@pytest.fixture
def pair(request):
    with Site() as source, Site() as destination:
        request.node.source, request.node.destination = source, destination
        source.boot()
        destination.boot()
        source.vtpmctl("define", GUEST, "--id", 5)
        source.vtpmctl("open", 5)
        made = Pair(request)
        made.tpm = source.tpm(5)
        yield made


def test_vtpm_moves_with_its_volatile_state(pair):
    value = pair.tpm.extend(3, sha1(b"a"))
    pair.move()
    assert pair.source.query() == (State.MIGRATED, 1, DESTINATION)
    assert pair.destination.query() == (State.HERE, 1, SOURCE)
    there = pair.destination.tpm(pair.number)
    assert there.pcr_read(3) == value
    assert there.extend(3, sha1(b"b")) == sha1(value, sha1(b"b"))
