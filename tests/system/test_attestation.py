"""What a vTPM has of its host: PCRs to begin with, deep quotes, a certificate of its key.

Evidence is checked by Python's cryptography alone, from the bytes that docs/deep-quote.md describes.
"""
import hashlib
import json
import socket
import struct
import threading

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from chip import DAILY_PCR, extend_chip
from contract import manager as contract, spec
from host import console_request
from tpm12 import Reader, Tpm, TpmError, pcr_selection, sha1
from transport import FifoBackend, Ioemu, Raw, connect
from trousers import Trousers

UUID = "5b0d3f68-6a1f-4c36-8d19-0f6c8a9d7e01"
UUID_BYTES = bytes.fromhex(UUID.replace("-", ""))
NONCE = sha1(b"a challenge")
TPM_PORT = 6545
FFS = b"\xff" * 20

# TPM2_PCR_Extend(7, password session, a SHA-256 digest)
EXTEND20_SHA256 = bytes.fromhex(
    "80020000004100000182000000070000000940000009000000000000000001000b") + bytes(32)


def chip_pcr(host, index):
    """A PCR of the chip as a TPM 1.2 would have it, by a command of the test's own."""
    if host.version == "1.2":
        command = struct.pack(">HIII", spec.TPM_TAG_RQU_COMMAND, 14, spec.TPM_ORD_PcrRead, index)
    else:  # TPM2_PCR_Read of one PCR of the SHA-1 bank
        select = (1 << index).to_bytes(3, "little")
        command = struct.pack(">HIIIHB3s", 0x8001, 20, 0x17E, 1, 4, 3, select)
    return exchange_chip(host, command)[-20:]


def exchange_chip(host, command):
    """A command of the test's own for the chip."""
    sock = connect(f"unix:{host.path('chip.sock')}")
    sock.sendall(command)
    response = sock.recv(4096)
    sock.close()
    assert response[6:10] == bytes(4)
    return response


def open_guest(host, *define):
    """A running vTPM, and its TPM as the guest has it."""
    number = int(host.vtpmctl("define", UUID, *define).stdout)
    host.vtpmctl("open", UUID)
    return Tpm(host.closes(FifoBackend(host.run_dir)).guest(number))


# PCRs of the host


def test_pcrs_begin_with_the_hosts_at_each_boot(host, chip):
    extend_chip(host)
    host.manager(*host.tpm_option)
    tpm = open_guest(host, "--host-pcrs", f"0,{DAILY_PCR}-8")
    boot = chip_pcr(host, DAILY_PCR)
    assert boot != bytes(20)
    assert tpm.pcr_read(DAILY_PCR) == boot
    assert tpm.pcr_read(6) == tpm.pcr_read(8) == bytes(20)
    tpm.extend(DAILY_PCR, sha1(b"the guest's boot loader"))
    host.vtpmctl("close", UUID)
    extend_chip(host)
    host.vtpmctl("open", UUID)
    assert tpm.pcr_read(DAILY_PCR) == chip_pcr(host, DAILY_PCR) != boot


def test_pcrs_of_a_resumed_guest_stay_its_own(host, chip):
    host.manager(*host.tpm_option)
    tpm = open_guest(host, "--host-pcrs", "all")
    tpm.extend(3, sha1(b"measured"))
    before = tpm.pcr_read(3), tpm.pcr_read(DAILY_PCR)
    host.vtpmctl("suspend", UUID)
    extend_chip(host)
    host.vtpmctl("open", UUID, "--startup", "save")
    assert (tpm.pcr_read(3), tpm.pcr_read(DAILY_PCR)) == before


def test_pcrs_that_the_chip_does_not_tell_cannot_be_made_to_look_like_its(host, chip):
    manager = host.manager(*host.tpm_option)
    host.vtpmctl("define", UUID, "--host-pcrs", "2")
    chip.kill9()
    tpm = open_guest(host)
    assert tpm.pcr_read(2) == FFS and tpm.pcr_read(1) == bytes(20)
    assert "until it is booted again" in manager.log()
    assert "could not be read" in host.vtpmctl("show", UUID).stdout
    host.chip()
    host.vtpmctl("close", UUID)
    host.vtpmctl("open", UUID)
    assert tpm.pcr_read(2) == chip_pcr(host, 2)
    assert "could not be read" not in host.vtpmctl("show", UUID).stdout


