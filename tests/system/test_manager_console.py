"""The console: the pipe pair of old scripts and the manager's socket, and what goes wrong there."""
import os
import signal
import socket
import struct
import subprocess

import pytest

from contract import manager
from host import TREE, console_request, until
from transport import Closed, Stream, connect
from tpm12 import Tpm
from transport import FifoBackend

PVM_CLEAR = struct.pack(">BBB", manager.VTPM_TYPE_MIGRATABLE, manager.VTPM_STARTUP_CLEAR,
                        manager.VTPM_DOMAIN_PVM)


def u32(number):
    return struct.pack(">I", number)


class Console:
    """Requests to the manager over a stream: request() -> (status, parameters)."""

    def __init__(self, stream, closing):
        self.stream, self.closing = stream, closing

    def send(self, ordinal, parameters=b""):
        self.stream.write(console_request(ordinal, parameters))

    def receive(self):
        self.instance, tag, size, status = struct.unpack(">IHII", self.stream.read(14))
        assert tag == manager.VTPM_TAG_RSP
        return status, self.stream.read(size - 10)

    def request(self, ordinal, parameters=b""):
        self.send(ordinal, parameters)
        answer = self.receive()
        assert self.instance == 0
        return answer

    def close(self):
        self.closing()


def pipes(host):
    """The pipe pair, as a script has it."""
    fds = [os.open(host.run_dir / name, os.O_RDWR | os.O_NONBLOCK)
           for name in (manager.VTPM_PATH_TO_CONSOLE, manager.VTPM_PATH_FROM_CONSOLE)]
    return host.closes(Console(Stream(*fds), lambda: [os.close(fd) for fd in fds]))


def connection(host):
    """A connection to the manager's socket."""
    s = connect(f"unix:{host.run_dir / manager.VTPM_PATH_MANAGER}")
    console = host.closes(Console(Stream(s.fileno()), s.close))
    console.socket = s
    return console


@pytest.fixture(params=[pipes, connection])
def console(host, request):
    host.process = host.manager()
    return request.param(host)


@pytest.fixture
def pipe_console(host):
    host.process = host.manager()
    return pipes(host)


def test_life_of_an_instance_in_the_originals_words(host, console):
    assert console.request(manager.VTPM_ORD_OPEN, PVM_CLEAR + u32(77)) == (0, b"")
    guest = Tpm(host.closes(FifoBackend(host.run_dir)).guest(77))
    assert guest.pcr_read(0) == bytes(20)
    assert console.request(manager.VTPM_ORD_CLOSE, u32(77)) == (0, b"")
    assert console.request(manager.VTPM_ORD_DELETE, u32(77)) == (0, b"")
    status, text = console.request(manager.VTPM_ORD_CLOSE, u32(77))
    assert status == manager.VTPM_INVALID_REQUEST
    assert b"77" in text


@pytest.mark.parametrize("ordinal, parameters, status", [
    (manager.VTPM_ORD_SAVENVM, b"not from here", manager.VTPM_UNSUPPORTED),
    (manager.VTPM_ORD_EXECUTE, bytes(19), manager.VTPM_UNSUPPORTED),
    (0x01ffffff, b"", manager.VTPM_UNSUPPORTED),
    (manager.VTPM_ORD_CLOSE, b"\0", manager.VTPM_INVALID_REQUEST),
    (manager.VTPM_ORD_CLOSE, bytes(5), manager.VTPM_INVALID_REQUEST),
    (manager.VTPM_ORD_OPEN, PVM_CLEAR + u32(0), manager.VTPM_INVALID_REQUEST),
    (manager.VTPM_ORD_OPEN, b"\1\7\1" + u32(5), manager.VTPM_INVALID_REQUEST),
    (manager.VTPM_ORD_OPEN, b"\1\1\7" + u32(5), manager.VTPM_INVALID_REQUEST),
    (manager.VTPM_ORD_DEFINE, b"\1\1" + u32(0) + bytes(16), manager.VTPM_INVALID_REQUEST),
    (manager.VTPM_ORD_RESEAL, u32(3) + b"0,x", manager.VTPM_INVALID_REQUEST),
    (manager.VTPM_ORD_RESEAL, u32(2**31) + b"0", manager.VTPM_INVALID_REQUEST),
])
def test_wrong_requests_are_refused_with_the_originals_status(console, ordinal, parameters, status):
    assert console.request(ordinal, parameters)[0] == status
    assert console.request(manager.VTPM_ORD_STATUS)[0] == 0


@pytest.mark.parametrize("rubbish", [b"\n", b"vtpm_managerd, are you there?\n", bytes(1000),
                                     b"\1\xc1" * 7, os.urandom(5000)],
                         ids=["newline", "text", "zeros", "tags", "random"])
def test_rubbish_on_the_pipe_is_skipped(pipe_console, rubbish):
    pipe_console.stream.write(rubbish)
    # Rubbish that looks like a request is answered as one; the real answer comes last.
    pipe_console.send(manager.VTPM_ORD_FIND, bytes(16))
    while (answer := pipe_console.receive())[1].find(b"no vTPM with uuid 0000") < 0:
        assert answer[0] == manager.VTPM_INVALID_REQUEST


def test_writer_that_dies_in_the_middle_spoils_only_its_own_request(host, pipe_console):
    pipe_console.stream.write(console_request(manager.VTPM_ORD_SHOW, u32(5))[:11])
    until(lambda: "end does not come" in host.process.log(), "the half request is dropped")
    assert pipe_console.request(manager.VTPM_ORD_STATUS)[0] == 0


