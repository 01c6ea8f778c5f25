"""Two machines for all tests, joined by a cable, and guests that tests share: each boot takes its
time under emulation."""
import contextlib

import pytest

import xenlab

*UUIDS, UUID_TPM2 = [f"0a3c9dbe-5c0f-4d5d-9f28-{n:012}" for n in range(1, 7)]
# What the shared guests have from their boot on
PV, PVH, OTHER, *SPARE = UUIDS


# The emulated processor loses a guest now and then (xenlab.lost_guests). What the test then makes of
# it says nothing: it is done again, by --only-rerun with these words.
LOST = "a guest was lost by the emulated processor"


def pytest_runtest_setup(item):
    item.lost, item.has_failed = xenlab.lost_guests(), False


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        item.has_failed = True
        if xenlab.lost_guests() > item.lost:
            report.longrepr.reprcrash.message += f"\n({LOST})"


@contextlib.contextmanager
def machine(*what, uuids):
    dom0 = xenlab.Dom0(*what)
    try:
        dom0.up(uuids)
        yield dom0
    finally:
        dom0.down()


@pytest.fixture(scope="session")
def cable(tmp_path_factory):
    """Joins the two hosts."""
    xenlab.build()
    return tmp_path_factory.mktemp("cable") / "socket"


@pytest.fixture(scope="session")
def dom0(cable):
    """A host with a physical TPM 1.2."""
    with machine("1.2", f"listen:{cable}", "10.9.0.1", uuids=UUIDS) as dom0:
        yield dom0


@pytest.fixture(scope="session")
def dom0_tpm2(dom0, cable):
    """A host with a physical TPM 2.0. Its tests come last: two machines slow each other down."""
    with machine("2", f"connect:{cable}", "10.9.0.2", uuids=[UUID_TPM2]) as dom0_tpm2:
        yield dom0_tpm2


@pytest.fixture
def uuid_tpm2():
    """A vTPM of the host with the TPM 2.0."""
    return UUID_TPM2


@pytest.fixture(scope="session")
def spare():
    """vTPMs that no guest has, yet."""
    return SPARE


def shared_guest(name, uuid, **what):
    """A fixture: a guest that runs when a test begins. Tests leave it to the next one in whatever state
    of its life, its TPM 0 too; a test that fails leaves it to nobody."""
    @pytest.fixture(scope="session")
    def once(dom0):
        return dom0.guest(name, uuids=[uuid], **what)

    @pytest.fixture
    def running(request):
        one = request.getfixturevalue(f"{name}_once")
        one.uuid = uuid
        if not one.is_up:
            one.discard()
            one.create()
        yield one
        if request.node.has_failed:
            one.discard()

    return once, running


pv_once, pv = shared_guest("pv", PV)
pvh_once, pvh = shared_guest("pvh", PVH, kind="pvh")
other_once, other = shared_guest("other", OTHER)
