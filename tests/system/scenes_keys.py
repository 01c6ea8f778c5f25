"""Scenes in which keys change hands: migration, certified migration, asymmetric change of AuthData,
and direct anonymous attestation.
"""
import functools
import re
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from contract import spec
from differential import BIND, DATA_AUTH, KEY_AUTH, MIGRATABLE, OWNER, SIGN, SRK, SRK_AUTH, STORAGE
from scenes import sha1_hmac
from tpm12 import (Key, PublicKey, Reader, TpmError, key_template, rsa_parms, sha1, sized, u8, u16,
                   u32)

GROUP_C = Path(__file__).parents[1] / "unit/daa_group.c"  # has a group whose order is known
OAEP = (spec.TPM_ES_RSAESOAEP_SHA1_MGF1, spec.TPM_SS_NONE)
SIGNING = (spec.TPM_ES_NONE, spec.TPM_SS_RSASSAPKCS1v15_SHA1)


class SoftKey:
    """An RSA key outside of the TPMs, the same for both."""

    def __init__(self, schemes=SIGNING):
        self.private = rsa.generate_private_key(65537, 2048)
        modulus = self.private.public_key().public_numbers().n.to_bytes(256, "big")
        self.modulus = modulus
        self.pubkey = rsa_parms(*schemes) + sized(modulus)

    def sign(self, digest):
        return self.private.sign(digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA1()))


@functools.cache
def soft_key(name, schemes=SIGNING):
    """One key for each name."""
    assert name
    return SoftKey(schemes)


def pubkey(key, schemes):
    """TPM_PUBKEY of a Key."""
    return rsa_parms(*schemes, bits=8 * len(key.modulus)) + sized(key.modulus)


def migration_ticket(a, scheme, destination):
    """TPM_MIGRATIONKEYAUTH by the owner."""
    answer = a.owner("AuthorizeMigrationKey", u16(scheme) + destination)
    return answer.rest() if answer else None


def migration(a):
    """A key leaves its parent for another, in two steps or in one."""
    kind = a.dice.choice([spec.TPM_MS_MIGRATE, spec.TPM_MS_REWRAP, spec.TPM_MS_MAINT])
    parent, secret, key = a.key(STORAGE)
    ticket = migration_ticket(a, kind, pubkey(key, OAEP))
    if not ticket:
        return
    child = a.twin.wrapped[a.dice.choice([MIGRATABLE, MIGRATABLE, SIGN])]
    answer = a.run("CreateMigrationBlob", u16(kind) + a.damaged(ticket) + sized(child.private),
                   [spec.TPM_KH_SRK], [a.tpm.oiap(SRK_AUTH), a.tpm.oiap(DATA_AUTH)])
    if not answer:
        return
    mask, blob = answer.sized(), answer.sized()
    a.run("ConvertMigrationBlob", sized(a.damaged(blob)) + sized(a.damaged(mask or b"mask")), [parent],
          [a.tpm.oiap(secret)])


def migrate_key(a):
    """A migration key passes on what is encrypted to it."""
    template = key_template(spec.TPM_KEY_MIGRATE, rsa_parms(*OAEP))
    key = a.twin.migrate_key(template)
    handle = a.tpm.load_key2(spec.TPM_KH_SRK, SRK_AUTH, key)
    schemes = a.dice.choice([OAEP, OAEP, (spec.TPM_ES_RSAESPKCSv15, spec.TPM_SS_NONE), SIGNING])
    data = a.damaged(key.encrypt(b"data"), 0 if schemes == SIGNING else .1)
    a.run("MigrateKey", pubkey(a.key(STORAGE)[2], schemes) + sized(data), [handle],
          [a.tpm.oiap(KEY_AUTH)])
    a.run("MigrateKey", pubkey(a.key(STORAGE)[2], OAEP) + sized(key.encrypt(b"data")),
          [a.key(BIND)[0]], [a.tpm.oiap(KEY_AUTH)])


