"""The network between vtpm_migrator and vtpm_migratord, for tests: it knows the messages, and does to
one of them what a test asks for.

It stands in the place of ssh: what --ssh-command runs connects to it, and it starts a `vtpm_migratord
--stdio` for each connection, so that it sees the protocol as it is.
"""
import socket
import struct
import subprocess
import threading
from pathlib import Path

from contract import manager

HEADER = 10
HELLO = 0x10
# The messages of a migration, in their order.
ORDINALS = {"HELLO": HELLO, "KEY": manager.VTPM_ORD_GET_MIG_KEY, "OFFER": manager.VTPM_ORD_OFFER,
            "MIGRATE_IN": manager.VTPM_ORD_MIGRATE_IN, "ACTIVATE": manager.VTPM_ORD_ACTIVATE,
            "QUERY": manager.VTPM_ORD_QUERY}


def read_message(sock):
    """One message; b"" at the end of the stream."""
    data = b""
    size = HEADER
    while len(data) < size:
        try:
            chunk = sock.recv(size - len(data))
        except OSError:
            chunk = b""
        if not chunk:
            return b""
        data += chunk
        if len(data) >= HEADER:
            size = max(HEADER, struct.unpack_from(">I", data, 2)[0])
    return data


class Meddler:
    """faults: {(ordinal, "request" or "response"): function(message, send, meddler)}, each done once,
    in the place of sending the message on."""

    def __init__(self, side):
        self.side, self.faults, self.seen = side, {}, []
        self.path = side.path("meddler.sock")
        self.down, self.connections, self.daemons = False, [], []
        self.lock, self.meddling = threading.Lock(), threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def command(self):
        """For --ssh-command."""
        return f"exec socat STDIO UNIX-CONNECT:{self.path}"

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.down:
                client.close()
                continue
            ours, theirs = socket.socketpair()
            with self.lock:
                self.daemons.append(subprocess.Popen(
                    ["/bin/sh", "-c", self.side.stdio_command("--log-level", "warning")],
                    stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL))
                self.connections += [client, ours]
            theirs.close()
            asked = []
            for source, sink, way in ((client, ours, "request"), (ours, client, "response")):
                threading.Thread(target=self._pump, args=(source, sink, way, asked),
                                 daemon=True).start()

    def _pump(self, source, sink, way, asked):
        while message := read_message(source):
            if way == "request":
                asked.append(struct.unpack_from(">I", message, 6)[0])
                ordinal = asked[-1]
            else:
                ordinal = asked.pop(0) if asked else None
            self.seen.append((ordinal, way, message))
            try:
                with self.meddling:
                    fault = self.faults.pop((ordinal, way), None)
                    if fault:
                        fault(message, sink.sendall, self)
                if not fault:
                    sink.sendall(message)
            except OSError:
                break
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def settle(self):
        """Waits until a fault that has begun is done, and takes back the others; returns them."""
        with self.meddling:
            left, self.faults = self.faults, {}
        return left

    def cut(self):
        """Ends all connections."""
        with self.lock:
            for sock in self.connections:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def kill_daemons(self):
        with self.lock:
            for daemon in self.daemons:
                daemon.kill()

    def reset(self):
        """All is well again."""
        self.cut()
        self.kill_daemons()
        with self.lock:
            for daemon in self.daemons:
                daemon.wait()
            for sock in self.connections:
                sock.close()
            self.connections, self.daemons = [], []
        self.faults, self.seen, self.down = {}, [], False

    def close(self):
        self.listener.close()
        self.reset()
        Path(self.path).unlink(missing_ok=True)
