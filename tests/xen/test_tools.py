"""TrouSerS and tpm-tools inside a guest."""
import pytest

ZERO = "00" * 20


@pytest.fixture
def owned(guest):
    """Makes a guest whose TPM has an owner (well-known secrets), with a running tcsd."""
    def make(uuid):
        one = guest(uuids=[uuid], tools=True).create()
        one.run("start_tcsd && tpm_takeownership -y -z", timeout=280)
        return one
    return make


def test_owner_seal_nv_and_quote_last_over_reboot_and_save(owned, uuids):
    one = owned(uuids[3])
    assert "VTPM" in one.run("tpm_version")
    assert "Public Endorsement Key" in one.run("tpm_getpubek -z")
    one.run("tpm_nvdefine -i 0x1001 -s 16 -p 'OWNERWRITE|OWNERREAD' -y --owner-well-known")
    one.run("echo -n sixteen-bytes-in >/tmp/nv; tpm_nvwrite -i 0x1001 -f /tmp/nv -z")

    # Sealed to a PCR: gone after a reboot, there after save and restore.
    value = one.extend(10, "b")
    one.run("echo secret >/tmp/s; tpm_sealdata -z -p 10 -i /tmp/s -o /tmp/bound;"
            " tpm_sealdata -z -i /tmp/s -o /tmp/free", timeout=280)
    one.save()
    one.restore()
    assert one.pcr(10) == value
    one.run("pkill tcsd; sleep 1; start_tcsd")
    assert one.run("tpm_unsealdata -z -i /tmp/bound") == "secret"
    assert "sixteen-bytes-in" in one.run("tpm_nvread -i 0x1001 -z -f /tmp/out; cat /tmp/out")
    bound = one.run("base64 /tmp/bound | tr -d '\\n'")
    free = one.run("base64 /tmp/free | tr -d '\\n'")
    keys = one.run("base64 /var/lib/tpm/system.data | tr -d '\\n'")

    one.destroy()
    one.create()
    assert one.pcr(10) == ZERO
    one.run(f"echo {bound} | base64 -d >/tmp/bound; echo {free} | base64 -d >/tmp/free;"
            f" echo {keys} | base64 -d >/var/lib/tpm/system.data; start_tcsd")
    assert one.run("tpm_unsealdata -z -i /tmp/free") == "secret"
    assert one.run("tpm_unsealdata -z -i /tmp/bound", check=False) != "secret"
    one.extend(10, "b")
    assert one.run("tpm_unsealdata -z -i /tmp/bound") == "secret"
    assert "sixteen-bytes-in" in one.run("tpm_nvread -i 0x1001 -z -f /tmp/out; cat /tmp/out")


def test_quote_is_verified(owned, uuids):
    one = owned(uuids[4])
    one.run("cd /tmp && tpm_mkuuid uuid && tpm_mkaik -z blob pub && tpm_loadkey blob uuid",
            timeout=280)
    one.run("cd /tmp && echo -n 20-bytes-of-a-nonce. >nonce && tpm_getpcrhash uuid hash values 10"
            " && tpm_getquote uuid nonce quote 10 && tpm_verifyquote pub hash nonce quote")
    one.extend(10, "c")
    one.run("cd /tmp && tpm_getquote uuid nonce quote 10")
    assert one.run("cd /tmp && tpm_verifyquote pub hash nonce quote && echo same",
                   check=False)[-4:] != "same"
