"""A TPM 1.2 client: builds commands, authorizes them, checks every answer.

It is written from the specification, on its own, and shares nothing with tpmcore/ but the numbers:
a mistake on one side does not hide a mistake on the other. Secrets are 20-byte AuthData. A command
that fails raises TpmError; a response whose authorization, size or tag is wrong, AssertionError.

    tpm = Tpm(Raw("unix:/run/tpm.sock"))
    srk = tpm.take_ownership(owner, srk_auth)
    blob = tpm.seal(spec.TPM_KH_SRK, srk_auth, data_auth, b"secret")
"""
import hashlib
import hmac
import os
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from contract import ORDINAL_NAMES, RESULT_NAMES, spec

WELL_KNOWN = bytes(20)  # the secret of all zeros that tools use by default
VERSION_1_1 = bytes.fromhex("01010000")
OAEP_LABEL = b"TCPA"


class TpmError(Exception):
    """The TPM answered with an error: .result, .ordinal and their names."""

    def __init__(self, ordinal, result):
        self.ordinal, self.result = ordinal, result
        super().__init__(f"{ORDINAL_NAMES.get(ordinal, hex(ordinal))}: "
                         f"{RESULT_NAMES.get(result, hex(result))}")


# Structures

def sha1(*parts):
    return hashlib.sha1(b"".join(parts)).digest()


def u8(value):
    return struct.pack(">B", value)


def u16(value):
    return struct.pack(">H", value)


def u32(value):
    return struct.pack(">I", value)


def sized(data):
    """size:4 and the bytes."""
    return u32(len(data)) + data


