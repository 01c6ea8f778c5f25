"""vtpm_migrator DOMAIN HOST: a domain moves with its vTPM, around a stand-in for xl migrate."""
import os
import signal
import struct

import pytest

from contract import manager
from host import TIMEOUT, until
from migration import GUEST, NUMBER, TREE, GuestState, Side, State
from test_ctrl import PERMANENT, SAVED, VOLATILE, get_blob, set_blob
from tpm12 import Tpm, sha1
from transport import Qemu

FAKE_XL = TREE / "tests/system/fake_xl"


class Journey:
    """A domain with the guest's vTPM on its way from one side to another."""

    def __init__(self, source, destination, *options):
        self.start(source, destination, GUEST, *options)
        self.state = GuestState(source.tpm(), source.key)

    def start(self, source, destination, devices, *options):
        self.source, self.destination = source, destination
        self.folder = source.path("xl")
        (self.folder / "domains").mkdir(parents=True, exist_ok=True)
        (self.folder / "domains/guest").write_text(f"7 running {devices}\n")
        if not (self.folder / "go").exists():
            os.mkfifo(self.folder / "go")
        words = source.migrator_words("--domains", self.folder / "domains", "--xl", FAKE_XL,
                                      "--timeout", 9, *options, "guest", destination.name,
                                      to=destination)
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
def sides(request):
    with Side("hosta") as source, Side("hostb") as destination:
        request.node.host = source
        source.boot()
        destination.boot()
        destination.forget_guest()
        destination.migratord()
        yield source, destination


@pytest.fixture
def journey(sides):
    """journey(options): begins one."""
    sides[0].vtpmctl("open", NUMBER)
    return lambda *options: Journey(*sides, *options)


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


def test_both_managers_may_die_before_the_suspend(journey):
    """The source's session key is lost with it, and for a while the destination gives no new one."""
    moving = journey()
    until(lambda: (moving.folder / "arguments").exists(), "xl runs")
    for side in (moving.source, moving.destination):
        side.process.kill9()
    moving.source.boot_again()
    moving.xl("suspend")
    until(lambda: moving.process.log().count("trying again") > 1, "it has tried", moving.process)
    moving.destination.boot_again()
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


def test_vtpm_is_not_taken_from_a_running_domain(journey):
    moving = journey()
    source, domains = moving.source, moving.folder / "domains"
    moving.xl("fail")
    moving.end(1)

    def alone(**more):
        return source.migrator("--domains", domains, "--no-domain", GUEST, "hostb",
                               to=moving.destination, **more)

    refused = alone(check=False)
    assert refused.returncode == 1 and "domain guest is running and has it" in refused.stderr
    moving.check_stayed()
    (domains / "guest").unlink()
    alone()
    moving.check_moved()


def test_device_of_domain_0_does_not_migrate(journey):
    moving = journey()
    moving.xl("fail")
    moving.end(1)
    (moving.folder / "domains/guest").write_text(f"0 running {GUEST}\n")
    done = moving.source.migrator("--domains", moving.folder / "domains", "--all", "hostb",
                                  to=moving.destination, check=False)
    assert done.returncode == 1 and "device of domain 0" in done.stderr
    moving.check_stayed()


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


# A guest whose QEMU has the vTPM: its state travels in QEMU's stream

WIN = "3f1a5c1e-55c4-4a38-9d0e-4a3c1f2b7d60"


class QemuJourney(Journey):
    """The QEMU of the domain holds the control channel of WIN."""

    def __init__(self, source, destination):
        self.sides = source, destination
        self.qemu = self.connect(source)
        assert self.qemu.init() == 0
        tpm = Tpm(self.qemu)
        tpm.startup()
        self.value = tpm.extend(10, sha1(b"a"))

    @staticmethod
    def connect(side):
        return side.closes(Qemu(side.run_dir / f"socks/{WIN}.ctrl"))

    def begin(self, *options):
        socket = self.sides[0].run_dir / f"socks/{WIN}.ctrl"
        self.start(*self.sides, f"-chardev socket,id=chrtpm,path={socket}", *options)
        return self

    def carry(self):
        """What the two QEMUs do in xl migrate; returns the one at the destination."""
        blobs = {kind: get_blob(self.qemu, kind) for kind in (PERMANENT, SAVED, VOLATILE)}
        there = self.connect(self.destination)
        assert there.request(there.STOP)[0] == 0
        for kind, blob in blobs.items():
            assert not blob or set_blob(there, kind, blob) == 0
        assert there.init(1) == 0
        return there