def test_list_of_pcrs_is_kept_shown_and_changed(host):
    host.manager()

    def shown():
        return json.loads(host.vtpmctl("show", UUID, "--json").stdout)["host-pcrs"]

    host.vtpmctl("define", UUID, "--host-pcrs", "0-2,4")
    assert shown() == "0,1,2,4"
    host.vtpmctl("define", UUID)
    assert shown() == "0,1,2,4"
    host.vtpmctl("define", UUID, "--host-pcrs", "none")
    assert shown() == "none"
    refused = host.vtpmctl("define", UUID, "--host-pcrs", "0,24", check=False)
    assert refused.returncode == 1 and "0,2,4-7" in refused.stderr


def test_firmware_of_an_hvm_guest_starts_from_the_hosts_pcrs(host, chip):
    extend_chip(host)
    host.manager(*host.tpm_option)
    number = int(host.vtpmctl("define", UUID, "--type", "hvm", "--host-pcrs", "7").stdout)
    tpm = Tpm(host.closes(Ioemu(host.run_dir, number)))
    tpm.startup()
    assert tpm.pcr_read(7) == chip_pcr(host, 7)


def without_sha1_bank(host, chip):
    """Has a TPM 2.0 reboot with SHA-256 PCRs only, as many a firmware sets it up."""
    banks = b"".join(struct.pack(">HB3s", bank, 3, select) for bank, select in (
        (4, bytes(3)), (11, b"\xff" * 3), (12, bytes(3)), (13, bytes(3))))
    # TPM2_PCR_Allocate by the platform hierarchy, with the empty password.
    exchange_chip(host, struct.pack(">HIII", 0x8002, 31 + len(banks), 0x12B, 0x4000000C)
                  + struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0)
                  + struct.pack(">I", 4) + banks)
    exchange_chip(host, struct.pack(">HIIH", 0x8001, 12, 0x145, 0))  # TPM2_Shutdown(CLEAR)
    chip.kill9()
    host.chip()


@pytest.mark.parametrize("chip", ["2.0"], indirect=True)
def test_chip_without_sha1_gives_the_sha1_of_its_sha256_registers(host, chip):
    without_sha1_bank(host, chip)
    exchange_chip(host, EXTEND20_SHA256)
    value = hashlib.sha256(bytes(32) + bytes(32)).digest()
    host.manager(*host.tpm_option)
    tpm = open_guest(host, "--host-pcrs", DAILY_PCR)
    assert tpm.pcr_read(DAILY_PCR) == sha1(value)
    quoted = guest_quote(tpm, NONCE, [DAILY_PCR])
    quoted.check()
    assert quoted.values[DAILY_PCR] == value


# Deep quotes


class Evidence:
    """The bytes of docs/deep-quote.md."""

    def __init__(self, data):
        reader = Reader(data)
        assert reader.take(4) == b"vTDQ" and reader.u16() == 1
        self.chip, self.uuid = reader.u16(), reader.take(16)
        self.ek, self.nonce = reader.take(32), reader.take(20)
        self.pcrs, size = reader.u32(), reader.u16()
        self.values = {i: reader.take(size) for i in range(24) if self.pcrs >> i & 1}
        self.key = serialization.load_der_public_key(reader.sized())
        self.statement, self.signature = reader.sized(), reader.sized()
        reader.end()

    def check(self):
        """Raises unless the host's key signed these PCRs, this vTPM and this nonce."""
        new, scheme = ((hashlib.sha1, hashes.SHA1()) if self.chip == 0x0102
                       else (hashlib.sha256, hashes.SHA256()))
        self.key.verify(self.signature, self.statement, padding.PKCS1v15(), scheme)
        binding = new(b"VTPM deep quote 1" + self.uuid + self.ek + self.nonce).digest()
        values = b"".join(self.values.values())
        if self.chip == 0x0102:
            composite = pcr_selection(self.values) + struct.pack(">I", len(values)) + values
            assert self.statement == bytes([1, 1, 0, 0]) + b"QUOT" + sha1(composite) + binding
            return
        attest = Reader(self.statement)
        assert attest.take(6) == bytes.fromhex("ff5443478018")
        attest.take(attest.u16())
        assert attest.take(attest.u16()) == binding
        attest.take(25)
        assert attest.take(4 + 2 + 1) == struct.pack(">IHB", 1, 11, 3)
        assert int.from_bytes(attest.take(3), "little") == self.pcrs
        assert attest.take(attest.u16()) == hashlib.sha256(values).digest()


