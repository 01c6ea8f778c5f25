"""The same seeded commands to vtpmd and to Debian's swtpm: the answers agree, or docs/ says why not."""
import os
import random
import re
from pathlib import Path

from contract import RESULT_NAMES
from differential import Steps, Twin
from host import TIMEOUT, tpm_at
from scenes import SCENES as SESSION_SCENES, Scene
from scenes_keys import SCENES as KEY_SCENES
from transport import Closed

DIFFERENCES = Path(__file__).parents[2] / "docs/differences-from-swtpm.md"
SEED = int(os.environ.get("DIFF_SEED", "1"))
SCENES = SESSION_SCENES + KEY_SCENES
STEPS = int(os.environ.get("DIFF_STEPS", "3000"))
MANY = 20  # differences, and it goes no further: they follow from one another


def explained():
    """(command, our result, swtpm's result) of each row of the table."""
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (\S+) \|", DIFFERENCES.read_text(), re.M)
    return {row for row in rows if row[1].startswith(("TPM_", "*", "size", "bytes"))}


def name(result):
    return RESULT_NAMES.get(result, hex(result))


def differences(ours, theirs):
    """The rows that would explain how the Events differ, up to the first that goes another way."""
    for our, their in zip(ours, theirs):
        if our == their or (not our.strict and our.result and their.result):
            continue
        if our.result != their.result or our.name != their.name:
            other = "" if our.name == their.name else their.name + ":"
            yield our.name, name(our.result), other + name(their.result)
            return
        yield our.name, "size" if our.size != their.size else "bytes", name(their.result)


def fits(pattern, value):
    """* stands for any command and any error."""
    return pattern == value or (pattern == "*" and value not in ("TPM_SUCCESS", "size", "bytes"))


def is_explained(row, table):
    return any(all(map(fits, pattern, row)) for pattern in table)


def course(seed):
    """Single steps, and a scene for every twenty of them."""
    dice, steps = random.Random(seed), iter(Steps(seed))
    while True:
        if dice.random() < .05:
            yield Scene(dice.choice(SCENES), dice.getrandbits(32))
        else:
            yield next(steps)


def play(step, twin, process):
    """The step's Events."""
    try:
        return step.run(twin)
    except (Closed, ConnectionError) as error:
        raise AssertionError(f"{process.name} ended, status {process.wait(TIMEOUT)}") from error
    except TimeoutError as error:
        raise AssertionError(f"{process.name} does not answer") from error


def report(lines):
    return "\n".join([f"seed {SEED}:", *lines])


def test_the_same_commands_get_the_same_answers(host):
    processes = [host.vtpmd(), host.swtpm()]
    twins = [Twin(tpm_at(process)) for process in processes]
    for twin in twins:
        twin.settle(nv_locked=SEED % 2 == 0)
    table, unexplained = explained(), []
    for count, step in zip(range(STEPS), course(SEED)):
        try:
            rows = list(differences(*map(play, [step, step], twins, processes)))
        except Exception as error:
            raise AssertionError(report([*unexplained, f"{count}: {step}"])) from error
        unexplained += [f"{count}: {' | '.join(row)} for {step}" for row in rows
                        if not is_explained(row, table)]
        if len(unexplained) > MANY:
            break
    assert not unexplained, report(unexplained)
