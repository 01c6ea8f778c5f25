"""The manager on a host with a chip that nobody here wrote, TPM 1.2 and 2.0.

A chip may change its PCRs, belong to somebody else, or go away in the middle.
"""
import json
import subprocess

import pytest

from chip import DAILY_PCR, ECC, RSA, WithoutEcc, extend_chip
from contract import spec
from host import until
from tpm12 import Tpm, TpmError, sha1
from transport import FifoBackend, Raw

# What is wrong with the second parameter of a command
TYPE, CURVE, HASH = 0x2CA, 0x2E6, 0x2C3
GUEST, OTHER = "2f0c7c1a-0b1e-4a51-9c55-0d8f5f3a9b01", "2f0c7c1a-0b1e-4a51-9c55-0d8f5f3a9b02"
OWNER, SRK, DATA = sha1(b"owner"), bytes(20), sha1(b"data")


def anchor(host):
    return json.loads(host.vtpmctl("status", "--json").stdout)["tpm-anchor"]


def guest(host, number):
    return Tpm(host.closes(FifoBackend(host.run_dir)).guest(number))


def refused_start(host, *options):
    """Starts a manager that must not start; returns what it says. The state stays as it is."""
    before = {path.name: path.read_bytes() for path in host.state_dir.iterdir()}
    manager = host.manager(*host.tpm_option, *options, wait=False)
    assert manager.wait(60) == 1
    assert {path.name: path.read_bytes() for path in host.state_dir.iterdir()} == before
    return manager.log()


def stop(manager):
    """As before a reboot: closes all instances."""
    manager.send_signal(2)
    assert manager.wait(60) == 0


def test_what_a_guest_sealed_is_there_after_a_reboot_of_the_host(host, chip):
    manager = host.manager(*host.tpm_option)
    host.vtpmctl("define", GUEST, "--id", 3)
    host.vtpmctl("open", GUEST)
    tpm = guest(host, 3)
    tpm.take_ownership(OWNER, SRK)
    sealed = tpm.seal(spec.TPM_KH_SRK, SRK, DATA, b"a secret")
    stop(manager)
    chip.kill9()
    host.chip()
    host.manager(*host.tpm_option)
    host.vtpmctl("open", GUEST)
    assert guest(host, 3).unseal(spec.TPM_KH_SRK, SRK, DATA, sealed) == b"a secret"


def test_guests_and_saves_go_on_while_the_chip_is_away(host, chip):
    manager = host.manager(*host.tpm_option)
    host.vtpmctl("define", GUEST, "--id", 3)
    host.vtpmctl("open", GUEST)
    tpm = guest(host, 3)
    chip.kill9()
    tpm.take_ownership(OWNER, SRK)  # changes permanent state: it is saved before it is answered
    host.vtpmctl("define", OTHER)
    host.vtpmctl("open", OTHER)
    refused = host.vtpmctl("reseal", "none", check=False)
    assert refused.returncode == 1 and "cannot be reached" in refused.stderr + manager.log()
    host.chip()
    host.vtpmctl("reseal", "none")
    assert "is away" in manager.log() and "is back" in manager.log()
    stop(manager)
    host.manager(*host.tpm_option)
    host.vtpmctl("open", GUEST)
    with pytest.raises(TpmError):
        guest(host, 3).take_ownership(OWNER, SRK)


def test_changed_pcrs_are_named_and_nothing_is_changed(host, chip):
    pcrs = ("--tpm-pcrs", f"0,{DAILY_PCR}")
    stop(host.manager(*host.tpm_option, *pcrs))
    stop(host.manager(*host.tpm_option, *pcrs))
    extend_chip(host)
    said = refused_start(host, *pcrs)
    assert f"PCR {DAILY_PCR} " in said and "PCR 0 " not in said and "reseal" in said
    # After a boot of what was booted before, it opens again, and an upgrade can be announced.
    chip.kill9()
    host.chip()
    manager = host.manager(*host.tpm_option, *pcrs)
    host.vtpmctl("reseal", "none")
    stop(manager)
    extend_chip(host)
    manager = host.manager(*host.tpm_option, *pcrs)
    host.vtpmctl("reseal", pcrs[1])
    stop(manager)
    stop(host.manager(*host.tpm_option, *pcrs))
    extend_chip(host)
    refused_start(host, *pcrs)


def test_the_state_of_another_host_is_refused(host, chip):
    stop(host.manager(*host.tpm_option))
    chip.kill9()
    for path in host.path("chip.dir").iterdir():
        path.unlink()
    host.chip()
    said = refused_start(host)
    assert "another host" in said


def test_an_old_copy_of_the_whole_state_is_refused(host, chip):
    manager = host.manager(*host.tpm_option)
    host.vtpmctl("define", GUEST)
    stop(manager)
    old = {path: path.read_bytes() for path in host.state_dir.iterdir()}
    stop(host.manager(*host.tpm_option))
    for path in host.state_dir.iterdir():
        path.write_bytes(old[path])
    assert "old copy" in refused_start(host)
    manager = host.manager(*host.tpm_option, "--accept-rollback")
    assert "ACCEPTS" in manager.log()
    assert GUEST in host.vtpmctl("list").stdout
    stop(manager)
    stop(host.manager(*host.tpm_option))


