"""The demo does what it says, and leaves nothing behind, however it ends."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from host import TIMEOUT, children, libc, PR_SET_CHILD_SUBREAPER

DEMO = Path(__file__).with_name("demo.py")


@pytest.fixture
def demo(tmp_path):
    """Starts the demo with a temporary folder of its own."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    before = children()
    process = subprocess.Popen(
        [sys.executable, "-B", DEMO], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        # A shell's background jobs, and what they start, ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    yield process
    process.kill()
    process.communicate()
    assert not children() - before, "the demo left processes behind"
    assert not list(tmp_path.iterdir()), "the demo left files behind"


def test_demo_shows_that_nothing_is_lost(demo):
    output, errors = demo.communicate(timeout=TIMEOUT * 2)
    assert demo.returncode == 0, errors
    assert "kill -9" in output
    assert output.count("the key of the guest's encrypted disk") == 2
    assert "sudo make install" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_demo_cleans_up(demo, number):
    while not (line := demo.stdout.readline()).startswith("4."):
        assert line, demo.stderr.read()
    demo.send_signal(number)
    demo.communicate(timeout=TIMEOUT)
    assert demo.returncode != 0
