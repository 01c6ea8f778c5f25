"""Hosts between which vTPMs migrate: each with its manager, its chip, its certificate.

A Side is a Host that has been used before: its folders are copies of ones that were made once, so
that no test waits for keys. On them, instance 5 is a guest's vTPM with an owner, a key and an NV area.
"""
import atexit
import functools
import json
import os
import shutil
import struct
import subprocess
import tempfile
from enum import IntEnum
from pathlib import Path
from uuid import UUID

from contract import manager, spec
from host import BUILD, TIMEOUT, TREE, Host, accepts, console_request, until
from tpm12 import SIGNING_KEY, WELL_KNOWN, Key, Reader, Tpm, sha1
from transport import FifoBackend, Stream, connect

GUEST, NUMBER = "6d7a1a1e-2f5a-4f0a-9d0e-0b6c8f1d2e3f", 5
OWNER, KEY_AUTH = sha1(b"owner"), sha1(b"key")
NV_INDEX, NV_DATA = 0x1100, b"what the guest wrote down"
CHIPS = ("emulated", "1.2", "2.0")
HELLO = 0x10

State = IntEnum("State", "NONE HERE OUTGOING MIGRATED OFFERED PREPARED", start=0)


@functools.cache
def made_once():
    """A folder for what all tests of this run share."""
    folder = Path(tempfile.mkdtemp(prefix="vtpm-"))
    owner = os.getpid()
    atexit.register(lambda: os.getpid() == owner and shutil.rmtree(folder))
    return folder


@functools.cache
def ca(name="ca"):
    """A CA's folder."""
    return made_once() / name


@functools.cache
def certificate(host, *addresses, authority="ca", days=30):
    """The folder with ca.pem, host.pem and host.key of a host."""
    subprocess.run([TREE / "hotplug/vtpm-pki", "--dir", ca(authority), "--days", str(days), host,
                    *addresses], check=True, capture_output=True)
    return ca(authority) / host


@functools.cache
def template(chip):
    """The folder of a host with this chip, and the blob of its guest's key."""
    with Side("template", chip, None) as side:
        side.boot()
        side.vtpmctl("define", GUEST, "--id", NUMBER)
        side.vtpmctl("open", NUMBER)
        tpm = side.tpm()
        tpm.take_ownership(OWNER)
        tpm.nv_define(OWNER, NV_INDEX, len(NV_DATA),
                      spec.TPM_NV_PER_OWNERWRITE | spec.TPM_NV_PER_OWNERREAD)
        tpm.nv_write(NV_INDEX, NV_DATA, OWNER)
        key = tpm.create_wrap_key(spec.TPM_KH_SRK, WELL_KNOWN, SIGNING_KEY, KEY_AUTH)
        side.vtpmctl("close", NUMBER)
        side.process.terminate_and_wait()
        folder = made_once() / chip
        shutil.copytree(side.state_dir, folder / "state")
        if side.chip_dir.exists():
            side.chip_process.terminate_and_wait()
            shutil.copytree(side.chip_dir, folder / "chip.dir")
    return folder, key.raw


