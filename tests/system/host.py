"""The programs that a test or the demo runs: started, awaited, and never left behind.

Host is a folder of its own (short, since a UNIX socket's path has 107 bytes at most) with
everything that was started in it. Whatever a program forks off, also a vtpmd whose manager was
killed, becomes a child of this process when its parent dies, and close() ends it.
"""
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from contract import manager
from tpm12 import Tpm
from transport import Raw, connect

TREE = Path(__file__).parents[2]
BUILD = Path(os.environ.get("VTPM_BUILD", TREE / "build"))
TIMEOUT = 60  # seconds until something that has not happened never will

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CLONE_NEWNET = 0x40000000


def until(condition, what, process=None, timeout=TIMEOUT):
    """Waits for condition() to be true; fails at once when the process that is to do it ends."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if process and process.poll() is not None:
            raise AssertionError(f"{what}: {process.name} ended, status {process.returncode}:\n"
                                 f"{process.log()}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout} s"
                               + (f"\n{process.log()}" if process else ""))
        time.sleep(0.01)
    return result


def accepts(address, connector=connect):
    """Is there a listener at this address?"""
    try:
        connector(address).close()
        return True
    except OSError:
        return False


def is_served(path, process):
    """Is this process the one that listens there?

    A child that a killed manager was about to start has its listening socket until exec.
    """
    try:
        with connect(f"unix:{path}") as sock:
            pid, _, _ = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET,
                                                             socket.SO_PEERCRED, 12))
            return pid == process.pid
    except OSError:
        return False


class Process(subprocess.Popen):
    """A program in the background, with its output in a file; it dies with this process."""

    def __init__(self, args, log_path, namespace=None, **options):
        self.name, self.log_path = Path(args[0]).name, log_path

        def prepare():
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if namespace:
                namespace.enter()

        with open(log_path, "ab") as log:
            super().__init__(list(map(str, args)), stdin=subprocess.DEVNULL, stdout=log,
                             stderr=log, preexec_fn=prepare, **options)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def kill9(self):
        self.kill()
        self.wait()

    def terminate_and_wait(self):
        """SIGTERM; returns the exit status."""
        self.terminate()
        return self.wait(TIMEOUT)


def children(pid="self"):
    """The pids of a process's children, adopted ones included."""
    try:
        return {int(child) for task in Path(f"/proc/{pid}/task").iterdir()
                for child in (task / "children").read_text().split()}
    except OSError:  # it is gone
        return set()


