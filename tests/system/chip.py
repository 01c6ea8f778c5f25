"""A host's physical TPM that nobody here wrote: swtpm, TPM 1.2 or 2.0."""
import struct
from pathlib import Path

from contract import spec
from tpm12 import sha1
from transport import connect

DAILY_PCR = 7

# TPM2_PCR_Extend(7, password session, a SHA-1 and a SHA-256 digest)
EXTEND20 = bytes.fromhex("80020000005700000182000000070000000940000009000000000000000002") \
    + b"\0\x04" + sha1(b"upgrade") + b"\0\x0b" + bytes(32)


def plug_chip_in(host, version):
    """A swtpm; host.chip starts it (again), and host.tpm_option names it to a manager."""
    address = f"unix:{host.path('chip.sock')}"

    def plug_in():
        Path(host.path("chip.sock")).unlink(missing_ok=True)
        return host.swtpm("chip", tpm2=version == "2.0", address=address)

    host.version = version
    host.chip = plug_in
    host.tpm_option = ("--tpm", f"socket:{address}")
    return plug_in()


def extend_chip(host):
    """Changes a PCR of the chip, as another boot would."""
    sock = connect(f"unix:{host.path('chip.sock')}")
    command = struct.pack(">HIII20s", spec.TPM_TAG_RQU_COMMAND, 34, spec.TPM_ORD_Extend, DAILY_PCR,
                          sha1(b"upgrade")) if host.version == "1.2" else EXTEND20
    sock.sendall(command)
    assert struct.unpack(">HII", sock.recv(4096)[:10])[2] == 0
    sock.close()
