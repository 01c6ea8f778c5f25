"""One machine for all tests of one kind of physical TPM; guests of a test go with it."""
import subprocess
import uuid

import pytest

from xenlab import LAB, Dom0


@pytest.fixture(scope="session")
def lab():
    subprocess.run([LAB, "build"], check=True, timeout=1200)


def _machine(tpm):
    dom0 = Dom0(tpm)
    try:
        dom0.start_manager()
        yield dom0
    finally:
        dom0.down()


@pytest.fixture(scope="module")
def dom0(lab):
    """A host with a physical TPM 1.2."""
    yield from _machine("1.2")


@pytest.fixture(scope="module")
def dom0_tpm2(lab):
    """A host with a physical TPM 2.0."""
    yield from _machine("2")


@pytest.fixture
def new_uuid():
    return lambda: str(uuid.uuid4())


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