@pytest.fixture
def hvm(sides):
    for side in sides:
        side.vtpmctl("define", WIN, "--type", "hvm")
    return QemuJourney(*sides)


def test_vtpm_that_qemu_carries_is_gone_here_when_it_is_there(hvm):
    moving = hvm.begin()
    moving.xl("suspend")
    there = moving.carry()
    moving.xl("succeed")
    moving.qemu.close()  # its QEMU ends with the domain
    assert f"vTPM {WIN} went with its QEMU to hostb" in moving.end()
    assert Tpm(there).pcr_read(10) == moving.value
    assert moving.source.standing(WIN)[0] == State.MIGRATED
    assert "migrated to hostb" in moving.source.vtpmctl("open", WIN, check=False).stderr
    asked = moving.source.migrator("--recover", WIN, to=moving.destination, check=False)
    assert asked.returncode == 1 and "its QEMU has brought there" in asked.stderr

    # On the way back the notice that it left is in the way, and says how to get rid of itself.
    moving.source.migratord()
    back = QemuJourney.__new__(QemuJourney)
    back.sides, back.qemu = (moving.destination, moving.source), there
    refused = back.begin().end(1)
    assert "still notes that it left there for hostb" in refused
    for words in (["delete", WIN], ["define", WIN, "--type", "hvm"]):
        assert f"vtpmctl {' '.join(words)}" in refused
        moving.source.vtpmctl(*words)
    back.begin()
    back.xl("suspend")
    here = back.carry()
    back.xl("succeed")
    there.close()
    back.end()
    assert Tpm(here).pcr_read(10) == moving.value


def test_vtpm_that_qemu_carries_stays_when_the_domain_does(hvm):
    moving = hvm.begin()
    moving.xl("fail")
    moving.end(1)
    assert moving.source.standing(WIN)[0] == State.HERE
    assert Tpm(moving.qemu).pcr_read(10) == moving.value


def test_qemu_is_not_sent_to_a_host_where_it_finds_no_vtpm(hvm):
    hvm.sides[1].vtpmctl("delete", WIN)
    refused = hvm.begin().end(1)
    assert f"vtpmctl define {WIN} --type hvm" in refused
    assert not (hvm.folder / "arguments").exists()  # xl was not run


def test_state_that_qemu_carries_does_not_go_where_pcrs_are_required(hvm):
    assert "cannot move with --require-pcrs" in hvm.begin("--require-pcrs", "/dev/null").end(1)


def test_vtpm_is_not_taken_from_under_its_qemu(hvm):
    source, destination = hvm.sides
    for form in (["--no-domain", WIN, "hostb"], ["hostb", "guest", WIN, "2"]):
        done = source.migrator(*form, to=destination, check=False)
        assert done.returncode == 1 and "in use by its guest's QEMU" in done.stderr
    status, text = source.ask(manager.VTPM_ORD_LEFT, struct.pack(">II5s", source.number(WIN), 5,
                                                                 b"hostb"))
    assert status == manager.VTPM_FORBIDDEN and b"still in use here" in text
    assert Tpm(hvm.qemu).pcr_read(10) == hvm.value
    assert source.standing(WIN)[0] == State.HERE
    # When its guest is shut down, it may go alone, whatever is defined there already.
    hvm.qemu.close()
    source.vtpmctl("close", WIN)
    source.migrator("--no-domain", WIN, "hostb", to=destination)
    assert destination.standing(WIN)[0] == State.HERE


def test_two_qemus_of_one_host_do_not_share_a_vtpm(hvm):
    hvm.begin().xl("fail")
    hvm.end(1)
    words = hvm.source.migrator_words("--domains", hvm.folder / "domains", "--xl", FAKE_XL,
                                      "guest", "localhost")
    local = hvm.source.start(*words)
    assert local.wait(TIMEOUT) == 1 and "use xl save and xl restore" in local.log()
