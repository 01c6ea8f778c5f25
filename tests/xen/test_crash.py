"""Programs and guests that die in the middle, scripts that hang, and guests that mean harm."""
import pytest

from xenlab import Load

ZERO = "00" * 20
PCR_READ = "00c10000000e0000001500000001"


@pytest.fixture
def no_zombies(dom0):
    yield
    dom0.sh_until("! xl list | grep -q null")


def test_killed_instance_is_not_noticed_by_its_guest(dom0, pv):
    load = Load(pv)
    instance = dom0.store(f"{pv.back_end()}/instance")
    for _ in range(3):
        dom0.sh(f"old=$(pgrep -f 'vtpmd .* {instance}$'); kill -9 $old;"
                f" until pgrep -f 'vtpmd .* {instance}$' | grep -qvx $old; do sleep 0.2; done")
    load.assert_each_was_done_once()


def test_killed_manager_is_not_noticed_by_a_guest(dom0, pv):
    load = Load(pv)
    for _ in range(2):
        dom0.kill_manager()
        dom0.start_manager()
    load.assert_each_was_done_once()


def test_guest_is_not_disturbed_by_a_hanging_script(dom0, pv, other, spare):
    hanging, good = spare
    dom0.sh("cd /etc/xen/scripts && mv vtpm vtpm.real && cat >vtpm <<'END' && chmod 755 vtpm\n"
            f"#!/bin/sh\n[ \"$VTPM_UUID\" != {hanging} ] || exec sleep 1000\n"
            "exec /etc/xen/scripts/vtpm.real \"$@\"\nEND")
    try:
        other.attach(hanging)
        pv.attach(good)
        assert pv.pcr(1, handle=1) == ZERO
        pv.detach(1)
        other.detach(1)
    finally:
        dom0.sh("mv /etc/xen/scripts/vtpm.real /etc/xen/scripts/vtpm; pkill -x sleep")


def hostile_front_end(run, front_end):
    """All that a front-end can do to the back-end, run by run()."""
    assert run(f"{front_end} send {PCR_READ}")[:20] == "00c40000001e00000000"
    assert run(f"{front_end} --locality 4 send {PCR_READ}") == "00c40000000a0000003d"
    for action in ("flood 20000", "scribble 500"):
        assert "answered" in run(f"{front_end} {action}")
    assert "50 commands" in run(f"{front_end} load 50")


def test_hostile_front_end_in_dom0_disturbs_no_guest(dom0, pv, spare):
    value = pv.extend(1, "aa")
    hostile_front_end(dom0.sh, f"frontend --uuid {spare[0]}")
    dom0.sh(f"frontend --uuid {spare[0]} --handle 9 die")
    dom0.sh("xenstore-rm /local/domain/0/backend/vtpm/0/9")
    assert pv.pcr(1) == value


def test_guest_that_scribbles_over_its_ring_disturbs_no_other(pv, other, no_zombies):
    value = pv.extend(1, "aa")
    other.run("unbind 0")
    front_end = "frontend --guest --handle 0"
    hostile_front_end(other.run, front_end)
    other.run(f"{front_end} die")
    # Whoever comes after it has a ring of its own.
    other.run("bind 0")
    other.pcr(1)
    assert pv.pcr(1) == value


@pytest.mark.parametrize("end", ["destroyed", "crashed"])
def test_guest_that_ends_in_the_middle_of_a_command_leaves_nothing(dom0, other, no_zombies, end):
    Load(other)
    back_end = other.back_end()
    if end == "destroyed":
        other.destroy()
    else:
        other.is_up = False
        other.start("echo c >/proc/sysrq-trigger")
    dom0.wait_gone(back_end)
    dom0.sh_until(f"! xl domid {other.name} 2>/dev/null")
