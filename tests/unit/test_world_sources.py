"""Reading import statements: what is imported in the image for good, what is only compiled, what is never listed."""

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.worlds import run_script, stdout_of
from wavetank.world import finder, sources


@pytest.mark.parametrize(
    ("text", "package", "names"),
    [
        ("import a, b.c as d", "", ["a", "b.c"]),
        ("from a import b, c", "", ["a", "a.b", "a.c"]),
        ("from a import *", "", ["a"]),
        ("def f():\n    import lazily", "", ["lazily"]),
        ("try:\n    import fast\nexcept ImportError:\n    import slow", "", ["fast", "slow"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import types_only\nelse:\n    import other", "",
         ["typing", "typing.TYPE_CHECKING", "other"]),
        ("import typing\nif typing.TYPE_CHECKING:\n    import types_only", "", ["typing"]),
        ("from . import b", "a", ["a", "a.b"]),
        ("from .b import c", "a", ["a.b", "a.b.c"]),
        ("from ..b import c", "a.x", ["a.b", "a.b.c"]),
        ("from ... import too_far", "a", []),
    ],
)  # fmt: skip
def test_the_names_that_a_module_imports(text: str, package: str, names: list[str]) -> None:
    assert list(sources.imported(ast.parse(text), package)) == names


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("import os\nos.environ['A'] = 'b'\nimport x", {"A": "b"}),
        ("import os\nos.environ.setdefault('A', 'b')\nos.environ['C'] = 'd'\nfrom x import y", {"A": "b", "C": "d"}),
        ("import os\nimport x\nos.environ['A'] = 'b'", {}),
        ("import os\nos.environ['A'] = name()\nimport x", {}),
        ("import os\nif x:\n    os.environ['A'] = 'b'\nimport x", {}),
        ("from os import environ\nenviron['A'] = 'b'\nimport x", {"A": "b"}),
    ],
)
def test_what_a_module_sets_before_it_imports(text: str, settings: dict[str, str]) -> None:
    assert sources.settings_of(ast.parse(text)) == settings


def test_a_library_sees_when_it_is_imported_what_the_program_set_before(tmp_path: Path) -> None:
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "wt_looks.py").write_text("import os\nSEEN = os.environ.get('WT_SIMPLE')\n")
    text = "import os\nos.environ.setdefault('WT_SIMPLE', 'yes')\nimport wt_looks\nprint(wt_looks.SEEN)\n"
    result = run_script(tmp_path, text, search=(str(library),))
    assert stdout_of(result, "main/script") == "yes\n"


@pytest.fixture
def quiet_finder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the search path, found in by our finder."""
    monkeypatch.setattr(sys, "path_hooks", list(sys.path_hooks))
    monkeypatch.setattr(sys, "path_importer_cache", {})
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    finder.install()
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_modules_packages_and_namespaces_are_found_without_a_list(
    quiet_finder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (quiet_finder / "wt_module.py").write_text("VALUE = 1\n")
    (quiet_finder / "wt_package").mkdir()
    (quiet_finder / "wt_package" / "__init__.py").write_text("")
    (quiet_finder / "wt_package" / "inner.py").write_text("VALUE = 2\n")
    (quiet_finder / "wt_space" / "deep").mkdir(parents=True)
    (quiet_finder / "wt_space" / "deep" / "leaf.py").write_text("VALUE = 3\n")
    listdir = os.listdir

    def guarded(path: str = ".") -> list[str]:
        assert not str(path).startswith(str(quiet_finder)), "listed"
        return listdir(path)

    monkeypatch.setattr(os, "listdir", guarded)
    import wt_module  # type: ignore[import-not-found]
    import wt_package.inner  # type: ignore[import-not-found]
    import wt_space.deep.leaf  # type: ignore[import-not-found]

    assert (wt_module.VALUE, wt_package.inner.VALUE, wt_space.deep.leaf.VALUE) == (1, 2, 3)
    with pytest.raises(ModuleNotFoundError):
        import wt_nothing  # type: ignore[import-not-found]  # noqa: F401


@pytest.mark.parametrize(
    ("path", "whose"),
    [
        (finder.__file__, "wavetank"),
        (os.__file__, "python"),
        ("<frozen importlib._bootstrap>", "python"),
        ("/home/me/venv/lib/python3.12/site-packages/redis/client.py", "library"),
        ("/usr/lib/python3/dist-packages/six.py", "library"),
        ("/home/me/project/server.py", "user"),
    ],
)
def test_whose_a_file_is(path: str, whose: str) -> None:
    assert finder.owner(path) == whose


def test_the_users_own_modules_are_executed_in_each_run_and_libraries_once(tmp_path: Path) -> None:
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "wt_library.py").write_text("import os\nSEEN = os.environ.get('WORD')\n")
    (tmp_path / "own.py").write_text("import os\nSEEN = os.environ.get('WORD')\nimport own_too\n")
    (tmp_path / "own_too.py").write_text("import wt_library\n")
    text = "import own, wt_library\nprint(own.SEEN, wt_library.SEEN)\n"
    result = run_script(tmp_path, text, environment={"WORD": "gift"}, search=(str(library),))
    assert stdout_of(result, "main/script") == "gift None\n"


def test_the_name_of_a_file_has_its_packages_in_front(tmp_path: Path) -> None:
    inner = tmp_path / "tests" / "net"
    inner.mkdir(parents=True)
    assert sources.place_of(str(inner / "one.py")) == ("one", str(inner))
    (inner / "__init__.py").touch()
    assert sources.place_of(str(inner / "one.py")) == ("net.one", str(tmp_path / "tests"))
    (inner.parent / "__init__.py").touch()
    assert sources.place_of(str(inner / "one.py")) == ("tests.net.one", str(tmp_path))


def test_a_library_that_cannot_be_imported_fails_where_the_program_imports_it(tmp_path: Path) -> None:
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "wt_broken.py").write_text("raise RuntimeError('on import')\n")
    text = "try:\n    import wt_broken\nexcept RuntimeError as error:\n    print(error)\nimport wt_missing\n"
    result = run_script(tmp_path, text, search=(str(library),))
    assert stdout_of(result, "main/script") == "on import\n"
    assert result.failure is not None
    assert result.failure.error == "ModuleNotFoundError: No module named 'wt_missing'"
    assert result.failure.where == "script.py:5 in <module>"
