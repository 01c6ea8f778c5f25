"""What each step in a domain's life does to its TPM."""
ZERO = "00" * 20


def test_guest_has_a_fresh_tpm_at_each_boot(guest, uuids):
    one = guest(uuids=[uuids[0]]).create()
    assert one.pcr(1) == ZERO
    value = one.extend(1, "a")
    assert one.pcr(1) == value != ZERO
    one.destroy()
    one.create()
    assert one.pcr(1) == ZERO


def test_save_and_restore_keep_the_volatile_state(guest, uuids):
    one = guest(uuids=[uuids[0]]).create()
    value = one.extend(10, "b")
    one.save()
    one.restore()
    assert one.pcr(10) == value
    assert one.extend(10, "c") != value


def test_boot_after_a_save_is_a_boot(guest, uuids):
    one = guest(uuids=[uuids[0]]).create()
    one.extend(10, "b")
    one.save()
    one.create()
    assert one.pcr(10) == ZERO


def test_checkpoint_changes_nothing(guest, uuids):
    one = guest(uuids=[uuids[0]]).create()
    value = one.extend(10, "b")
    one.save("-c")
    assert one.pcr(10) == value


def test_tpm_is_attached_to_and_detached_from_a_running_guest(dom0, guest, uuids):
    uuid = uuids[0]
    one = guest().create()
    assert one.run("ls /dev/tpm*", check=False).endswith("No such file or directory")
    dom0.sh(f"xl vtpm-attach {one.name} backend=0 uuid={uuid}")
    one.run("until [ -e /dev/tpm0 ]; do sleep 1; done")
    instance = dom0.store(f"{one.back_end()}/instance")
    one.extend(3, "d")
    dom0.sh(f"xl vtpm-detach {one.name} 0")
    dom0.wait_gone(one.back_end())
    one.run("while ls /dev/tpm*; do sleep 1; done")
    dom0.sh(f"xl vtpm-attach {one.name} backend=0 uuid={uuid}")
    one.run("until ls /dev/tpm*; do sleep 1; done")
    assert dom0.store(f"{one.back_end()}/instance") == instance
    assert one.pcr(3) == ZERO


def test_driver_that_loads_late_finds_its_tpm(dom0, guest, uuids):
    one = guest(uuids=[uuids[0]], arguments="nomods=1").create()
    assert dom0.store(f"{one.back_end()}/state") == "2"
    one.run("load_tpm")
    assert one.pcr(1) == ZERO


def test_two_tpms_of_one_guest_are_two(guest, uuids):
    one = guest(uuids=uuids[:2]).create()
    one.extend(5, "e")
    assert one.run("grep -h PCR-05 /sys/class/tpm/tpm*/pcrs | sort | uniq -c | wc -l") == "2"


def test_tpm_of_a_running_guest_is_refused_to_another(dom0, guest, uuids):
    uuid = uuids[0]
    one = guest(uuids=[uuid]).create()
    two = guest("2", uuids=[uuid]).create()
    why = dom0.store(f"{two.back_end()}/hotplug-error")
    assert uuid in why and f"domain {one.domid()}" in why
    assert one.extend(1, "f") == one.pcr(1)


def test_three_guests_have_three_tpms(guest, uuids):
    guests = [guest(str(i), uuids=[uuids[i]]).create() for i in range(3)]
    values = [one.extend(4, i) for i, one in enumerate(guests)]
    assert len(set(values)) == 3
    assert [one.pcr(4) for one in guests] == values


def test_pvh_guest_is_saved_and_restored(guest, uuids):
    one = guest(uuids=[uuids[0]], kind="pvh").create()
    assert one.pcr(10) == ZERO
    value = one.extend(10, "b")
    one.save()
    one.restore()
    assert one.pcr(10) == value
    one.destroy()
    one.create()
    assert one.pcr(10) == ZERO


def test_destroyed_guest_leaves_no_zombie(dom0, guest, uuids):
    one = guest(uuids=[uuids[0]]).create()
    domid, back_end = one.domid(), one.back_end()
    one.run("(while pcr 1 >/dev/null; do :; done) >/dev/null 2>&1 &")
    one.destroy()
    dom0.wait_gone(back_end)
    assert domid not in dom0.sh("xl list | awk '{ print $2 }'").split()
