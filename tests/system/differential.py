"""The same life for two TPMs: seeded commands, valid, nearly valid and random, and what came of each.

A Twin is one of the two: a TPM with an owner, keys, NV areas and a counter, made by the same steps.
Handles, nonces, keys and blobs differ between the two; a command names them by their place in the
Twin's tables, so that one description (Step) makes the command of each. The answers must agree in
result code, in size, and, where they hold nothing random, to the byte. A random command, in which
several things are wrong, must fail with both or succeed with both.
"""
import hashlib
import random
import re
from dataclasses import dataclass, field
from pathlib import Path

from contract import spec
from tpm12 import (IDENTITY_KEY, Key, Reader, Session, Tpm, TpmError, key_template, pcr_info,
                   pcr_info_long, pcr_info_short, pcr_selection, rsa_parms, sized, u8, u16, u32)

ORDINALS_C = Path(__file__).parents[2] / "tpmcore/ordinals.c"

OWNER = b"o" * 20
SRK_AUTH = b"s" * 20
KEY_AUTH = b"k" * 20
DATA_AUTH = b"d" * 20
WRONG = b"w" * 20
SECRETS = [OWNER, SRK_AUTH, KEY_AUTH, DATA_AUTH, WRONG]


@dataclass
class Row:
    """A row of the table of commands."""
    name: str
    ordinal: int
    handles: str
    auths: str
    params: str
    out_handles: int


def command_table():
    """The declared commands, by name."""
    text = ORDINALS_C.read_text()
    text = text[text.index("struct ordinal table"):]
    rows = {}
    for prefix, name, handles, auths, params, rest in re.findall(
            r'CMD\((\w+), (\w+), (\w+), (\w+), \w+,\s+"([^"]*)"(.*?)\),\n', text, re.S):
        rows[name] = Row(name, getattr(spec, f"{prefix}_ORD_{name}"), handles, auths, params,
                         int(".out_handles = 1" in rest))
    return rows


TABLE = command_table()

NV_LOCK = (u16(spec.TPM_TAG_NV_DATA_PUBLIC) + u32(spec.TPM_NV_INDEX_LOCK) + pcr_info_short() * 2
           + u16(spec.TPM_TAG_NV_ATTRIBUTES) + bytes(4 + 3 + 4) + bytes(20))

# Commands whose answers hold random bytes, or bytes that depend on handles, keys or time.
RANDOM_ANSWERS = {
    "GetRandom", "OIAP", "OSAP", "DSAP", "GetTicks", "TickStampBlob", "SaveContext", "LoadContext",
    "Seal", "Sealx", "CreateWrapKey", "LoadKey", "LoadKey2", "GetPubKey", "Sign", "Quote", "Quote2",
    "CertifyKey", "CertifyKey2", "MakeIdentity", "ActivateIdentity", "ReadPubek", "OwnerReadPubek",
    "OwnerReadInternalPub", "CreateEndorsementKeyPair", "CreateRevocableEK", "TakeOwnership",
    "ChangeAuth", "ChangeAuthAsymStart", "ChangeAuthAsymFinish", "CreateMigrationBlob",
    "ConvertMigrationBlob", "AuthorizeMigrationKey", "MigrateKey", "CMK_ApproveMA", "CMK_CreateKey",
    "CMK_CreateTicket", "CMK_CreateBlob", "CMK_ConvertMigration", "SaveKeyContext", "LoadKeyContext",
    "SaveAuthContext", "LoadAuthContext", "EstablishTransport", "ExecuteTransport",
    "ReleaseTransportSigned", "Delegate_CreateKeyDelegation", "Delegate_CreateOwnerDelegation",
    "Delegate_VerifyDelegation", "GetAuditDigest", "GetAuditDigestSigned", "DAA_Join", "DAA_Sign",
    "GetCapability", "GetCapabilityOwner", "SHA1Start", "GetTestResult", "CreateCounter",
}
# What ends or changes a life for good is left to tests of its own.
AVOIDED = {
    "TakeOwnership", "OwnerClear", "ForceClear", "RevokeTrust", "CreateEndorsementKeyPair",
    "CreateRevocableEK", "SetTempDeactivated", "PhysicalSetDeactivated", "OwnerSetDisable",
    "PhysicalDisable", "ChangeAuthOwner", "SetOwnerInstall", "FieldUpgrade", "SetRedirection",
    "GetCapability", "SetCapability", "Init", "ResetLockValue", "SetOwnerPointer", "SaveState",
    # These are for scenes.
    "DAA_Join", "DAA_Sign", "EstablishTransport", "ExecuteTransport", "NV_DefineSpace",
    "LoadContext", "Delegate_UpdateVerification",
}
# Making an RSA key takes a while.
SLOW = {"CreateWrapKey", "CMK_CreateKey", "MakeIdentity", "ChangeAuthAsymStart", "SelfTestFull"}


