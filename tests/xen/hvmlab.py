"""HVM guests in the emulated machine: their QEMU has a TIS device whose TPM is a vtpmd in dom0."""
import gzip
import shutil
import subprocess
import textwrap

from xenlab import BUILD, TIMEOUT, Dom0, Guest

QEMU = BUILD / "xen/qemu"  # made by build-qemu
KERNEL = BUILD / "xen/vmlinux32"
EMULATOR = "/usr/local/sbin/qemu-tpm"  # in dom0
# Debian's, with what QEMU cannot do without
FIRMWARE = ("qemu/pvh.bin", "qemu/linuxboot_dma.bin", "qemu/kvmvapic.bin", "qemu/keymaps/en-us",
            "seabios/bios-256k.bin")


def make_kernel():
    """The guests' kernel as QEMU's loader for an i386 machine takes it."""
    subprocess.run(["objcopy", "-I", "elf64-x86-64", "-O", "elf32-i386", BUILD / "xen/vmlinux",
                    KERNEL], check=True)


class HvmDom0(Dom0):
    """A host whose TPMs are for HVM guests, and whose QEMU can use them."""

    DEFINE = ("--type", "hvm")

    def __init__(self):
        super().__init__("1.2", name="hvm")

    def up(self, uuids=()):
        super().up(uuids)
        make_kernel()
        shutil.copytree(QEMU, self.share / "qemu")
        shutil.copy(KERNEL, self.share)
        # The firmware takes it in 4 KiB at a time, each of them at some milliseconds.
        ramdisk = (BUILD / "xen/guest.cpio").read_bytes() + self._guest_programs()
        (self.share / "hvm.ramdisk").write_bytes(gzip.compress(ramdisk))
        for name in FIRMWARE:
            copy = self.share / "firmware" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(f"/usr/share/{name}", copy)
        # The libraries that dom0 has are its own. libxl's last word is a machine that cannot boot
        # an unpacked kernel.
        self.sh(f"""
            cp -r firmware/* /usr/share
            cp {KERNEL.name} /lab
            cp -n qemu/libraries/* /usr/lib/x86_64-linux-gnu
            ldconfig
            cp qemu/qemu /usr/local/lib/qemu-tpm
            printf '%s\\n' '#!/bin/sh' 'exec /usr/local/lib/qemu-tpm "$@" -L /usr/share/qemu \\' \
                '    -machine xenfv-4.2,suppress-vmdesc=on' >{EMULATOR}
            chmod 755 {EMULATOR}""")


class HvmGuest(Guest):
    """An HVM guest with a shell on its console, whose only TPM is the one of its TIS."""

    patience = 2 * TIMEOUT

    def __init__(self, dom0, name, uuid):
        super().__init__(dom0, name)
        # Each access to a device costs 2 ms of emulated emulation: without PCI, 12 s instead of 134
        # to boot.
        config = f"""
            name="{name}"
            type="hvm"
            kernel="/lab/{KERNEL.name}"
            ramdisk="/host/hvm.ramdisk"
            extra="console=hvc0 pci=off quiet mitigations=off nokaslr cryptomgr.notests rodata=off"
            memory=256
            tsc_mode="native"
            vga="none"
            vnc=0
            on_crash="destroy"
            device_model_version="qemu-xen"
            device_model_override="{EMULATOR}"
            device_model_args=[
                "-chardev", "socket,id=chrtpm,path=/var/vtpm/socks/{uuid}.ctrl",
                "-tpmdev", "emulator,id=tpm0,chardev=chrtpm", "-device", "tpm-tis,tpmdev=tpm0"]
        """
        dom0.sh(f"cat >{self.config} <<'END'\n{textwrap.dedent(config)}END")
