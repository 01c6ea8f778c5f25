"""HVM guests: an unmodified QEMU, SeaBIOS and Linux on an instance's control socket."""
import base64
import os
import signal
import uuid

import pytest

from contract import manager, spec
from host import until
from machine import Machine, event_log
from test_manager_console import instance_pid
from tpm12 import WELL_KNOWN, Tpm, TpmError, pcr_info, pcr_info_long, sha1, u8, u16, u32
from transport import Qemu

# What a script can use: tcsd that answers, and a TPM command sent to the kernel's device.
SHELL = r"""
set -e
start_tcsd() {
    tcsd
    until grep -q ':7533 ' /proc/net/tcp*; do usleep 50000; done
}
stop_tcsd() {
    killall tcsd
    while pidof tcsd >/dev/null; do usleep 50000; done
}
send() { # hexadecimal digits -> the response's
    exec 3<>/dev/tpm0
    echo "$1" | xxd -r -p >&3
    dd bs=4096 count=1 <&3 2>/dev/null | xxd -p | tr -d '\n'
    exec 3>&-
}
pcr() { grep "PCR-$1" /sys/class/tpm/tpm0/pcrs; }
"""
EXTEND_16 = "00c1000000220000001400000010" + sha1(b"x").hex()


@pytest.fixture
def instance(host):
    """Defines HVM instances: a function from number to the control socket's path."""
    host.manager()

    def define(number):
        guest = uuid.uuid4()
        host.vtpmctl("define", guest, "--type", "hvm", "--id", number)
        return host.run_dir / (manager.VTPM_PATH_CTRL % number)

    return define


def test_bios_measures_the_boot(host, instance):
    output = Machine(host, instance(7), SHELL + """
        cat /sys/class/tpm/tpm0/pcrs
        echo log
        base64 /sys/kernel/security/tpm0/binary_bios_measurements
    """).finish()
    pcrs, log = output.split("log\n")
    values = {int(line[4:6]): bytes.fromhex(line[8:]) for line in pcrs.splitlines()}
    assert len(values) == 24

    replayed = dict.fromkeys(range(8), bytes(20))
    for pcr, _, digest, _ in event_log(base64.b64decode(log)):
        replayed[pcr] = sha1(replayed[pcr], digest)
    assert all(replayed[pcr] != bytes(20) for pcr in range(8))
    assert {pcr: values[pcr] for pcr in range(8)} == replayed


def test_guest_owns_its_tpm_and_reboots(host, instance):
    output = Machine(host, instance(7), SHELL + """
        tpm=/sys/class/tpm/tpm0
        start_tcsd
        if [ "$(cat $tpm/owned)" = 0 ]; then
            tpm_takeownership -y -z
            tpm_nvdefine -i 0x1001 -s 6 -p 'OWNERREAD|OWNERWRITE' -y
            tpm_nvwrite -i 0x1001 -s 6 -z -d secret
            echo secret >secret
            tpm_sealdata -z -i secret -o sealed -p 0
            tpm_unsealdata -z -i sealed -o opened
            cmp secret opened
            tpm_mkuuid uuid
            tpm_mkaik -z aik aik.pub
            tpm_loadkey aik uuid
            head -c 20 /dev/urandom >nonce
            tpm_getquote uuid nonce quote 0 10
            echo "first boot: $(pcr 00)"
            echo "first boot: $(pcr 16)"
            stop_tcsd
            send %s
            echo "extended: $(pcr 16)"
            reboot -f
            sleep 100
        fi
        echo "second boot: $(pcr 00)"
        echo "second boot: $(pcr 16)"
        tpm_nvread -i 0x1001 -s 6 -z -f nv
        cat nv
    """ % EXTEND_16).finish()
    said = [line.partition(": ")[::2] for line in output.splitlines()]
    first = [value for name, value in said if name == "first boot"]
    extended = [value for name, value in said if name == "extended"]
    assert extended != first[1:]
    assert [value for name, value in said if name == "second boot"] == first
    assert output.endswith("secret")