@dataclass
class Blob:
    """A parameter that differs between the Twins: one of Twin.blobs, maybe with a bit turned."""
    kind: str
    place: int
    damage: tuple = ()


@dataclass
class Event:
    """What came of one command: the bytes are those that must agree.

    Unless strict, more than one thing was wrong with it, and any of them may be what was found.
    """
    name: str
    result: int
    size: int = 0
    content: bytes = b""
    strict: bool = True


COUNTER = object()  # a parameter: the id of the Twin's counter


@dataclass
class Twin:
    """One of the two TPMs and where its things are."""
    tpm: Tpm
    keys: list = field(default_factory=list)     # handles
    wrapped: list = field(default_factory=list)  # the same as Key
    blobs: dict = field(default_factory=dict)    # kind -> list of blobs
    migration: Key = None
    next_index: int = 0x20000                    # of NV areas that a scene makes

    USAGES = [(spec.TPM_KEY_SIGNING, 1, 2, 512, 0), (spec.TPM_KEY_SIGNING, 1, 3, 1024, 0),
              (spec.TPM_KEY_SIGNING, 1, 4, 512, 2), (spec.TPM_KEY_STORAGE, 3, 1, 2048, 0),
              (spec.TPM_KEY_STORAGE, 3, 1, 2048, 2), (spec.TPM_KEY_BIND, 3, 1, 1024, 0),
              (spec.TPM_KEY_LEGACY, 2, 2, 1024, 0)]

    def settle(self, nv_locked):
        """Owner, keys of each usage, sealed and bound data, an NV area, a counter."""
        tpm = self.tpm
        tpm.create_ek()
        self.srk = tpm.take_ownership(OWNER, SRK_AUTH)
        for usage, enc, sig, bits, flags in self.USAGES:
            template = key_template(usage, rsa_parms(enc, sig, bits), flags)
            key = tpm.create_wrap_key(spec.TPM_KH_SRK, SRK_AUTH, template, KEY_AUTH, DATA_AUTH)
            self.wrapped.append(key)
            self.keys.append(tpm.load_key2(spec.TPM_KH_SRK, SRK_AUTH, key))
        self.blobs["k"] = [key.raw for key in self.wrapped]
        self.blobs["S"] = [
            tpm.seal(spec.TPM_KH_SRK, SRK_AUTH, DATA_AUTH, b"sealed"),
            tpm.seal(spec.TPM_KH_SRK, SRK_AUTH, DATA_AUTH, b"bound", pcr_info({1: bytes(20)})),
            tpm.seal(spec.TPM_KH_SRK, SRK_AUTH, DATA_AUTH, b"long", pcr_info_long({}, 0x1f, 2)),
        ]
        self.blobs["s"] = [self.wrapped[0].private, self.wrapped[5].bind(b"message"),
                           self.wrapped[3].private]
        self.blobs["P"] = [self._pubkey(key) for key in self.wrapped]
        for index, permission in [(0x1000, spec.TPM_NV_PER_OWNERWRITE | spec.TPM_NV_PER_OWNERREAD),
                                  (0x1001, spec.TPM_NV_PER_AUTHWRITE | spec.TPM_NV_PER_AUTHREAD),
                                  (0x1002, spec.TPM_NV_PER_PPWRITE)]:
            tpm.nv_define(OWNER, index, 32, permission, DATA_AUTH)
        self._create_counter()
        self.identity = tpm.load_key2(spec.TPM_KH_SRK, SRK_AUTH, self._make_identity())
        if nv_locked:
            tpm.command(spec.TPM_ORD_NV_DefineSpace, NV_LOCK)

    def _make_identity(self):
        owner = self.tpm.osap_owner(OWNER)
        params = owner.encrypt_auth(KEY_AUTH) + bytes(20) + IDENTITY_KEY
        return Key(self.tpm.command(spec.TPM_ORD_MakeIdentity, params,
                                    sessions=[self.tpm.oiap(SRK_AUTH), owner]))

    def migrate_key(self, template):
        """A key for TPM_MigrateKey, made when it is first needed."""
        if not self.migration:
            self.migration = self.tpm.create_wrap_key(spec.TPM_KH_SRK, SRK_AUTH, template, KEY_AUTH)
        return self.migration

    def new_indexes(self, count):
        """NV indexes that were never used: once locked, an area of one Twin only stays with it."""
        self.next_index += count
        return range(self.next_index - count, self.next_index)

    def _create_counter(self):
        session = self.tpm.osap_owner(OWNER)
        answer = self.tpm.command(spec.TPM_ORD_CreateCounter,
                                  session.encrypt_auth(DATA_AUTH) + b"cntr", sessions=[session])
        self.counter = answer.u32()

    @staticmethod
    def _pubkey(key):
        return rsa_parms(*[1, 2], bits=len(key.modulus) * 8) + sized(key.modulus)

    def bytes_of(self, part):
        """A parameter for this Twin."""
        if part is COUNTER:
            return u32(self.counter)
        if not isinstance(part, Blob):
            return part
        blob = bytearray(self.blobs[part.kind][part.place % len(self.blobs[part.kind])])
        if part.damage:
            blob[part.damage[0] % len(blob)] ^= part.damage[1]
        return sized(bytes(blob)) if part.kind == "s" else bytes(blob)

    def handle(self, place):
        """The handle in this place: keys first, then reserved and wrong ones."""
        others = [spec.TPM_KH_SRK, spec.TPM_KH_EK, spec.TPM_KH_OWNER, 0, 0x01ffff01]
        return (self.keys + others)[place % (len(self.keys) + len(others))]

    def places(self):
        return len(self.keys) + 5


