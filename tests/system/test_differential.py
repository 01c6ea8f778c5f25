"""The same seeded commands to vtpmd and to Debian's swtpm: the answers agree, or docs/ says why not."""
import os
import re
from pathlib import Path

from contract import RESULT_NAMES
from differential import Steps, Twin
from host import tpm_at

DIFFERENCES = Path(__file__).parents[2] / "docs/differences-from-swtpm.md"
SEED = int(os.environ.get("DIFF_SEED", "1"))
STEPS = int(os.environ.get("DIFF_STEPS", "3000"))


def explained():
    """(command, our result, swtpm's result) of each row of the table; * stands for any."""
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (\S+) \|", DIFFERENCES.read_text(), re.M)
    return {row for row in rows if row[1].startswith(("TPM_", "*", "size", "bytes"))}


def name(result):
    return RESULT_NAMES.get(result, hex(result))


def compare(step, ours, theirs):
    """The row that would explain how the two answers differ; None: they agree."""
    if ours == theirs or (not step.strict and ours[0] and theirs[0]):
        return None
    if ours[0] != theirs[0]:
        return step.row.name, name(ours[0]), name(theirs[0])
    return step.row.name, "size" if ours[1] != theirs[1] else "bytes", name(theirs[0])


def is_explained(row, table):
    return any(all(p in ("*", v) for p, v in zip(pattern, row)) for pattern in table)


def test_the_same_commands_get_the_same_answers(host):
    twins = [Twin(tpm_at(host.vtpmd())), Twin(tpm_at(host.swtpm()))]
    for twin in twins:
        twin.settle()
    table, unexplained, steps = explained(), [], iter(Steps(SEED))
    for count in range(STEPS):
        step = next(steps)
        row = compare(step, *(step.run(twin) for twin in twins))
        if row and not is_explained(row, table):
            unexplained.append(f"{count}: {' | '.join(row)} for {step}")
    assert not unexplained, f"seed {SEED}:\n" + "\n".join(unexplained)
