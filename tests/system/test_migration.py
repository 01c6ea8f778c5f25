"""A vTPM moves to another host: whole, once, and only to whom its operator trusts."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from contract import manager, spec
from host import TIMEOUT, TREE, Network, Process, until
from migration import (CHIPS, GUEST, NUMBER, GuestState, Side, State, ca, certificate)
from tpm12 import TpmError, sha1


@pytest.fixture
def sides(request):
    """sides(chip, chip): two hosts, the vTPM runs on the first; .guest is what it has in it."""
    made = []

    def make(*chips, running=True):
        for name, chip in zip(("hosta", "hostb"), chips or ("emulated", "emulated")):
            side = Side(name, chip)
            made.append(side)
            side.boot()
        source, destination = made
        destination.forget_guest()
        if running:
            source.vtpmctl("open", NUMBER)
            source.guest_state = GuestState(source.tpm(), source.key)
        request.node.host = source
        return source, destination

    yield make
    for side in made:
        side.close()


@pytest.fixture
def pair(sides):
    source, destination = sides()
    destination.migratord()
    return source, destination


def alone(source, destination, *options, **more):
    return source.migrator(*options, "--no-domain", GUEST, destination.name, to=destination, **more)


def check_moved(source, destination):
    assert source.standing()[0] == State.MIGRATED
    assert destination.standing() == (State.HERE, source.standing()[1])
    source.guest_state.check(destination.tpm(destination.number()))


@pytest.mark.parametrize("there", CHIPS)
@pytest.mark.parametrize("here", CHIPS)
def test_vtpm_moves_with_all_that_the_guest_has_open(sides, here, there):
    source, destination = sides(here, there)
    destination.migratord()
    done = alone(source, destination)
    assert re.search(r"downtime \d+ ms$", done.stdout, re.M)
    check_moved(source, destination)


def test_vtpm_moves_over_the_pipes_of_ssh(sides):
    source, destination = sides()
    source.migrator("--ssh-command", destination.stdio_command(), "--no-domain", GUEST, "hostb")
    check_moved(source, destination)


def test_closed_vtpm_moves_and_stays_closed(sides):
    source, destination = sides(running=False)
    destination.migratord()
    alone(source, destination)
    shown = json.loads(destination.vtpmctl("show", GUEST, "--json").stdout)
    assert shown["state"] == "closed"
    assert "downtime" not in json.dumps(shown)


def test_vtpm_goes_there_and_back_again(pair):
    source, destination = pair
    source.migratord()
    for _ in range(2):
        alone(source, destination)
        destination.migrator("--no-domain", GUEST, "hosta", to=source)
    assert source.standing() == (State.HERE, 4)
    source.guest_state.check(source.tpm())


def test_migrated_vtpm_says_where_it_is(pair):
    source, destination = pair
    alone(source, destination)
    refused = source.vtpmctl("open", NUMBER, check=False)
    assert re.search(r"migrated to hostb at \d{4}-", refused.stderr)
    again = alone(source, destination, check=False)
    assert again.returncode == 1 and "migrated to hostb" in again.stderr
    assert "lives on hostb" in source.migrator("--recover", GUEST, to=destination).stdout


# Whom to trust

def refusal(source, destination, here=None, there=None):
    """A migration that must not happen: what vtpm_migrator says, and how to see what the other does."""
    process = destination.migratord(pki=there)
    done = alone(source, destination, "--timeout", 3, pki=here, check=False)
    assert done.returncode == 1
    assert source.standing()[0] == State.HERE and destination.standing()[0] == State.NONE
    source.guest_state.check(source.tpm())
    assert "is hosta" not in process.log()
    return done.stderr, process.log


def says(log, text):
    """The daemon may take a moment to say it."""
    until(lambda: re.search(text, log()), f"'{text}' in the log", timeout=10)


def expired(name):
    """A certificate that is good for no day."""
    return certificate(name, "127.0.0.1", f"{name}-old", days=0)


@pytest.mark.parametrize("folder, here, there", [
    (lambda: certificate("hosta", authority="other-ca"), "hostb is refused: .*another CA",
     "refuses this host's certificate: it is of another CA"),
    (lambda: expired("hosta"), "hostb refuses this host's certificate: it has expired",
     "certificate 'hosta' has expired"),
], ids=["other CA", "expired"])
def test_client_with_a_wrong_certificate_is_refused(sides, folder, here, there):
    error, log = refusal(*sides(), here=folder())
    assert re.search(here, error)
    says(log, there)


@pytest.mark.parametrize("folder, here, there", [
    (lambda: certificate("hostb", authority="other-ca"), "hostb is refused: .*another CA",
     "refuses this host's certificate: it is of another CA"),
    (lambda: expired("hostb"), "hostb is refused: its certificate 'hostb' has expired",
     "refuses this host's certificate: it has expired"),
    (lambda: certificate("hostc"), "hostb is refused: its certificate is for 'hostc'",
     "refuses this host's certificate: it is for another host"),
], ids=["other CA", "expired", "wrong name"])
def test_server_with_a_wrong_certificate_is_refused(sides, folder, here, there):
    error, log = refusal(*sides(), there=folder())
    assert re.search(here, error)
    says(log, there)
