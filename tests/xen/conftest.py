"""One machine for all tests of one kind of physical TPM; guests of a test go with it."""
import subprocess

import pytest

from xenlab import LAB, Dom0


UUIDS = [f"0a3c9dbe-5c0f-4d5d-9f28-{n:012}" for n in range(1, 6)]


@pytest.fixture(scope="session")
def lab():
    subprocess.run([LAB, "build"], check=True, timeout=1200)


def _machine(tpm):
    dom0 = Dom0(tpm)
    try:
        dom0.up(UUIDS)
        yield dom0
    finally:
        dom0.down()


@pytest.fixture(scope="session")
def dom0(lab):
    """A host with a physical TPM 1.2."""
    yield from _machine("1.2")


@pytest.fixture(scope="session")
def dom0_tpm2(lab):
    """A host with a physical TPM 2.0."""
    yield from _machine("2")


@pytest.fixture
def uuids():
    """The TPMs that a host has."""
    return UUIDS


@pytest.fixture
def guest(dom0, request):
    """Makes guests of the test's name: guest(), guest("b", kind="pvh")."""
    made = []

    def make(suffix="", **what):
        made.append(dom0.guest(request.node.name[5:25] + suffix, **what))
        return made[-1]

    yield make
    for one in made:
        one.discard()