def create_cmk(a, msa_digest):
    """A certified migration key, or None."""
    approval = a.owner("CMK_ApproveMA", msa_digest)
    if not approval:
        return None
    flags = spec.TPM_MIGRATABLE | spec.TPM_MIGRATEAUTHORITY
    template = key_template(spec.TPM_KEY_SIGNING, rsa_parms(*SIGNING, 512),
                            a.dice.choice([flags] * 6 + [spec.TPM_MIGRATABLE]), key12=True)
    session = a.tpm.osap_key(spec.TPM_KH_SRK, SRK_AUTH)
    answer = a.run("CMK_CreateKey", session.encrypt_auth(KEY_AUTH) + template
                   + a.damaged(approval.rest()) + msa_digest, [spec.TPM_KH_SRK], [session])
    return Key(answer) if answer else None


def cmk(a):
    """From approval to the key's place below another parent."""
    authority = soft_key("authority")
    parent, secret, parent_key = a.key(STORAGE)
    destination = pubkey(parent_key, OAEP)
    kind = a.dice.choice([spec.TPM_MS_RESTRICT_APPROVE_DOUBLE] * 3 + [spec.TPM_MS_RESTRICT_MIGRATE])
    authorities = [sha1(authority.pubkey), a.bytes(20)]
    if a.maybe(.5):
        authorities.append(sha1(destination))
    msa = u32(len(authorities)) + b"".join(authorities)
    key = create_cmk(a, sha1(msa))
    if not key:
        return
    handle = a.run("LoadKey2", key.raw, [spec.TPM_KH_SRK], [a.tpm.oiap(SRK_AUTH)], out_handles=1)
    if handle:
        identity = a.twin.identity
        for name, params in [("CertifyKey2", sha1(msa) + bytes(20)), ("CertifyKey", bytes(20))]:
            handles = [handle.data, u32(identity)]
            handles = [int.from_bytes(h[:4], "big") for h in handles]
            a.run(name, params, handles if name == "CertifyKey2" else handles[::-1],
                  [a.tpm.oiap(KEY_AUTH), a.tpm.oiap(KEY_AUTH)])
    source = sha1(rsa_parms(*SIGNING, 512) + sized(key.modulus))
    restrict = sha1(authority.pubkey) + sha1(destination) + source
    answer = a.owner("CMK_CreateTicket", authority.pubkey + sha1(restrict)
                     + sized(a.damaged(authority.sign(sha1(restrict)))))
    ticket = migration_ticket(a, kind, destination)
    if not answer or not ticket:
        return
    signature = answer.rest()
    tickets = sized(b"") * 2 if kind == spec.TPM_MS_RESTRICT_MIGRATE else \
        sized(a.damaged(restrict)) + sized(a.damaged(signature))
    answer = a.run("CMK_CreateBlob", u16(kind) + ticket + source + sized(a.damaged(msa)) + tickets
                   + sized(key.private), [spec.TPM_KH_SRK], [a.tpm.oiap(SRK_AUTH)])
    if not answer:
        return
    mask, blob = answer.sized(), answer.sized()
    at = key.raw.rindex(sized(key.private))
    a.run("CMK_ConvertMigration", a.damaged(restrict) + signature + key.raw[:at] + sized(blob)
          + sized(msa) + sized(a.damaged(mask)), [parent], [a.tpm.oiap(secret)])


def change_auth_asym(a):
    """New AuthData that the parent's keeper does not learn."""
    start = a.run("ChangeAuthAsymStart", bytes(20) + rsa_parms(*OAEP, 1024),
                  [a.twin.identity], [a.tpm.oiap(KEY_AUTH)])
    if not start:
        return
    start.take(4 + 2 + 4 + 1)  # TPM_CERTIFY_INFO: version, keyUsage, keyFlags, authDataUsage
    PublicKey._parms(start)
    start.take(20 + 20 + 1)
    start.sized()
    start.sized()  # signature
    ephemeral = start.u32()
    public, new = Key(start), a.bytes(20)
    link = sha1_hmac(KEY_AUTH, new)
    a.run("ChangeAuthAsymFinish", u16(a.dice.choice([spec.TPM_ET_KEY] * 3 + [spec.TPM_ET_DATA]))
          + link + sized(a.damaged(public.encrypt(new + bytes(20)))) + sized(a.twin.wrapped[SIGN].private),
          [spec.TPM_KH_SRK, ephemeral], [a.tpm.oiap(SRK_AUTH)])


