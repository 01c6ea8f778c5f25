"""dom0 of an emulated machine (tests/xen/lab), its manager and its guests."""
import hashlib
import json
import os
import pathlib
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))

from host import Host, until  # noqa: E402

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build"
LAB = HERE / "lab"
DOM0_PROGRAMS = ("vtpmd", "vtpm_managerd", "vtpmctl", "vtpm_migrator", "vtpm_migratord", "frontend")
GUEST_PROGRAMS = ("tpm", "frontend")

SUCCESS = "00c4%08x00000000"
SOCAT = "socat -b1000000"  # its small steps would take most of the time of a migration
TIMEOUT = 600  # seconds for anything: an emulated machine on a busy host is slow


class Failed(AssertionError):
    """A command in dom0 or in a guest ended with another status than 0."""


def lost_guests():
    """How many guests the emulated processors have lost so far: TCG's SVM now and then forgets whether it
    is in a guest or in Xen, and then Xen has a triple fault."""
    return sum(log.read_text(errors="replace").count("Triple fault")
               for log in (BUILD / "xen").glob("run-*/console.log"))


def build():
    """Makes the machine's disk, once."""
    subprocess.run([LAB, "build"], check=True, timeout=1800)


class Dom0:
    """A machine with a physical TPM, 1.2 or 2, a manager, and a network card: link is where its cable
    leads, listen:SOCKET or, up afterwards, connect:SOCKET; address is an IP address of /24."""

    def __init__(self, tpm, link=None, address=None, name=None):
        self.tpm, self.link, self.address = tpm, link, address
        self.run = BUILD / "xen" / f"run-{name or tpm}"
        self.share = self.run / "share"
        self.env = os.environ | {"XENLAB_RUN": str(self.run)}

    def up(self, uuids=()):
        """Boots it, with the manager and with vTPMs for uuids."""
        self.down()  # what an interrupted run has left
        cable = ["--link", self.link, "--address", f"{self.address}/24"] if self.link else []
        with tempfile.TemporaryDirectory() as made:
            with Host() as host:
                chip = self._make_tpms(host, self.tpm, uuids)
                shutil.copytree(chip, f"{made}/chip")
                shutil.copytree(host.state_dir, f"{made}/state")
            subprocess.run([LAB, "up", "--tpm", self.tpm, "--tpm-state", f"{made}/chip", *cable],
                           env=self.env, check=True, timeout=2 * TIMEOUT)
            shutil.copytree(f"{made}/state", self.share / "state")
        programs = [name for name in DOM0_PROGRAMS if (BUILD / name).exists()]
        for program in programs:
            shutil.copy(BUILD / program, self.share)
        shutil.copytree(ROOT / "hotplug", self.share / "hotplug")
        (self.share / "guest.cpio").write_bytes(self._guest_programs())
        self.sh("mkdir -p /etc/xen/scripts /var/vtpm && cp hotplug/* /etc/xen/scripts &&"
                f" cp {' '.join(programs)} /usr/local/sbin && cp -r state/* /var/vtpm &&"
                " cat /lab/guest.cpio guest.cpio >/tmp/guest.ramdisk")
        self.start_manager()

    DEFINE = ()  # more arguments of vtpmctl define

    @classmethod
    def _make_tpms(cls, host, tpm, uuids):
        """Makes the TPMs on this machine, with the chip that dom0 will have: endorsement keys take
        minutes under emulation. Returns the chip's folder."""
        chip = host.swtpm(tpm2=tpm == "2")
        manager = host.manager("--tpm", f"socket:{chip.address}")
        for uuid in uuids:
            host.vtpmctl("define", uuid, *cls.DEFINE)
            host.vtpmctl("open", uuid)
            host.vtpmctl("close", uuid)
        manager.terminate_and_wait()
        chip.terminate_and_wait()
        return host.path("swtpm.dir")

    @staticmethod
    def _guest_programs():
        """An archive for the guests' initramfs."""
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "bin").mkdir()
            for name in GUEST_PROGRAMS:
                shutil.copy(BUILD / name, f"{folder}/bin")
            files = "\n".join(f"bin/{name}" for name in GUEST_PROGRAMS)
            return subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=folder,
                                  input=files.encode(), capture_output=True, check=True).stdout

    def down(self):
        subprocess.run([LAB, "down"], env=self.env, check=True, timeout=TIMEOUT)

    def sh(self, command, check=True, timeout=TIMEOUT):
        """Runs a script in dom0; its output without the white space around it."""
        done = subprocess.run([LAB, "sh"], env=self.env, input=command, text=True, timeout=timeout,
                              capture_output=True, errors="replace")
        if check and done.returncode != 0:
            raise Failed(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def sh_until(self, condition, timeout=TIMEOUT):
        """Waits until a command in dom0 succeeds; its output."""
        return self.sh(f"until {condition}; do sleep 0.2; done", timeout=timeout)

    def type(self, terminal, line):
        """Types a line at a guest's terminal."""
        subprocess.run([LAB, "type", terminal, line], env=self.env, check=True, timeout=TIMEOUT)

    def start_manager(self, *options):
        """Starts it and waits until it answers."""
        self.sh(f"setsid vtpm_managerd --foreground {' '.join(options)} >>/host/manager.log 2>&1"
                " </dev/null & until vtpmctl status >/dev/null 2>&1; do sleep 0.2; done")

    def kill_manager(self):
        self.sh("pkill -9 -x vtpm_managerd")

    def log(self):
        return (self.share / "manager.log").read_text(errors="replace")

    def store(self, path):
        """A node of xenstore, waited for until it is there."""
        return self.sh_until(f"xenstore-read {path} 2>/dev/null")

    def wait_gone(self, path):
        self.sh_until(f"! xenstore-exists {path}")

    def receive(self, port, command):
        """Runs a command with what will come at this TCP port; its errors are in /host/receive.log."""
        self.sh(f"{SOCAT} TCP-LISTEN:{port},reuseaddr SYSTEM:{shlex.quote(command)}"
                " 2>/host/receive.log </dev/null >/dev/null &")
        self.sh_until(f"ss -Hltn 'sport = {port}' | grep -q .")

    def send(self, path, to, *, port=4445):
        """Copies a file to another machine's same place, over the cable."""
        to.sh(f"rm -f {path}")
        to.receive(port, f"cat >{path}.part && mv {path}.part {path}")
        self.sh(f"{SOCAT} -u FILE:{path} TCP:{to.address}:{port}")
        to.sh_until(f"[ -e {path} ]")

    def trust(self, pki):
        """Gives it a certificate of the CA in the folder pki, and lets vTPMs come from its hosts."""
        subprocess.run([ROOT / "hotplug" / "vtpm-pki", "--dir", pki, self.address], check=True,
                       capture_output=True)
        shutil.copytree(pathlib.Path(pki) / self.address, self.share / "pki")
        self.sh("mkdir -p /etc/vtpm && cp -r pki /etc/vtpm && chmod -R go= /etc/vtpm/pki")
        self.sh("setsid vtpm_migratord --foreground >>/host/migratord.log 2>&1 </dev/null &")
        self.sh_until("ss -Hltn 'sport = 48879' | grep -q .")

    def vtpm_migrate(self, guest, to, *, receiver="xl migrate-receive", port=4444):
        """Moves a running guest to another machine with its vTPMs. It must be PVH: this hypervisor
        cannot move PV guests live, they are saved, sent and restored. Without ssh between the
        machines, `xl migrate` goes through receiver there. The events that vtpm_migrator tells of."""
        to.receive(port, receiver)
        said = self.sh("vtpm_migrator --json --xl-option -s --xl-option ''"
                       f" --xl-host '{SOCAT} - TCP:{to.address}:{port}' {guest.name} {to.address}"
                       " 2>/host/migrator.err", check=False, timeout=4 * TIMEOUT)
        return [json.loads(line) for line in said.splitlines()]

    def guest(self, name, **what):
        return Guest(self, name, **what)


class Guest:
    """A PV or PVH guest with a shell on its console.

    Its time stamp counter is the machine's: an emulated one leaves the guest at each reading, and that
    is when guests are lost (lost_guests).
    """

    patience = TIMEOUT

    def __init__(self, dom0, name, *, uuids=(), kind="pv", memory=160):
        self.dom0, self.name, self.is_up = dom0, name, False
        self.log_name = name
        self.config = f"/tmp/{name}.cfg"
        vtpm = ", ".join(f"'backend=0,uuid={uuid}'" for uuid in uuids)
        config = f"""
            name="{name}"
            type="{kind}"
            kernel="/lab/vmlinux"
            ramdisk="/tmp/guest.ramdisk"
            extra="console=hvc0 quiet mitigations=off nokaslr cryptomgr.notests rodata=off"
            memory={memory}
            tsc_mode="native"
            on_crash="destroy"
            vtpm=[{vtpm}]
        """
        dom0.sh(f"cat >{self.config} <<'END'\n{textwrap.dedent(config)}END")

    # Its life

    def create(self):
        """Boots it and waits for its shell. Returns itself."""
        self.until_booted(lambda: self.dom0.sh(
            f"rm -f /tmp/{self.name}.save; xl create {self.config}"))
        return self

    def until_booted(self, boot):
        said = len(self.console())
        boot()
        self.until_said("GUEST-UP", said)
        self.look()

    def look(self):
        """Finds out what it is known as, after it has come."""
        self.domid, self.terminal = self.dom0.sh(
            f"domid=$(xl domid {self.name}) && echo $domid &&"
            " xenstore-read /local/domain/$domid/console/tty").split()
        self.is_up = True

    def arrive(self, dom0):
        """It has come live from another machine: its console's log has the name that xl gave the
        domain on the way."""
        self.dom0, self.log_name = dom0, f"{self.name}--incoming"
        self.look()

    def reboot(self):
        """As its user does it."""
        self.until_booted(lambda: self.start("reboot -f"))

    def save(self):
        self.dom0.sh(f"xl save {self.name} /tmp/{self.name}.save")
        self.is_up = False

    def restore(self):
        self.dom0.sh(f"xl restore /tmp/{self.name}.save && rm /tmp/{self.name}.save")
        self.look()

    def destroy(self):
        self.dom0.sh(f"xl destroy {self.name}")
        self.is_up = False

    def discard(self):
        """Whatever its state is, afterwards it is not there."""
        self.dom0.sh(f"xl destroy {self.name}; rm -f /tmp/{self.name}.save", check=False)
        self.is_up = False

    # Its console

    def console(self):
        """All that guests of this name have said."""
        log = self.dom0.share / "console" / f"guest-{self.log_name}.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def until_said(self, pattern, after):
        """Waits for it after so many characters; the match."""
        return until(lambda: re.compile(pattern).search(self.console(), after),
                     f"{self.name} says {pattern}", timeout=self.patience)

    def start(self, command):
        """Has its shell run a command, and does not wait for it."""
        self.dom0.type(self.terminal, command)

    def run(self, command, check=True):
        """Runs a command in its shell; its output without the white space around it."""
        end, said = f"=end-{secrets.token_hex(4)}=", len(self.console())
        # In two pieces, so that an echo of what was typed does not look like the end.
        self.start(f'{{ {command}\n}} 2>&1; s=$?; echo; echo "{end[:3]}""{end[3:]}$s."')
        ended = self.until_said(rf"{end}(\d+)\.", said)
        output = self.console()[said:ended.start()].replace("\r", "").strip()
        if check and ended[1] != "0":
            raise Failed(f"{self.name}: {command}: {ended[1]}\n{output}")
        return output

    # Its TPMs

    def back_end(self, handle=0):
        """The folder of a device in xenstore."""
        return f"/local/domain/0/backend/vtpm/{self.domid}/{handle}"

    def attach(self, uuid):
        self.dom0.sh(f"xl vtpm-attach {self.name} backend=0 uuid={uuid}")

    def detach(self, handle):
        self.dom0.sh(f"xl vtpm-detach {self.name} {handle}")
        self.dom0.wait_gone(self.back_end(handle))

    FIRST_TPM = 0  # as `tpm` in the guest knows it: a handle or a device's path

    def tpm(self, command, handle=None):
        """What a command's response, a success, has after its header; waits for the device."""
        response = self.run(f"tpm {self.FIRST_TPM if handle is None else handle} {command}")
        assert response[:20] == SUCCESS % (len(response) // 2), response
        return response[20:]

    def pcr(self, number, handle=None):
        return self.tpm(f"00c10000000e00000015{number:08x}", handle)

    def extend(self, number, byte, handle=None):
        """With 20 times that byte, in hexadecimal. Returns the new value."""
        return self.tpm(extend_command(number, byte), handle)


def extend_command(number, byte):
    return f"00c10000002200000014{number:08x}" + byte * 20


def extended(value, byte):
    """What a PCR of that value is after an extend."""
    return hashlib.sha1(bytes.fromhex(value) + bytes.fromhex(byte) * 20).hexdigest()


class Load:
    """A guest that extends a PCR as fast as it can, with numbers, whatever happens to it meanwhile."""

    def __init__(self, guest, pcr=12):
        self.guest, self.pcr, self.value = guest, pcr, guest.pcr(pcr)
        guest.run(f"tpm {guest.FIRST_TPM} {extend_command(pcr, '00')} load >/tmp/load 2>&1 &")
        guest.run("until grep -q begun /tmp/load; do usleep 100000; done")

    def assert_each_was_done_once(self):
        _, last = self.guest.run("kill $!; wait $!; cat /tmp/load").split("\n")
        count, response = last.split(" ")
        value = bytes.fromhex(self.value)
        for number in range(int(count)):
            value = hashlib.sha1(value + number.to_bytes(20, "big")).digest()
        assert response[20:] == value.hex() == self.guest.pcr(self.pcr)
