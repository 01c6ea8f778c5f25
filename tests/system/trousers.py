"""TrouSerS' tcsd on a TPM's TCP port, and the tools that talk to it: clients nobody here wrote."""
import grp
import os
import shutil
import subprocess

from host import TIMEOUT, accepts, until

PORT = 30003  # tcsd's own; in a Network of its own it is free


def minimal_der(key):
    """TrouSerS writes the length in a key file as 02 04 0000011C, which OpenSSL 3 does not read."""
    body = key[4:].replace(bytes.fromhex("02040000011c"), bytes.fromhex("0202011c"), 1)
    return key[:2] + len(body).to_bytes(2, "big") + body


class Trousers:
    """tcsd for the TPM at tcp:127.0.0.1:tpm_port in a network of its own."""

    def __init__(self, host, network, tpm_port):
        self.host, self.network = host, network
        self.folder = host.path("tcsd")
        self.folder.mkdir()
        shutil.chown(self.folder, "tss", "tss")
        # tcsd takes only a file of root:tss, mode 0640.
        self.config = host.path("tcsd.conf")
        self.config.write_text(f"system_ps_file = {self.folder}/system.data\n")
        os.chown(self.config, 0, grp.getgrnam("tss").gr_gid)
        self.config.chmod(0o640)
        self.environment = os.environ | {
            "TCSD_USE_TCP_DEVICE": "1", "TCSD_TCP_DEVICE_HOSTNAME": "127.0.0.1",
            "TCSD_TCP_DEVICE_PORT": str(tpm_port), "TSS_USER_PS_FILE": str(host.path("user.data")),
            "LC_ALL": "C"}
        self.start()

    def start(self):
        self.tcsd = self.host.start("tcsd", "-f", "-e", "-c", self.config,
                                    namespace=self.network, env=self.environment)
        until(lambda: accepts(f"tcp:127.0.0.1:{PORT}", self.network.connect), "tcsd listens",
              self.tcsd)

    def stop(self):
        self.tcsd.kill9()

    def run(self, *command, typed="", stdin=None, fails=False):
        """Runs a tool in this network; returns what it said on stdout.

        typed: what a person would type at its password prompts (without a terminal they come
        from standard input). fails: it has to fail; what it said is returned with its errors.
        """
        done = subprocess.run(
            list(map(str, command)), capture_output=True, timeout=TIMEOUT,
            input=stdin if stdin is not None else typed.encode(), env=self.environment,
            start_new_session=True, preexec_fn=self.network.enter)
        said, errors = (s.decode(errors="replace") for s in (done.stdout, done.stderr))
        assert (done.returncode != 0) == fails, \
            f"{' '.join(map(str, command))}: status {done.returncode}\n{said}{errors}"
        return said + errors if fails else said
