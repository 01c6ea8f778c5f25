"""HVM guests: an unmodified QEMU, SeaBIOS and Linux on an instance's control socket."""
import base64
import uuid

import pytest

from contract import manager
from host import until
from machine import Machine, event_log
from tpm12 import sha1

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
