"""dom0 of the emulated machine (tests/xen/lab), its manager and its guests."""
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))

from host import Host  # noqa: E402

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build"
LAB = HERE / "lab"
PROGRAMS = ("vtpmd", "vtpm_managerd", "vtpmctl", "frontend")
KERNEL = "/lab/vmlinux"


class Failed(AssertionError):
    """A command in dom0 or in a guest ended with another status than 0."""


class Dom0:
    """A booted machine with a manager that knows the TPMs uuids."""

    def __init__(self, tpm):
        self.tpm = tpm
        self.run = BUILD / "xen" / f"run-{tpm}"
        self.share = self.run / "share"
        self.env = os.environ | {"XENLAB_RUN": str(self.run)}

    def up(self, uuids):
        with tempfile.TemporaryDirectory() as made:
            with Host() as host:
                chip = self._make_tpms(host, self.tpm, uuids)
                shutil.copytree(chip, f"{made}/chip")
                shutil.copytree(host.state_dir, f"{made}/state")
            subprocess.run([LAB, "up", "--tpm", self.tpm, "--tpm-state", f"{made}/chip"],
                           env=self.env, check=True, timeout=600)
            shutil.copytree(f"{made}/state", self.share / "state")
        for program in PROGRAMS:
            shutil.copy(BUILD / program, self.share)
        shutil.copytree(ROOT / "hotplug", self.share / "hotplug")
        self.sh("mkdir -p /etc/xen/scripts /var/vtpm && cp hotplug/* /etc/xen/scripts &&"
                f" cp {' '.join(PROGRAMS)} /usr/local/sbin && cp -r state/* /var/vtpm")
        self.start_manager()

    @staticmethod
    def _make_tpms(host, tpm, uuids):
        """Makes the TPMs on this machine, with the chip that dom0 will have: endorsement keys take
        minutes under emulation. Returns the chip's folder."""
        chip = host.swtpm(tpm2=tpm == "2")
        manager = host.manager("--tpm", f"socket:{chip.address}")
        for uuid in uuids:
            host.vtpmctl("define", uuid)
            host.vtpmctl("open", uuid)
            host.vtpmctl("close", uuid)
        manager.terminate_and_wait()
        chip.terminate_and_wait()
        return host.path("swtpm.dir")

    def sh(self, command, check=True, timeout=300):
        """Runs a script in dom0; its output without the white space around it."""
        done = subprocess.run([LAB, "sh"], env=self.env, input=command, text=True, timeout=timeout,
                              capture_output=True, errors="replace")
        if check and done.returncode != 0:
            raise Failed(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def down(self):
        subprocess.run([LAB, "down"], env=self.env, check=True, timeout=60)

    def start_manager(self, *options):
        """Starts it and waits until it answers."""
        self.sh(f"setsid vtpm_managerd --foreground {' '.join(options)} >>/host/manager.log 2>&1"
                " </dev/null & until vtpmctl status >/dev/null 2>&1; do sleep 0.5; done")

    def kill_manager(self):
        self.sh("pkill -9 -x vtpm_managerd")

    def log(self):
        return (self.share / "manager.log").read_text(errors="replace")

    def store(self, path, *, timeout=20):
        """A node of xenstore, waited for until it is there."""
        return self.sh(f"timeout {timeout} sh -c 'until xenstore-read {path} 2>/dev/null;"
                       " do sleep 0.3; done'")

    def wait_gone(self, path, timeout=20):
        self.sh(f"timeout {timeout} sh -c 'while xenstore-exists {path}; do sleep 0.3; done'")

    def guest(self, name, **what):
        return Guest(self, name, **what)


class Guest:
    """A PV or PVH guest with a shell on its console."""

    def __init__(self, dom0, name, *, uuids=(), kind="pv", tools=False, arguments=""):
        self.dom0, self.name = dom0, name
        self.config = f"/tmp/{name}.cfg"
        vtpm = ", ".join(f"'backend=0,uuid={uuid}'" for uuid in uuids)
        # A restarted guest gets its configuration anew: its memory is not kept.
        config = f"""
            name="{name}"
            type="{kind}"
            kernel="{KERNEL}"
            ramdisk="/tmp/{name}.ramdisk"
            extra="console=hvc0 quiet mitigations=off nokaslr {arguments}"
            memory={160 if tools else 128}
            on_crash="destroy"
            vtpm=[{vtpm}]
        """
        dom0.sh(f"guest_ramdisk /tmp/{name}.ramdisk {'tools' if tools else ''}\n"
                f"cat >{self.config} <<'END'\n{textwrap.dedent(config)}END")

    def create(self):
        """Boots it and waits for its shell. Returns itself."""
        self._until_up(f"xl create {self.config}")
        return self

    def _until_up(self, command):
        self.dom0.sh(f"from=$(console_size {self.name})\n{command} || exit\n"
                     f'wait_console {self.name} GUEST-UP 200 "$((from + 1))"')

    def reboot(self):
        """As its user does it."""
        self._until_up(f"xl reboot -w {self.name} >/dev/null || xl reboot {self.name}")

    def run(self, command, check=True, timeout=200):
        """Runs a command in its shell."""
        return self.dom0.sh(f"guest_run {self.name} {shlex.quote(command)} {timeout}", check,
                            timeout + 60)

    def pcr(self, number):
        return self.run(f"pcr {number}")

    def extend(self, number, digit):
        """With 20 bytes of twice the digit. Returns the new value."""
        response = self.run(f"extend {number} {digit}")
        assert response[:20] == "00c40000001e00000000", response
        return response[20:]

    def domid(self):
        return self.dom0.sh(f"xl domid {self.name}")

    def back_end(self, handle=0):
        """The folder of its device in xenstore."""
        return f"/local/domain/0/backend/vtpm/{self.domid()}/{handle}"

    def save(self, *options):
        self.dom0.sh(f"xl save {' '.join(options)} {self.name} /tmp/{self.name}.save")

    def restore(self):
        self.dom0.sh(f"xl restore /tmp/{self.name}.save")

    def destroy(self):
        self.dom0.sh(f"xl destroy {self.name}")

    def discard(self):
        """Whatever its state is, afterwards it is not there."""
        self.dom0.sh(f"xl destroy {self.name}; rm -f /tmp/{self.name}.*", check=False)
