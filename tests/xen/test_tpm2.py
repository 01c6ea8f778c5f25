"""A host whose physical TPM is a TPM 2.0."""


def test_guest_on_a_host_with_tpm2(dom0_tpm2, uuid_tpm2):
    dom0 = dom0_tpm2
    assert "2.0" in dom0.sh("vtpmctl status")
    one = dom0.guest("tpm2", uuids=[uuid_tpm2]).create()
    value = one.extend(10, "bb")
    dom0.kill_manager()
    dom0.start_manager()
    assert one.pcr(10) == value
    one.discard()
