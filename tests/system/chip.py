"""A host's physical TPM that nobody here wrote: swtpm, TPM 1.2 or 2.0."""
import socket
import struct
import threading
from pathlib import Path

from contract import spec
from tpm12 import sha1
from transport import Closed, Raw, connect

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


CREATE_PRIMARY, RSA, ECC = 0x131, 0x0001, 0x0023


class WithoutEcc:
    """A TPM 2.0 that knows no elliptic curves, at its own address: swtpm's does, so this stands before
    it and answers TPM2_CreatePrimary of such a key with result, as the specification has it. made:
    what primary keys were asked for."""

    def __init__(self, host, result):
        self.chip, self.result, self.made = Raw(f"unix:{host.path('chip.sock')}"), result, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(host.path("without-ecc.sock")))
        self.listener.listen()
        self.option = ("--tpm", f"socket:unix:{host.path('without-ecc.sock')}")
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        """One connection after the other, as swtpm."""
        while True:
            client = Raw(self.listener.accept()[0])
            try:
                while True:
                    client.stream.write(self._answer(client.receive()))
            except (Closed, OSError):
                client.close()

    def _answer(self, command):
        tag, _, code = struct.unpack(">HII", command[:10])
        if code == CREATE_PRIMARY:
            # hierarchy:4, authorizations, TPM2B_SENSITIVE_CREATE, TPM2B_PUBLIC, which begins with type
            at = 14 + 4 + struct.unpack_from(">I", command, 14)[0]
            at += 2 + struct.unpack_from(">H", command, at)[0]
            self.made += struct.unpack_from(">H", command, at + 2)
            if self.made[-1] == ECC:
                return struct.pack(">HII", 0x8001, 10, self.result)
        return self.chip.exchange(command)

    def close(self):
        self.listener.close()
        self.chip.close()


def extend_chip(host):
    """Changes a PCR of the chip, as another boot would."""
    sock = connect(f"unix:{host.path('chip.sock')}")
    command = struct.pack(">HIII20s", spec.TPM_TAG_RQU_COMMAND, 34, spec.TPM_ORD_Extend, DAILY_PCR,
                          sha1(b"upgrade")) if host.version == "1.2" else EXTEND20
    sock.sendall(command)
    assert struct.unpack(">HII", sock.recv(4096)[:10])[2] == 0
    sock.close()
