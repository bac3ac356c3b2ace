"""OpenSSH as processes: an sshd of our own, and the ssh client as a forwarder.

Owns their configurations. Nothing of the user's is read: no configuration, no known hosts, no agent, no keys.

What both need to be dependable: `ExitOnForwardFailure` (without it ssh stays, with no forward), `BatchMode` (never
ask), addresses to bind written out (ssh otherwise listens on ::1 as well), `HostKeyAlias` (the port is not known
beforehand), a host alias for each hop (ssh refuses a jump to the same host and port as a loop). ssh ends with status 0
on SIGTERM; Ctrl-C and the end of its input mean nothing to it with -N.

Source: ssh(1), ssh_config(5), sshd_config(5); OpenSSH 9.2 for what was measured.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from wavetank.errors import ServerError
from wavetank.servers import address, program
from wavetank.servers.process import ServerProcess
from wavetank.servers.ssh.access import Access, Keys, Target, new_keys, this_user

_SSHD: Final = """\
ListenAddress {host}:{port}
HostKey {dir}/host
AuthorizedKeysFile {dir}/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
StreamLocalBindUnlink yes
GatewayPorts clientspecified
PrintMotd no
PrintLastLog no
MaxStartups 200
MaxSessions 200
LogLevel VERBOSE
"""
_HOP: Final = """\
Host {alias}
  HostName {host}
  Port {port}
  User {user}
  HostKeyAlias {alias}
  IdentityFile {key}
  {jump}
"""
_CLIENT: Final = """\
Host *
  UserKnownHostsFile {known}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  IdentitiesOnly yes
  IdentityAgent none
  PreferredAuthentications publickey
  BatchMode yes
  ExitOnForwardFailure yes
  StreamLocalBindUnlink yes
  ControlMaster no
  ControlPath none
  ClearAllForwardings no
  GatewayPorts no
  RequestTTY no
  ConnectTimeout 20
  LogLevel INFO
"""
_ALLOCATED: Final = re.compile(r"Allocated port (\d+) for remote forward")


def sshd(keys: Keys | None = None, **options: Any) -> ServerProcess:
    """An unstarted sshd with keys of its own, for the user that it runs as (this one, unless `user=` says otherwise).

    `access(server, keys)` says how to reach it. As root it needs /run/sshd, which is made, as Debian's start script
    does. Raises `ProgramUnusable` where OpenSSH is not installed.
    """
    keys = keys or new_keys()
    # By its full path: sshd executes itself again for each connection, and insists on that.
    path = program.find("sshd", os.environ, os.getcwd())
    if os.geteuid() == 0 and options.get("user") in (None, "root"):
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    files = {
        "sshd_config": _SSHD,
        "host": keys.host.read_bytes(),
        "authorized": keys.public("client") + "\n",
    }
    command = [path, "-D", "-e", "-f", "{dir}/sshd_config"]
    # sshd ends by the signal itself, or with 255 when it arrives early.
    defaults: dict[str, Any] = {"ready": "ssh", "name": "sshd", "files": files, "exit_codes": (0, -15, 143, 255)}
    return ServerProcess(command, **{**defaults, **options})


def access(server: ServerProcess, keys: Keys) -> Access:
    """How to reach a started sshd."""
    return Access(host=server.host, port=server.port, user=server._core.spec.user or this_user(), keys=keys)


class Client:
    """`ssh -N` with one forward. The process is `server`, a `ServerProcess`."""

    def __init__(
        self, hops: Sequence[Access], direction: str, target: Target | None, listen: Target | None, timeout: float
    ) -> None:
        self.hops = hops
        self.direction = direction
        self.target = target
        self.listen = listen
        self.timeout = timeout
        self.server: ServerProcess | None = None
        self.address: Target = ""

    def prepare(self) -> ServerProcess:
        """The unstarted process."""
        final = self.hops[-1]
        probe = address.choose("127.0.0.1")
        bound = self._bound()
        flag = {"local": "-L", "remote": "-R", "dynamic": "-D"}[self.direction]
        options = [flag, bound if self.target is None else f"{bound}:{_written(self.target)}"]
        probing = ["-L", f"127.0.0.1:{probe.port}:{final.host}:{final.port}"]
        command = ["ssh", "-F", "{dir}/config", "-N", "-T", *options, *probing, f"hop{len(self.hops) - 1}"]
        local = self.direction != "remote" and not isinstance(self.listen, str)
        path = self.listen if self.direction == "local" and isinstance(self.listen, str) else None

        def carries(server: ServerProcess) -> bool:
            """A channel through the tunnel, to the SSH server's own port: its banner has come all the way."""
            self.address = self._where(server)
            with socket.create_connection(("127.0.0.1", probe.port), timeout=5) as connection:
                return connection.recv(4) == b"SSH-"

        fixed = self.listen[1] if local and isinstance(self.listen, tuple) and self.listen[1] else None
        self.server = ServerProcess(
            command, ready=["listen", carries] if local or path else [carries], timeout=self.timeout, name="ssh",
            files=self._files(), port=fixed, socket=path, exit_codes=(0, 255, -15),
        )  # fmt: skip
        self._probe = probe
        return self.server

    def _bound(self) -> str:
        """Where it listens, as ssh wants it written; the local port is chosen by `ServerProcess`."""
        if isinstance(self.listen, str):
            return "{socket}" if self.direction == "local" else self.listen
        host, port = self.listen or ("127.0.0.1", 0)
        return f"{host}:{port}" if self.direction == "remote" else f"{host}:{{port}}"

    def _where(self, server: ServerProcess) -> Target:
        if self.direction != "remote":
            return self.listen if isinstance(self.listen, str) else ("127.0.0.1", server.port)
        if isinstance(self.listen, str):
            return self.listen
        host, port = self.listen or (self.hops[-1].host, 0)
        found = _ALLOCATED.search(server.log.stderr.read_text())
        if not port and found is None:
            raise ServerError("ssh has not said which port the server has allocated")
        return host, port or int(found[1]) if found else port

    def _files(self) -> dict[str, str | bytes]:
        files: dict[str, str | bytes] = {"config": "", "known": ""}
        config, known = "", ""
        for number, hop in enumerate(self.hops):
            jump = f"ProxyCommand ssh -F {{dir}}/config -W %h:%p hop{number - 1}" if number else ""
            config += _HOP.format(
                alias=f"hop{number}", host=hop.host, port=hop.port, user=hop.user, key=f"{{dir}}/key{number}", jump=jump
            )
            known += f"hop{number} {hop.keys.public('host')}\n"
            files[f"key{number}"] = hop.keys.client.read_bytes()
        files["config"] = config + _CLIENT.format(known="{dir}/known")
        files["known"] = known
        return files

    def close(self) -> None:
        """Give up the probe's port."""
        self._probe.release()


def _written(target: Target) -> str:
    return target if isinstance(target, str) else f"{target[0]}:{target[1]}"