# DAA

@functools.cache
def daa_group():
    """What an issuer publishes, as bytes: n, R0, R1, S0, S1, gamma, w, and q."""
    n = int.from_bytes(soft_key("issuer").modulus, "big")
    bases = [pow(base, 2, n).to_bytes(256, "big") for base in (3, 5, 7, 11)]
    q, gamma, w = (bytes.fromhex("".join(re.findall(r'"([0-9a-f]+)"', text))) for text in re.findall(
        r"(?:gamma|w|q)_hex\[\] =(.*?);", GROUP_C.read_text(), re.S))
    return [n.to_bytes(256, "big"), *bases, gamma, w, q]


def issuer_settings():
    """TPM_DAA_ISSUER."""
    n, r0, r1, s0, s1, gamma, _, q = daa_group()
    return u16(spec.TPM_TAG_DAA_ISSUER) + b"".join(map(sha1, (r0, r1, s0, s1, n, gamma))) + q


def join_steps(a):
    """(stage, inputData0, inputData1) of a join."""
    n, r0, r1, s0, s1, gamma, w, _ = daa_group()
    first, issuer = soft_key("first"), soft_key("issuer")
    ek = a.tpm.owner_read_pubek(OWNER)
    return [
        (0, u32(2), b""), (1, first.modulus, b""), (1, n, first.sign(sha1(n))),
        (2, issuer_settings(), issuer.sign(sha1(sha1(first.modulus), issuer_settings()))),
        (3, u32(7), b""), (4, r0, n), (5, r1, n), (6, s0, n), (7, s1, n),
        (8, ek.encrypt(b"n" * 20), b""), (9, r0, n), (10, r1, n), (11, s0, n), (12, s1, n),
        (13, gamma, w), (14, gamma, b""), (15, gamma, b""), (16, bytes(20), b""), (17, b"", b""),
        (18, b"", b""), (19, b"", b""), (20, b"", b""), (21, b"", b""),
        (22, bytes(spec.TPM_DAA_SIZE_v0), b""), (23, bytes(spec.TPM_DAA_SIZE_v1), b""),
        (24, b"", b"")]


def sign_steps(answers):
    """The same of a signature, with what the join answered by stage."""
    n, r0, r1, s0, s1, gamma, w, _ = daa_group()
    v0, v1, specific = answers[22], answers[23], answers[24]
    return [
        (0, issuer_settings(), b""), (1, specific, b""), (2, r0, n), (3, r1, n), (4, s0, n),
        (5, s1, n), (6, gamma, w), (7, gamma, b""), (8, gamma, b""), (9, bytes(20), b""),
        (10, u8(1), bytes(20)), (11, b"", b""), (12, b"", b""), (13, v0, b""), (14, v0, b""),
        (15, v1, b"")]


def daa_run(a, name, steps, faults):
    """Runs the steps, maybe with something wrong; the answers by stage, or None."""
    session, answers = 0, {}
    for stage, in0, in1 in steps:
        if faults and a.maybe(.02):
            stage = a.dice.choice([stage + 1, 0, 99])
        if faults and in0 and a.maybe(.02):
            in0 = a.dice.choice([in0[:-1], in0 + b"\0", bytes(len(in0))])
        if faults and in1 and a.maybe(.02):
            in1 = a.dice.choice([in1[:-1], b"", bytes(len(in1))])
        answer = a.run(name, u8(stage) + sized(in0) + sized(in1), [session], [a.tpm.oiap(OWNER)])
        if not answer:
            return None
        answers[stage] = answer.sized()
        if stage == 0:
            session = int.from_bytes(answers[0], "big")
    return answers


def daa(a):
    """A join and a signature."""
    faults = a.maybe(.7)
    answers = daa_run(a, "DAA_Join", join_steps(a), faults)
    if answers and answers.keys() >= {22, 23, 24}:
        daa_run(a, "DAA_Sign", sign_steps(answers), faults)


SCENES = [migration, migrate_key, cmk, change_auth_asym, daa]