@dataclass
class Step:
    """One command: how it is made for either Twin, and what is wrong with it."""
    row: Row
    handles: list   # places of Twin.handle
    params: list    # bytes, or a Blob, or COUNTER
    sessions: list  # of (protocol, secret)
    fault: str = "" # "": valid; "random": anything may be wrong; else the one thing that is
    tag: int = 0    # of the command; 0: as the sessions want it
    cut: int = 0    # bytes to cut off; negative: to add

    @property
    def strict(self):
        """With one fault at most the result code is settled; with several any one may be found."""
        return self.fault not in ("random", "damaged")

    def run(self, twin):
        """The Event that it is, in a list."""
        sessions = []
        try:
            for i, (protocol, secret) in enumerate(self.sessions):
                sessions.append(twin.tpm.oiap(secret) if protocol == "OIAP" else
                                twin.tpm.osap(*self.entity(twin, i), secret))
        except TpmError as error:
            result, content = error.result, b""
        else:
            result, content = self.exchange(twin, sessions)
        for session in sessions:
            self.gone(twin, session)
        self.undo(twin, result, content)
        return [Event(self.row.name, result, len(content),
                      b"" if self.row.name in RANDOM_ANSWERS else content, self.strict)]

    def entity(self, twin, i):
        """What an OSAP session for the command is opened for."""
        if "OWNER" in self.row.auths and (i == 1 or "BY_KEY" not in self.row.auths):
            return spec.TPM_ET_OWNER, spec.TPM_KH_OWNER
        handle = twin.handle(self.handles[min(i, len(self.handles) - 1)]) if self.handles else 0
        return (spec.TPM_ET_SRK if handle == spec.TPM_KH_SRK else spec.TPM_ET_KEYHANDLE), handle

    def exchange(self, twin, sessions):
        """(result, response parameters)."""
        params = b"".join(twin.bytes_of(part) for part in self.params)
        digest = hashlib.sha1(u32(self.row.ordinal) + params).digest()
        body = b"".join(u32(twin.handle(h)) for h in self.handles) + params + \
            b"".join(s.sign(digest) for s in sessions)
        body = body[:len(body) - self.cut] if self.cut > 0 else body + bytes(-self.cut)
        tag = self.tag or spec.TPM_TAG_RQU_COMMAND + len(sessions)
        command = u16(tag) + u32(spec.TPM_HEADER_SIZE + len(body)) + u32(self.row.ordinal) + body
        response = Reader(twin.tpm.transport.exchange(command))
        response.take(2)
        size, result = response.u32(), response.u32()
        assert size == len(response.data)
        return result, b"" if result else response.data[10:size - 41 * len(sessions)]

    @staticmethod
    def gone(twin, session: Session):
        """Whatever became of a session, it is gone afterwards."""
        try:
            twin.tpm.flush(session.handle, spec.TPM_RT_AUTH)
        except TpmError:
            pass

    def undo(self, twin, result, content):
        """Leaves slots and locks as they were."""
        if result == 0 and self.row.name in ("LoadKey", "LoadKey2"):
            twin.tpm.flush(Reader(content).u32())
        if result == 0 and self.row.name in ("OIAP", "OSAP", "DSAP"):
            twin.tpm.flush(Reader(content).u32(), spec.TPM_RT_AUTH)
        if result == 0 and self.row.name in ("EvictKey", "FlushSpecific", "SaveKeyContext"):
            place = self.handles[0] % twin.places()
            twin.keys[place] = twin.tpm.load_key2(spec.TPM_KH_SRK, SRK_AUTH, twin.wrapped[place])
        if result in (spec.TPM_AUTHFAIL, spec.TPM_AUTH2FAIL):
            twin.tpm.command(spec.TPM_ORD_ResetLockValue, sessions=[twin.tpm.oiap(OWNER)])

    def __str__(self):
        return (f"{self.row.name} fault={self.fault!r} handles={self.handles} params={self.params} "
                f"sessions={[(k, s[:1]) for k, s in self.sessions]} tag={self.tag:#x} "
                f"cut={self.cut}")