class Reader:
    """Takes a response apart; reading past the end is an error."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data), "response shorter than its contents"
        self.at += count
        return self.data[self.at - count:self.at]

    def u8(self):
        return self.take(1)[0]

    def u16(self):
        return struct.unpack(">H", self.take(2))[0]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def sized(self):
        return self.take(self.u32())

    def rest(self):
        return self.take(len(self.data) - self.at)

    def end(self):
        assert self.at == len(self.data), "response longer than its contents"


def pcr_selection(pcrs, size=3):
    """TPM_PCR_SELECTION."""
    bits = bytearray(size)
    for pcr in pcrs:
        bits[pcr // 8] |= 1 << pcr % 8
    return u16(size) + bytes(bits)


def pcr_composite_digest(values, size=3):
    """TPM_COMPOSITE_HASH of {pcr: value}."""
    chosen = b"".join(values[pcr] for pcr in sorted(values))
    return sha1(pcr_selection(values, size), sized(chosen))


def pcr_info(values):
    """TPM_PCR_INFO that wants these {pcr: value} at release; no PCRs: none at all."""
    if not values:
        return b""
    return pcr_selection(values) + pcr_composite_digest(values) + bytes(20)


def pcr_info_long(values, at_creation=0x1F, at_release=0x1F):
    """TPM_PCR_INFO_LONG, with the localities of creation and release."""
    selection = pcr_selection(values)
    return (u16(spec.TPM_TAG_PCR_INFO_LONG) + u8(at_creation) + u8(at_release) + selection * 2
            + bytes(20) + pcr_composite_digest(values))


def pcr_info_short(values=(), locality=0x1F):
    """TPM_PCR_INFO_SHORT; no PCRs: any value will do."""
    digest = pcr_composite_digest(values) if values else bytes(20)
    return pcr_selection(values) + u8(locality) + digest


def rsa_parms(enc=spec.TPM_ES_RSAESOAEP_SHA1_MGF1, sig=spec.TPM_SS_NONE, bits=2048):
    """TPM_KEY_PARMS of an RSA key with the default exponent."""
    return u32(spec.TPM_ALG_RSA) + u16(enc) + u16(sig) + sized(u32(bits) + u32(2) + u32(0))


def key_template(usage, parms, flags=0, auth_usage=spec.TPM_AUTH_ALWAYS, pcrs=b"", key12=False):
    """A TPM_KEY (or TPM_KEY12) as a wish: no public and no private part yet."""
    version = u16(spec.TPM_TAG_KEY12) + u16(0) if key12 else VERSION_1_1
    return version + u16(usage) + u32(flags) + u8(auth_usage) + parms + sized(pcrs) + u32(0) * 2


STORAGE_KEY = key_template(spec.TPM_KEY_STORAGE, rsa_parms())
SIGNING_KEY = key_template(spec.TPM_KEY_SIGNING, rsa_parms(
    spec.TPM_ES_NONE, spec.TPM_SS_RSASSAPKCS1v15_SHA1))
BIND_KEY = key_template(spec.TPM_KEY_BIND, rsa_parms())
IDENTITY_KEY = key_template(spec.TPM_KEY_IDENTITY, rsa_parms(
    spec.TPM_ES_NONE, spec.TPM_SS_RSASSAPKCS1v15_SHA1))


class PublicKey:
    """An RSA key as the TPM tells of it, and what anybody may do with it."""

    def __init__(self, modulus, exponent=65537):
        self.modulus = modulus
        self.rsa = rsa.RSAPublicNumbers(exponent, int.from_bytes(modulus, "big")).public_key()

    @classmethod
    def from_pubkey(cls, reader):
        """From TPM_PUBKEY."""
        exponent = cls._parms(reader)
        return cls(reader.sized(), exponent)

    @staticmethod
    def _parms(reader):
        assert reader.u32() == spec.TPM_ALG_RSA
        reader.take(4)
        parms = Reader(reader.sized())
        parms.take(8)
        return int.from_bytes(parms.sized(), "big") or 65537

    def encrypt(self, data):
        """OAEP as the TPM does it: SHA-1, MGF1, label "TCPA"."""
        return self.rsa.encrypt(data, padding.OAEP(
            padding.MGF1(hashes.SHA1()), hashes.SHA1(), OAEP_LABEL))

    def bind(self, data):
        """What UnBind opens: a TPM_BOUND_DATA."""
        return self.encrypt(VERSION_1_1 + u8(spec.TPM_PT_BIND) + data)

    def verify(self, signature, digest):
        """Raises InvalidSignature unless it is RSASSA-PKCS1-v1.5 over this SHA-1 digest."""
        self.rsa.verify(signature, digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA1()))


class Key(PublicKey):
    """A TPM_KEY or TPM_KEY12; .raw is the blob that LoadKey2 takes."""

    def __init__(self, reader):
        start = reader.at
        reader.take(11)  # version, usage, flags, authDataUsage
        exponent = self._parms(reader)
        reader.sized()  # PCRInfo
        modulus = reader.sized()
        self.private = reader.sized()
        self.raw = reader.data[start:reader.at]
        super().__init__(modulus, exponent)


# Authorization

class Session:
    """An OIAP or OSAP session: the rolling nonces, and HMACs over them.

    keep: the session stays open after its next use (continueAuthSession).
    """

    def __init__(self, handle, nonce_even, secret, keep=False, aes=False):
        self.handle, self.nonce_even, self.secret = handle, nonce_even, secret
        self.keep, self.aes = keep, aes
        self.nonce_odd = os.urandom(20)

    def _hmac(self, digest):
        return hmac.digest(self.secret, digest + self.nonce_even + self.nonce_odd + u8(self.keep),
                           "sha1")

    def sign(self, digest):
        """The session's part of a command whose parameters have this digest."""
        return u32(self.handle) + self.nonce_odd + u8(self.keep) + self._hmac(digest)

    def check(self, digest, reader):
        """The session's part of a response; gets the nonces ready for the next command."""
        self.nonce_even = reader.take(20)
        assert reader.u8() == self.keep, "continueAuthSession is not what was asked for"
        assert hmac.compare_digest(reader.take(20), self._hmac(digest)), "response is not authorized"
        self.nonce_odd = os.urandom(20)

    def encrypt_auth(self, auth, second=False):
        """ADIP: new AuthData under the OSAP secret, by nonceEven or, the second one, nonceOdd."""
        nonce = self.nonce_odd if second else self.nonce_even
        if self.aes:
            key, counter = self.secret[:16], nonce[:16]
            return Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor().update(auth)
        return bytes(a ^ b for a, b in zip(auth, sha1(self.secret, nonce)))