class Network:
    """A network namespace with only a loopback device, so that any port is free. Needs root."""

    def __init__(self):
        self.fd = None
        worker = threading.Thread(target=self._create)
        worker.start()
        worker.join()
        if self.fd is None:
            raise PermissionError("a network namespace needs root")
        subprocess.run(["ip", "link", "set", "lo", "up"], preexec_fn=self.enter, check=True)

    def _create(self):
        # A namespace belongs to the thread that unshares it; the descriptor keeps it.
        if libc.unshare(CLONE_NEWNET) == 0:
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def enter(self):
        """Moves the calling thread (after fork: the child) into the namespace."""
        if libc.setns(self.fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    def connect(self, address):
        """A socket in the namespace, connected to address."""
        made = []

        def work():
            self.enter()
            try:
                made.append(connect(address))
            except OSError as error:
                made.append(error)

        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
        if isinstance(made[0], socket.socket):
            return made[0]
        raise made[0]

    def close(self):
        os.close(self.fd)


class Host:
    """A host of vTPMs, in a folder."""

    def __init__(self):
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.folder = Path(tempfile.mkdtemp(prefix="vtpm-"))
        self.folder.chmod(0o711)  # tcsd becomes the user tss and has its folder below
        self.state_dir, self.run_dir = self.folder / "state", self.folder / "run"
        self.processes, self.closing, self.old_children = [], [], children()
        self.wrapper = ()  # in front of the manager's command line

    def close(self):
        """Kills everything that was started here, with all descendants; removes the folder."""
        for thing in self.closing:
            thing.close()
        self.kill9_everything()
        shutil.rmtree(self.folder)

    def running(self):
        """The pids of all that was started here, descendants included."""
        found, new = set(), children() - self.old_children
        while new:
            found |= new
            new = set().union(*map(children, new)) - found
        return found

    def kill9_everything(self):
        """kill -9 of all of running(), as a power cut would do; returns the pids."""
        killed = set()
        while pids := self.running():
            killed |= pids
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for process in self.processes:
                process.wait()
            # Not those that a manager started between the look and its end: the next round's.
            for orphan in pids & children():
                os.waitpid(orphan, 0)
        return killed

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def logs(self):
        """[(name, text)] of all programs that have said something."""
        return [(p.log_path.name, text) for p in self.processes if (text := p.log())]

    def path(self, name):
        return self.folder / name

    def closes(self, thing):
        """Has thing closed with the host; returns it."""
        self.closing.append(thing)
        return thing

    def start(self, *args, **options):
        """Starts a program in the background; a test need not end it."""
        log = self.path(f"{Path(args[0]).name}-{len(self.processes)}.log")
        process = Process(args, log, **options)
        self.processes.append(process)
        return process

    # Ours

    def vtpmd(self, name="tpm", mode="clear", address=None, **options):
        """A vtpmd that stands alone, state in NAME.state, raw socket NAME.sock or address."""
        address = address or f"unix:{self.path(name + '.sock')}"
        run_dir = self.path(name + ".run")
        run_dir.mkdir(exist_ok=True)
        process = self.start(BUILD / "vtpmd", "--run-dir", run_dir, "--state",
                             self.path(name + ".state"), "--raw", address, mode, "pvm", "0",
                             **options)
        network = options.get("namespace")
        until(lambda: accepts(address, network.connect if network else connect),
              f"vtpmd listens at {address}", process)
        process.address = address
        return process

    def manager(self, *options, wait=True, user=None):
        """vtpm_managerd on this host's folders, with the fifo back-end and the emulated chip.

        options: more of its command line; --tpm and so on there win over these. user: whom it runs
        as, and who owns the folders.
        """
        for folder in (self.state_dir, self.run_dir):
            folder.mkdir(exist_ok=True)
            if user:
                shutil.chown(folder, user)
        defaults = {"--tpm": "emulated", "--backend": "fifo", "--hotplug-script": "none",
                    "--state-dir": self.state_dir, "--run-dir": self.run_dir,
                    "--vtpmd": BUILD / "vtpmd"}
        chosen = [word for name, value in defaults.items() if name not in options
                  for word in (name, value)]
        process = self.start(*self.wrapper, BUILD / "vtpm_managerd", "--foreground", *chosen, *options,
                             **{"user": user, "extra_groups": []} if user else {})
        if wait:
            path = self.run_dir / manager.VTPM_PATH_MANAGER
            until(lambda: is_served(path, process), "the manager listens", process)
        return process

    def vtpmctl(self, *args, check=True):
        """Runs vtpmctl; returns the CompletedProcess, with text output."""
        done = subprocess.run([BUILD / "vtpmctl", "--run-dir", self.run_dir, *map(str, args)],
                              text=True, capture_output=True, stdin=subprocess.DEVNULL,
                              timeout=TIMEOUT)
        assert not check or done.returncode == 0, f"vtpmctl {args}: {done.stderr}"
        return done

    # Others'

    def swtpm(self, name="swtpm", tpm2=False, address=None, **options):
        """Debian's swtpm, a TPM that nobody here wrote: started, and sent TPM_Startup."""
        state = self.path(name + ".dir")
        state.mkdir(exist_ok=True)
        address = address or f"unix:{self.path(name + '.sock')}"
        kind, _, rest = address.partition(":")
        server = f"type=unixio,path={rest}" if kind == "unix" else \
            "type=tcp,bindaddr={},port={}".format(*rest.rsplit(":", 1))
        process = self.start("swtpm", "socket", *["--tpm2"] * tpm2, "--server", server,
                             "--tpmstate", f"dir={state}",
                             "--flags", "not-need-init,startup-clear", **options)
        # It serves one connection at a time, and takes the next when that is closed.
        network = options.get("namespace")
        until(lambda: accepts(address, network.connect if network else connect),
              "swtpm listens", process)
        process.address = address
        return process


def tpm_at(process):
    """A Tpm on a raw connection to a vtpmd or swtpm."""
    return Tpm(Raw(process.address))


def console_request(ordinal, parameters=b"", instance=0):
    """A message of the manager's protocol."""
    return struct.pack(">IHII", instance, manager.VTPM_TAG_REQ,
                       manager.VTPM_HEADER_SIZE + len(parameters), ordinal) + parameters
