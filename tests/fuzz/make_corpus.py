#!/usr/bin/python3
"""Makes tests/fuzz/corpus/fuzz_execute: a well-formed command of each row of the table of commands.

usage: tests/fuzz/make_corpus.py     (after a change of the table; the files are kept in the tree)
"""
import re
import struct
from pathlib import Path

HERE = Path(__file__).parent
TABLE = (HERE.parents[1] / "tpmcore/ordinals.c").read_text()
HEADER = (HERE.parents[1] / "include/vtpm/tpm12.h").read_text()

RSA_PARMS = struct.pack(">IHHIIII", 1, 3, 1, 12, 2048, 2, 0)
SIGN_PARMS = struct.pack(">IHHIIII", 1, 1, 2, 12, 512, 2, 0)
PCR_SHORT = b"\0\3" + bytes(3) + b"\x1f" + bytes(20)
SIZED = struct.pack(">I", 32) + bytes(range(32))
SHAPES = {
    "1": b"\1", "b": b"\1", "2": b"\0\1", "4": b"\0\0\0\1", "d": bytes(20), "L": bytes(16),
    "s": SIZED, "p": b"\0\3\1\0\0", "K": RSA_PARMS, "P": RSA_PARMS + SIZED,
    "k": b"\1\1\0\0\0\x10\0\0\0\0\1" + SIGN_PARMS + bytes(4) + SIZED + SIZED,
    "S": b"\1\1\0\0" + bytes(4) + SIZED,
    "N": b"\0\x18\0\0\x10\0" + PCR_SHORT * 2 + b"\0\x17\0\2\0\2" + bytes(3) + b"\0\0\0\x10",
    "D": b"\0\x1b\1" + PCR_SHORT + b"\0\x1a" + struct.pack(">IIIII", 1, 1, 0, 1, 1),
    "*": SIZED,
}
TWO_AUTHS = {"BY_KEY_KEY_PUBLIC", "BY_KEY_PUBLIC_KEY", "BY_KEY_HANDLER", "BY_KEY_OWNER",
             "SRK_OWNER", "BY_KEY_TRANSPORT"}


def ordinal(prefix, name):
    return int(re.search(rf"\b{prefix}_ORD_{name} = (0x\w+)", HEADER).group(1), 16)


def command(prefix, name, handles, auths, params):
    count = 0 if auths == "NO_AUTH" else 2 if auths in TWO_AUTHS else 1
    body = bytes(4) * (0 if handles == "NO_HANDLE" else handles.count("_") + 1)
    body += b"".join(SHAPES[code] for code in params)
    body += (bytes(4) + bytes(20) + b"\1" + bytes(20)) * count
    return struct.pack(">HII", 0xc1 + count, 10 + len(body), ordinal(prefix, name)) + body


def main():
    folder = HERE / "corpus/fuzz_execute"
    folder.mkdir(parents=True, exist_ok=True)
    rows = re.findall(r'CMD\((\w+), (\w+), (\w+), (\w+), \w+,\s+"([^"]*)"', TABLE)
    for prefix, name, handles, auths, params in rows:
        data = command(prefix, name, handles, auths, params)
        # Control byte: physical presence, locality 0.
        (folder / name).write_bytes(b"\x08" + struct.pack(">H", len(data)) + data)


main()
