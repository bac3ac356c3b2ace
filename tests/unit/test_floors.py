"""Imports point down the floors of src/wavetank/README.md, rooms of one floor form no cycle, and no room is unknown.

Every import statement counts: at the top of a module, inside a function, under TYPE_CHECKING, and calls of
`import_module` or `__import__` with a literal name.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "wavetank"
DOOR = "__init__"


class House(NamedTuple):
    """The floors, lowest first, and the floor of each room."""

    floors: list[str]
    floor_of: dict[str, str]

    def height(self, room: str) -> int:
        return len(self.floors) if room == DOOR else self.floors.index(self.floor_of[room])


class Arrow(NamedTuple):
    """One import from a room to a room, or, where the target is None, one that names no room."""

    place: str
    source: str
    target: str | None


def read_house(table: str) -> House:
    """The house from the Markdown table whose rows are `| floor | `room` | what it is |`, highest floor first."""
    rows = re.findall(r"^\| (\w+) \| `(\w+)` \|", table, flags=re.MULTILINE)
    floors = list(dict.fromkeys(floor for floor, _ in rows))
    return House(floors[::-1], {room: floor for floor, room in rows})


def rooms_of(package: Path) -> Iterator[str]:
    for path in sorted(package.iterdir()):
        if path.suffix == ".py" or any(path.rglob("*.py")):
            yield path.stem


def imported_names(tree: ast.Module, parents: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """The dotted names that a module imports, with their lines; `parents` are the packages that it is in."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = [*parents[: len(parents) - level + 1]] if level else []
                base += module.split(".") if module else []
                yield from ((node.lineno, ".".join([*base, alias.name])) for alias in names)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def arrows(package: Path) -> Iterator[Arrow]:
    """All imports of the package's own rooms; a room's imports of itself are left out."""
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        source = inside.with_suffix("").parts[0]
        for line, name in imported_names(ast.parse(path.read_text()), (package.name, *inside.parent.parts)):
            first, *rest = name.split(".")
            if first != package.name or rest[:1] == ["__version__"]:
                continue
            target = rest[0] if rest and rest[0] in set(rooms_of(package)) else None
            if target != source:
                yield Arrow(f"{inside}:{line}", source, target)


def complaints(package: Path, house: House) -> Iterator[str]:
    """One line for each thing that is wrong with the package's rooms and imports."""
    rooms = {*rooms_of(package)} - {DOOR}
    described = {*house.floor_of}
    yield from (f"{room}: no line in README.md says what it is and on which floor" for room in rooms - described)
    same_floor: dict[str, set[str]] = {}
    for place, source, target in arrows(package):
        if target is None:
            yield f"{place}: imports from the package itself; name the room instead"
        elif {source, target} - {DOOR} <= described:
            rise = house.height(target) - house.height(source)
            if rise > 0:
                yield f"{place}: {source} imports {target}, which is on a higher floor"
            elif rise == 0:
                same_floor.setdefault(source, set()).add(target)
    yield from (f"{room}: imports itself by way of its own floor" for room in same_floor if reaches(same_floor, room))


def reaches(graph: dict[str, set[str]], start: str) -> bool:
    """Whether a way along the graph's arrows leads from `start` back to it."""
    seen: set[str] = set()
    ahead = [*graph[start]]
    while ahead:
        room = ahead.pop()
        if room not in seen:
            seen.add(room)
            ahead += graph.get(room, ())
    return start in seen


def test_imports_point_down_and_every_room_is_known() -> None:
    if wrong := sorted(complaints(PACKAGE, read_house((PACKAGE / "README.md").read_text()))):
        pytest.fail("\n".join(wrong), pytrace=False)


SMALL_HOUSE = "| up | `top` | . |\n| down | `left` | . |\n| down | `right` | . |\n"
UPWARDS = "left imports top, which is on a higher floor"


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("left/a.py", "import top", None),
        ("left/a.py", "import house.right", None),
        ("left/a.py", "from . import b\nfrom ..right import c\nfrom house.left import d", None),
        ("left/a.py", "from house import __version__", None),
        ("top.py", "from house import left, right", None),
        ("__init__.py", "from house.top import x", None),
        ("left/a.py", "import house.top", f"left/a.py:1: {UPWARDS}"),
        ("left/a.py", "def f():\n    from house.top import x", f"left/a.py:2: {UPWARDS}"),
        ("left/a.py", "from ..top import x", f"left/a.py:1: {UPWARDS}"),
        ("left/b/c.py", "from ... import top", f"left/b/c.py:1: {UPWARDS}"),
        ("left/a.py", "if TYPE_CHECKING:\n import house.top", f"left/a.py:2: {UPWARDS}"),
        ("left/a.py", "import_module('house.top.x')", f"left/a.py:1: {UPWARDS}"),
        ("left/a.py", "from house import Thing", "left/a.py:1: imports from the package itself; name the room instead"),
        ("left/a.py", "import house", "left/a.py:1: imports from the package itself; name the room instead"),
        ("attic.py", "", "attic: no line in README.md says what it is and on which floor"),
    ],
)
def test_one_line_for_each_wrong_import(tmp_path: Path, file: str, text: str, complaint: str | None) -> None:
    package = house_of(tmp_path, {file: text})
    assert [*complaints(package, read_house(SMALL_HOUSE))] == ([complaint] if complaint else [])


def test_a_cycle_on_one_floor_names_its_rooms(tmp_path: Path) -> None:
    package = house_of(tmp_path, {"left/a.py": "import house.right", "right/a.py": "from house import left"})
    assert sorted(complaints(package, read_house(SMALL_HOUSE))) == [
        "left: imports itself by way of its own floor",
        "right: imports itself by way of its own floor",
    ]


def house_of(folder: Path, files: dict[str, str]) -> Path:
    """A package named `house` with the rooms of SMALL_HOUSE, and these files."""
    package = folder / "house"
    empty = dict.fromkeys(("__init__.py", "top.py", "left/__init__.py", "right/__init__.py"), "")
    for name, text in (empty | files).items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package
