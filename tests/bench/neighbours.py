#!/usr/bin/python3 -B
"""What an instance that makes keys costs its neighbours: latency of PCRRead of 50 other guests,
before and meanwhile. Prints percentiles in microseconds.

usage: tests/bench/neighbours.py [GUESTS [ROUNDS]]
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
    """A guest that makes one 2048-bit key after the other."""

    def __init__(self, tpm):
        super().__init__()
        self.tpm, self.stopped, self.keys = tpm, False, 0

    def run(self):
        while not self.stopped:
            self.tpm.create_wrap_key(spec.TPM_KH_SRK, WELL_KNOWN, SIGNING_KEY, OWNER)
            self.keys += 1


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


def report(name, times):
    cuts = statistics.quantiles(times, n=1000)
    print(f"{name:<28} p50 {cuts[499]:8.0f}  p99 {cuts[989]:8.0f}  p99.9 {cuts[998]:8.0f}  "
          f"max {max(times):8.0f}")


def main(guest_count=50, rounds=200):
    guests = range(BUSY + 1, BUSY + 1 + guest_count)
    with Host() as host:
        host.manager()
        for number in (BUSY, *guests):
            host.vtpmctl("open", number)
        backend = host.closes(SharedBackend(host.run_dir))
        busy = Tpm(backend.guest(BUSY))
        busy.take_ownership(OWNER)
        measure(backend, guests, 10)
        report(f"{guest_count} guests, quiet", measure(backend, guests, rounds))
        maker = KeyMaker(busy)
        maker.start()
        try:
            report(f"{guest_count} guests, one makes keys", measure(backend, guests, rounds))
        finally:
            maker.stopped = True
            maker.join()
        print(f"keys made meanwhile: {maker.keys}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
