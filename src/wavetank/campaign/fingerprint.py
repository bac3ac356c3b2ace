"""Where a failure was found: interpreter, platform, packages and the user's sources; and what differs from that now.

Owns taking the fingerprint and saying a difference in words. The record itself is `wavetank.failure_file`'s.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from wavetank.failure_file import Environment
from wavetank.world import places
from wavetank.world.job import Target

#: The Linux whose behaviour is simulated (design, section 4).
KERNEL_PROFILE = "6.12"


def take(target: Target, modules: Mapping[str, str]) -> Environment:
    """The fingerprint for `target`, with the modules that its image has loaded (name -> file)."""
    own = {script.path for script in target.scripts}
    if target.module.startswith("/"):
        own.add(target.module)
    libraries: set[str] = set()
    for name, file in modules.items():
        whose = places.owner(file)
        if whose == "user":
            own.add(file)
        elif whose == "library":
            libraries.add(name.partition(".")[0])
    return Environment(
        python=platform.python_version(),
        implementation=sys.implementation.name,
        platform=f"{sys.platform}-{platform.machine()}",
        kernel=KERNEL_PROFILE,
        packages=dict(sorted(_versions(libraries))),
        sources={path: digest for path in sorted(own) if (digest := _sha256(path))},
    )


def differences(then: Environment, now: Environment) -> Iterator[str]:
    """One line for each thing that is not as it was; nothing when all is the same."""
    for name in ("python", "implementation", "platform", "kernel"):
        was, is_now = getattr(then, name), getattr(now, name)
        if was != is_now:
            yield f"{name}: {was}, now {is_now}"
    for name in sorted({*then.packages, *now.packages}):
        was, is_now = then.packages.get(name, "not loaded"), now.packages.get(name, "not loaded")
        if was != is_now:
            yield f"package {name}: {was}, now {is_now}"
    for path in sorted({*then.sources, *now.sources}):
        old, new = then.sources.get(path), now.sources.get(path)
        if old != new:
            yield f"source {path}: {'changed' if old and new else 'no longer loaded' if old else 'not loaded then'}"


def _versions(top_levels: Iterable[str]) -> Iterator[tuple[str, str]]:
    from importlib import metadata  # a tenth of the time that an empty run takes, and only a failure needs it

    wanted = set(top_levels)
    for module, distributions in metadata.packages_distributions().items():
        if module in wanted:
            for distribution in distributions:
                yield distribution, metadata.version(distribution)


def _sha256(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return ""
