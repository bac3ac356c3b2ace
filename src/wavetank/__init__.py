"""Wavetank runs unmodified network programs on a simulated kernel and network, in virtual time, with seeded faults.

This module owns the list of public names, and nothing else. It must never import a framework, or anything that costs:
`import wavetank` loads this one module. A name is imported from its room when it is first asked for (PEP 562).

PYTEST_DONT_REWRITE: where pytest runs in a simulated world, this is imported before it, which it would warn of.
"""

__version__ = "0.1.0.dev0"

# Read by type checkers as true (a local name spares the import of `typing`).
TYPE_CHECKING = False
if TYPE_CHECKING:
    from wavetank import faults as faults
    from wavetank.campaign.api import Campaign as Campaign
    from wavetank.campaign.api import Failure as Failure
    from wavetank.campaign.api import Outcome as Outcome
    from wavetank.campaign.api import explore as explore
    from wavetank.campaign.api import run as run
    from wavetank.errors import WavetankError as WavetankError
    from wavetank.plan import Plan as Plan
    from wavetank.world.host import Host as Host
    from wavetank.world.host import Process as Process
    from wavetank.world.world import World as World

# Each public name and the module it comes from; a name whose module is `wavetank.<name>` is that module.
_HOME = {
    "Campaign": "wavetank.campaign.api",
    "Failure": "wavetank.campaign.api",
    "Host": "wavetank.world.host",
    "Outcome": "wavetank.campaign.api",
    "Plan": "wavetank.plan",
    "Process": "wavetank.world.host",
    "WavetankError": "wavetank.errors",
    "World": "wavetank.world.world",
    "explore": "wavetank.campaign.api",
    "faults": "wavetank.faults",
    "run": "wavetank.campaign.api",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    """The public name, imported from its room and kept here; AttributeError where there is no such name."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(home)
    value: object = module if home == f"{__name__}.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, those not yet imported included."""
    return sorted({*globals(), *_HOME})
