"""What each step in a domain's life does to its TPM."""
from xenlab import extended

ZERO = "00" * 20


def test_tpms_of_three_guests_are_three(pv, pvh, other):
    guests = {pv: "aa", pvh: "bb", other: "cc"}
    values = {one: extended(one.pcr(4), byte) for one, byte in guests.items()}
    for one, byte in guests.items():
        one.extend(4, byte)
    assert {one: one.pcr(4) for one in guests} == values


def test_second_tpm_is_attached_to_a_running_guest_and_detached(dom0, pv, spare):
    first = pv.pcr(3)
    pv.attach(spare[0])
    assert pv.pcr(3, handle=1) == ZERO
    instance = dom0.store(f"{pv.back_end(1)}/instance")
    pv.extend(3, "dd", handle=1)
    pv.detach(1)
    pv.run("while [ -e /sys/bus/xen/devices/vtpm-1 ]; do usleep 200000; done")
    pv.attach(spare[0])
    assert pv.pcr(3, handle=1) == ZERO
    assert dom0.store(f"{pv.back_end(1)}/instance") == instance
    assert pv.pcr(3) == first
    pv.detach(1)


def test_driver_that_comes_late_or_again_finds_its_tpm(dom0, pv, spare):
    value = pv.extend(5, "ee")
    pv.run("unbind 0; echo 0 >/sys/bus/xen/drivers_autoprobe")
    pv.attach(spare[0])
    assert dom0.store(f"{pv.back_end(1)}/state") == "2"
    pv.run("bind 0; bind 1; echo 1 >/sys/bus/xen/drivers_autoprobe")
    assert pv.pcr(5) == value
    assert pv.pcr(5, handle=1) == ZERO
    pv.detach(1)


def test_tpm_of_a_running_guest_is_refused_to_another(dom0, pv, other):
    value = pv.pcr(1)
    other.attach(pv.uuid)
    why = dom0.store(f"{other.back_end(1)}/hotplug-error")
    assert pv.uuid in why and f"domain {pv.domid}" in why
    other.detach(1)
    assert pv.extend(1, "ff") == extended(value, "ff")


def test_pause_rename_and_checkpoint_change_nothing(dom0, pv):
    value = pv.extend(10, "bb")
    dom0.sh(f"xl pause {pv.name} && xl rename {pv.name} renamed && xl unpause renamed &&"
            f" xl save -c renamed /tmp/checkpoint && rm /tmp/checkpoint && xl rename renamed {pv.name}")
    assert pv.pcr(10) == value


def test_saved_state_outlives_the_manager(dom0, pv):
    value = pv.extend(10, "bb")
    pv.save()
    dom0.kill_manager()
    dom0.start_manager()
    pv.restore()
    assert pv.pcr(10) == value
    assert pv.extend(10, "cc") == extended(value, "cc")


def test_boot_after_a_save_is_a_boot(pv):
    pv.extend(10, "bb")
    pv.save()
    pv.create()
    assert pv.pcr(10) == ZERO


def test_pvh_guest_is_saved_restored_and_booted_anew(dom0, pvh):
    value = pvh.extend(10, "bb")
    pvh.save()
    pvh.restore()
    assert pvh.pcr(10) == value
    back_end = pvh.back_end()
    pvh.destroy()
    dom0.wait_gone(back_end)
    pvh.create()
    assert pvh.pcr(10) == ZERO