def ek_digest(tpm):
    """SHA-256 of the EK as TPM_PUBKEY: all that TPM_ReadPubek answers but the checksum."""
    return hashlib.sha256(tpm.command(spec.TPM_ORD_ReadPubek, bytes(20)).rest()[:-20]).digest()


def guest_quote(tpm, nonce, pcrs):
    """The command of a guest."""
    reader = tpm.command(contract.VTPM_TPM_ORD_DEEP_QUOTE, nonce + pcr_selection(pcrs))
    return Evidence(reader.sized())


def test_guest_and_operator_get_the_same_quote_of_the_host(host, chip):
    extend_chip(host)
    host.manager(*host.tpm_option)
    tpm = open_guest(host)
    quoted = guest_quote(tpm, NONCE, [0, DAILY_PCR])
    quoted.check()
    assert (quoted.uuid, quoted.nonce, quoted.ek) == (UUID_BYTES, NONCE, ek_digest(tpm))
    assert quoted.chip == (0x0102 if host.version == "1.2" else 0x0200)
    assert list(quoted.values) == [0, DAILY_PCR]
    if host.version == "1.2":
        assert quoted.values[DAILY_PCR] == chip_pcr(host, DAILY_PCR)
    host.vtpmctl("deep-quote", UUID, "--nonce", NONCE.hex(), "--pcrs", f"0,{DAILY_PCR}",
                 "--out", host.path("evidence"))
    operators = Evidence(host.path("evidence").read_bytes())
    operators.check()
    assert vars(operators) | dict.fromkeys(["key", "statement", "signature"]) == \
        vars(quoted) | dict.fromkeys(["key", "statement", "signature"])
    assert operators.key.public_numbers() == quoted.key.public_numbers()


def test_host_keeps_its_identity_and_the_quote_follows_its_pcrs(host, chip):
    manager = host.manager(*host.tpm_option)
    tpm = open_guest(host)
    first = guest_quote(tpm, NONCE, [DAILY_PCR])
    manager.kill9()
    extend_chip(host)
    host.manager(*host.tpm_option)
    host.vtpmctl("close", UUID)
    host.vtpmctl("open", UUID)
    second = guest_quote(Tpm(host.closes(FifoBackend(host.run_dir)).guest(1)), NONCE, [DAILY_PCR])
    second.check()
    assert second.key.public_numbers() == first.key.public_numbers()
    assert second.values != first.values and second.ek == first.ek


def test_verifier_tells_good_evidence_from_all_other(host, chip):
    host.manager(*host.tpm_option)
    open_guest(host)
    path, key = host.path("evidence"), host.path("key.pem")
    host.vtpmctl("deep-quote", UUID, "--nonce", NONCE.hex(), "--out", path)
    good = path.read_bytes()
    shown = json.loads(host.vtpmctl("verify-quote", path, "--json").stdout)
    key.write_text(shown["key"])
    assert shown["good"] and shown["uuid"] == UUID and shown["nonce"] == NONCE.hex()
    assert list(shown["pcrs"]) == [str(i) for i in range(16)]
    host.vtpmctl("verify-quote", path, "--key", key, "--nonce", NONCE.hex())
    other = host.vtpmctl("verify-quote", path, "--nonce", bytes(20).hex(), check=False)
    assert other.returncode == 1 and "another nonce" in other.stderr
    # A change of any field is found, at the byte in its middle.
    for at in (10, 30, 65, 80, 90, 100, len(good) - 300, len(good) - 10):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        assert host.vtpmctl("verify-quote", path, "--key", key, check=False).returncode == 1, at
        with pytest.raises((AssertionError, InvalidSignature, ValueError, IndexError)):
            Evidence(path.read_bytes()).check()


