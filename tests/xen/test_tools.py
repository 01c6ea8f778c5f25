"""TrouSerS and tpm-tools inside a guest: an owner, sealed secrets, NV storage and quotes, over save and
restore and a reboot."""
from base64 import b64decode, b64encode

import pytest

from xenlab import Failed
from trousers import minimal_der  # xenlab knows where it is

ZERO = "00" * 20
NOTE = "sixteen-bytes-in"
PCR = 11  # that no other test extends
SYSTEM_DATA = "/var/lib/tpm/system.data"


def fetch(guest, *names):
    """A guest's files: {name: base64}. It has no disk, a boot begins with none."""
    return {name: guest.run(f"base64 {name} | tr -d '\\n'") for name in names}


def put(guest, files):
    for name, data in files.items():
        guest.run(f"echo {data} | base64 -d >{name}")


def extend(guest, number, byte):
    """While nobody else has the TPM."""
    guest.run("stop_tcsd")
    value = guest.extend(number, byte)
    guest.run("start_tcsd")
    return value


@pytest.fixture(scope="module")
def owner_files():
    """What TrouSerS remembers of a TPM with an owner."""
    return {}


@pytest.fixture
def owned(pv, owner_files):
    """The guest pv, with tcsd, and an owner with the well-known secret."""
    put(pv, owner_files)
    pv.run("start_tcsd")
    if not owner_files:
        pv.run("tpm_takeownership -y -z")
        owner_files |= fetch(pv, SYSTEM_DATA)
    yield pv
    pv.run("stop_tcsd")


def test_owner_seal_and_nv_last_over_save_and_reboot(owned):
    assert "VTPM" in owned.run("tpm_version")
    assert "Public Endorsement Key" in owned.run("tpm_getpubek -z")
    owned.run("tpm_nvdefine -i 0x1001 -s 16 -p 'OWNERWRITE|OWNERREAD' -y --owner-well-known &&"
              f" echo -n {NOTE} >/tmp/nv && tpm_nvwrite -i 0x1001 -f /tmp/nv -z")
    value = extend(owned, PCR, "bb")
    owned.run(f"echo secret >/tmp/s && tpm_sealdata -z -p {PCR} -i /tmp/s -o /tmp/bound &&"
              " tpm_sealdata -z -i /tmp/s -o /tmp/free")

    def assert_all_is_there():
        assert owned.run("tpm_unsealdata -z -i /tmp/bound && tpm_unsealdata -z -i /tmp/free") == \
            "secret\nsecret"
        assert NOTE in owned.run("tpm_nvread -i 0x1001 -z -f /tmp/out && cat /tmp/out")

    owned.save()
    owned.restore()
    owned.run("stop_tcsd; start_tcsd")
    assert_all_is_there()
    files = fetch(owned, "/tmp/bound", "/tmp/free", SYSTEM_DATA)

    # What is bound to a PCR waits for that to be as it was.
    owned.reboot()
    assert owned.pcr(PCR) == ZERO != value
    put(owned, files)
    owned.run("start_tcsd")
    assert owned.run("tpm_unsealdata -z -i /tmp/free") == "secret"
    assert "secret" not in owned.run("tpm_unsealdata -z -i /tmp/bound", check=False)
    assert extend(owned, PCR, "bb") == value
    assert_all_is_there()


def test_quote_is_verified(owned):
    quote = f"cd /tmp && tpm_getquote uuid nonce quote {PCR} && tpm_verifyquote pub hash nonce quote"
    owned.run("cd /tmp && tpm_mkuuid uuid && tpm_mkaik -z blob pub && tpm_loadkey blob uuid &&"
              f" echo -n 20-bytes-of-a-nonce. >nonce && tpm_getpcrhash uuid hash values {PCR}")
    put(owned, {name: b64encode(minimal_der(b64decode(key))).decode()
                for name, key in fetch(owned, "/tmp/pub").items()})
    owned.run(quote)
    extend(owned, PCR, "cc")
    with pytest.raises(Failed):
        owned.run(quote)