class Side(Host):
    """A host, called name, with a chip: "emulated", "1.2" or "2.0"."""

    def __init__(self, name, chip="emulated", source="copy"):
        super().__init__()
        self.name, self.chip, self.backend, self.daemon = name, chip, None, None
        self.chip_dir = self.path("chip.dir")
        self.address = f"unix:{self.path('migratord.sock')}"
        if source:
            folder, self.key = template(chip)
            shutil.copytree(folder / "state", self.state_dir)
            if (folder / "chip.dir").exists():
                shutil.copytree(folder / "chip.dir", self.chip_dir)

    def boot(self, *options, **how):
        """Starts chip and manager."""
        if self.chip != "emulated":
            self.chip_process = self.swtpm("chip", tpm2=self.chip == "2.0", **how)
            options = ("--tpm", f"socket:{self.chip_process.address}", *options)
        self.options = options
        self.process = self.manager(*options)

    def boot_again(self):
        """The manager after its death; the guests' pipes are new."""
        self.process = self.manager(*self.options)

    def forget_guest(self):
        """Makes it a host that has never had the guest's vTPM."""
        self.vtpmctl("delete", NUMBER)

    def guest(self, number=NUMBER):
        if not self.backend:
            self.backend = self.closes(FifoBackend(self.run_dir))
        return self.backend.guest(number)

    def tpm(self, number=NUMBER):
        return Tpm(self.guest(number))

    # What the manager says

    def ask(self, ordinal, parameters=b""):
        """A request to the manager: (status, answer)."""
        with connect(f"unix:{self.run_dir / manager.VTPM_PATH_MANAGER}") as console:
            stream = Stream(console.fileno())
            stream.write(console_request(ordinal, parameters))
            _, _, size, status = struct.unpack(">IHII", stream.read(14))
            return status, stream.read(size - 10)

    def standing(self, uuid=GUEST):
        """(state, fence) of a vTPM."""
        status, answer = self.ask(manager.VTPM_ORD_QUERY, UUID(uuid).bytes)
        assert status == 0, answer
        return State(answer[0]), struct.unpack_from(">Q", answer, 1)[0]

    def number(self, uuid=GUEST):
        return json.loads(self.vtpmctl("show", uuid, "--json").stdout)["instance"]

    # The migration programs

    def files(self, folder=None):
        folder = folder or certificate(self.name, "127.0.0.1")
        return [word for name, file in (("--ca", "ca.pem"), ("--cert", "host.pem"),
                                        ("--key", "host.key")) for word in (name, folder / file)]

    def migratord(self, *options, pki=None, address=None, **how):
        address = address or self.address
        process = self.start(BUILD / "vtpm_migratord", "--foreground", "--run-dir", self.run_dir,
                             "--listen", address, "--name", self.name, *self.files(pki),
                             *options, **how)
        network = how.get("namespace")
        until(lambda: accepts(address, network.connect if network else connect),
              "vtpm_migratord listens", process)
        self.daemon = process
        return process

    def migrator_words(self, *args, to=None, pki=None):
        """The command line of vtpm_migrator towards another Side."""
        way = ["--address", to.address] if to else []
        return [BUILD / "vtpm_migrator", "--run-dir", self.run_dir, "--state-dir", self.state_dir,
                *self.files(pki), *way, *map(str, args)]

    def migrator(self, *args, check=True, env=None, **more):
        """Runs vtpm_migrator; returns the CompletedProcess, with text output."""
        done = subprocess.run(self.migrator_words(*args, **more), text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=TIMEOUT, env=env)
        assert not check or done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
        return done

    def stdio_command(self, *options):
        """What --ssh-command runs instead of ssh to this host."""
        return " ".join(map(str, ["exec", BUILD / "vtpm_migratord", "--stdio", "--run-dir",
                                  self.run_dir, "--name", self.name, *options]))


class GuestState:
    """What a guest has in its vTPM and in its hands: to be compared after a migration."""

    def __init__(self, tpm, key_blob):
        key = Key(Reader(key_blob))
        self.pcr = tpm.extend(10, sha1(b"measured"))
        self.key, self.handle = key, tpm.load_key2(spec.TPM_KH_SRK, WELL_KNOWN, key)
        self.oiap = tpm.oiap(OWNER, keep=True)
        self.osap = tpm.osap_key(self.handle, KEY_AUTH)
        self.osap.keep = True
        tpm.command(spec.TPM_ORD_OwnerReadPubek, sessions=[self.oiap])
        self.sign(tpm)

    def sign(self, tpm):
        """With the loaded key, in the open OSAP session."""
        digest = sha1(b"signed")
        signature = tpm.command(spec.TPM_ORD_Sign, struct.pack(">I", 20) + digest, [self.handle],
                                [self.osap]).sized()
        self.key.verify(signature, digest)

    def check(self, tpm):
        """Everything is there, sessions included."""
        assert tpm.pcr_read(10) == self.pcr
        tpm.command(spec.TPM_ORD_OwnerReadPubek, sessions=[self.oiap])
        self.sign(tpm)
        assert tpm.nv_read(NV_INDEX, len(NV_DATA), OWNER) == NV_DATA
