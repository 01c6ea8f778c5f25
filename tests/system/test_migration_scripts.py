"""The original's form of a migration: steps 0 to 3 and recover, of the program and of the scripts."""
import os
import subprocess

import pytest

from host import BUILD, TIMEOUT, TREE
from migration import GUEST, NUMBER, GuestState, Side, State

SCRIPT = TREE / "hotplug/external-device-migrate"
DOMAIN = "guest"
OTHER = "2c5f39cb-3fb2-4e4c-b406-f02ac6b87440"


class Steps:
    """Two hosts; the domain's vTPM runs on the first, and is in its vtpm.db."""

    def __init__(self, source, destination):
        self.source, self.destination = source, destination
        (source.state_dir / "vtpm.db").write_text(
            f"# UUID INSTANCE DOMAIN\n{GUEST} {NUMBER} {DOMAIN}\n")
        source.vtpmctl("open", NUMBER)
        self.state = GuestState(source.tpm(), source.key)

    def program(self, step, check=True):
        return self.source.migrator("hostb", DOMAIN, NUMBER, step, to=self.destination,
                                    check=check)

    def script(self, *words, check=True):
        source = self.source
        options = [*source.files(), "--address", self.destination.address]
        env = os.environ | {"VTPM_RUN_DIR": str(source.run_dir),
                            "VTPM_STATE_DIR": str(source.state_dir),
                            "VTPM_MIGRATOR_OPTIONS": " ".join(map(str, options)),
                            "PATH": f"{BUILD.absolute()}:{os.environ['PATH']}"}
        done = subprocess.run([SCRIPT, *map(str, words)], env=env, text=True, timeout=TIMEOUT,
                              capture_output=True, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, done.stderr
        return done

    def step(self, number, *more, name=DOMAIN, check=True):
        return self.script("-step", number, "-host", "hostb", "-domname", name, "-type", "vtpm",
                           *more, check=check)

    def check_at(self, side, other):
        assert side.standing()[0] == State.HERE
        assert other.standing()[0] in (State.NONE, State.MIGRATED)
        self.state.check(side.tpm(side.number()))


@pytest.fixture
def steps(request):
    with Side("hosta") as source, Side("hostb") as destination:
        request.node.host = source
        source.boot()
        destination.boot()
        destination.forget_guest()
        destination.migratord()
        yield Steps(source, destination)


@pytest.mark.parametrize("form", ["program", "step"])
def test_steps_move_the_vtpm(steps, form):
    step = getattr(steps, form)
    assert step(0).stdout == "0\n"
    assert step(1).stdout == ""
    assert steps.destination.standing()[0] == State.OFFERED
    assert step(2).stdout == ""
    assert steps.destination.standing()[0] == State.PREPARED
    assert step(3).stdout == ""
    steps.check_at(steps.destination, steps.source)
    assert step(3).stdout == ""  # did it complete? yes


def test_step_3_without_step_2_says_so(steps):
    steps.step(1)
    done = steps.step(3, check=False)
    assert done.returncode == 1 and "step 2 has not been done" in done.stderr
    assert steps.source.standing()[0] == State.HERE


def test_steps_may_be_repeated(steps):
    for number in (1, 1, 2, 2, 3):
        steps.step(number)
    steps.check_at(steps.destination, steps.source)


def test_number_in_vtpm_db_may_be_that_of_another_vtpm_by_now(steps):
    db = steps.source.state_dir / "vtpm.db"
    other = steps.source.vtpmctl("define", OTHER).stdout.strip()
    db.write_text(f"{GUEST} {other} {DOMAIN}\n")
    for number in (1, 2, 3):
        steps.step(number)
    assert steps.source.standing(OTHER)[0] == State.HERE
    steps.check_at(steps.destination, steps.source)


@pytest.mark.parametrize("last", [1, 2])
@pytest.mark.parametrize("form", ["program", "script"])
def test_recover_takes_back_what_did_not_complete(steps, last, form):
    for number in range(last + 1):
        steps.step(number)
    if form == "script":
        steps.step(0, "-recover")
    else:
        steps.source.migrator("--host", "hostb", "--recover", DOMAIN, to=steps.destination)
    steps.check_at(steps.source, steps.destination)


@pytest.mark.parametrize("name", ["$(touch pwned)", "`touch pwned`", "; touch pwned", "-h", "a b",
                                  "../../guest", "'\"\\"])
def test_name_never_reaches_a_shell(steps, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    done = steps.step(2, name=name, check=False)
    assert done.returncode == 1 and "no vTPM of a domain named" in done.stderr
    steps.source.migrator("--", "hostb", name, NUMBER, 2, to=steps.destination)
    steps.source.migrator("--", "hostb", name, NUMBER, 3, to=steps.destination)
    assert not list(tmp_path.iterdir())
    steps.check_at(steps.destination, steps.source)


@pytest.mark.parametrize("words", [(), ("-step", "1"), ("-domname", DOMAIN, "-type", "vtpm"),
                                   ("-frobnicate",), ("-step",)])
def test_wrong_command_lines_are_refused(steps, words):
    assert steps.script(*words, check=False).returncode == 2


def test_other_devices_are_not_its_business(steps):
    done = steps.script("-step", 1, "-host", "hostb", "-domname", DOMAIN, "-type", "tap",
                        check=False)
    assert done.returncode == 1 and "'tap'" in done.stderr
