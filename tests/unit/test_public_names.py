"""The door's table of public names: each name works, type checkers see the same names, none hides a package."""

import ast
from pathlib import Path

import pytest

import wavetank

DOOR = Path(wavetank.__file__)
HOME: dict[str, str] = wavetank._HOME


@pytest.mark.parametrize("name", wavetank.__all__)
def test_each_public_name_can_be_had(name: str) -> None:
    assert getattr(wavetank, name) is getattr(wavetank, name)


def test_a_name_is_imported_from_the_room_that_the_table_says() -> None:
    from wavetank.errors import WavetankError

    assert wavetank.WavetankError is WavetankError


def test_an_unknown_name_is_an_ordinary_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'wavetank' has no attribute 'sink'$"):
        _ = wavetank.sink


def test_the_names_are_listed_before_they_are_imported() -> None:
    assert {*dir(wavetank)} >= {*wavetank.__all__}


def test_type_checkers_see_the_names_of_the_table() -> None:
    seen = {}
    for node in ast.walk(ast.parse(DOOR.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("wavetank"):
            for alias in node.names:
                seen[alias.name] = f"wavetank.{alias.name}" if node.module == "wavetank" else node.module
    assert seen == HOME


def test_no_public_name_hides_a_package() -> None:
    rooms = {path.stem for path in DOOR.parent.iterdir()}
    assert {name for name, home in HOME.items() if name in rooms and home != f"wavetank.{name}"} == set()
