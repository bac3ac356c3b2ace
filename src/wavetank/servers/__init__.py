"""Third-party servers as child processes: started, found ready, watched and ended, whatever becomes of the test run.

This module owns the public names of the room, and nothing else. It must never import Twisted or AsyncSSH: a name is
imported from its module when it is first asked for (PEP 562).
"""

from __future__ import annotations

# Read by type checkers as true (a local name spares the import of `typing`).
TYPE_CHECKING = False
if TYPE_CHECKING:
    from wavetank.servers.core import StartReport as StartReport
    from wavetank.servers.forwarding import ForwardingPort as ForwardingPort
    from wavetank.servers.forwarding import ForwardingProcess as ForwardingProcess
    from wavetank.servers.output import Log as Log
    from wavetank.servers.places import Leftover as Leftover
    from wavetank.servers.places import sweep as sweep
    from wavetank.servers.process import ServerProcess as ServerProcess
    from wavetank.servers.ssh.forward import SSHForward as SSHForward
    from wavetank.servers.ssh.forward import SSHServer as SSHServer
    from wavetank.servers.stopping import ServerWarning as ServerWarning
    from wavetank.servers.stopping import StopReport as StopReport

# Each public name and the module it comes from.
_HOME = {
    "ForwardingPort": "forwarding",
    "ForwardingProcess": "forwarding",
    "Leftover": "places",
    "Log": "output",
    "SSHForward": "ssh.forward",
    "SSHServer": "ssh.forward",
    "ServerProcess": "process",
    "ServerWarning": "stopping",
    "StartReport": "core",
    "StopReport": "stopping",
    "sweep": "places",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    """The public name, imported from its module and kept here; AttributeError where there is no such name."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, those not yet imported included."""
    return sorted({*globals(), *_HOME})
