"""The fault matrix: whatever dies, is cut or is garbled, and whenever, `vtpm_migrator --recover`
leaves exactly one usable vTPM, with what the guest had last."""
import multiprocessing
import signal
import subprocess
import time
import traceback

from host import TIMEOUT, until
from meddler import ORDINALS, Meddler
from migration import GUEST, NUMBER, GuestState, Side, State, certificate, template
from tpm12 import sha1

WORKERS = 3
TRY_SECONDS = 2  # how long vtpm_migrator tries when the other side is silent
PLACE_SECONDS = 10  # how long a place waits for a vTPM that was offered
WAYS = ("request", "response")
POINTS = [(name, way) for name in ORDINALS for way in WAYS]


# What happens to one message

def drop(message, send, meddler):
    pass


def delay(message, send, meddler):
    time.sleep(TRY_SECONDS / 2)  # longer than one attempt
    send(message)


def duplicate(message, send, meddler):
    send(message + message)


def truncate(message, send, meddler):
    send(message[:len(message) // 2])
    meddler.cut()


def flip(message, send, meddler):
    middle = len(message) // 2
    send(message[:middle] + bytes([message[middle] ^ 1]) + message[middle + 1:])


# Who dies at that moment

def kill_migrator(world):
    world.migrator.send_signal(signal.SIGKILL)
    world.migrator.wait()


def kill_source(world):
    world.source.process.kill9()


def kill_destination(world):
    world.destination.process.kill9()


def kill_migratord(world):
    world.meddler.down = True
    world.meddler.kill_daemons()


def cut_network(world):
    world.meddler.down = True
    world.meddler.cut()


GARBLED = {"drop": drop, "delay": delay, "duplicate": duplicate, "truncate": truncate, "flip": flip}
KILLED = {"kill source manager": kill_source, "kill migrator": kill_migrator,
          "kill migratord": kill_migratord, "kill destination manager": kill_destination,
          "cut the network": cut_network}
FAULTS = [*KILLED, *GARBLED]


class World:
    """Two hosts, and a vTPM that each scenario moves from the one where it is to the other."""

    def __init__(self):
        self.sides = [Side("hosta"), Side("hostb")]
        for side in self.sides:
            side.boot("--offer-seconds", PLACE_SECONDS)
            side.meddler = Meddler(side)
        self.source, self.destination = self.sides
        self.destination.forget_guest()
        self.source.vtpmctl("open", NUMBER)
        self.state = GuestState(self.source.tpm(), self.source.key)

    def close(self):
        for side in self.sides:
            side.meddler.close()
            side.close()

    def migrator_words(self, source, destination, *args):
        return source.migrator_words("--timeout", TRY_SECONDS, "--name", source.name,
                                     "--ssh-command", destination.meddler.command, *args)

    def run(self, fault, point):
        """A scenario; returns what became of it: where the vTPM is, and whether it needed help."""
        self.meddler = self.destination.meddler
        key = (ORDINALS[point[0]], point[1])

        def kill_and_send(message, send, meddler):
            KILLED[fault](self)
            send(message)

        self.meddler.faults[key] = GARBLED.get(fault, kill_and_send)
        self.migrator = subprocess.Popen(
            self.migrator_words(self.source, self.destination, "--no-domain", GUEST,
                                self.destination.name),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.said = self.migrator.communicate(timeout=TIMEOUT)[0]
        met = not self.meddler.settle()
        needed_help = self.migrator.returncode != 0
        self.repair()
        if needed_help:
            self.recover(first=POINTS.index(point) % 2)
        moved = self.check()
        assert met, "there was no such message"
        return ("moved" if moved else "stayed") + "*" * needed_help

    def repair(self):
        for side in self.sides:
            side.meddler.reset()
            if side.process.poll() is not None:
                side.boot_again()

    def recover(self, first):
        """--recover on both hosts; either may be the first to ask."""
        for i in (first, 1 - first):
            here, there = self.sides[i], self.sides[1 - i]
            if here.standing()[0] == State.NONE:
                continue
            done = subprocess.run(self.migrator_words(here, there, "--recover", GUEST), text=True,
                                  capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT)
            self.said += f"--recover on {here.name}: {done.stdout}{done.stderr}"
            assert done.returncode == 0

    def check(self):
        """There is one vTPM, and it has all the guest had. True if it has moved."""
        # An offer that was under way when its migrator died may come late: its place goes by itself.
        until(lambda: all(side.standing()[0] != State.OFFERED for side in self.sides),
              "a place is given up")
        standing = {side.name: side.standing()[0] for side in self.sides}
        self.said += str(standing)
        found = sorted(standing.values())
        assert found in ([State.NONE, State.HERE], [State.HERE, State.MIGRATED])
        moved = standing[self.destination.name] == State.HERE
        here = self.destination if moved else self.source
        if here.backend:
            here.backend.close()
            here.closing.remove(here.backend)
            here.backend = None
        tpm = here.tpm(here.number())
        self.state.check(tpm)
        self.state.pcr = tpm.extend(10, sha1(b"on"))
        if moved:
            self.source, self.destination = self.destination, self.source
        return moved


def run_scenarios(scenarios):
    """One worker's part: [(scenario, result, whether it is right)]."""
    results, world = [], None
    for fault, point in scenarios:
        try:
            world = world or World()
            results.append(((fault, point), world.run(fault, point), True))
        except Exception:
            said = getattr(world, "said", "")
            results.append(((fault, point), f"{traceback.format_exc()}\n{said}", False))
            if world:
                world.close()
            world = None
    if world:
        world.close()
    return results


def show(results):
    """The matrix as a table."""
    cells = {scenario: text if right else "WRONG" for scenario, text, right in results}
    width = max(map(len, FAULTS)) + 2
    print(f"\n{'':{width}}" + "".join(f"{name:^18}" for name in ORDINALS))
    print(f"{'':{width}}" + "".join(f"{way:<9}" for _ in ORDINALS for way in WAYS))
    for fault in FAULTS:
        print(f"{fault:{width}}" + "".join(f"{cells[fault, point]:<9}" for point in POINTS))
    print("moved: to the other host; stayed: on the first one; *: --recover was needed")


def test_fault_matrix(capsys):
    template("emulated")
    for name in ("hosta", "hostb"):
        certificate(name, "127.0.0.1")
    scenarios = [(fault, point) for fault in FAULTS for point in POINTS]
    parts = [scenarios[i::WORKERS] for i in range(WORKERS)]
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        results = [result for part in pool.map(run_scenarios, parts, 1) for result in part]
    with capsys.disabled():
        show(results)
    wrong = [(scenario, text) for scenario, text, right in results if not right]
    assert not wrong, "\n\n".join(f"{scenario}: {text}" for scenario, text in wrong)