class Tpm:
    """A TPM 1.2 behind a transport."""

    def __init__(self, transport):
        self.transport = transport

    def command(self, ordinal, params=b"", handles=(), sessions=(), out_handles=0,
                hash_in=lambda params: params, hash_out=lambda params, auth: params):
        """Runs a command; returns (a Reader of) the response: out_handles handles, parameters.

        params are those that the authorization digest covers, handles come in front of them.
        hash_in and hash_out say what a digest covers instead; auth: the response's authorizations.
        """
        digest = sha1(u32(ordinal), hash_in(params))
        body = b"".join(map(u32, handles)) + params + b"".join(s.sign(digest) for s in sessions)
        tag = spec.TPM_TAG_RQU_COMMAND + len(sessions)
        header = u16(tag) + u32(spec.TPM_HEADER_SIZE + len(body)) + u32(ordinal)
        response = Reader(self.transport.exchange(header + body))

        tag, size, result = response.u16(), response.u32(), response.u32()
        assert size == len(response.data), f"paramSize {size}, but {len(response.data)} bytes"
        if result:
            assert (tag, size) == (spec.TPM_TAG_RSP_COMMAND, 10), "malformed error response"
            raise TpmError(ordinal, result)
        assert tag == spec.TPM_TAG_RSP_COMMAND + len(sessions)
        auth_at = size - 41 * len(sessions)
        parameters = response.data[response.at + 4 * out_handles:auth_at]
        auth = Reader(response.data[auth_at:])
        digest = sha1(u32(result), u32(ordinal), hash_out(parameters, auth.data))
        for session in sessions:
            session.check(digest, auth)
        return Reader(response.data[response.at:auth_at])

    def oiap(self, secret, keep=False):
        r = self.command(spec.TPM_ORD_OIAP)
        return Session(r.u32(), r.take(20), secret, keep)

    def osap(self, kind, entity, secret, keep=False, aes=False):
        nonce_odd = os.urandom(20)
        scheme = (spec.TPM_ET_AES if aes else spec.TPM_ET_XOR) << 8
        r = self.command(spec.TPM_ORD_OSAP, u16(scheme | kind) + u32(entity) + nonce_odd)
        handle, nonce_even = r.u32(), r.take(20)
        shared = hmac.digest(secret, r.take(20) + nonce_odd, "sha1")
        return Session(handle, nonce_even, shared, keep, aes)

    def osap_key(self, handle, secret, **options):
        kind = spec.TPM_ET_SRK if handle == spec.TPM_KH_SRK else spec.TPM_ET_KEYHANDLE
        return self.osap(kind, handle, secret, **options)

    def osap_owner(self, secret, **options):
        return self.osap(spec.TPM_ET_OWNER, spec.TPM_KH_OWNER, secret, **options)

    # Startup, self-test, capabilities

    def startup(self, mode=spec.TPM_ST_CLEAR):
        self.command(spec.TPM_ORD_Startup, u16(mode))

    def save_state(self):
        self.command(spec.TPM_ORD_SaveState)

    def self_test(self):
        self.command(spec.TPM_ORD_SelfTestFull)

    def get_capability(self, area, sub=b""):
        sub = u32(sub) if isinstance(sub, int) else sub
        return self.command(spec.TPM_ORD_GetCapability, u32(area) + sized(sub)).sized()

    def get_property(self, sub):
        return struct.unpack(">I", self.get_capability(spec.TPM_CAP_PROPERTY, sub))[0]

    def has_owner(self):
        return self.get_capability(spec.TPM_CAP_PROPERTY, spec.TPM_CAP_PROP_OWNER) == b"\1"

    # PCRs, random bytes

    def pcr_read(self, pcr):
        return self.command(spec.TPM_ORD_PcrRead, u32(pcr)).take(20)

    def extend(self, pcr, digest):
        return self.command(spec.TPM_ORD_Extend, u32(pcr) + digest).take(20)

    def pcr_reset(self, *pcrs):
        self.command(spec.TPM_ORD_PCR_Reset, pcr_selection(pcrs))

    def get_random(self, count):
        return self.command(spec.TPM_ORD_GetRandom, u32(count)).sized()

    # Owner, endorsement key

    def create_ek(self):
        r = self.command(spec.TPM_ORD_CreateEndorsementKeyPair, bytes(20) + rsa_parms())
        return PublicKey.from_pubkey(r)

    def read_pubek(self):
        nonce = os.urandom(20)
        r = self.command(spec.TPM_ORD_ReadPubek, nonce)
        key = PublicKey.from_pubkey(r)
        assert r.take(20) == sha1(r.data[:r.at - 20], nonce), "checksum of the public EK"
        return key

    def owner_read_pubek(self, owner):
        return PublicKey.from_pubkey(self.command(spec.TPM_ORD_OwnerReadPubek,
                                                  sessions=[self.oiap(owner)]))

    def take_ownership(self, owner, srk_auth=WELL_KNOWN, key12=False):
        """Takes ownership; returns the new SRK's public part."""
        ek = self.read_pubek()
        srk = key_template(spec.TPM_KEY_STORAGE, rsa_parms(), key12=key12)
        params = (u16(spec.TPM_PID_OWNER) + sized(ek.encrypt(owner)) + sized(ek.encrypt(srk_auth))
                  + srk)
        return Key(self.command(spec.TPM_ORD_TakeOwnership, params, sessions=[self.oiap(owner)]))

    def owner_clear(self, owner):
        self.command(spec.TPM_ORD_OwnerClear, sessions=[self.oiap(owner)])

    def change_auth_owner(self, owner, new, entity=spec.TPM_ET_OWNER):
        session = self.osap_owner(owner)
        params = u16(spec.TPM_PID_ADCP) + session.encrypt_auth(new) + u16(entity)
        self.command(spec.TPM_ORD_ChangeAuthOwner, params, sessions=[session])

    # Sealed and bound data

    def seal(self, key, key_auth, data_auth, data, pcrs=b"", aes=False):
        """Seals data under a key's handle; pcrs is a PCR info structure. Returns the blob."""
        session = self.osap_key(key, key_auth, aes=aes)
        params = session.encrypt_auth(data_auth) + sized(pcrs) + sized(data)
        return self.command(spec.TPM_ORD_Seal, params, [key], [session]).rest()

    def unseal(self, key, key_auth, data_auth, blob):
        sessions = [self.oiap(key_auth), self.oiap(data_auth)]
        return self.command(spec.TPM_ORD_Unseal, blob, [key], sessions).sized()

    def unbind(self, key, key_auth, data):
        return self.command(spec.TPM_ORD_UnBind, sized(data), [key], [self.oiap(key_auth)]).sized()

    # Keys

    def create_wrap_key(self, parent, parent_auth, template, usage_auth,
                        migration_auth=WELL_KNOWN, aes=False):
        session = self.osap_key(parent, parent_auth, aes=aes)
        params = (session.encrypt_auth(usage_auth) + session.encrypt_auth(migration_auth, True)
                  + template)
        return Key(self.command(spec.TPM_ORD_CreateWrapKey, params, [parent], [session]))

    def load_key2(self, parent, parent_auth, key):
        """Loads a Key below its parent; returns its handle."""
        return self.command(spec.TPM_ORD_LoadKey2, key.raw, [parent], [self.oiap(parent_auth)],
                            out_handles=1).u32()

    def get_pub_key(self, key, key_auth):
        return PublicKey.from_pubkey(self.command(spec.TPM_ORD_GetPubKey, b"", [key],
                                                  [self.oiap(key_auth)]))

    def flush(self, handle, kind=spec.TPM_RT_KEY):
        self.command(spec.TPM_ORD_FlushSpecific, u32(kind), [handle])

    def evict_key(self, key):
        self.command(spec.TPM_ORD_EvictKey, handles=[key])

    def change_auth(self, parent, parent_auth, entity, old, new, data):
        """Changes the secret of a wrapped key's or sealed blob's encData; returns the new one."""
        session = self.osap_key(parent, parent_auth)
        params = (u16(spec.TPM_PID_ADCP) + session.encrypt_auth(new) + u16(entity) + sized(data))
        return self.command(spec.TPM_ORD_ChangeAuth, params, [parent],
                            [session, self.oiap(old)]).sized()

    def sign(self, key, key_auth, digest):
        return self.command(spec.TPM_ORD_Sign, sized(digest), [key],
                            [self.oiap(key_auth)]).sized()

    def quote(self, key, key_auth, nonce, pcrs):
        """Returns ({pcr: value}, signature, the digest that it signs)."""
        r = self.command(spec.TPM_ORD_Quote, nonce + pcr_selection(pcrs), [key],
                         [self.oiap(key_auth)])
        selection = r.take(r.u16())
        assert u16(len(selection)) + selection == pcr_selection(pcrs)
        values = Reader(r.sized())
        values = {pcr: values.take(20) for pcr in sorted(pcrs)}
        signed = sha1(VERSION_1_1, b"QUOT", pcr_composite_digest(values), nonce)
        return values, r.sized(), signed

    # NV storage

    def nv_define(self, owner, index, size, permission, auth=WELL_KNOWN):
        """Defines an area under the owner's authority; size 0 removes it."""
        public = (u16(spec.TPM_TAG_NV_DATA_PUBLIC) + u32(index) + pcr_info_short() * 2
                  + u16(spec.TPM_TAG_NV_ATTRIBUTES) + u32(permission) + bytes(3) + u32(size))
        session = self.osap_owner(owner)
        self.command(spec.TPM_ORD_NV_DefineSpace, public + session.encrypt_auth(auth),
                     sessions=[session])

    def nv_write(self, index, data, owner=None, offset=0):
        self.command(spec.TPM_ORD_NV_WriteValue, u32(index) + u32(offset) + sized(data),
                     sessions=[self.oiap(owner)] if owner else [])

    def nv_read(self, index, size, owner=None, offset=0):
        return self.command(spec.TPM_ORD_NV_ReadValue, u32(index) + u32(offset) + u32(size),
                            sessions=[self.oiap(owner)] if owner else []).sized()

    def nv_write_auth(self, index, data, auth, offset=0):
        self.command(spec.TPM_ORD_NV_WriteValueAuth, u32(index) + u32(offset) + sized(data),
                     sessions=[self.oiap(auth)])

    def nv_read_auth(self, index, size, auth, offset=0):
        return self.command(spec.TPM_ORD_NV_ReadValueAuth, u32(index) + u32(offset) + u32(size),
                            sessions=[self.oiap(auth)]).sized()

    # Contexts

    def save_context(self, handle, kind, label=bytes(16)):
        return self.command(spec.TPM_ORD_SaveContext, u32(kind) + label, [handle]).sized()

    def load_context(self, blob, keep_handle=True, entity=0):
        """Returns the handle."""
        return self.command(spec.TPM_ORD_LoadContext, u8(keep_handle) + sized(blob), [entity],
                            out_handles=1).u32()
