"""The harnesses that are compared.

Each has `start(command, port, env)`, which returns when it takes the server for ready, `stop()`, and `clear()`, which
ends what is left. To add one: a class with these, and a line in `CONTENDERS`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Sequence
from typing import Any


class Ours:
    """`ServerProcess`, on one rung of its ladder of containment; ready when it accepts a connection."""

    containment = "namespace"
    by_protocol = False

    def start(self, command: Sequence[str], port: int, env: dict[str, str], *, ready: str, banner: str) -> None:
        """`ready` is the protocol's own probe."""
        from wavetank.servers import ServerProcess

        self.server = ServerProcess(
            command,
            port=port,
            env=env,
            ready=ready if self.by_protocol else "tcp",
            timeout=20,
            containment=self.containment,
            output_limit=256 << 20,
        ).start()

    def stop(self) -> None:
        """Politely."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.server.stop()

    clear = stop


class OursSubreaper(Ours):
    """The rung below."""

    containment = "subreaper"


class OursProtocol(Ours):
    """Ready when it answers its protocol."""

    by_protocol = True


class Mirakuru:
    """mirakuru's TCPExecutor with its own defaults: it connects every 100 ms."""

    def start(self, command: Sequence[str], port: int, env: dict[str, str], *, ready: str, banner: str) -> None:
        """Ready when a connection is accepted, by whomever."""
        from mirakuru import TCPExecutor

        self.executor = TCPExecutor(list(command), host="127.0.0.1", port=port, timeout=20, envvars=env)
        self.executor.start()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL."""
        self.executor.stop()

    def clear(self) -> None:
        """SIGKILL."""
        with contextlib.suppress(Exception):
            self.executor.kill()


class XProcess:
    """pytest-xprocess as its fixture uses it: ready when a line of output matches."""

    by_line = True

    def start(self, command: Sequence[str], port: int, env: dict[str, str], *, ready: str, banner: str) -> None:
        """Ready by a line, or by a callback that connects."""
        from py.path import local
        from xprocess import ProcessStarter
        from xprocess import XProcess as Real

        class Quiet:
            def debug(self, *_: Any) -> None:
                """Nothing."""

        def startup_check(_: Any) -> bool:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                return False
            return True

        self.folder = tempfile.mkdtemp(prefix="xprocess-")
        self.real = Real(Quiet(), local(self.folder), log=Quiet(), proc_wait_timeout=5)
        names: dict[str, Any] = {"args": list(command), "timeout": 20, "env": {**os.environ, **env}}
        names |= {"pattern": banner} if self.by_line else {"pattern": None, "startup_check": startup_check}
        self.real.ensure("server", type("Starter", (ProcessStarter,), names))

    def stop(self) -> None:
        """SIGTERM, then SIGKILL."""
        self.real.getinfo("server").terminate()

    def clear(self) -> None:
        """The same, and the folder."""
        with contextlib.suppress(Exception):
            self.stop()
        for each in getattr(self.real, "resources", []):
            with contextlib.suppress(Exception):
                each.popen.wait(3)
        shutil.rmtree(self.folder, ignore_errors=True)


class XProcessCallback(XProcess):
    """The same, ready when a callback can connect."""

    by_line = False


CONTENDERS: dict[str, type[Any]] = {
    "wavetank, namespace": Ours,
    "wavetank, subreaper": OursSubreaper,
    "wavetank, protocol": OursProtocol,
    "mirakuru TCPExecutor": Mirakuru,
    "xprocess, line": XProcess,
    "xprocess, callback": XProcessCallback,
}
