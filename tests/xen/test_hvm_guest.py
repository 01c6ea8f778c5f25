"""An HVM guest on a real Xen: its TPM is behind the TIS device of its QEMU."""
import pytest

from hvmlab import QEMU, HvmDom0

UUIDS = [f"0a3c9dbe-5c0f-4d5d-9f28-{n:012}" for n in range(101, 102)]
FRONTEND = "0a3c9dbe-5c0f-4d5d-9f28-000000000201"
ZERO = "00" * 20


@pytest.fixture(scope="module")
def dom0(lab):
    """A host whose QEMU knows TPMs."""
    if not (QEMU / "built").exists():
        pytest.skip("no QEMU with both Xen and TPM support; make check-xen-hvm builds one")
    dom0 = HvmDom0()
    try:
        dom0.up(UUIDS)
        yield dom0
    finally:
        dom0.down()


def test_guest_owns_its_tpm_and_reboots(dom0, guest):
    one = guest(uuid=UUIDS[0]).create()
    assert "1.2 TPM" in one.run("dmesg | grep tpm_tis")
    assert one.run("cat /sys/class/tpm/tpm0/owned") == "0"
    assert one.pcr(16) == ZERO
    # The firmware has measured.
    first = [one.pcr(number) for number in (0, 4)]
    assert ZERO not in first
    one.run("start_tcsd && tpm_takeownership -y -z", timeout=280)
    value = one.extend(16, "a")
    assert one.pcr(16) == value != ZERO

    one.reboot()
    assert one.pcr(16) == ZERO
    assert [one.pcr(number) for number in (0, 4)] == first
    assert one.run("cat /sys/class/tpm/tpm0/owned") == "1"

    # Nobody in the guest notices that its vtpmd is killed.
    value = one.extend(16, "b")
    dom0.sh("pkill -9 -x vtpmd")
    assert one.pcr(16) == value


def test_dom0_has_a_tpm_of_its_own(dom0):
    dom0.sh(f"modprobe xen-tpmfront && xl vtpm-attach 0 backend=0 uuid={FRONTEND}")
    dom0.store("/local/domain/0/device/vtpm/0/state")
    dom0.sh("timeout 280 sh -c 'until [ -e /dev/tpm1 ]; do sleep 1; done'", timeout=300)
    assert "PCR-16: 00 00" in dom0.sh("cat /sys/class/tpm/tpm1/pcrs")
    dom0.sh("xl vtpm-detach 0 0")
    dom0.wait_gone("/local/domain/0/backend/vtpm/0/0")