def test_qemu_migration_carries_the_tpm(host, instance):
    script = SHELL + """
        send %s
        echo "extended: $(pcr 16)"
        start_tcsd
        tpm_takeownership -y -z
        echo secret >secret
        tpm_sealdata -z -i secret -o sealed -p 16
        echo sealed
        read -r line </dev/ttyS1
        tpm_unsealdata -z -i sealed -o opened
        echo "opened: $(cat opened) $line"
        echo "moved: $(pcr 16)"
    """ % EXTEND_16
    image = host.path("image")
    source = Machine(host, instance(7), script)
    output = source.wait_for("sealed\n")
    os.kill(instance_pid(host, 7), signal.SIGKILL)  # nobody is to notice
    source.qmp("migrate", uri=f"exec:cat >{image}")
    until(lambda: source.qmp("query-migrate")["status"] == "completed", "migration is done",
          source.process)
    source.process.kill9()

    destination = Machine(host, instance(8), script, "-incoming", f"exec:cat {image}")
    until(lambda: destination.qmp("query-status")["status"] == "running", "the guest runs",
          destination.process)
    destination.tell("after all")
    moved = destination.finish()
    assert "opened: secret after all\n" in moved
    extended = output.partition("extended: ")[2].splitlines()[0]
    assert moved.endswith(f"moved: {extended}\n")


def boot(qemu, boot_loader=b"boot loader"):
    """What a PC's BIOS does with the TPM before an operating system runs."""
    assert qemu.init() == 0
    assert qemu.set_locality(0) == 0
    tpm = Tpm(qemu)
    tpm.startup()
    tpm.self_test()
    for pcr in range(8):
        tpm.extend(pcr, sha1(bytes([pcr])))
    for pcr in (8, 9, 10, 11):
        tpm.extend(pcr, sha1(boot_loader))
    return tpm


def test_bitlocker_seals_its_key_to_the_boot(host, instance):
    """The sequence of a Windows that cannot run here: owner, key sealed to PCRs, unsealed at boot."""
    control = instance(7)
    qemu = Qemu(control)
    tpm = boot(qemu)

    # The TPM's driver and management console look around.
    assert tpm.get_capability(spec.TPM_CAP_VERSION_VAL)[2:4] == b"\1\2"
    assert tpm.get_property(spec.TPM_CAP_PROP_PCR) == 24
    assert len(tpm.get_capability(spec.TPM_CAP_FLAG, spec.TPM_CAP_FLAG_PERMANENT)) >= 22
    assert not tpm.has_owner()
    assert [len(tpm.get_random(16)), len(tpm.get_random(32))] == [16, 32]

    # Ownership with a random secret, SRK with the well-known one; the volume's key is sealed.
    owner, pin = sha1(tpm.get_random(20)), sha1(b"PIN")
    tpm.take_ownership(owner)
    pcrs = {pcr: tpm.pcr_read(pcr) for pcr in (0, 2, 4, 5, 8, 9, 10, 11)}
    volume_key = tpm.get_random(32)
    protectors = [tpm.seal(spec.TPM_KH_SRK, WELL_KNOWN, auth, volume_key, info(pcrs))
                  for auth in (WELL_KNOWN, pin) for info in (pcr_info, pcr_info_long)]

    # Guest reset: QEMU sends INIT again, the boot loader opens the volume.
    tpm = boot(qemu)
    for auth, blob in zip((WELL_KNOWN, WELL_KNOWN, pin, pin), protectors):
        assert tpm.unseal(spec.TPM_KH_SRK, WELL_KNOWN, auth, blob) == volume_key
    # It then closes the door behind it.
    tpm.extend(11, sha1(b"separator"))
    with pytest.raises(TpmError, match="TPM_WRONGPCRVAL"):
        tpm.unseal(spec.TPM_KH_SRK, WELL_KNOWN, WELL_KNOWN, protectors[0])

    # The machine is switched off, and started with another boot loader, then with the right one.
    assert qemu.request(qemu.SHUTDOWN)[0] == 0
    qemu.close()
    qemu = Qemu(control)
    with pytest.raises(TpmError, match="TPM_WRONGPCRVAL"):
        boot(qemu, b"evil maid").unseal(spec.TPM_KH_SRK, WELL_KNOWN, pin, protectors[2])
    tpm = boot(qemu)
    assert tpm.unseal(spec.TPM_KH_SRK, WELL_KNOWN, pin, protectors[2]) == volume_key
    with pytest.raises(TpmError, match="TPM_AUTH2FAIL"):
        tpm.unseal(spec.TPM_KH_SRK, WELL_KNOWN, sha1(b"guess"), protectors[2])
    qemu.close()


