"""Hosts that are joined by a cable."""


def test_hosts_see_each_other(dom0, dom0_tpm2):
    dom0.sh(f"busybox ping -c 1 -w 60 {dom0_tpm2.address}")
    dom0_tpm2.sh("echo here >/tmp/file")
    dom0_tpm2.send("/tmp/file", dom0)
    assert dom0.sh("cat /tmp/file") == "here"