def test_anchor_follows_changes_and_an_older_copy_is_refused_after_a_crash(host, chip):
    manager = host.manager(*host.tpm_option, "--anchor-seconds", 1)
    old = {path: path.read_bytes() for path in host.state_dir.iterdir()}
    before = anchor(host)
    host.vtpmctl("define", GUEST)
    moved = until(lambda: anchor(host) > before and anchor(host), "the anchor follows the change")
    host.vtpmctl("define", OTHER)
    until(lambda: anchor(host) > moved, "and the next change")
    manager.kill9()
    for path in host.state_dir.iterdir():
        path.unlink()
    for path, data in old.items():
        path.write_bytes(data)
    assert "--accept-rollback" in refused_start(host)


def test_anchor_moves_at_start_and_stop_and_not_with_each_change(host, chip):
    manager = host.manager(*host.tpm_option, "--anchor-seconds", 86400)
    at_start = anchor(host)
    for _ in range(10):
        host.vtpmctl("define", GUEST)
        host.vtpmctl("delete", GUEST)
    assert anchor(host) == at_start
    stop(manager)
    host.manager(*host.tpm_option)
    assert anchor(host) == at_start + 2


@pytest.mark.parametrize("chip", ["2.0"], indirect=True)
@pytest.mark.parametrize("result", [TYPE, CURVE], ids=["type", "curve"])
def test_storage_key_of_a_chip_without_ecc_is_rsa(host, chip, result):
    without = host.closes(WithoutEcc(host, result))
    stop(host.manager(*without.option))
    manager = host.manager(*without.option)
    assert set(without.made) == {ECC, RSA}
    host.vtpmctl("define", GUEST)
    host.vtpmctl("open", GUEST)
    host.vtpmctl("deep-quote", GUEST, "--out", host.path("evidence"))
    host.vtpmctl("verify-quote", host.path("evidence"))
    stop(manager)
    without.close()
    # It was the RSA key that the root key is sealed under: with the other it does not open.
    assert "another host" in refused_start(host)


@pytest.mark.parametrize("chip", ["2.0"], indirect=True)
def test_chip_that_makes_no_storage_key_for_another_reason_is_told(host, chip):
    without = host.closes(WithoutEcc(host, HASH))
    refused = host.manager(*without.option, wait=False)
    assert refused.wait(60) == 1
    assert without.made == [ECC]
    assert f"TPM2_CreatePrimary with 0x{HASH:x}" in refused.log()


@pytest.mark.parametrize("chip", ["1.2"], indirect=True)
def test_chip_that_has_an_owner_is_used_with_the_secrets_from_files(host, chip):
    srk = sha1(b"srk")
    with_owner = Raw(chip.address)
    tpm = Tpm(with_owner)
    tpm.create_ek()
    tpm.take_ownership(OWNER, srk)
    with_owner.close()
    host.path("owner").write_text("owner\n")
    host.path("srk").write_text("hex:" + srk.hex())
    refused = host.manager(*host.tpm_option, wait=False)
    assert refused.wait(60) == 1 and "--tpm-srk-auth" in refused.log()
    secrets = ("--tpm-srk-auth", f"file:{host.path('srk')}")
    stop(host.manager(*host.tpm_option, *secrets, "--tpm-owner-auth-file", host.path("owner")))
    manager = host.manager(*host.tpm_option, *secrets)  # the owner's secret is kept, sealed
    host.vtpmctl("define", GUEST)
    host.vtpmctl("open", GUEST)
    host.vtpmctl("deep-quote", GUEST, "--out", host.path("evidence"))
    stop(manager)


@pytest.mark.parametrize("chip", ["2.0"], indirect=True)
@pytest.mark.parametrize("kind", ["rsa", "ecc"])
def test_an_existing_storage_key_of_the_chip_is_used(host, chip, kind):
    handle = "0x81000123"
    tcti = ("--tcti", f"cmd:socat - UNIX-CONNECT:{host.path('chip.sock')}")
    context = host.path("primary.ctx")
    for command in (("tpm2_createprimary", *tcti, "-C", "o", "-G", kind, "-c", context),
                    ("tpm2_evictcontrol", *tcti, "-C", "o", "-c", context, handle),
                    ("tpm2_flushcontext", *tcti, "-t")):  # without a resource manager they stay
        subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=60)
    options = (*host.tpm_option, "--tpm-storage-handle")
    stop(host.manager(*options, handle))
    host.manager(*options, handle)
    host.vtpmctl("define", GUEST)
    host.vtpmctl("open", GUEST)
    host.vtpmctl("deep-quote", GUEST, "--out", host.path("evidence"))
    host.vtpmctl("verify-quote", host.path("evidence"))