def test_response_that_nobody_reads_is_not_taken_for_the_next_ones(host, pipe_console):
    pipe_console.send(manager.VTPM_ORD_STATUS)  # by a script that dies now
    pipe_console.send(manager.VTPM_ORD_SHOW, u32(5))
    until(lambda: "nobody reads" in host.process.log(), "the response is dropped")
    status, text = pipe_console.receive()
    assert status == manager.VTPM_INVALID_REQUEST
    assert b"instance 5" in text


# An old script: it asks for instance after instance, none of which there is, and notes the answers.
OLD_SCRIPT = """
. "$HOTPLUG/vtpm-hotplug-common.sh"
for instance in "$@"; do
	$LOCK "$RUN_DIR/vtpm_mgr.lock"
	printf "$SHOW\\\\$(printf '%03o' "$instance")" >"$RUN_DIR/fifos/from_console.fifo"
	dd bs=4096 count=1 status=none <"$RUN_DIR/fifos/to_console.fifo" | tail -c +15
	$UNLOCK
	echo
done
"""


def old_scripts_at_once(host, lock, unlock):
    """Two of them, with an instance's number in each of 50 requests; returns what each was told."""
    show = "".join(f"\\{byte:03o}" for byte in console_request(manager.VTPM_ORD_SHOW, bytes(4))[:-1])
    environment = {"PATH": os.environ["PATH"], "HOTPLUG": TREE / "hotplug", "RUN_DIR": host.run_dir,
                   "LOCK": lock, "UNLOCK": unlock, "SHOW": show}
    scripts = [subprocess.Popen(["sh", "-euc", OLD_SCRIPT, "old", *map(str, numbers)], text=True,
                                env=environment, stdout=subprocess.PIPE)
               for numbers in (range(1, 51), range(101, 151))]
    return [script.communicate(timeout=60)[0].split("\n")[:-1] for script in scripts]


def told_about(numbers):
    return [f"instance {number} is not defined; 'vtpmctl list' shows which are"
            for number in numbers]


def test_old_scripts_that_lock_the_pipes_get_their_own_answers(host, pipe_console):
    told = old_scripts_at_once(host, "claim_lock", "release_lock")
    assert told == [told_about(range(1, 51)), told_about(range(101, 151))]


def test_old_scripts_that_do_not_lock_may_get_each_others_answers_but_whole_ones(host, pipe_console):
    told = old_scripts_at_once(host, ":", ":")
    assert sorted(told[0] + told[1]) == sorted(told_about([*range(1, 51), *range(101, 151)]))
    assert pipe_console.request(manager.VTPM_ORD_STATUS)[0] == 0


def test_absurd_size_ends_the_connection_and_no_other(host):
    host.manager()
    good, bad = connection(host), connection(host)
    bad.stream.write(struct.pack(">IHII", 0, manager.VTPM_TAG_REQ, 2**32 - 1, 1))
    assert bad.receive()[0] == manager.VTPM_INVALID_REQUEST
    with pytest.raises(Closed):
        bad.stream.read(1)
    assert good.request(manager.VTPM_ORD_STATUS)[0] == 0


def test_connection_that_never_reads_is_closed_when_its_answers_pile_up(host):
    process = host.manager()
    deaf, other = connection(host), connection(host)
    deaf.socket.settimeout(10)
    try:
        for _ in range(20000):
            deaf.socket.send(console_request(manager.VTPM_ORD_STATUS))
    except OSError:
        pass
    until(lambda: "does not read is closed" in process.log(), "the connection is closed")
    assert other.request(manager.VTPM_ORD_STATUS)[0] == 0


def test_slow_request_delays_no_other_connection(host):
    process = host.manager("--answer-seconds", 600)
    host.vtpmctl("open", 5)
    os.kill(instance_pid(host, 5), signal.SIGSTOP)
    slow, gone, other = connection(host), connection(host), connection(host)
    slow.send(manager.VTPM_ORD_CLEAR, u32(5))
    gone.send(manager.VTPM_ORD_CLEAR, u32(5))
    gone.socket.close()
    assert other.request(manager.VTPM_ORD_OPEN, PVM_CLEAR + u32(6)) == (0, b"")
    os.kill(instance_pid(host, 5), signal.SIGCONT)
    assert slow.receive() == (0, b"")
    assert process.poll() is None


def test_other_users_are_turned_away(host):
    host.manager()
    if os.geteuid() != 0:
        pytest.skip("needs root, to be somebody else")
    for path in (host.run_dir, host.run_dir / "socks"):
        path.chmod(0o711)
    path = host.run_dir / manager.VTPM_PATH_MANAGER
    path.chmod(0o666)
    pid = os.fork()
    if pid == 0:
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(path))
            answer = b""
            try:
                s.sendall(console_request(manager.VTPM_ORD_STATUS))
                answer = s.recv(100)
            except OSError:
                pass
        os._exit(0 if answer == b"" else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert "65534" in host.processes[0].log()


def test_more_connections_than_allowed_are_refused_not_served_late(host):
    host.manager()
    path = f"unix:{host.run_dir / manager.VTPM_PATH_MANAGER}"
    crowd = [connect(path) for _ in range(200)]
    until(lambda: "one more is refused" in host.processes[0].log(), "the limit is reached")
    for s in crowd:
        s.close()
    assert until(lambda: host.vtpmctl("status", check=False).returncode == 0, "there is room again")


def instance_pid(host, number):
    for line in host.vtpmctl("show", number).stdout.splitlines():
        if line.startswith("pid:"):
            return int(line.split()[1])
    raise LookupError(number)