def test_windows_provisions_its_tpm(host, instance):
    """What else Windows and the firmware under it do: presence, capabilities, its own NV area, seals
    for one locality, and the dictionary attack lock with its reset."""
    qemu = host.closes(Qemu(instance(7)))
    assert qemu.init() == 0
    tpm = Tpm(qemu)
    tpm.startup()

    # The firmware's menu switches the TPM on, then locks presence: nobody clears it from Windows.
    for presence in (spec.TPM_PHYSICAL_PRESENCE_CMD_ENABLE, spec.TPM_PHYSICAL_PRESENCE_PRESENT):
        tpm.command(spec.TSC_ORD_PhysicalPresence, u16(presence))
    tpm.command(spec.TPM_ORD_PhysicalEnable)
    tpm.command(spec.TPM_ORD_PhysicalSetDeactivated, u8(0))
    tpm.command(spec.TSC_ORD_PhysicalPresence, u16(spec.TPM_PHYSICAL_PRESENCE_NOTPRESENT
                                                   | spec.TPM_PHYSICAL_PRESENCE_LOCK))
    flags = tpm.get_capability(spec.TPM_CAP_FLAG, u32(spec.TPM_CAP_FLAG_VOLATILE))
    assert flags[2 + spec.TPM_SF_PHYSICALPRESENCE - 1] == 0
    assert flags[2 + spec.TPM_SF_PHYSICALPRESENCELOCK - 1] == 1
    with pytest.raises(TpmError, match="TPM_BAD_PRESENCE"):
        tpm.command(spec.TPM_ORD_ForceClear)
    with pytest.raises(TpmError, match="TPM_BAD_PARAMETER"):
        tpm.command(spec.TSC_ORD_PhysicalPresence, u16(spec.TPM_PHYSICAL_PRESENCE_PRESENT))

    # TPM base services: who are you, how long do you take, what may be blocked.
    assert tpm.get_capability(spec.TPM_CAP_PROPERTY, u32(spec.TPM_CAP_PROP_MANUFACTURER)) == b"VTPM"
    for prop, count in ((spec.TPM_CAP_PROP_TIS_TIMEOUT, 4), (spec.TPM_CAP_PROP_DURATION, 3)):
        times = tpm.get_capability(spec.TPM_CAP_PROPERTY, u32(prop))
        assert len(times) == 4 * count and u32(0) not in (times[:4], times[-4:])
    for ordinal in (spec.TPM_ORD_Seal, spec.TPM_ORD_Unseal, spec.TPM_ORD_ResetLockValue):
        assert tpm.get_capability(spec.TPM_CAP_ORD, u32(ordinal)) == b"\1"
    assert tpm.read_pubek()

    owner, auth = sha1(tpm.get_random(20)), sha1(b"area")
    tpm.take_ownership(owner)
    with pytest.raises(TpmError, match="TPM_DISABLED_CMD"):
        tpm.read_pubek()  # the owner's from now on
    permission = spec.TPM_NV_PER_AUTHREAD | spec.TPM_NV_PER_AUTHWRITE
    tpm.nv_define(owner, 0x11500, 32, permission, auth)
    tpm.nv_write_auth(0x11500, b"provisioned", auth)
    assert u32(0x11500) in tpm.get_capability(spec.TPM_CAP_NV_LIST)
    assert tpm.nv_read_auth(0x11500, 11, auth) == b"provisioned"

    # Sealed for the boot loader at locality 0, and for a hypervisor that was launched at 2.
    values = {11: tpm.pcr_read(11)}
    at_0, at_2 = (tpm.seal(spec.TPM_KH_SRK, WELL_KNOWN, auth, b"key",
                           pcr_info_long(values, at_creation=1, at_release=1 << locality))
                  for locality in (0, 2))
    assert tpm.unseal(spec.TPM_KH_SRK, WELL_KNOWN, auth, at_0) == b"key"
    with pytest.raises(TpmError, match="TPM_BAD_LOCALITY"):
        tpm.unseal(spec.TPM_KH_SRK, WELL_KNOWN, auth, at_2)
    assert qemu.set_locality(2) == 0
    assert tpm.unseal(spec.TPM_KH_SRK, WELL_KNOWN, auth, at_2) == b"key"
    assert qemu.set_locality(0) == 0

    # Guesses end in a lock, until the owner opens it.
    result = None
    while result != spec.TPM_DEFEND_LOCK_RUNNING:
        with pytest.raises(TpmError) as error:
            tpm.unseal(spec.TPM_KH_SRK, WELL_KNOWN, sha1(b"guess"), at_0)
        result = error.value.result
        assert result in (spec.TPM_AUTH2FAIL, spec.TPM_DEFEND_LOCK_RUNNING)
    tpm.command(spec.TPM_ORD_ResetLockValue, sessions=[tpm.oiap(owner)])
    assert tpm.unseal(spec.TPM_KH_SRK, WELL_KNOWN, auth, at_0) == b"key"
