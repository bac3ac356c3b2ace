"""The factory that the command line names: `package.module:name`, or `file.py::name`.

Owns the import of a module in this process, and the errors when there is no such thing. It must never call what it
finds.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from typing import Any, Final

from wavetank.check.watchdog import theirs
from wavetank.errors import UsageError, did_you_mean

_FORMS: Final = "a factory is package.module:NAME or file.py::NAME"


def load(text: str) -> tuple[Any, tuple[str, str]]:
    """The object that `text` names, and (module, name) by which a test imports it.

    Raises `UsageError`: not of a form, no such module, file or name, or the module raises when it is imported.
    """
    path, colons, name = text.partition("::")
    if not colons:
        path, colon, name = text.partition(":")
        if not colon:
            raise UsageError(f"{text} names no factory", why=_FORMS, next=f"{text}:NAME")
    if not name:
        raise UsageError(f"{text} names no factory", why=_FORMS)
    if path.endswith(".py") or os.sep in path:
        module, known = _from_file(path)
    else:
        _first_on_path(os.getcwd())
        module, known = _imported(path, path), path
    return _attribute(module, name, text), (known, name)


def _from_file(path: str) -> tuple[Any, str]:
    if not os.path.isfile(path):
        raise UsageError(f"no such file: {path}", why=_FORMS)
    folder, file = os.path.split(os.path.abspath(path))
    _first_on_path(folder)
    name = file.removesuffix(".py")
    return _imported(name, path), name


def _first_on_path(folder: str) -> None:
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)


def _imported(name: str, shown: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(
                f"no module {name!r}", where=f"the import path begins at {sys.path[0]}", why=_FORMS
            ) from None
        raise _import_failed(shown, error) from error
    except Exception as error:
        raise _import_failed(shown, error) from error
    except SystemExit as error:
        raise UsageError(
            f"importing {shown} ended the process (exit status {error.code})",
            next='put what runs under: if __name__ == "__main__":',
        ) from None


def _import_failed(shown: str, error: Exception) -> UsageError:
    frames = [frame for frame in theirs(traceback.extract_tb(error.__traceback__)) if "importlib" not in frame.filename]
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return UsageError(f"importing {shown} raised {type(error).__name__}: {error}", where=where)


def _attribute(module: Any, name: str, text: str) -> Any:
    found = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            names = [each for each in dir(found) if not each.startswith("_")]
            raise UsageError(f"{text}: there is no {part!r}.{did_you_mean(part, names)}") from None
    return found
