"""What the Xen back-end does with devices of vTPMs that come and go: with a real xenstored, and
front-ends that share files instead of pages."""
import subprocess
import uuid as uuids

import pytest

from host import until
from test_manager_console import connection
from test_migration_manager import Move, Site, State
from test_xen import EXTEND, PCR_READ, SUCCESS, UUIDS, XenHost

UUID = uuids.UUID(UUIDS[0]).bytes
DEVICE = "/local/domain/0/backend/vtpm/0/1"
DOMAIN_SUSPENDED = 1  # enum domain_life


class XenSite(Site):
    """A Site whose guests have devices; served is its XenHost."""

    def serve(self, monkeypatch, *script):
        self.served = XenHost(self, monkeypatch)
        self.process = self.served.manager(*script)
        self.console = connection(self)

    def domain_is_restored(self):
        (self.served.pages / "restored.0").touch()

    def domain_is_suspended(self):
        (self.served.pages / "life.0").write_text(str(DOMAIN_SUSPENDED))


@pytest.fixture(params=["script", "none"])
def xen(request, monkeypatch):
    """A XenSite, by the scripts and without."""
    with XenSite("xen") as site:
        request.node.host = site
        site.serve(monkeypatch, *["none"] if request.param == "none" else [])
        yield site


@pytest.fixture
def plain():
    """The other host."""
    with Site("plain") as site:
        site.boot()
        yield site


def xenstore(verb, *args):
    return subprocess.run([f"xenstore-{verb}", *args], text=True, capture_output=True,
                          check=True).stdout.strip()


def is_attached():
    done = subprocess.run(["xenstore-read", f"{DEVICE}/hotplug-status"], text=True,
                          capture_output=True)
    return done.stdout.strip() == "connected"


def comes(plain, xen):
    """A vTPM on plain that is to come to xen, and the value of its PCR 10."""
    move = Move(UUID, plain, xen, plain.define(UUID))
    return move, move.guest().extend(10, bytes(20))


def test_guests_command_waits_for_the_vtpm_that_is_on_its_way(xen, plain):
    move, value = comes(plain, xen)
    move.upto(Move.offer)
    xen.domain_is_restored()
    front_end = xen.served.front_end(0, "send", PCR_READ.format(10))
    until(is_attached, "the device has an instance before that may run")
    assert move.needed(10000)
    for step in Move.STEPS[2:]:
        step(move)
    answer = front_end.communicate(timeout=60)[0]
    assert answer.strip()[12:] == SUCCESS + value.hex()


def test_manager_that_dies_in_between_keeps_the_command_for_the_vtpm(xen, plain):
    move, value = comes(plain, xen)
    move.upto(Move.migrate_in)
    xen.domain_is_restored()
    front_end = xen.served.front_end(0, "send", PCR_READ.format(10))
    assert move.needed(10000)
    xen.served.kill_manager()
    xen.console = connection(xen)
    assert move.needed(10000)
    move.commit()
    move.activate()
    assert front_end.communicate(timeout=60)[0].strip()[12:] == SUCCESS + value.hex()


def test_restored_domain_gets_no_new_vtpm_but_waits_for_its_own(xen, plain):
    xen.domain_is_restored()
    front_end = xen.served.front_end(0, "send", PCR_READ.format(10))
    until(lambda: "waits for its TPM" in xen.process.log(), "the device waits")
    move, value = comes(plain, xen)
    move.upto(Move.activate)
    assert front_end.communicate(timeout=60)[0].strip()[12:] == SUCCESS + value.hex()


@pytest.mark.parametrize("last", [Move.migrate_out, Move.commit])
def test_device_of_a_vtpm_that_leaves_is_taken_down_quietly(xen, plain, last):
    xen.served.send(0, EXTEND.format(10, 1))
    xen.served.act(0, "die")  # the device stays, as that of a suspended domain
    until(is_attached, "the device has its instance")
    number = int(xenstore("read", f"{DEVICE}/instance"))
    move = Move(UUID, xen, plain, number)
    xen.domain_is_suspended()
    move.upto(last)
    said = len(xen.process.log())
    xenstore("write", f"{DEVICE}/online", "0", f"{DEVICE}/state", "5")
    until(lambda: xenstore("read", f"{DEVICE}/state") == "6", "the device is closed")
    assert "refused" not in xen.process.log()[said:]
    for step in Move.STEPS[Move.STEPS.index(last):]:
        step(move)
    assert move.states() == (State.MIGRATED, State.HERE)


def test_domain_of_a_vtpm_that_has_left_is_told_where_it_is(xen, plain):
    xen.served.send(0, PCR_READ.format(10))
    number = int(xen.vtpmctl("define", UUIDS[0]).stdout)
    Move(UUID, xen, plain, number).upto(Move.activate)
    front_end = xen.served.front_end(0, "send", PCR_READ.format(10))
    assert front_end.communicate(timeout=60)[0].strip()[12:] == "00000009"
    assert "migrated to plain" in xen.process.log()
