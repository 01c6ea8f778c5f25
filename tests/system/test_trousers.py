"""tpm-tools through TrouSerS against a vtpmd, over TCP."""
import pytest

from tpm12 import Tpm, sha1
from transport import Raw
from trousers import Trousers, minimal_der

TPM_PORT = 6545
NV = ("-i", "0x1001", "-s", "16")


class Rig:
    """A vtpmd on TCP with tcsd before it."""

    def __init__(self, host, network):
        self.host, self.network = host, network
        self._power_on()
        self.tss = Trousers(host, network, TPM_PORT)
        self.run = self.tss.run

    def _power_on(self):
        self.vtpmd = self.host.vtpmd(address=f"tcp:127.0.0.1:{TPM_PORT}", namespace=self.network)

    def restart(self):
        """kill -9 of vtpmd, and both started again."""
        self.tss.stop()
        self.vtpmd.kill9()
        self._power_on()
        self.tss.start()

    def extend(self, pcr):
        """Extends a PCR, behind tcsd's back."""
        self.tss.stop()
        transport = Raw(self.network.connect(self.vtpmd.address))
        Tpm(transport).extend(pcr, sha1(b"a change"))
        transport.close()
        self.tss.start()


@pytest.fixture
def rig(host, network):
    return Rig(host, network)


@pytest.fixture
def owned(rig):
    """A rig whose TPM has an EK and an owner, all secrets well-known."""
    rig.run("tpm_createek")
    rig.run("tpm_takeownership", "-y", "-z")
    return rig


def test_version_and_self_test(rig):
    assert "Spec Level:          2" in rig.run("tpm_version")
    assert "TPM Test Results:" in rig.run("tpm_selftest")


def test_ownership_needs_an_endorsement_key(rig):
    assert "code=0023" in rig.run("tpm_takeownership", "-y", "-z", fails=True)
    rig.run("tpm_createek")
    rig.run("tpm_takeownership", "-y", "-z")
    assert "Key Size:          2048 bits" in rig.run("tpm_getpubek", "-z")


def test_sealed_data_outlives_kill_9(owned, host):
    secret, sealed, opened = host.path("secret"), host.path("sealed"), host.path("opened")
    secret.write_bytes(bytes(range(256)) * 3)
    owned.run("tpm_sealdata", "-z", "-i", secret, "-o", sealed)
    owned.run("tpm_unsealdata", "-z", "-i", sealed, "-o", opened)
    assert opened.read_bytes() == secret.read_bytes()

    opened.unlink()
    owned.restart()
    owned.run("tpm_unsealdata", "-z", "-i", sealed, "-o", opened)
    assert opened.read_bytes() == secret.read_bytes()


def test_data_sealed_to_a_pcr_opens_only_as_long_as_it_is_unchanged(owned, host):
    sealed = host.path("sealed")
    sealed.write_text(owned.run("tpm_sealdata", "-z", "-p", "10", stdin=b"secret"))
    owned.run("tpm_unsealdata", "-z", "-i", sealed, "-o", host.path("opened"))
    assert host.path("opened").read_bytes() == b"secret"

    owned.extend(10)
    owned.run("tpm_unsealdata", "-z", "-i", sealed, fails=True)


def test_nv_storage(owned, host):
    data = host.path("data")
    owned.run("tpm_nvdefine", *NV, "-p", "OWNERREAD|OWNERWRITE", "-y")
    owned.run("tpm_nvwrite", *NV, "-z", "-d", "sixteen bytes...")
    owned.run("tpm_nvread", *NV, "-z", "-f", data)
    assert data.read_bytes() == b"sixteen bytes..."
    owned.restart()
    data.unlink()
    owned.run("tpm_nvread", *NV, "-z", "-f", data)
    assert data.read_bytes() == b"sixteen bytes..."
    assert "0x00001001" in owned.run("tpm_nvinfo")
    owned.run("tpm_nvrelease", "-i", "0x1001", "-y")
    owned.run("tpm_nvread", *NV, "-z", "-f", data, fails=True)


def test_owner_password_changes(owned):
    owned.run("tpm_changeownerauth", "-o", "-z", typed="new password\nnew password\n")
    define = ("tpm_nvdefine", *NV, "-p", "OWNERREAD|OWNERWRITE")
    assert "Authentication failed" in owned.run(*define, "-y", fails=True)
    owned.restart()
    owned.run(*define, "--pwdo=new password")
    owned.run("tpm_nvrelease", "-i", "0x1001", "--pwdo=new password")
    owned.run("tpm_changeownerauth", "-o", "-r", typed="new password\n")
    owned.run(*define, "-y")


def test_srk_password_changes(owned):
    owned.run("tpm_changeownerauth", "-s", "-z", typed="srk\nsrk\n")
    assert "Authentication failed" in owned.run("tpm_sealdata", "-z", stdin=b"x", fails=True)


def test_quote_tools_attest_the_pcrs(owned, host):
    uuid, blob, public, nonce, quote, expected, values = map(
        host.path, ("uuid", "aik", "aik.pub", "nonce", "quote", "hash", "values"))
    nonce.write_bytes(sha1(b"a fresh nonce"))
    owned.run("tpm_mkuuid", uuid)
    owned.run("tpm_mkaik", "-z", blob, public)
    public.write_bytes(minimal_der(public.read_bytes()))
    owned.run("tpm_loadkey", blob, uuid)
    owned.run("tpm_getpcrhash", uuid, expected, values, "0", "10")
    owned.run("tpm_getquote", uuid, nonce, quote, "0", "10")
    owned.run("tpm_verifyquote", public, expected, nonce, quote)

    owned.extend(10)
    owned.run("tpm_getquote", uuid, nonce, quote, "0", "10")
    owned.run("tpm_verifyquote", public, expected, nonce, quote, fails=True)
