"""An HVM guest on a real Xen: its TPM is behind the TIS device of its QEMU. Run by make
check-xen-hvm."""
import pytest

import xenlab
from hvmlab import QEMU, HvmDom0, HvmGuest

UUID = "0a3c9dbe-5c0f-4d5d-9f28-000000000101"
DOM0S_OWN = "0a3c9dbe-5c0f-4d5d-9f28-000000000102"
FOR_PV_DRIVERS = "0a3c9dbe-5c0f-4d5d-9f28-000000000103"
ZERO = "00" * 20
START_TCSD = ("chown -R tss:tss /var/lib/tpm /dev/tpm0 && chown root:tss /etc/tcsd.conf && tcsd &&"
              " until netstat -ltn | grep -q :30003; do usleep 200000; done")


@pytest.fixture(scope="module")
def dom0():
    """A host whose QEMU knows TPMs."""
    if not (QEMU / "built").exists():
        pytest.skip("no QEMU with both Xen and TPM support; make check-xen-hvm builds one")
    xenlab.build()
    dom0 = HvmDom0()
    try:
        dom0.up([UUID])
        yield dom0
    finally:
        dom0.down()


@pytest.fixture(scope="module")
def guest(dom0):
    guest = HvmGuest(dom0, "hvm", UUID).create()
    yield guest
    guest.discard()


def pcr(guest, number, tpm="tpm0"):
    line = guest.run(f"grep PCR-{number:02} /sys/class/tpm/{tpm}/pcrs")
    return line.partition(":")[2].replace(" ", "").lower()


def extend(guest, number, byte):
    command = xenlab.extend_command(number, byte)
    guest.run(f"exec 3<>/dev/tpm0; printf '%b' \"$(echo {command} | sed 's/../\\\\x&/g')\" >/tmp/c;"
              " dd bs=4096 if=/tmp/c >&3; dd bs=4096 count=1 <&3 >/dev/null; exec 3>&-")


def test_guest_owns_its_tpm_and_reboots(dom0, guest):
    assert "1.2 TPM" in guest.run("dmesg | grep tpm_tis")
    assert guest.run("cat /sys/class/tpm/tpm0/owned") == "0"
    guest.run(f"{START_TCSD} && tpm_takeownership -y -z && killall tcsd")
    extend(guest, 16, "aa")
    assert pcr(guest, 16) == xenlab.extended(ZERO, "aa")

    # Nobody in the guest notices that its vtpmd is killed.
    dom0.sh("pkill -9 -x vtpmd")
    assert pcr(guest, 16) == xenlab.extended(ZERO, "aa")

    guest.reboot()
    assert pcr(guest, 16) == ZERO
    assert guest.run("cat /sys/class/tpm/tpm0/owned") == "1"


def test_guest_is_saved_and_restored_with_its_tpm(guest):
    extend(guest, 16, "bb")
    guest.save()
    guest.restore()
    value = xenlab.extended(ZERO, "bb")
    assert pcr(guest, 16) == value
    extend(guest, 16, "cc")
    assert pcr(guest, 16) == xenlab.extended(value, "cc")


def test_pv_drivers_in_the_guest_find_a_tpm_too(guest):
    guest.attach(FOR_PV_DRIVERS)
    guest.run("until [ -e /dev/tpm1 ]; do usleep 200000; done")
    assert pcr(guest, 16, "tpm1") == ZERO
    guest.detach(0)


def test_dom0_has_a_tpm_of_its_own(dom0):
    dom0.sh(f"modprobe xen-tpmfront && xl vtpm-attach 0 backend=0 uuid={DOM0S_OWN}")
    dom0.sh_until("[ -e /dev/tpm1 ]")
    assert "PCR-16: 00 00" in dom0.sh("cat /sys/class/tpm/tpm1/pcrs")
    dom0.sh("xl vtpm-detach 0 0")
    dom0.wait_gone("/local/domain/0/backend/vtpm/0/0")
