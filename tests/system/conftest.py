"""Fixtures of the system tests: real daemons, each test with a host of its own."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chip import plug_chip_in  # noqa: E402
from host import Host, Network  # noqa: E402


@pytest.fixture
def host(request):
    """A Host; when the test fails, what its programs said is shown."""
    with Host() as made:
        request.node.host = made
        yield made


@pytest.fixture(params=["1.2", "2.0"])
def chip(host, request):
    """The host's physical TPM, of either version (chip.py)."""
    return plug_chip_in(host, request.param)


@pytest.fixture
def network():
    """A Network of the test's own."""
    try:
        made = Network()
    except PermissionError as error:
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed and hasattr(item, "host") and item.host.folder.exists():
        report.sections += item.host.logs()
