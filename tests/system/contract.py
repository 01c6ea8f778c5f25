"""The numbers and names of include/vtpm/, read from the headers: they are written down once.

spec holds TPM 1.2's constants (tpm12.h), manager the manager's protocol (manager.h):
spec.TPM_ORD_Seal, manager.VTPM_ORD_OPEN, manager.VTPM_PATH_IOEMU % 7.
"""
import re
from pathlib import Path
from types import SimpleNamespace

INCLUDE = Path(__file__).parents[2] / "include/vtpm"

NUMBER = r"(0x[0-9a-f]+|\d+)u?"
ENUMERATOR = re.compile(rf"\b(\w+)\s*=\s*{NUMBER}\s*[,}}]")
PRODUCT = re.compile(r"\b(\w+)\s*=\s*(\d+) \* (\d+)\s*[,}]")
DEFINE = re.compile(rf"^#define (\w+)\s+\(?{NUMBER}(?: << (\d+))?\)?", re.M)
STRING = re.compile(r'^#define (\w+)\s+"([^"]*)"', re.M)


def constants(text):
    """All enumerators and object-like #defines of a header with plain values."""
    found = {name: int(value, 0) for name, value in ENUMERATOR.findall(text)}
    found |= {name: int(a) * int(b) for name, a, b in PRODUCT.findall(text)}
    found |= {name: int(value, 0) << int(shift or 0) for name, value, shift in DEFINE.findall(text)}
    return found | dict(STRING.findall(text))


def names(text, member):
    """value -> name for the enum that has this member."""
    for block in re.findall(r"enum \w* ?\{.*?\}", text, re.S):
        if member in block:
            return {value: name for name, value in constants(block).items()}
    raise LookupError(member)


_tpm12 = (INCLUDE / "tpm12.h").read_text()
_manager = (INCLUDE / "manager.h").read_text()

spec = SimpleNamespace(**constants(_tpm12))
manager = SimpleNamespace(**constants(_manager))
RESULT_NAMES = names(_tpm12, "TPM_AUTHFAIL")
ORDINAL_NAMES = {value: name.removeprefix("TPM_ORD_")
                 for value, name in names(_tpm12, "TPM_ORD_OIAP").items()}
STATUS_NAMES = names(_manager, "VTPM_RESTORE_CONTEXT_FAILED")