def test_openssl_verifies_with_the_documented_steps(host, chip):
    """docs/deep-quote.md, without any program of ours but for taking the evidence apart."""
    host.manager(*host.tpm_option)
    open_guest(host)
    host.vtpmctl("deep-quote", UUID, "--out", host.path("evidence"))
    shown = json.loads(host.vtpmctl("verify-quote", host.path("evidence"), "--json").stdout)
    host.path("key.pem").write_text(shown["key"])
    for name in ("statement", "signature"):
        host.path(name).write_bytes(bytes.fromhex(shown[name]))
    digest = "-sha1" if shown["chip"] == "1.2" else "-sha256"
    verify = host.start("openssl", "dgst", digest, "-verify", host.path("key.pem"), "-signature",
                        host.path("signature"), host.path("statement"))
    assert verify.wait(60) == 0, verify.log()


def test_quote_without_chip_fails_and_the_next_one_with_it_does_not(host, chip):
    host.manager(*host.tpm_option)
    tpm = open_guest(host)
    chip.kill9()
    with pytest.raises(TpmError) as error:
        guest_quote(tpm, NONCE, [0])
    assert error.value.result == spec.TPM_FAIL
    assert host.vtpmctl("deep-quote", UUID, check=False).returncode == 1
    host.chip()
    guest_quote(tpm, NONCE, [0]).check()


@pytest.mark.parametrize("params, result", [
    (NONCE, spec.TPM_BAD_PARAM_SIZE),
    (NONCE + b"\0\4" + bytes(4), spec.TPM_BAD_PARAM_SIZE),
    (NONCE + b"\0\3" + b"\1\0\0" + b"\0", spec.TPM_BAD_PARAM_SIZE),
    (NONCE + b"\0\3" + bytes(3), spec.TPM_FAIL)], ids=["cut", "select4", "longer", "no-pcrs"])
def test_malformed_quote_commands_are_refused(host, params, result):
    host.manager()
    with pytest.raises(TpmError) as error:
        open_guest(host).command(contract.VTPM_TPM_ORD_DEEP_QUOTE, params)
    assert error.value.result == result


def test_tpm_that_stands_alone_knows_no_deep_quote(host):
    vtpmd = host.vtpmd()
    with pytest.raises(TpmError) as error:
        guest_quote(Tpm(host.closes(Raw(vtpmd.address))), NONCE, [0])
    assert error.value.result == spec.TPM_BAD_ORDINAL


def test_operator_is_told_that_a_closed_vtpm_gives_no_quote(host):
    host.manager()
    host.vtpmctl("define", UUID)
    refused = host.vtpmctl("deep-quote", UUID, check=False)
    assert refused.returncode == 1 and "vtpmctl open" in refused.stderr


# Certificates of endorsement keys

CERT_INDEX = 0x1000F000
SAN, EKU, EK_CERTIFICATE = "2.5.29.17", "2.5.29.37", "2.23.133.8.1"


@pytest.fixture
def ca(host):
    """A host CA made by openssl; the options that name it to a manager."""
    def make(name, *options):
        made = host.start("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj",
                          f"/CN={name}", "-days", "2", "-keyout", host.path(f"{name}.key"),
                          "-out", host.path(f"{name}.pem"), "-addext",
                          "keyUsage=critical,keyCertSign", *options)
        assert made.wait(60) == 0, made.log()
        return ("--ek-ca-cert", host.path(f"{name}.pem"), "--ek-ca-key", host.path(f"{name}.key"))

    host.make_ca = make
    return make("ca")


def read_nv(tpm, index, offset, size):
    return tpm.command(spec.TPM_ORD_NV_ReadValue,
                       struct.pack(">III", index, offset, size)).sized()


def stored_certificate(tpm):
    """The DER at the index where PC clients look, without any authorization."""
    head = read_nv(tpm, CERT_INDEX, 0, 7)
    tag, kind, size, full = struct.unpack(">HBHH", head)
    assert (tag, kind, full) == (0x1001, 0, 0x1002)
    return read_nv(tpm, CERT_INDEX, 7, size - 2)


def test_new_vtpm_has_a_certificate_from_its_first_answer_on(host, ca):
    host.manager(*ca)
    tpm = open_guest(host)
    der = stored_certificate(tpm)
    certificate = x509.load_der_x509_certificate(der)
    numbers = certificate.public_key().public_numbers()
    assert numbers == tpm.read_pubek().rsa.public_numbers()
    host.path("ek.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    verify = host.start("openssl", "verify", "-x509_strict", "-CAfile", host.path("ca.pem"),
                        host.path("ek.pem"))
    assert verify.wait(60) == 0, verify.log()


