"""A PC under QEMU's software emulation: SeaBIOS, Debian's kernel and a small root file system with
TrouSerS and tpm-tools, whose TPM is behind a TIS device. Nothing in it knows of us.

Kernel and root file system are made once, in build/guest.
"""
import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from host import BUILD, accepts, until
from transport import connect

GUEST = BUILD / "guest"
TOOLS = ("tcsd", "tpm_version", "tpm_createek", "tpm_takeownership", "tpm_getpubek",
         "tpm_sealdata", "tpm_unsealdata", "tpm_nvdefine", "tpm_nvwrite", "tpm_nvread",
         "tpm_mkuuid", "tpm_mkaik", "tpm_loadkey", "tpm_getquote", "tpm_getpcrhash")
BOOT_SECONDS = 120  # software emulation on a busy machine

# Runs /test.sh, with its output on the second serial port and its status in the last line.
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /sbin /usr/sbin /var/lib/tpm
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin:/usr/sbin LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t securityfs security /sys/kernel/security
ip link set lo up
chown root:tss /etc/tcsd.conf
chmod 640 /etc/tcsd.conf
chown tss:tss /var/lib/tpm
stty raw -F /dev/ttyS1
sh /test.sh >/dev/ttyS1 2>&1
echo "status $?" >/dev/ttyS1
poweroff -f
"""
FILES = {
    "init": INIT,
    "etc/passwd": "root:x:0:0::/:/bin/sh\ntss:x:102:109::/var/lib/tpm:/bin/false\n",
    "etc/group": "root:x:0:\ntss:x:109:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/nsswitch.conf": "hosts: files\n",
    "etc/tcsd.conf": "",
}


def kernel():
    """Debian's kernel, out of its package, which need not be installed."""
    image = GUEST / "vmlinuz"
    if not image.exists():
        GUEST.mkdir(parents=True, exist_ok=True)
        fetched = subprocess.run(["sh", "-ec", """
            depends=$(apt-cache depends linux-image-amd64) || {
                apt-get update
                depends=$(apt-cache depends linux-image-amd64)
            }
            apt-get download "$(echo "$depends" | grep -o 'linux-image-[0-9].*')"
            dpkg -x linux-image-*.deb package
            cp package/boot/vmlinuz-* vmlinuz
            rm -r package linux-image-*.deb
        """], cwd=GUEST, text=True, capture_output=True)
        if fetched.returncode:
            pytest.skip(f"no kernel for a guest: {fetched.stderr}")
    return image


def pack(folder, archive):
    """A folder's files as an initramfs, all of them root's."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    with open(archive, "ab") as out:
        subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=folder, stdout=out,
                       input="\n".join(names), text=True, check=True)


def root_file_system():
    """busybox and the tools with the libraries that they need."""
    archive = GUEST / "root.cpio"
    if not archive.exists():
        root = GUEST / "root"
        shutil.rmtree(root, ignore_errors=True)
        for name, text in FILES.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (root / "init").chmod(0o755)
        programs = [Path(shutil.which(tool, path="/usr/sbin:/usr/bin")) for tool in TOOLS]
        ldd = subprocess.run(["ldd", *programs], text=True, capture_output=True, check=True).stdout
        libraries = {Path(word) for word in ldd.split() if word.startswith("/") and
                     not word.endswith(":")}
        # tcsd's threads load it when they end.
        libraries.add(Path("/lib/x86_64-linux-gnu/libgcc_s.so.1"))
        for path in {*programs, *libraries}:
            copy = root / path.relative_to("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        (root / "bin").mkdir(exist_ok=True)
        shutil.copy("/bin/busybox", root / "bin/busybox")
        pack(root, archive)
    return archive


class Machine:
    """A running PC. script is what its init runs; output() what that has said."""

    def __init__(self, host, control_socket, script, *options):
        self.host, number = host, len(host.processes)
        self.serial, self.line, self.monitor = (
            host.path(f"{name}-{number}") for name in ("serial", "line", "qmp"))
        ramdisk = host.path(f"ramdisk-{number}")
        shutil.copy(root_file_system(), ramdisk)
        own = host.path(f"script-{number}")
        own.mkdir()
        (own / "test.sh").write_text(script)
        pack(own, ramdisk)
        self.process = host.start(
            "qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-nodefaults", "-display", "none",
            "-kernel", kernel(), "-initrd", ramdisk, "-append", "console=ttyS0 quiet panic=-1",
            "-chardev", f"file,id=console,path={host.path(f'console-{number}')}",
            "-serial", "chardev:console",
            "-chardev", f"socket,id=script,path={self.line},server=on,wait=off,logfile={self.serial}",
            "-serial", "chardev:script",
            "-qmp", f"unix:{self.monitor},server=on,wait=off",
            "-chardev", f"socket,id=tpm,path={control_socket}",
            "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm0", *options)
        until(lambda: accepts(f"unix:{self.monitor}"), "QEMU's monitor answers", self.process)

    def output(self):
        return self.serial.read_text(errors="replace") if self.serial.exists() else ""

    def wait_for(self, text):
        """Waits until the script has said text; returns all it has said."""
        until(lambda: text in self.output(), f"the guest says {text!r}", self.process, BOOT_SECONDS)
        return self.output()

    def tell(self, text):
        """Sends the script a line on the second serial port, which stays connected."""
        line = self.host.closes(connect(f"unix:{self.line}"))
        line.sendall(text.encode() + b"\n")

    def finish(self):
        """Waits for the guest to power off; returns what its script has said, which succeeded."""
        self.process.wait(BOOT_SECONDS)
        output = self.output()
        assert output.endswith("status 0\n"), f"{output}\n{self.process.log()}"
        return output.removesuffix("status 0\n")

    def qmp(self, command, **arguments):
        """Runs a monitor command; returns its result."""
        with connect(f"unix:{self.monitor}") as s:
            stream = s.makefile("rw")
            stream.readline()
            for name, values in (("qmp_capabilities", {}), (command, arguments)):
                stream.write(json.dumps({"execute": name, "arguments": values}) + "\n")
                stream.flush()
                while "return" not in (answer := json.loads(stream.readline())):
                    assert "error" not in answer, answer
            return answer["return"]


def event_log(data):
    """The (pcr, type, digest, event) records of a TPM 1.2 event log, as ACPI's TCPA table has it."""
    records, at = [], 0
    while at < len(data):
        pcr, kind, digest, size = struct.unpack_from("<II20sI", data, at)
        records.append((pcr, kind, digest, data[at + 32:at + 32 + size]))
        at += 32 + size
    return records
