"""Hosts that are joined by a cable, and vTPMs that go from one to the other with their guests."""
from uuid import uuid4

import pytest

from xenlab import Load

SEALED = "/tmp/sealed"
SMALL = 128  # MB: all of a guest's memory goes through emulated network cards


def test_hosts_see_each_other(dom0, dom0_tpm2):
    dom0.sh(f"busybox ping -c 1 -w 60 {dom0_tpm2.address}")
    dom0_tpm2.sh("echo here >/tmp/file")
    dom0_tpm2.send("/tmp/file", dom0)
    assert dom0.sh("cat /tmp/file") == "here"


@pytest.fixture(scope="module")
def hosts(dom0, dom0_tpm2, tmp_path_factory):
    """Two hosts that trust each other: with a physical TPM 1.2, and with a 2.0."""
    pki = tmp_path_factory.mktemp("pki")
    for host in dom0, dom0_tpm2:
        host.trust(pki)
    return dom0, dom0_tpm2


@pytest.fixture
def traveller(hosts):
    """A PVH guest whose TPM has an owner and a sealed object."""
    uuid = str(uuid4())
    guest = hosts[0].guest("traveller", uuids=[uuid], kind="pvh", memory=SMALL).create()
    guest.uuid = uuid
    guest.run("start_tcsd; tpm_takeownership -y -z && echo secret >/tmp/s &&"
              f" tpm_sealdata -z -i /tmp/s -o {SEALED}")
    guest.run("stop_tcsd")
    yield guest
    guest.discard()


def assert_unseals(guest):
    assert guest.run(f"start_tcsd; tpm_unsealdata -z -i {SEALED}") == "secret"
    guest.run("stop_tcsd")


def test_guest_that_cannot_go_stays_with_its_tpm(hosts, traveller):
    here, there = hosts
    load = Load(traveller)
    # The guest is suspended by the time that the other host finds out that it has nothing for it.
    here.vtpm_migrate(traveller, there, receiver="pkill -9 -x vtpm_managerd; xl migrate-receive")
    there.start_manager()
    traveller.look()
    load.assert_each_was_done_once()
    assert_unseals(traveller)


def test_guest_moves_live_while_it_uses_its_tpm(hosts, traveller):
    here, there = hosts
    load = Load(traveller)
    events = here.vtpm_migrate(traveller, there)
    assert events[-1]["event"] == "done" and events[-1]["downtime_ms"] >= 0, events
    traveller.arrive(there)
    load.assert_each_was_done_once()
    assert_unseals(traveller)
    assert "migrated to" in here.sh(f"vtpmctl open {traveller.uuid} 2>&1", check=False)


def test_saved_guest_is_carried_over(hosts, spare):
    here, there = hosts
    guest = here.guest("carried", uuids=[spare[1]], memory=SMALL).create()
    value = guest.extend(13, "cc")
    guest.save()
    here.send(f"/tmp/{guest.name}.save", there)
    here.sh(f"vtpm_migrator --no-domain {spare[1]} {there.address}")
    guest.dom0 = there
    guest.restore()
    assert guest.pcr(13) == value
    guest.discard()
