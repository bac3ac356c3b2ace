"""Writes docs/gallery.md: one row for each program of the gallery, with the versions that are installed.

Run as `python -m tests.programs.table` after the programs pass. The rows come from the modules themselves; the versions
are those with which the programs were last run.
"""

from __future__ import annotations

import ast
import pkgutil
import re
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from tests.programs import gallery

PAGE = Path(__file__).parents[2] / "docs" / "gallery.md"
HEAD = """# The gallery

Real libraries, unmodified, client and server on two simulated hosts that find each other by name; at least 100 KiB
each way where the protocol carries data, one error path, an orderly close. Each runs in a calm world and under three
seeds of the `mild` faults, and each of these runs is repeated and must have the same digest. The programs are in
`tests/programs/gallery`; `make test` runs them, and `make test-long` those with a star. This page is written by
`python -m tests.programs.table`.

*repeats*: the whole digest, payload included, is equal. *opaque*: what the library sends comes from a random generator
out of reach (an OpenSSL of its own); its payload is left out of the digest, and sizes are rounded.

| program | what talks to what | libraries | digest |
|---|---|---|---|
"""


def names() -> list[str]:
    """The programs, in order."""
    return sorted(module.name for module in pkgutil.iter_modules(gallery.__path__))


class Facts(NamedTuple):
    """What a program says of itself."""

    title: str
    libraries: tuple[str, ...]
    opaque: str
    long: bool


def facts(name: str) -> Facts:
    """Read from the source: the libraries of a program need not be importable here."""
    tree = ast.parse(Path(gallery.__file__).with_name(f"{name}.py").read_text())
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in ("LIBRARIES", "OPAQUE", "LONG")
    }
    title = (ast.get_docstring(tree) or "").splitlines()[0].rstrip(".")
    return Facts(title, tuple(values["LIBRARIES"]), values.get("OPAQUE", ""), values.get("LONG", False))


def page(versions: dict[str, str]) -> str:
    """The page, with these versions of the libraries."""
    rows = []
    for name in names():
        title, libraries, opaque, long = facts(name)
        listed = ", ".join(f"{each} {versions.get(each, '?')}" for each in libraries) or "standard library"
        rows.append(
            f"| `{name}`{'*' if long else ''} | {title} | {listed} | {f'opaque: {opaque}' if opaque else 'repeats'} |\n"
        )
    return HEAD + "".join(rows)


def versions_in(text: str) -> dict[str, str]:
    """The versions that a page names."""
    return dict(re.findall(r"([A-Za-z0-9_.\-]+) (\d[\w.]*)(?=[,| ])", text[text.find("|---|") :]))


def installed() -> dict[str, str]:
    """The versions installed here."""
    return {library: version(library) for name in names() for library in facts(name).libraries}


if __name__ == "__main__":
    PAGE.write_text(page(installed()))
