"""How an SSH server of a test is reached: address, user, keys; and what is forwarded from where to where.

Owns the making of keys (by `ssh-keygen`) and the small data classes. Opens no connection.
"""

from __future__ import annotations

import getpass
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wavetank.errors import UsageError
from wavetank.servers import places, program

#: An address to connect to: host and port, or the path of a UNIX socket.
Target = tuple[str, int] | str
DIRECTIONS: Final = ("local", "remote", "dynamic")


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Key files in a folder of their own: `host` and `client`, each with its `.pub`; ed25519, without passphrase."""

    folder: Path

    @property
    def host(self) -> Path:
        """The server's private key."""
        return self.folder / "host"

    @property
    def client(self) -> Path:
        """The client's private key."""
        return self.folder / "client"

    def public(self, name: str) -> str:
        """The public key `host` or `client`, as in `ssh-ed25519 AAAA...`."""
        return " ".join((self.folder / f"{name}.pub").read_text().split()[:2])


@dataclass(frozen=True, kw_only=True)
class Access:
    """All that a client needs to reach a server: address, user, its own key, and the server's public key."""

    host: str
    port: int
    user: str
    keys: Keys


def new_keys() -> Keys:
    """Fresh keys. Raises `ProgramUnusable` where ssh-keygen is missing."""
    path = program.find("ssh-keygen", os.environ, os.getcwd())
    folder = places.run().new_folder("ssh-keys")[1] / "data"
    for name in ("host", "client"):
        command = [path, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return Keys(folder=folder)


def this_user() -> str:
    """The name of the user that this process runs as."""
    return getpass.getuser()


def check_target(target: object, what: str) -> Target:
    """Raises `UsageError` unless it is a pair of host and port, or a path."""
    match target:
        case (str(), int()) | str():
            return target  # type: ignore[return-value]  # a tuple of exactly these two
    raise UsageError(f"{what}={target!r} is neither (host, port) nor the path of a UNIX socket")
