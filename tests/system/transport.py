"""The ways to a TPM: everything with exchange(command) -> response serves tpm12.Tpm.

Every wait ends at a deadline with TimeoutError, so that a test fails instead of hanging.
"""
import array
import os
import select
import socket
import struct
import time
from collections import defaultdict
from pathlib import Path

from contract import manager, spec

TIMEOUT = 60  # seconds; a 2048 bit key under sanitizers on a busy machine takes a while


class Closed(Exception):
    """The other side closed the connection."""


def connect(address, timeout=TIMEOUT):
    """A connected stream socket to "unix:PATH" or "tcp:HOST:PORT"."""
    kind, _, rest = str(address).partition(":")
    if kind == "unix":
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        try:
            s.connect(rest)
        except OSError:
            s.close()
            raise
        return s
    host, _, port = rest.rpartition(":")
    return socket.create_connection((host, int(port)), timeout)


class Stream:
    """Exact reads and whole writes on a file descriptor, with a deadline for each call."""

    def __init__(self, read_fd, write_fd=None, timeout=TIMEOUT):
        self.read_fd = read_fd
        self.write_fd = read_fd if write_fd is None else write_fd
        self.timeout = timeout

    def _wait(self, fd, event, deadline):
        poller = select.poll()
        poller.register(fd, event)
        if not poller.poll(max(0, deadline - time.monotonic()) * 1000):
            raise TimeoutError(f"no answer within {self.timeout} s")

    def read(self, count):
        data = b""
        deadline = time.monotonic() + self.timeout
        while len(data) < count:
            self._wait(self.read_fd, select.POLLIN, deadline)
            chunk = os.read(self.read_fd, count - len(data))
            if not chunk:
                raise Closed(f"{len(data)} of {count} bytes")
            data += chunk
        return data

    def write(self, data):
        deadline = time.monotonic() + self.timeout
        while data:
            self._wait(self.write_fd, select.POLLOUT, deadline)
            data = data[os.write(self.write_fd, data):]


class Raw:
    """Bare TPM commands and responses on a stream socket: vtpmd --raw, swtpm's --server."""

    prefix = b""

    def __init__(self, address):
        self.socket = address if isinstance(address, socket.socket) else connect(address)
        self.stream = Stream(self.socket.fileno())

    def send(self, command):
        self.stream.write(self.prefix + command)

    def receive(self):
        head = self.stream.read(len(self.prefix) + spec.TPM_HEADER_SIZE)
        assert head.startswith(self.prefix), f"answer of another instance: {head.hex()}"
        header = head[len(self.prefix):]
        return header + self.stream.read(struct.unpack_from(">I", header, 2)[0] - len(header))

    def exchange(self, command):
        self.send(command)
        return self.receive()

    def close(self):
        self.socket.close()


class Ioemu(Raw):
    """socks/N.socket, with the instance number in front of everything."""

    def __init__(self, run_dir, instance):
        super().__init__(f"unix:{run_dir}/{manager.VTPM_PATH_IOEMU % instance}")
        self.prefix = struct.pack(">I", instance)


class FifoBackend:
    """The manager's fifo back-end, used as the Xen back-end would: one stream for all guests.

    guest(N) is the way to instance N; responses are sorted by the number in front of them.
    """

    def __init__(self, run_dir):
        # Read/write, as the manager opens them: no open waits and no close is an end of file.
        self.fds = [os.open(Path(run_dir) / name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                    for name in (manager.VTPM_PATH_DUMMY_OUT, manager.VTPM_PATH_DUMMY_IN)]
        self.stream = Stream(*self.fds)
        self.waiting = defaultdict(list)
        self._drop_what_is_for_others()

    def _drop_what_is_for_others(self):
        """Answers to commands of those who had the pipes before, and were killed."""
        while select.select(self.fds[:1], [], [], 0)[0]:
            os.read(self.fds[0], 1 << 16)

    def send(self, instance, command):
        self.stream.write(struct.pack(">I", instance) + command)

    def receive(self, instance):
        while not self.waiting[instance]:
            sender, _, size = struct.unpack(">IHI", head := self.stream.read(10))
            self.waiting[sender].append(head[4:] + self.stream.read(size - len(head[4:])))
        return self.waiting[instance].pop(0)

    def guest(self, instance):
        return Guest(self, instance)

    def close(self):
        for fd in self.fds:
            os.close(fd)


class Guest:
    """One PV guest's TPM behind a FifoBackend."""

    def __init__(self, backend, instance):
        self.backend, self.instance = backend, instance
        self.last, self.may_repeat = None, 0

    def manager_died(self):
        """A pipe has no word for "taken", unlike a ring: the last answer may now come once more,
        in front of that to the command in flight or to the next."""
        self.may_repeat = 2

    def exchange(self, command):
        self.backend.send(self.instance, command)
        response = self.backend.receive(self.instance)
        if self.may_repeat and response == self.last:
            response = self.backend.receive(self.instance)
        self.last, self.may_repeat = response, max(0, self.may_repeat - 1)
        return response


class Qemu:
    """QEMU's side of socks/N.ctrl; exchange() uses the data socket that it hands over.

    Requests go out in the sizes that QEMU uses: a union of request and response.
    """

    GET_CAPABILITY, INIT, SHUTDOWN, GET_TPMESTABLISHED, SET_LOCALITY = range(1, 6)
    HASH_START, HASH_DATA, HASH_END, CANCEL_TPM_CMD, STORE_VOLATILE = range(6, 11)
    RESET_TPMESTABLISHED, GET_STATEBLOB, SET_STATEBLOB, STOP, GET_CONFIG = range(11, 16)
    SET_DATAFD, SET_BUFFERSIZE, GET_INFO, LOCK_STORAGE = range(16, 20)

    def __init__(self, path, datafd=True):
        self.control = connect(f"unix:{path}")
        self.stream = Stream(self.control.fileno())
        self.data = None
        if datafd:
            self.set_datafd()

    def request(self, command, payload=b"", answer=4):
        """Sends a request, reads answer bytes; returns (result, the bytes after it)."""
        self.stream.write(struct.pack(">I", command) + payload)
        response = self.stream.read(answer)
        return struct.unpack_from(">I", response)[0], response[4:]

    def set_datafd(self):
        ours, theirs = socket.socketpair()
        with theirs:
            fds = array.array("i", [theirs.fileno()])
            self.control.sendmsg([struct.pack(">I", self.SET_DATAFD)],
                                 [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        result, = struct.unpack(">I", self.stream.read(4))
        assert result == 0, f"SET_DATAFD: {result:#x}"
        self.data = Raw(ours)

    def capabilities(self):
        self.stream.write(struct.pack(">I", self.GET_CAPABILITY))
        return struct.unpack(">Q", self.stream.read(8))[0]

    def init(self, flags=0):
        return self.request(self.INIT, struct.pack(">I", flags))[0]

    def set_locality(self, locality):
        return self.request(self.SET_LOCALITY, struct.pack(">B3x", locality))[0]

    def established(self):
        result, rest = self.request(self.GET_TPMESTABLISHED, answer=8)
        assert result == 0, f"GET_TPMESTABLISHED: {result:#x}"
        return bool(rest[0])

    def exchange(self, command):
        return self.data.exchange(command)

    def close(self):
        self.control.close()
        if self.data:
            self.data.close()
