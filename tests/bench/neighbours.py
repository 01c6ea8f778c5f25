#!/usr/bin/python3 -B
"""What an instance that makes keys costs its neighbours: latency of PCRRead of 50 other guests.

Pairs of blocks, one while it rests and one while it works, take turns, so that whatever else the
machine does hits both alike. Prints percentiles in microseconds, and by how much the p99 moves from
the one to the other within a pair.

usage: tests/bench/neighbours.py [GUESTS [PAIRS [ROUNDS]]]
"""
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "system"))

from contract import spec  # noqa: E402
from host import Host  # noqa: E402
from tpm12 import SIGNING_KEY, WELL_KNOWN, Tpm, sha1  # noqa: E402
from transport import FifoBackend  # noqa: E402

BUSY = 1
PCR_READ = bytes.fromhex("00c1 0000000e 00000015 00000003")
OWNER = sha1(b"owner")


class SharedBackend(FifoBackend):
    """A FifoBackend for several threads: whoever waits reads for all."""

    def __init__(self, run_dir):
        super().__init__(run_dir)
        self.lock = threading.Lock()
        self.arrived = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while True:
            try:
                head = self.stream.read(10)
            except (TimeoutError, OSError):
                return
            number = int.from_bytes(head[:4], "big")
            size = int.from_bytes(head[6:10], "big")
            response = head[4:] + self.stream.read(size - 6)
            with self.arrived:
                self.waiting[number].append(response)
                self.arrived.notify_all()

    def send(self, instance, command):
        with self.lock:
            super().send(instance, command)

    def receive(self, instance):
        with self.arrived:
            self.arrived.wait_for(lambda: self.waiting[instance])
            return self.waiting[instance].pop(0)


class KeyMaker(threading.Thread):
    """A guest that makes one 2048-bit key after the other, while it may."""

    def __init__(self, tpm):
        super().__init__(daemon=True)
        self.tpm, self.keys = tpm, 0
        self.may, self.rests = threading.Event(), threading.Event()
        self.rests.set()
        self.start()

    def run(self):
        while True:
            self.rests.set()
            self.may.wait()
            self.rests.clear()
            self.tpm.create_wrap_key(spec.TPM_KH_SRK, WELL_KNOWN, SIGNING_KEY, OWNER)
            self.keys += 1

    def work(self):
        self.may.set()

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
            assert backend.receive(guest)[6:10] == bytes(4)
            times.append((time.perf_counter() - begin) * 1e6)
    return times


def percentiles(times):
    cuts = statistics.quantiles(times, n=100)
    return cuts[49], cuts[98]


def report(name, blocks):
    p50, p99 = percentiles([time for block in blocks for time in block])
    print(f"{name:<28} p50 {p50:8.0f}  p99 {p99:8.0f}  max {max(map(max, blocks)):8.0f}")


def main(guest_count=50, blocks=20, rounds=20):
    guests = range(BUSY + 1, BUSY + 1 + guest_count)
    quiet, busy = [], []
    with Host() as host:
        host.manager()
        for number in (BUSY, *guests):
            host.vtpmctl("open", number)
        backend = host.closes(SharedBackend(host.run_dir))
        tpm = Tpm(backend.guest(BUSY))
        tpm.take_ownership(OWNER)
        maker = KeyMaker(tpm)
        measure(backend, guests, 10)
        for _ in range(blocks):
            quiet.append(measure(backend, guests, rounds))
            maker.work()
            busy.append(measure(backend, guests, rounds))
            maker.rest()
    report(f"{guest_count} guests, quiet", quiet)
    report(f"{guest_count} guests, one makes keys", busy)
    moved = [percentiles(b)[1] - percentiles(a)[1] for a, b in zip(quiet, busy)]
    low, middle, high = statistics.quantiles(moved, n=4)
    print(f"p99 moves by {middle:.0f} us (median of {blocks} pairs; quartiles {low:.0f}, {high:.0f}), "
          f"{maker.keys} keys made meanwhile")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
