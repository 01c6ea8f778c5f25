"""Programs and guests that die in the middle."""
import hashlib
import re

ZERO = "00" * 20
# Extends PCR 12 so often, and counts what is not answered with success.
LOAD = ("n=0; bad=0; while [ $n -lt {count} ]; do n=$((n + 1)); case $(extend 12 a) in"
        " 00c40000001e00000000*) ;; *) bad=$((bad + 1)) ;; esac; done; echo bad=$bad >/tmp/load")


def expected(count):
    value = bytes(20)
    for _ in range(count):
        value = hashlib.sha1(value + b"\xaa" * 20).digest()
    return value.hex()


def under_load(one, act, count=60):
    """Every extend of a guest is done once, whatever act does meanwhile."""
    one.run(f"rm -f /tmp/load; ({LOAD.format(count=count)}) >/dev/null 2>&1 &")
    act()
    assert one.run("until [ -e /tmp/load ]; do sleep 1; done; cat /tmp/load",
                   timeout=280) == "bad=0"
    assert one.pcr(12) == expected(count)


def test_killed_instance_is_not_noticed_by_its_guest(dom0, guest, uuids):
    one = guest(uuids=[uuids[0]]).create()

    def kill():
        for _ in range(3):
            dom0.sh("sleep 1; pkill -9 -f 'vtpmd .* clear pvm'")

    under_load(one, kill)


def test_killed_manager_is_not_noticed_by_a_guest(dom0, guest, uuids):
    one = guest(uuids=[uuids[0]]).create()

    def kill():
        for _ in range(2):
            dom0.sh("sleep 1")
            dom0.kill_manager()
            dom0.start_manager()

    under_load(one, kill)


def test_guest_that_boots_while_no_manager_runs_waits_for_it(dom0, guest, uuids):
    one = guest(uuids=[uuids[0]])
    dom0.kill_manager()
    dom0.sh(f"xl create {one.config} >/tmp/create.log 2>&1 </dev/null &")
    dom0.sh("sleep 2")
    dom0.start_manager()
    dom0.sh(f"wait_console {one.name} GUEST-UP 200")
    assert one.pcr(1) == ZERO


def test_guest_that_dies_in_the_middle_of_a_command_leaves_nothing(dom0, guest, uuids):
    one = guest(uuids=[uuids[0]]).create()
    back_end = one.back_end()
    one.run(f"({LOAD.format(count=1000)}) >/dev/null 2>&1 &")
    # The guest may be dead before it has told its status.
    one.run("(sleep 2; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &", check=False)
    dom0.wait_gone(back_end, timeout=60)
    dom0.sh("timeout 60 sh -c 'while xl list | grep -q null; do sleep 1; done'")
    assert one.name not in dom0.sh("xl list")


def test_saved_state_outlives_the_manager(dom0, guest, uuids):
    one = guest(uuids=[uuids[0]]).create()
    value = one.extend(10, "b")
    one.save()
    dom0.kill_manager()
    dom0.start_manager()
    one.restore()
    assert one.pcr(10) == value


def test_guest_is_not_disturbed_by_a_hanging_script(dom0, guest, uuids):
    dom0.sh("mv /etc/xen/scripts/vtpm /etc/xen/scripts/vtpm.real; cat >/etc/xen/scripts/vtpm"
            " <<'END'\n#!/bin/sh\n"
            f"[ \"$VTPM_UUID\" = {uuids[1]} ] && exec sleep 60\n"
            "exec /etc/xen/scripts/vtpm.real \"$@\"\nEND\nchmod 755 /etc/xen/scripts/vtpm")
    try:
        guest("2", uuids=[uuids[1]], arguments="nomods=1").create()
        one = guest(uuids=[uuids[0]]).create()
        assert one.pcr(1) == ZERO
    finally:
        dom0.sh("mv /etc/xen/scripts/vtpm.real /etc/xen/scripts/vtpm")


def test_hostile_front_end_in_dom0(dom0, guest, uuids):
    one = guest(uuids=[uuids[0]]).create()
    value = one.extend(1, "a")
    send = f"frontend --uuid {uuids[1]}"
    assert dom0.sh(f"{send} send 00c10000000e0000001500000001").startswith("00c40000001e00000000")
    assert dom0.sh(f"{send} --locality 4 send 00c10000000e0000001500000001") == \
        "00c40000000a0000003d"
    for action in ("flood 20000", "scribble 500"):
        assert "answered" in dom0.sh(f"{send} {action}")
    assert re.match(r"50 commands", dom0.sh(f"{send} load 50"))
    dom0.sh(f"{send} --handle 9 die")
    assert one.pcr(1) == value
