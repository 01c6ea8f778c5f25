"""make xen-demo: a vTPM in a guest on a real Xen, on any Linux machine. Ends in a shell of dom0 if there
is a terminal."""
import sys

import xenlab

UUID = "3b9cf1d0-4a0c-4f4e-9d7c-0c3b6f8f3c11"
HINT = """A shell in dom0; Ctrl-D ends it. Try
   xl list
   vtpmctl show %s
and what begins with `guest` is run in the guest:
   guest start_tcsd; tpm_version; stop_tcsd""" % UUID


def say(text):
    print(f"\n== {text}", flush=True)


def show(prompt, run, command):
    print(f"{prompt}# {command}", flush=True)
    print(run(command, check=False), flush=True)


def demo(dom0):
    say("A machine with Xen and a TPM 1.2 (made once, in about a minute; boots in half of one)")
    xenlab.build()
    dom0.up([UUID])
    guest = dom0.guest("demo", uuids=[UUID])

    say("A guest with a TPM")
    show("dom0", dom0.sh, f"grep -v ramdisk {guest.config}")
    print(f"dom0# xl create {guest.config}", flush=True)
    guest.create()
    show("dom0", dom0.sh, "xl list; vtpmctl list; xenstore-ls /local/domain/0/backend/vtpm")

    say("In the guest")
    show("guest", guest.run, "ls -l /dev/tpm0; grep -E 'PCR-(00|10)' /sys/class/tpm/tpm0/pcrs")
    show("guest", guest.run,
         f"tpm 0 {xenlab.extend_command(10, 'aa')}; grep PCR-10 /sys/class/tpm/tpm0/pcrs")
    show("guest", guest.run, "start_tcsd; tpm_version; stop_tcsd")

    say("Saved and restored, the guest finds its PCRs as they were")
    print("dom0# xl save demo /tmp/demo.save; xl restore /tmp/demo.save", flush=True)
    guest.save()
    show("dom0", dom0.sh, "xl list; vtpmctl list")
    guest.restore()
    show("guest", guest.run, "grep PCR-10 /sys/class/tpm/tpm*/pcrs")

    say("The manager's log")
    print(dom0.log())
    if sys.stdin.isatty():
        shell(dom0, guest)


def shell(dom0, guest):
    say(HINT)
    while True:
        try:
            line = input("dom0# ")
        except EOFError:
            return
        where = guest.run if line.startswith("guest ") else dom0.sh
        print(where(line.removeprefix("guest "), check=False))


def main():
    dom0 = xenlab.Dom0("1.2", name="demo")
    try:
        demo(dom0)
    except KeyboardInterrupt:
        pass
    finally:
        dom0.down()


main()
