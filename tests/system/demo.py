"""make demo: a host with virtual TPMs, from its first start to the day after a power cut.

Everything happens in a folder of its own below /tmp; nothing is left behind, also when it fails
or is interrupted.
"""
import os
import signal
import sys
import uuid

from contract import manager, spec
from host import BUILD, Host, tpm_at
from tpm12 import WELL_KNOWN, Tpm, pcr_info, sha1
from transport import FifoBackend, Ioemu

OWNER, DATA = sha1(b"the owner's password"), sha1(b"the secret's password")
SECRET = b"the key of the guest's encrypted disk"
PCR = 10
BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")

step_number = 0


def step(title):
    global step_number
    step_number += 1
    print(f"\n{BOLD}{step_number}. {title}{PLAIN}", flush=True)


def say(text):
    print("   " + text.replace("\n", "\n   "), flush=True)


def vtpmctl(host, *args):
    """Runs vtpmctl and shows it, as on a terminal."""
    say(f"{DIM}$ vtpmctl {' '.join(map(str, args))}{PLAIN}")
    output = host.vtpmctl(*args).stdout.rstrip()
    if output:
        say(output)
    return output


def ranges(numbers):
    """0, 1, 2, 5 -> "0-2, 5"."""
    runs = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a}-{b}" if a != b else f"{a}" for a, b in runs)


def show_pcrs(tpm, first=0, last=23):
    by_value = {}
    for pcr in range(first, last + 1):
        by_value.setdefault(tpm.pcr_read(pcr), []).append(pcr)
    for value, pcrs in by_value.items():
        say(f"PCR {ranges(pcrs):18} {value.hex()}")


def start(host):
    process = host.manager()
    say(f"vtpm_managerd is process {process.pid}; its folder is {host.folder}")
    vtpmctl(host, "status")


def attach(host, guest):
    """What the hotplug script does when a guest with this uuid starts; returns the guest's TPM."""
    vtpmctl(host, "open", guest)
    backend = host.closes(FifoBackend(host.run_dir))
    tpm = Tpm(backend.guest(NUMBER))
    tpm.startup()  # as the BIOS of an HVM guest does
    return tpm


NUMBER = 5  # the instance's


def demonstrate(host):
    guest = uuid.uuid4()

    step("A host comes up: the manager binds its keys to the physical TPM (here an emulated one)")
    start(host)

    step("A guest's vTPM is defined and opened, as the hotplug script does for `vtpm=[...]`")
    # An HVM guest with PV drivers: its TPM has the back-end, and a socket besides.
    vtpmctl(host, "define", guest, "--id", NUMBER, "--type", "hvm")
    tpm = attach(host, guest)
    vtpmctl(host, "list")
    vtpmctl(host, "show", guest)

    step("The guest uses it, through the back-end's framing")
    version = tpm.get_capability(spec.TPM_CAP_VERSION_VAL)
    say(f"TPM {version[2]}.{version[3]}, manufacturer {version[9:13].decode()}, "
        f"endorsement key {tpm.read_pubek().modulus[:8].hex()}...")
    show_pcrs(tpm)
    say(f"extending PCR {PCR} with the hash of a program:")
    measured = tpm.extend(PCR, sha1(b"a program"))
    show_pcrs(tpm)
    assert measured == sha1(bytes(20), sha1(b"a program"))

    step("It takes ownership, and seals a secret to that PCR")
    tpm.take_ownership(OWNER)
    say("owner installed, storage root key created")
    blob = tpm.seal(spec.TPM_KH_SRK, WELL_KNOWN, DATA, SECRET, pcr_info({PCR: measured}))
    say(f"sealed: {len(blob)} bytes that only this vTPM opens, only while PCR {PCR} is {measured.hex()}")
    say(f"unsealed: {tpm.unseal(spec.TPM_KH_SRK, WELL_KNOWN, DATA, blob).decode()!r}")

    step("A tool on the host uses the same TPM, at the instance's socket")
    at_socket = Tpm(Ioemu(host.run_dir, NUMBER))
    say(f"at {manager.VTPM_PATH_IOEMU % NUMBER}: endorsement key "
        f"{at_socket.owner_read_pubek(OWNER).modulus[:8].hex()}...")
    show_pcrs(at_socket, PCR, PCR)
    assert at_socket.pcr_read(PCR) == measured
    assert at_socket.unseal(spec.TPM_KH_SRK, WELL_KNOWN, DATA, blob) == SECRET

    step("Another has a TPM of its own, on a bare byte stream (vtpmd --raw), as tcsd does")
    standalone = host.vtpmd("tool")
    tool = tpm_at(standalone)
    say(f"at {standalone.address}: endorsement key "
        f"{tool.create_ek().modulus[:8].hex()}..., made by whoever owns it; "
        f"16 random bytes {tool.get_random(16).hex()}")
    standalone.terminate_and_wait()

    step("Power cut: kill -9 of the manager, the vTPM and the emulated chip")
    names = {pid: (open(f"/proc/{pid}/comm").read().strip()) for pid in sorted(host.running())}
    for pid, name in names.items():
        say(f"{DIM}$ kill -9 {pid}{PLAIN}   ({name})")
    host.kill9_everything()

    step("The day after: started again, the guest boots again")
    start(host)
    tpm = attach(host, guest)
    show_pcrs(tpm, PCR, PCR)
    say("fresh, as after every boot; the same owner is there: "
        f"{tpm.has_owner() and tpm.owner_read_pubek(OWNER) is not None}")
    try:
        tpm.unseal(spec.TPM_KH_SRK, WELL_KNOWN, DATA, blob)
        raise AssertionError(f"the secret opened although PCR {PCR} is fresh")
    except Exception as error:
        if getattr(error, "result", 0) != spec.TPM_WRONGPCRVAL:
            raise
        say(f"unsealing before the program is measured: {error}")
    tpm.extend(PCR, sha1(b"a program"))
    opened = tpm.unseal(spec.TPM_KH_SRK, WELL_KNOWN, DATA, blob)
    assert opened == SECRET
    say(f"unsealing after it: {opened.decode()!r}")
    vtpmctl(host, "close", guest)


NEXT = """
This was a manager bound to an (emulated) physical TPM, a guest's vTPM that took ownership and
sealed a secret, and a power cut that lost nothing. All of it is stopped and removed again.

Next:
    make check                   the tests
    sudo make install            programs, hotplug scripts, systemd units
    less README.md               how to attach a vTPM to a guest of yours
"""


def main():
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda caught, _: sys.exit(128 + caught))
    for program in ("vtpm_managerd", "vtpmd", "vtpmctl"):
        if not (BUILD / program).exists():
            sys.exit(f"{BUILD / program} is missing: run `make` first")
    with Host() as host:
        try:
            demonstrate(host)
        except Exception:
            for name, text in host.logs():
                print(f"--- {name} ---\n{text}", file=sys.stderr)
            raise
    print(NEXT)


if __name__ == "__main__":
    main()
