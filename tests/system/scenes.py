"""Scenes: what takes several commands in a row, played by both Twins of differential.py.

A scene is a function of an Actor. It is played with the same dice by each Twin, and what is
compared are the events: every command it ran, its result, size and, where exact, its bytes. What a
scene leaves behind Actor.tidy takes away.
"""
import random
from dataclasses import dataclass

from contract import ORDINAL_NAMES, spec
from differential import DATA_AUTH, KEY_AUTH, OWNER, SRK_AUTH, TABLE, WRONG, Event, Twin
from differential import LEGACY, SIGN, SRK, STORAGE
from tpm12 import (Reader, Session, Tpm, TpmError, pcr_info_short, pcr_selection, sha1, sized, u8,
                   u16, u32)
from transport_session import TransportSession

# Of these only DSAP's entityValue is encrypted in a transport session.
CLEAR = {"OIAP": 0, "OSAP": 2 + 4 + 20, "DSAP": 2 + 4 + 20 + 4}
SHAPES = {row.ordinal: (0 if row.handles == "NO_HANDLE" else row.handles.count("_") + 1,
                        row.out_handles, CLEAR.get(row.name, 0), row.name in CLEAR)
          for row in TABLE.values()}


class Actor:
    """One Twin in a scene, with dice that fall alike for both."""

    def __init__(self, twin, dice, tpm=None, events=None):
        self.twin, self.dice, self.tpm = twin, dice, tpm or twin.tpm
        self.events = [] if events is None else events
        self.strict = True  # the next command: nothing in it is damaged

    def inside(self, session):
        """The same actor, whose commands go through a transport session."""
        return Actor(self.twin, self.dice, Tpm(session), self.events)

    def run(self, name, params=b"", handles=(), sessions=(), out_handles=0, exact=False):
        """A command; its answer (Reader), or None when it failed."""
        try:
            answer = self.tpm.command(TABLE[name].ordinal, params, handles, sessions, out_handles)
            self.events.append(Event(name, 0, len(answer.data), answer.data if exact else b""))
            return answer
        except TpmError as error:
            self.failed(error)
            return None
        finally:
            self.events[-1].strict, self.strict = self.strict, True

    def failed(self, error):
        self.events.append(Event(ORDINAL_NAMES.get(error.ordinal, hex(error.ordinal)), error.result))

    def owner(self, name, params=b"", secret=OWNER, **options):
        """A command by the owner."""
        return self.run(name, params, sessions=[self.tpm.oiap(secret)], **options)

    def key(self, place):
        """(handle, secret, Key) of one of the Twin's keys."""
        if place == SRK:
            return spec.TPM_KH_SRK, SRK_AUTH, self.twin.srk
        return self.twin.keys[place], KEY_AUTH, self.twin.wrapped[place]

    def maybe(self, chance):
        return self.dice.random() < chance

    def bytes(self, count):
        return self.dice.randbytes(count)

    def damaged(self, blob, chance=.1):
        """The blob, now and then with a bit turned."""
        if not self.maybe(chance):
            return blob
        self.strict = False
        at, bit = self.dice.getrandbits(16) % len(blob), self.dice.randrange(8)
        return blob[:at] + bytes([blob[at] ^ 1 << bit]) + blob[at + 1:]

    def listed(self, kind):
        """The handles that the TPM tells of."""
        try:
            answer = Reader(self.tpm.get_capability(spec.TPM_CAP_HANDLE, kind))
        except TpmError:
            return []
        return [answer.u32() for _ in range(answer.u16())]

    def tidy(self):
        """Whatever a scene left behind goes."""
        tpm, twin = self.twin.tpm, self.twin
        tpm.command(spec.TPM_ORD_SetOwnerPointer, u16(spec.TPM_ET_OWNER) + u32(0))
        for kind in (spec.TPM_RT_TRANS, spec.TPM_RT_AUTH, spec.TPM_RT_DAA_TPM, spec.TPM_RT_CONTEXT):
            for handle in self.listed(kind):
                tpm.flush(handle, kind)
        tpm.command(spec.TPM_ORD_ResetLockValue, sessions=[tpm.oiap(OWNER)])
        for handle in set(self.listed(spec.TPM_RT_KEY)) - {*twin.keys, twin.identity}:
            tpm.flush(handle)
        for place, handle in enumerate(twin.keys):
            if handle not in self.listed(spec.TPM_RT_KEY):
                twin.keys[place] = tpm.load_key2(spec.TPM_KH_SRK, SRK_AUTH, twin.wrapped[place])
        for index in self.areas():
            if index >= Twin.next_index:
                try:
                    tpm.nv_define(OWNER, index, 0, 0)
                except TpmError as error:  # locked until a reboot that will not come
                    assert error.result == spec.TPM_AREA_LOCKED
        for counter in set(self.listed(spec.TPM_RT_COUNTER)) - {twin.counter}:
            tpm.command(spec.TPM_ORD_ReleaseCounterOwner, u32(counter), sessions=[tpm.oiap(OWNER)])
        for family in self.families():
            tpm.command(spec.TPM_ORD_Delegate_Manage, u32(family) + u32(spec.TPM_FAMILY_INVALIDATE)
                        + sized(b""), sessions=[tpm.oiap(OWNER)])

    def areas(self):
        answer = Reader(self.twin.tpm.get_capability(spec.TPM_CAP_NV_LIST))
        return [answer.u32() for _ in range(len(answer.data) // 4)]

    def families(self):
        table = Reader(self.twin.tpm.command(spec.TPM_ORD_Delegate_ReadTable).sized())
        return [Reader(table.take(15)[3:]).u32() for _ in range(len(table.data) // 15)]


@dataclass
class Scene:
    """A scene with its dice; to be run like a differential.Step."""
    play: object
    seed: int

    def run(self, twin):
        actor = Actor(twin, random.Random(self.seed))
        try:
            self.play(actor)
        except TpmError as error:  # of a command that the scene takes for granted
            actor.failed(error)
        actor.tidy()
        return actor.events

    def __str__(self):
        return f"scene {self.play.__name__} with dice {self.seed}"


# Transport sessions

def establish(a):
    """A transport session of some kind, or None."""
    attributes = a.dice.randrange(8)
    algorithm, scheme = a.dice.choice([(spec.TPM_ALG_MGF1, spec.TPM_ES_NONE)] * 3 + [
        (spec.TPM_ALG_AES, spec.TPM_ES_SYM_CNT), (spec.TPM_ALG_AES, spec.TPM_ES_SYM_OFB),
        (spec.TPM_ALG_AES, spec.TPM_ES_NONE), (spec.TPM_ALG_XOR, spec.TPM_ES_NONE)])
    key, sessions = None, []
    if attributes & spec.TPM_TRANSPORT_ENCRYPT or a.maybe(.3):
        handle, secret, public = a.key(a.dice.choice([STORAGE, STORAGE, SRK, SIGN]))
        key = handle, public
        if a.maybe(.9):
            open_ = a.dice.choice([a.tpm.osap_key, lambda handle, secret: a.tpm.oiap(secret)])
            sessions = [open_(handle, WRONG if a.maybe(.1) else secret)]
    try:
        session = TransportSession.establish(a.tpm, a.bytes(20), attributes, algorithm, scheme,
                                             SHAPES, key, sessions)
    except TpmError as error:
        return a.failed(error)
    a.events.append(Event("EstablishTransport", 0))
    return session


def errand(a):
    """One command of any kind."""
    handle, secret, _ = a.key(SIGN)
    a.dice.choice([
        lambda: a.run("PcrRead", u32(a.dice.randrange(26)), exact=True),
        lambda: a.run("Extend", u32(a.dice.randrange(16)) + a.bytes(20), exact=True),
        lambda: a.run("GetRandom", u32(a.dice.choice([0, 1, 32, 1000]))),
        lambda: a.run("GetTicks"),
        lambda: a.run("OIAP"),
        lambda: a.run("DSAP", u16(spec.TPM_ET_DEL_ROW) + bytes(24) + sized(u32(0))),
        lambda: a.run("StirRandom", sized(a.bytes(30))),
        lambda: a.run("SHA1Start"),
        lambda: a.run("SHA1Complete", sized(a.bytes(30)), exact=True),
        lambda: a.run("Sign", sized(a.bytes(20)), [handle], [a.tpm.oiap(secret)]),
        lambda: a.run("Sign", sized(a.bytes(20)), [handle], [a.tpm.osap_key(handle, secret)]),
        lambda: a.run("Sign", sized(a.bytes(20)), [handle], [a.tpm.oiap(WRONG)]),
        lambda: a.run("LoadKey2", a.twin.wrapped[SIGN].raw, [spec.TPM_KH_SRK],
                      [a.tpm.oiap(SRK_AUTH)], out_handles=1),
        lambda: a.owner("NV_ReadValue", u32(0x1000) + u32(0) + u32(8), exact=True),
        lambda: a.owner("OwnerReadInternalPub", u32(spec.TPM_KH_SRK)),
        lambda: a.run("SaveState"),
        lambda: a.run("EstablishTransport", bytes(16), [spec.TPM_KH_TRANSPORT]),
        lambda: a.run("GetCapability", u32(spec.TPM_CAP_PROPERTY) + sized(u32(0x101)), exact=True),
        lambda: a.run("FlushSpecific", u32(spec.TPM_RT_KEY), [a.key(LEGACY)[0]]),
    ])()


def transport(a):
    """Wrapped commands of every kind, some beside them; the log's signature at the end."""
    session = establish(a)
    if not session:
        return
    for _ in range(a.dice.randrange(8)):
        if a.maybe(.08):
            session.session.secret = WRONG
        errand(a.inside(session) if a.maybe(.85) else a)
    handle, secret, _ = a.key(a.dice.choice([SIGN, SIGN, STORAGE]))
    if a.maybe(.7):
        session.release(handle, secret)
        a.events.append(Event("ReleaseTransportSigned", 0))
    else:
        a.run("FlushSpecific", u32(spec.TPM_RT_TRANS), [session.session.handle])
    errand(a.inside(session))


# Contexts

def something(a):
    """A session or key to be saved: (its type, its handle, Session or None)."""
    handle, secret, key = a.key(SIGN)
    kind = a.dice.choice(["OIAP", "OSAP", "OSAP owner", "key", "transport"])
    if kind == "key":
        return spec.TPM_RT_KEY, a.tpm.load_key2(spec.TPM_KH_SRK, SRK_AUTH, key), None
    if kind == "transport":
        session = TransportSession.establish(a.tpm, bytes(20), 0, 0, 0, SHAPES).session
        return spec.TPM_RT_TRANS, session.handle, None
    session = {"OIAP": lambda: a.tpm.oiap(secret, keep=True),
               "OSAP": lambda: a.tpm.osap_key(handle, secret, keep=True),
               "OSAP owner": lambda: a.tpm.osap_owner(OWNER, keep=True)}[kind]()
    return spec.TPM_RT_AUTH, session.handle, session


def contexts(a):
    """Saved, loaded, replayed, forgotten, damaged."""
    saved, spent, entity = [], [], a.key(SIGN)[0]
    for _ in range(a.dice.randint(2, 10)):
        if not saved or a.maybe(.4):
            kind, handle, session = something(a)
            answer = a.run("SaveContext", u32(kind) + bytes(16), [handle])
            if answer:
                saved.append((handle, session, answer.sized()))
                if kind == spec.TPM_RT_KEY and a.maybe(.5):
                    a.run("FlushSpecific", u32(kind), [handle])
            continue
        handle, session, blob = a.dice.choice(saved)
        what = a.dice.choice(["load", "load", "forget", "use", "reset", "list"])
        if what == "load":
            named = a.dice.choice([entity, entity, 0, 0x01ffff01])
            params = u8(a.dice.randrange(2)) + sized(a.damaged(blob))
            a.strict &= named == entity or blob not in spent
            a.run("LoadContext", params, [named], out_handles=1)
            spent.append(blob)
        elif what == "forget":
            spent.append(blob)
            a.run("FlushSpecific", u32(spec.TPM_RT_CONTEXT), [Reader(blob[26:]).u32()])
        elif what == "reset" and a.maybe(.2):
            a.run("Reset")
        elif what == "list":
            for kind in (spec.TPM_RT_AUTH, spec.TPM_RT_TRANS, spec.TPM_RT_CONTEXT):
                a.run("GetCapability", u32(spec.TPM_CAP_HANDLE) + sized(u32(kind)))
        elif session:
            a.run("Sign", sized(bytes(20)), [entity], [session])


def old_contexts(a):
    """The same by the commands of 1.1."""
    session = a.tpm.oiap(KEY_AUTH, keep=True)
    answer = a.run("SaveAuthContext", b"", [session.handle])
    if answer:
        blob = answer.sized()
        if a.maybe(.3):
            a.run("Reset")
        a.run("LoadAuthContext", sized(a.damaged(blob)), out_handles=1)
        a.run("LoadAuthContext", sized(blob), out_handles=1)
    handle = a.tpm.load_key2(spec.TPM_KH_SRK, SRK_AUTH, a.twin.wrapped[SIGN])
    answer = a.run("SaveKeyContext", b"", [handle])
    if answer:
        blob = answer.sized()
        if a.maybe(.3):
            a.run("Reset")
        for _ in range(2):
            a.run("LoadKeyContext", sized(a.damaged(blob)), out_handles=1)
    a.run("Terminate_Handle", b"", [a.dice.choice([session.handle, 0x02ffff01])])


# Delegation

def delegate_public(kind, permissions, family, locality=0x1f, pcrs=()):
    """TPM_DELEGATE_PUBLIC."""
    return (u16(spec.TPM_TAG_DELEGATE_PUBLIC) + u8(7) + pcr_info_short(pcrs, locality)
            + u16(spec.TPM_TAG_DELEGATIONS) + u32(kind) + u32(permissions) + u32(0) + u32(family)
            + u32(0))


def dsap(a, kind, value, secret, handle=0):
    """A DSAP session."""
    nonce = bytes(20)
    answer = a.run("DSAP", u16(kind) + u32(handle) + nonce + sized(value))
    if answer:
        session, nonce_even = answer.u32(), answer.take(20)
        shared = sha1_hmac(secret, answer.take(20) + nonce)
        return Session(session, nonce_even, shared)
    return None


def sha1_hmac(key, data):
    inner, outer = (bytes(b ^ pad for b in key.ljust(64, b"\0")) for pad in (0x36, 0x5c))
    return sha1(outer, sha1(inner, data))


def family(a):
    """A new family, enabled more often than not."""
    answer = a.owner("Delegate_Manage", u32(0) + u32(spec.TPM_FAMILY_CREATE) + sized(b"f"))
    if not answer:
        return 0
    number = Reader(answer.sized()).u32()
    if a.maybe(.9):
        a.owner("Delegate_Manage", u32(number) + u32(spec.TPM_FAMILY_ENABLE) + sized(u8(1)))
    return number


def change_family(a, number):
    """What may happen to a family meanwhile."""
    operation = a.dice.choice([spec.TPM_FAMILY_ENABLE, spec.TPM_FAMILY_ADMIN,
                               spec.TPM_FAMILY_INVALIDATE, 0, 9])
    params = u32(a.dice.choice([number, number, 77])) + u32(operation) + \
        sized(a.dice.choice([u8(0), u8(1), b"", b"\1\1"]))
    if a.maybe(.7):
        a.owner("Delegate_Manage", params)
    else:
        a.run("Delegate_Manage", params)


def use_owner_delegation(a, open_):
    """Commands that the delegation may allow."""
    for name, params in [("OwnerReadPubek", b""), ("DirWriteAuth", u32(0) + bytes(20)),
                         ("OwnerReadInternalPub", u32(spec.TPM_KH_SRK)),
                         ("CMK_ApproveMA", bytes(20)), ("GetCapabilityOwner", b"")]:
        session = open_()
        if session:
            a.run(name, params, sessions=[session])


def owner_delegation(a):
    """A blob for the owner's rights, used as blob, as row, and in the owner's place."""
    number = family(a)
    session = a.tpm.osap_owner(OWNER)
    permissions = a.dice.choice([0x7fffffff, a.dice.getrandbits(31), spec.TPM_DELEGATE_OwnerReadPubek])
    public = delegate_public(spec.TPM_DEL_OWNER_BITS, permissions, number,
                             a.dice.choice([0x1f, 0x1f, 1, 2, 0, 0x20]))
    answer = a.run("Delegate_CreateOwnerDelegation", u8(a.dice.randrange(2)) + public
                   + session.encrypt_auth(DATA_AUTH), sessions=[session])
    if not answer:
        return
    blob = answer.sized()
    if a.maybe(.3):
        change_family(a, number)
    a.run("Delegate_VerifyDelegation", sized(a.damaged(blob)))
    use_owner_delegation(a, lambda: dsap(a, spec.TPM_ET_DEL_OWNER_BLOB, blob, DATA_AUTH))
    row = a.dice.choice([0, 1, 3, 4])
    loaded = a.owner("Delegate_LoadOwnerDelegation", u32(row) + sized(blob))
    if a.maybe(.3):
        change_family(a, number)
    a.run("Delegate_ReadTable", exact=True)
    use_owner_delegation(a, lambda: dsap(a, spec.TPM_ET_DEL_ROW, u32(row), DATA_AUTH))
    renewed = None
    if loaded and number in a.families():  # else it were the death of the other Twin
        renewed = a.owner("Delegate_UpdateVerification", sized(a.dice.choice([blob, u32(row)])))
    if renewed and renewed.data[:4] != bytes(4):
        a.run("Delegate_VerifyDelegation", sized(renewed.sized()))
    if a.run("SetOwnerPointer", u16(spec.TPM_ET_DEL_ROW) + u32(row)):
        use_owner_delegation(a, lambda: a.tpm.oiap(a.dice.choice([DATA_AUTH, DATA_AUTH, OWNER])))
        use_owner_delegation(a, lambda: a.tpm.osap_owner(DATA_AUTH))


def key_delegation(a):
    """A blob for the use of a key."""
    number = family(a)
    handle, secret, _ = a.key(SIGN)
    session = a.tpm.osap_key(handle, secret)
    permissions = a.dice.choice([0x1fffffff, a.dice.getrandbits(29), spec.TPM_KEY_DELEGATE_Sign])
    public = delegate_public(a.dice.choice([spec.TPM_DEL_KEY_BITS] * 4 + [1, 3]), permissions, number)
    answer = a.run("Delegate_CreateKeyDelegation", public + session.encrypt_auth(DATA_AUTH), [handle],
                   [session])
    if not answer:
        return
    blob = answer.sized()
    if a.maybe(.3):
        change_family(a, number)
    for name, params in [("Sign", sized(bytes(20))), ("Quote", bytes(20) + pcr_selection([1])),
                         ("GetPubKey", b""), ("TickStampBlob", bytes(40))]:
        named = a.dice.choice([handle] * 4 + [a.key(STORAGE)[0], spec.TPM_KH_SRK])
        session = dsap(a, spec.TPM_ET_DEL_KEY_BLOB, a.damaged(blob), DATA_AUTH, named)
        if session:
            a.run(name, params, [handle], [session])


# NV storage

def nv_public(a, index, attributes, size):
    """TPM_NV_DATA_PUBLIC."""
    def pcrs():
        return pcr_info_short(a.dice.choice([(), (), {3: bytes(20)}]),
                              a.dice.choice([0x1f] * 6 + [1, 3, 0x1e, 0, 0x20]))
    read = pcrs()
    write = pcrs() if attributes & NV_WRITABLE else read  # the Twins ask different ones
    return (u16(spec.TPM_TAG_NV_DATA_PUBLIC) + u32(index) + read + write
            + u16(spec.TPM_TAG_NV_ATTRIBUTES) + u32(attributes) + bytes(3) + u32(size))


NV_BITS = [spec.TPM_NV_PER_PPWRITE, spec.TPM_NV_PER_OWNERWRITE, spec.TPM_NV_PER_AUTHWRITE,
           spec.TPM_NV_PER_WRITEALL, spec.TPM_NV_PER_WRITEDEFINE, spec.TPM_NV_PER_WRITE_STCLEAR,
           spec.TPM_NV_PER_GLOBALLOCK, spec.TPM_NV_PER_PPREAD, spec.TPM_NV_PER_OWNERREAD,
           spec.TPM_NV_PER_AUTHREAD, spec.TPM_NV_PER_READ_STCLEAR]


NV_WRITABLE = (spec.TPM_NV_PER_PPWRITE | spec.TPM_NV_PER_OWNERWRITE | spec.TPM_NV_PER_AUTHWRITE
               | spec.TPM_NV_PER_WRITEDEFINE)


def nv_define(a, public):
    session = a.tpm.osap_owner(OWNER)
    return a.run("NV_DefineSpace", public + session.encrypt_auth(DATA_AUTH), sessions=[session])


def nv(a):
    """Areas of all attributes, written and read by owner, AuthData and nobody; defined again."""
    indexes, defined = a.twin.new_indexes(3), []
    for index in indexes[:a.dice.randint(1, 3)]:
        attributes = sum(a.dice.sample(NV_BITS, a.dice.randint(1, 4)))
        public = nv_public(a, index, attributes, a.dice.choice([1, 16, 16, 0, 40000]))
        if nv_define(a, public):
            defined.append(public)
    for _ in range(a.dice.randint(4, 16)):
        where = u32(a.dice.choice(indexes)) + u32(a.dice.choice([0, 0, 1, 15, 16]))
        data = a.bytes(a.dice.choice([0, 1, 16]))
        name = a.dice.choice(["NV_WriteValue", "NV_ReadValue"])
        params = where + (sized(data) if name == "NV_WriteValue" else u32(len(data)))
        if a.maybe(.4):
            a.run(name, params, exact=True)
        elif a.maybe(.5):
            a.owner(name, params, exact=True)
        else:
            a.run(name + "Auth", params, sessions=[a.tpm.oiap(DATA_AUTH)], exact=True)
    for public in defined:  # a definition that is refused now were the end of the other Twin
        nv_define(a, public)
        a.run("NV_ReadValue", public[2:6] + u32(0) + u32(1), exact=True)


# Counters, audit

def counters(a):
    """More of them than there is room for, incremented and released by whom they belong to."""
    numbers = [a.twin.counter]
    for _ in range(a.dice.choice([1, 2, 9])):
        session = a.tpm.osap_owner(OWNER)
        answer = a.run("CreateCounter", session.encrypt_auth(DATA_AUTH) + a.bytes(4),
                       sessions=[session])
        if answer:
            numbers.append(answer.u32())
    for _ in range(a.dice.randrange(8)):
        number = u32(a.dice.choice([*numbers, 99]))
        secret = a.dice.choice([DATA_AUTH] * 3 + [WRONG])
        if number != u32(a.twin.counter) and a.maybe(.3):
            a.run("ReleaseCounter", number, sessions=[a.tpm.oiap(secret)])
        elif number != u32(a.twin.counter) and a.maybe(.3):
            a.owner("ReleaseCounterOwner", number)
        elif a.maybe(.5):
            a.run("IncrementCounter", number, sessions=[a.tpm.oiap(secret)])
        else:
            a.run("ReadCounter", number)


def audit(a):
    """From one closed audit to the next the digest is made of what happened, alike for both."""
    identity = a.twin.identity
    close = lambda flag: a.run("GetAuditDigestSigned", u8(flag) + bytes(20), [identity],
                               [a.tpm.oiap(KEY_AUTH)])
    close(1)
    audited = a.dice.sample(["PcrRead", "Extend", "DirRead", "StirRandom", "GetAuditDigest"], 2)
    for name in audited:
        a.owner("SetOrdinalAuditStatus", u32(TABLE[name].ordinal) + u8(1))
    for _ in range(a.dice.randrange(6)):
        a.dice.choice([lambda: a.run("PcrRead", u32(a.dice.randrange(26))),
                       lambda: a.run("Extend", u32(a.dice.randrange(16)) + a.bytes(20)),
                       lambda: a.run("DirRead", u32(a.dice.randrange(2))),
                       lambda: a.run("StirRandom", sized(a.bytes(9)))])()
    answer = a.run("GetAuditDigest", u32(0))
    a.events.append(Event("audit digest", 0, 0, answer.data[10:30]))
    close(a.dice.randrange(2))
    for name in audited:
        a.owner("SetOrdinalAuditStatus", u32(TABLE[name].ordinal) + u8(0))


SCENES = [transport, transport, contexts, old_contexts, owner_delegation, key_delegation, nv,
          counters, audit]