def test_certificate_has_the_form_of_the_tcg(host, ca):
    host.manager(*ca)
    certificate = x509.load_der_x509_certificate(stored_certificate(open_guest(host)))
    extension = {e.oid.dotted_string: e for e in certificate.extensions}
    assert not certificate.subject and extension[SAN].critical
    name = extension[SAN].value[0].value
    assert {a.oid.dotted_string: a.value for a in name} == {
        "2.23.133.2.1": "id:5654504D", "2.23.133.2.2": "vTPM", "2.23.133.2.3": "id:00000001"}
    assert [oid.dotted_string for oid in extension[EKU].value] == [EK_CERTIFICATE]
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.key_encipherment and not usage.value.digital_signature
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and not constraints.value.ca
    assert certificate.not_valid_after.year == 9999


def test_without_a_ca_there_is_no_certificate(host):
    host.manager()
    with pytest.raises(TpmError) as error:
        stored_certificate(open_guest(host))
    assert error.value.result == spec.TPM_BADINDEX


def test_older_vtpm_gets_its_certificate_at_its_next_boot_and_keeps_it(host, ca):
    manager = host.manager()
    tpm = open_guest(host)
    ek = ek_digest(tpm)
    host.vtpmctl("close", UUID)
    assert manager.terminate_and_wait() == 0
    host.manager(*ca)
    tpm = open_guest(host)
    der = stored_certificate(tpm)
    assert ek_digest(tpm) == ek
    host.vtpmctl("close", UUID)
    host.vtpmctl("open", UUID)
    assert stored_certificate(tpm) == der


def test_guest_that_locked_its_nv_storage_boots_without_certificate(host, ca):
    manager = host.manager()
    tpm = open_guest(host)
    tpm.command(spec.TPM_ORD_NV_DefineSpace, struct.pack(
        ">HI", spec.TPM_TAG_NV_DATA_PUBLIC, 0xFFFFFFFF) + 2 * (b"\0\3" + bytes(3) + b"\x1f"
                                                               + bytes(20))
        + struct.pack(">HIBBBI", spec.TPM_TAG_NV_ATTRIBUTES, 0, 0, 0, 0, 0) + bytes(20))
    host.vtpmctl("close", UUID)
    assert manager.terminate_and_wait() == 0
    manager = host.manager(*ca)
    tpm = open_guest(host)
    tpm.pcr_read(0)
    assert "cannot be stored" in manager.log()


class Bridge(threading.Thread):
    """A guest's TPM on a TCP port of a Network, for tools that know no other."""

    def __init__(self, tpm, network, port):
        super().__init__(daemon=True)
        self.tpm, self.network, self.port = tpm, network, port
        self.listens = threading.Event()
        self.start()
        self.listens.wait()

    def run(self):
        self.network.enter()
        with socket.create_server(("127.0.0.1", self.port)) as server:
            self.listens.set()
            while True:
                connection, _ = server.accept()
                with connection:
                    while command := connection.recv(4096):
                        connection.sendall(self.tpm.transport.exchange(command))


def test_guests_own_tools_find_the_certificate(host, network, ca):
    host.manager(*ca)
    tpm = open_guest(host)
    expected = stored_certificate(tpm)
    Bridge(tpm, network, TPM_PORT)
    path = host.path("nv")
    Trousers(host, network, TPM_PORT).run("tpm_nvread", "-i", hex(CERT_INDEX), "-f", path)
    assert path.read_bytes()[7:] == expected
    certificate = x509.load_der_x509_certificate(path.read_bytes()[7:])
    assert certificate.issuer.rfc4514_string() == "CN=ca"


@pytest.mark.parametrize("broken", ["missing", "other-key", "no-ca"])
def test_ca_that_cannot_be_used_is_named_at_start(host, ca, broken):
    options = dict(zip(ca[::2], ca[1::2]))
    if broken == "missing":
        options["--ek-ca-cert"] = host.path("nowhere.pem")
    elif broken == "other-key":
        options["--ek-ca-key"] = host.make_ca("other")[3]
    else:
        options = dict(zip(*[iter(host.make_ca("leaf", "-addext", "basicConstraints=CA:FALSE"))] * 2))
    manager = host.manager(*(word for pair in options.items() for word in pair), wait=False)
    assert manager.wait(60) == 1
    assert "--ek-ca" in manager.log()
