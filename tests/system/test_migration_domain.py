"""vtpm_migrator DOMAIN HOST: a domain moves with its vTPM, around a stand-in for xl migrate."""
import os
import signal

import pytest

from host import TIMEOUT, until
from migration import GUEST, NUMBER, TREE, GuestState, Side, State

FAKE_XL = TREE / "tests/system/fake_xl"


class Journey:
    """A domain with the guest's vTPM on its way from one side to another."""

    def __init__(self, source, destination, *options):
        self.source, self.destination = source, destination
        self.folder = source.path("xl")
        (self.folder / "domains").mkdir(parents=True)
        (self.folder / "domains/guest").write_text(f"7 running {GUEST}\n")
        os.mkfifo(self.folder / "go")
        self.state = source.guest_state = GuestState(source.tpm(), source.key)
        words = source.migrator_words("--domains", self.folder / "domains", "--xl", FAKE_XL,
                                      "--timeout", 9, *options, "guest", "hostb", to=destination)
        self.process = source.start(*words, env=os.environ | {"FAKE_XL": str(self.folder)})

    def xl(self, word):
        """Tells xl what happens next; returns when it has heard that."""
        with open(self.folder / "go", "w") as go:
            go.write(word + "\n")

    def until_prepared(self):
        until(lambda: self.destination.standing()[0] == State.PREPARED, "a copy is there",
              self.process)

    def end(self, status=0):
        assert self.process.wait(TIMEOUT) == status, self.process.log()
        return self.process.log()

    def check_moved(self):
        assert self.source.standing()[0] == State.MIGRATED
        self.state.check(self.destination.tpm(self.destination.number()))

    def check_stayed(self):
        assert self.source.standing()[0] == State.HERE
        assert self.destination.standing()[0] in (State.NONE, State.MIGRATED)
        self.state.check(self.source.tpm())


@pytest.fixture
def journey(request):
    """journey(options): begins one."""
    with Side("hosta") as source, Side("hostb") as destination:
        request.node.host = source
        source.boot()
        destination.boot()
        destination.forget_guest()
        destination.migratord()
        source.vtpmctl("open", NUMBER)
        yield lambda *options: Journey(source, destination, *options)


def test_vtpm_follows_its_domain(journey):
    moving = journey("--xl-option", "-s", "--xl-option", "", "--xl-host", "elsewhere")
    moving.state.check(moving.source.tpm())  # until it is suspended, the guest notices nothing
    moving.xl("suspend")
    moving.until_prepared()
    moving.xl("succeed")
    assert "downtime" in moving.end()
    moving.check_moved()
    assert (moving.folder / "arguments").read_text() == "migrate -s  7 elsewhere\n"


def test_guests_first_command_there_is_answered_before_xl_has_ended(journey):
    moving = journey()
    moving.xl("suspend")
    moving.until_prepared()
    # The destination's toolstack attaches the device, and the guest wakes up.
    number = moving.destination.number()
    moving.destination.vtpmctl("open", number, "--startup", "save")
    moving.state.check(moving.destination.tpm(number))
    moving.xl("succeed")
    moving.end()
    moving.check_moved()


def test_place_that_was_given_up_in_between_is_made_anew(journey):
    moving = journey()
    destination = moving.destination
    until(lambda: (moving.folder / "arguments").exists(), "xl runs")
    until(lambda: destination.standing()[0] == State.OFFERED, "a place is there")
    destination.vtpmctl("delete", destination.number())
    moving.xl("suspend")
    moving.until_prepared()
    moving.xl("succeed")
    moving.end()
    moving.check_moved()


def test_domain_that_fails_to_resume_there_has_its_vtpm_here_again(journey):
    moving = journey()
    moving.xl("suspend")
    moving.until_prepared()
    moving.xl("fail")
    assert "xl migrate failed (exit status 1)" in moving.end(1)
    moving.check_stayed()


def test_migration_that_fails_early_leaves_the_vtpm_alone(journey):
    moving = journey()
    moving.xl("fail")
    moving.end(1)
    moving.check_stayed()


def test_guest_that_comes_back_takes_its_vtpm_back_before_xl_says_so(journey):
    moving = journey()
    moving.xl("suspend")
    moving.until_prepared()
    moving.xl("resume")
    moving.state.check(moving.source.tpm())
    moving.xl("fail")
    moving.end(1)
    moving.check_stayed()


def test_commands_left_in_the_ring_do_not_keep_the_vtpm(journey):
    moving = journey()
    moving.xl("suspend")
    moving.until_prepared()
    moving.source.tpm().pcr_read(1)  # the manager cannot tell it from a guest that is awake
    moving.xl("succeed")
    moving.end()
    moving.check_moved()


def test_interrupt_before_the_suspend_stops_everything(journey):
    moving = journey()
    until(lambda: (moving.folder / "arguments").exists(), "xl runs")
    moving.process.send_signal(signal.SIGINT)
    moving.end(1)
    moving.check_stayed()


def test_interrupt_after_the_suspend_comes_too_late(journey):
    moving = journey()
    moving.xl("suspend")
    moving.until_prepared()
    moving.process.send_signal(signal.SIGINT)
    moving.xl("succeed")
    moving.end()
    moving.check_moved()


def test_migration_on_one_host_runs_xl_only(journey):
    moving = journey()
    moving.xl("fail")
    moving.end(1)
    words = moving.source.migrator_words("--domains", moving.folder / "domains", "--xl", FAKE_XL,
                                         "guest", "localhost")
    local = moving.source.start(*words, env=os.environ | {"FAKE_XL": str(moving.folder)})
    moving.xl("succeed")
    assert local.wait(TIMEOUT) == 0
    assert "stays on this host" in local.log()
    moving.check_stayed()