NUMBERS = [0, 1, 2, 3, 5, 16, 17, 20, 23, 24, 31, 32, 255, 0x1000, 0x1001, 0x1002, 0x1003,
           0x10000001, spec.TPM_KH_SRK, spec.TPM_KH_EK, 0x7fffffff, 0xfffffff0, 0xffffffff]
SIGN, SIGN_DER, SIGN_INFO, STORAGE, MIGRATABLE, BIND, LEGACY, SRK = range(8)  # places


class Steps:
    """An endless stream of steps, by seed: valid ones, such with one fault, and random ones."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.names = sorted(set(TABLE) - AVOIDED)

    def __iter__(self):
        while True:
            kind = self.random.random()
            if kind < .3:
                yield self.any_command()
            elif kind < .6:
                yield self.valid()
            else:
                yield self.with_fault(self.valid())

    def digest(self):
        return self.random.randbytes(20)

    def sized(self, low, high):
        return sized(self.random.randbytes(self.random.randint(low, high)))

    def owner(self, name, *params):
        return Step(TABLE[name], [], list(params), [(self.protocol(), OWNER)])

    def plain(self, name, *params):
        return Step(TABLE[name], [], list(params), [])

    def by_key(self, name, place, *params, protocol=None):
        secret = SRK_AUTH if place == SRK else KEY_AUTH
        return Step(TABLE[name], [place], list(params), [(protocol or self.protocol(), secret)])

    def by_data(self, name, *params):
        return Step(TABLE[name], [], list(params), [("OIAP", DATA_AUTH)])

    def protocol(self):
        return self.random.choice(["OIAP", "OSAP"])

    def valid(self):
        """A command that a client could send, with what it needs."""
        r = self.random
        pcr, pcrs = u32(r.randrange(16)), pcr_selection(r.sample(range(24), r.randint(0, 4)))
        storage = r.choice([SRK, STORAGE])
        template = key_template(spec.TPM_KEY_SIGNING, rsa_parms(1, r.choice([2, 3, 4]), 512),
                                r.choice([0, 2, 4]), r.choice([0, 1]), key12=r.random() < .5)
        place = r.choice([SIGN, SIGN_INFO])
        two = Step(TABLE["Unseal"], [SRK], [Blob("S", r.randrange(2))],
                   [(self.protocol(), SRK_AUTH), ("OIAP", DATA_AUTH)])
        change = Step(TABLE["ChangeAuth"], [SRK], [u16(spec.TPM_PID_ADCP), self.digest(),
                      u16(spec.TPM_ET_KEY), Blob("s", 0)], [("OSAP", SRK_AUTH), ("OIAP", KEY_AUTH)])
        certify = Step(TABLE["CertifyKey"], [place, r.randrange(SRK)], [self.digest()],
                       [(self.protocol(), KEY_AUTH), (self.protocol(), KEY_AUTH)])
        return r.choice([
            lambda: self.plain("Extend", pcr, self.digest()),
            lambda: self.plain("PcrRead", pcr),
            lambda: self.plain("PCR_Reset", pcr_selection([r.choice([16, 23])])),
            lambda: self.plain("GetRandom", u32(r.randrange(64))),
            lambda: self.plain("StirRandom", self.sized(0, 200)),
            lambda: self.plain("SHA1Start"),
            lambda: self.plain("SHA1Update", sized(r.randbytes(64 * r.randint(1, 3)))),
            lambda: self.plain("SHA1Complete", self.sized(0, 64)),
            lambda: self.plain("SHA1CompleteExtend", pcr, self.sized(0, 64)),
            lambda: self.plain("ContinueSelfTest"),
            lambda: self.plain("GetTicks"),
            lambda: self.plain("DirRead", u32(0)),
            lambda: self.plain("ReadCounter", COUNTER),
            lambda: self.plain("GetCapability", u32(r.randrange(0x1c)), sized(u32(r.choice(NUMBERS)))),
            lambda: self.plain("GetCapability", u32(spec.TPM_CAP_PROPERTY),
                               sized(u32(0x100 + r.randrange(0x26)))),
            lambda: self.by_key("Seal", storage, self.digest(), sized(b""), self.sized(1, 60),
                                protocol="OSAP"),
            lambda: self.by_key("Seal", storage, self.digest(), sized(pcr_info({3: bytes(20)})),
                                self.sized(1, 60), protocol="OSAP"),
            lambda: self.by_key("Sealx", storage, self.digest(),
                                sized(pcr_info_long({3: bytes(20)})), self.sized(1, 60),
                                protocol="OSAP"),
            lambda: two,
            lambda: self.by_key("UnBind", BIND, Blob("s", 1)),
            lambda: self.by_key("Sign", place, self.sized(20, 20)),
            lambda: self.by_key("Sign", SIGN_DER, self.sized(1, 117)),
            lambda: self.by_key("Sign", SIGN_INFO, self.sized(1, 200)),
            lambda: self.by_key("Quote", place, self.digest(), pcrs),
            lambda: self.by_key("Quote2", place, self.digest(), pcrs, u8(r.randrange(2))),
            lambda: self.by_key("TickStampBlob", place, self.digest(), self.digest()),
            lambda: self.by_key("GetPubKey", r.randrange(SRK)),
            lambda: self.by_key("CreateWrapKey", storage, self.digest(), self.digest(), template,
                                protocol="OSAP"),
            lambda: self.by_key(r.choice(["LoadKey", "LoadKey2"]), SRK, Blob("k", r.randrange(7))),
            lambda: Step(TABLE["EvictKey"], [r.randrange(SRK)], [], []),
            lambda: change,
            lambda: certify,
            lambda: self.owner("OwnerReadPubek"),
            lambda: self.owner("OwnerReadInternalPub", u32(r.choice([spec.TPM_KH_SRK,
                                                                    spec.TPM_KH_EK]))),
            lambda: self.owner("DirWriteAuth", u32(0), self.digest()),
            lambda: self.owner("NV_WriteValue", u32(0x1000), u32(r.randrange(16)), self.sized(0, 16)),
            lambda: self.owner("NV_ReadValue", u32(0x1000), u32(r.randrange(16)), u32(r.randrange(17))),
            lambda: self.by_data("NV_WriteValueAuth", u32(0x1001), u32(r.randrange(16)),
                                 self.sized(0, 16)),
            lambda: self.by_data("NV_ReadValueAuth", u32(0x1001), u32(r.randrange(16)),
                                 u32(r.randrange(17))),
            lambda: self.by_data("IncrementCounter", COUNTER),
            lambda: self.owner("CMK_SetRestrictions", u32(r.getrandbits(5) << 27)),
            lambda: self.owner("CMK_ApproveMA", self.digest()),
            lambda: self.owner("AuthorizeMigrationKey", u16(r.choice([1, 2])), Blob("P", STORAGE)),
            lambda: self.owner("Delegate_Manage", u32(0), u32(spec.TPM_FAMILY_CREATE),
                               sized(b"f")) if r.random() < .1 else self.plain("Delegate_ReadTable"),
            lambda: self.owner("SetOrdinalAuditStatus", u32(spec.TPM_ORD_PcrRead), u8(0)),
            lambda: self.plain("GetAuditDigest", u32(0)),
            lambda: self.owner("GetCapabilityOwner"),
        ])()

    def with_fault(self, step):
        """The same with one thing wrong."""
        r = self.random
        faults = ["tag", "cut", "ordinal"]
        faults += ["secret", "protocol"] if step.sessions else []
        faults += ["handle"] if step.handles else []
        numbers = [i for i, p in enumerate(step.params) if isinstance(p, bytes) and len(p) <= 4]
        blobs = [i for i, p in enumerate(step.params) if isinstance(p, Blob)]
        faults += ["number"] * bool(numbers) + ["damaged"] * bool(blobs)
        step.fault = r.choice(faults)
        if step.fault == "tag":
            step.tag = r.choice([0, 0xc0, 0xc4, 0xffff])
        elif step.fault == "cut":
            step.cut = r.choice([1, 4, 20, -1, -4])
        elif step.fault == "ordinal":
            step.row = Row("unknown", r.choice([0, 9, 0x2f00, 0x40000001, 0xffffffff]), "", "", "", 0)
        elif step.fault in ("secret", "protocol"):
            i = r.randrange(len(step.sessions))
            protocol, secret = step.sessions[i]
            step.sessions[i] = (protocol, WRONG) if step.fault == "secret" else \
                ({"OIAP": "OSAP", "OSAP": "OIAP"}[protocol], secret)
        elif step.fault == "handle":
            step.handles[r.randrange(len(step.handles))] = r.randrange(12)
            step.fault = "random"  # another key is another usage, scheme and secret, too
        elif step.fault == "number":
            i = r.choice(numbers)
            step.params[i] = self.number(step.row, len(step.params[i]))
        else:
            i = r.choice(blobs)
            step.params[i] = Blob(step.params[i].kind, step.params[i].place,
                                  (r.getrandbits(12), 1 << r.randrange(8)))
        return step

    def number(self, row, size):
        # An NV offset near 2^32 is the death of the other Twin.
        numbers = [n for n in NUMBERS if n < 1 << 31] if row.name.startswith("NV_") else NUMBERS
        return (self.random.choice(numbers) & (1 << 8 * size) - 1).to_bytes(size, "big")

    def any_command(self):
        """Parameters of the right shape with anything in them."""
        r = self.random
        row = TABLE[r.choice(self.names)]
        while row.name in SLOW and r.random() < .8:
            row = TABLE[r.choice(self.names)]
        handles = [] if row.handles == "NO_HANDLE" else \
            [r.randrange(12) for _ in range(row.handles.count("_") + 1)]
        count = 0 if row.auths == "NO_AUTH" else 1 + (row.auths in TWO_AUTHS)
        sessions = [(self.protocol(), r.choice(SECRETS)) for _ in range(count)]
        return Step(row, handles, [self.param(row, code) for code in row.params], sessions, "random")

    def param(self, row, code):
        r = self.random
        if code in "1234":
            return self.number(row, int(code))
        if code in "kSP" or (code == "s" and r.random() < .5):
            return Blob(code, r.randrange(8))
        return {"d": self.digest, "b": lambda: u8(r.choice([0, 1, 1, 2])), "L": lambda: bytes(16), "K": lambda: rsa_parms(1, 2, 512),
                "p": lambda: pcr_selection(r.sample(range(24), r.randint(0, 4)), 3),
                "s": lambda: self.sized(0, 300)}.get(code, lambda: r.randbytes(r.randrange(60)))()


TWO_AUTHS = ("BY_KEY_KEY_PUBLIC", "BY_KEY_PUBLIC_KEY", "BY_KEY_HANDLER", "BY_KEY_OWNER",
             "SRK_OWNER")
