#!/usr/bin/python3 -B
"""What an instance that makes keys costs its neighbours: latency of PCRRead of 50 other guests.

    usage: tests/bench/neighbours.py [GUESTS [PAIRS [ROUNDS]]]

A pair is two short blocks, one while that instance rests and one while it makes one 2048-bit key after
the other, in an order that changes: whatever else the machine does hits both alike. In a block, each
guest reads a PCR ROUNDS times. What is compared is, within each pair, the p99 of the two; the verdict
is about the median over all pairs, with a 95 % interval (bootstrap): it moves by less than a
scheduling quantum, or not, or that cannot be told from so few pairs.

The guest that makes keys is a process of its own and comes through the manager as all others do, over
a back-end of its own. As root, the measuring guest has real-time priority: a guest has a processor of
its own, and what it waits for is the manager and its vtpmd.
"""
import ctypes
import math
import multiprocessing
import os
import random
import statistics
import sys
import time
import tty
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "system"))

from contract import spec  # noqa: E402
from host import Host  # noqa: E402
from tpm12 import SIGNING_KEY, WELL_KNOWN, Tpm, sha1  # noqa: E402
from transport import FifoBackend, Stream  # noqa: E402

BUSY = 1
PCR_READ = bytes.fromhex("00c1 0000000e 00000015 00000003")
OWNER = sha1(b"owner")
RESAMPLES = 2000


class Terminal(FifoBackend):
    """A back-end --backend dev:PATH: the other end of a pseudo-terminal."""

    def __init__(self):
        master, self.slave = os.openpty()
        for fd in (master, self.slave):
            tty.setraw(fd)
        os.set_blocking(master, False)
        self.path = os.ttyname(self.slave)
        self.fds = [master]
        self.stream = Stream(master)
        self.waiting = defaultdict(list)


class KeyMaker:
    """A guest that makes one 2048-bit key after the other, while it may."""

    def __init__(self, tpm):
        fork = multiprocessing.get_context("fork")
        self.may, self.rests, self.keys = fork.Event(), fork.Event(), fork.Value("L", 0)
        self.process = fork.Process(target=self._run, args=(tpm,), daemon=True)
        self.process.start()
        self.rests.wait()

    def _run(self, tpm):
        tpm.take_ownership(OWNER)
        while True:
            self.rests.set()
            self.may.wait()
            self.rests.clear()
            tpm.create_wrap_key(spec.TPM_KH_SRK, WELL_KNOWN, SIGNING_KEY, OWNER)
            self.keys.value += 1

    def work(self):
        """Returns when it does."""
        self.may.set()
        while self.rests.is_set():
            time.sleep(0.001)

    def rest(self):
        """Waits until the key that it makes is done."""
        self.may.clear()
        self.rests.wait()


def measure(backend, guests, rounds):
    """Round after round each guest reads a PCR, one at a time; returns microseconds."""
    times = []
    for _ in range(rounds):
        for guest in guests:
            begin = time.perf_counter()
            backend.send(guest, PCR_READ)
            response = backend.receive(guest)
            times.append((time.perf_counter() - begin) * 1e6)
            assert response[6:10] == bytes(4)
    return times


def pair(backend, guests, rounds, maker, busy_first):
    """(quiet, busy): the times of two blocks."""
    blocks = {}
    for busy in (busy_first, not busy_first):
        if busy:
            maker.work()
        blocks[busy] = measure(backend, guests, rounds)
        if busy:
            maker.rest()
    return blocks[False], blocks[True]


def p99(times):
    return statistics.quantiles(times, n=100)[98]


def report(name, blocks):
    times = [time for block in blocks for time in block]
    print(f"{name:<28} p50 {statistics.median(times):8.0f}  p99 {p99(times):8.0f}  "
          f"max {max(times):8.0f} us")


def interval(values):
    """95 % of the medians of samples like this one lie there."""
    medians = sorted(statistics.median(random.choices(values, k=len(values)))
                     for _ in range(RESAMPLES))
    return medians[RESAMPLES // 40], medians[-RESAMPLES // 40]


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


def quantum():
    """(microseconds, where from): how long a program runs when others want to, too."""
    try:
        slice_ns = int(Path("/sys/kernel/debug/sched/base_slice_ns").read_text())
        return slice_ns / 1000, "base_slice_ns"
    except OSError:
        pass
    time_slice = Timespec()
    ctypes.CDLL(None).sched_rr_get_interval(0, ctypes.byref(time_slice))
    if time_slice.seconds or time_slice.nanoseconds:
        return time_slice.seconds * 1e6 + time_slice.nanoseconds / 1e3, "sched_rr_get_interval(2)"
    # Less than a tick: Linux' own, which grows with the number of processors.
    return 700 * (1 + int(math.log2(min(os.cpu_count(), 8)))), "Linux' default"


def verdict(moved):
    length, source = quantum()
    low, high = interval(moved)
    says = "HOLDS" if high < length else "DOES NOT HOLD" if low > length else "UNDECIDED"
    print(f"p99 moves by {statistics.median(moved):.0f} us (median of {len(moved)} pairs, 95 % within "
          f"{low:.0f} to {high:.0f}); a quantum is {length:.0f} us ({source})")
    print(f"{says}: the p99 of the neighbours moves by less than a scheduling quantum")


def main(guest_count=50, pairs=100, rounds=10):
    guests = range(BUSY + 1, BUSY + 1 + guest_count)
    measured = []
    with Host() as host:
        terminal = host.closes(Terminal())
        host.manager("--backend", "fifo", "--backend", f"dev:{terminal.path}")
        for number in (BUSY, *guests):
            host.vtpmctl("open", number)
        maker = KeyMaker(Tpm(terminal.guest(BUSY)))
        backend = host.closes(FifoBackend(host.run_dir))
        if os.geteuid() == 0:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        measure(backend, guests, 10)
        for number in range(pairs):
            measured.append(pair(backend, guests, rounds, maker, number % 2 == 1))
    quiet, busy = zip(*measured)
    report(f"{guest_count} guests, quiet", quiet)
    report(f"{guest_count} guests, one makes keys", busy)
    print(f"{maker.keys.value} keys made meanwhile")
    verdict([p99(b) - p99(q) for q, b in measured])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
