"""What the user named to run: from TARGET, or from a Python function, to the record that an image prepares.

Owns the forms of TARGET (`script.py`, `file.py::function`, `package.module:function`, `--host NAME=SCRIPT`), the
checks that can be made without running anything, the folder to run in and the import path. It never imports the
target: only the image does.
"""

from __future__ import annotations

import ast
import os
import re
import site
import sys
import sysconfig
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from wavetank.errors import NothingToRun, UsageError, did_you_mean
from wavetank.world import sources
from wavetank.world.job import HostScript, Target

#: The host of a script that is given without a name.
HOST: Final = "main"
_HOST_NAME: Final = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)*"
)
_DOTTED: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_FORMS: Final = "a TARGET is script.py, file.py::function or package.module:function"


def parse(text: str, arguments: Sequence[str] = ()) -> Target:
    """The target that `text` names; `arguments` go to the script.

    Raises `UsageError`: no such file or function, not Python, arguments for a function; `NothingToRun`: the file has
    nothing that would run.
    """
    path, colons, function = text.partition("::")
    if colons:
        _no_arguments(text, arguments)
        return _function_in_file(text, path, function)
    if os.path.exists(text) or text.endswith(".py") or os.sep in text:
        return _scripts(text, [HostScript(HOST, _script(text), tuple(arguments))])
    module, colon, function = text.partition(":")
    if colon and module.endswith(".py"):
        raise UsageError(f"{text}: two colons before the function", next=f"{module}::{function}")
    if colon and _DOTTED.fullmatch(module):
        _no_arguments(text, arguments)
        if not function:
            raise NothingToRun(f"{text} names no scenario", next=f"{module}:FUNCTION")
        return Target(label=text, module=module, function=function, sys_path=_front(os.getcwd()))
    raise UsageError(f"no such file: {text}{_nearest_file(text)}", why=_FORMS)


def parse_hosts(words: Sequence[str], arguments: Sequence[str] = ()) -> Target:
    """The target of `--host NAME=SCRIPT`, repeated. Raises `UsageError` as `parse` does, or for a name used twice."""
    scripts: list[HostScript] = []
    if arguments and len(words) > 1:
        raise UsageError("arguments after -- go to one script, and there are several hosts", why=" ".join(arguments))
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or not path:
            raise UsageError(f"--host {word}: not NAME=SCRIPT", next="--host db=server.py")
        if not _HOST_NAME.fullmatch(name) or len(name) > 255:
            raise UsageError(f"--host {word}: {name!r} cannot name a host", why="letters, digits, - and . (RFC 1123)")
        if any(script.host == name for script in scripts):
            raise UsageError(f"--host {word}: there is a host {name!r} already")
        scripts.append(HostScript(name, _script(path), tuple(arguments)))
    return _scripts(" ".join(words), scripts)


def of_function(scenario: Callable[..., Any]) -> Target | None:
    """The target for a Python function that a fresh interpreter can import; None for any other one.

    A function of an importable module inside a package is found by name; every other module-level function, as one of
    `__main__` or of a test file, by the path of its file.
    """
    code = getattr(scenario, "__code__", None)
    module, name = getattr(scenario, "__module__", None), getattr(scenario, "__qualname__", "")
    if code is None or module is None or not _DOTTED.fullmatch(name):
        return None
    namespace = getattr(sys.modules.get(module), "__dict__", {})
    if "." in name or namespace.get(name) is not scenario:
        return None
    file = os.path.abspath(code.co_filename)
    if not os.path.isfile(file):
        return None
    if "." in module and _origin(module) == file:
        return Target(label=f"{module}:{name}", module=module, function=name, sys_path=_front(os.getcwd()))
    return Target(label=f"{_short(file)}::{name}", module=file, function=name, sys_path=_file_front(file))


def folder_of(target: Target) -> str:
    """The folder that the target's runs work in: that of the script or file, or the present one for a module."""
    if target.scripts:
        return os.path.dirname(target.scripts[-1].path)
    return os.path.dirname(target.module) if os.path.isabs(target.module) else os.getcwd()


def search_path(target: Target) -> list[str]:
    """The `sys.path` of an image for this target: what it needs in front, then what comes with the interpreter."""
    return [*target.sys_path, *(path for path in _ours() if not _is_extra(path) and path not in target.sys_path)]


# ---- files


def _scripts(label: str, scripts: list[HostScript]) -> Target:
    return Target(
        label=label, scripts=tuple(scripts), sys_path=_front(*(os.path.dirname(each.path) for each in scripts))
    )


def _script(text: str) -> str:
    path = _file(text)
    tree = _parse_file(path, text)
    if not any(_runs(node) for node in tree.body):
        takers = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.args.args]
        hint = f"{text}::{takers[0]}" if takers else ""
        raise NothingToRun(f"{text} does nothing when it runs: it only defines", next=hint)
    return path


def _runs(node: ast.stmt) -> bool:
    """Whether a statement of a module does something besides giving names."""
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Pass)):
        return False
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return False
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return any(isinstance(each, (ast.Call, ast.Await)) for each in ast.walk(node))
    return True


def _function_in_file(text: str, file: str, function: str) -> Target:
    path = _file(file)
    tree = _parse_file(path, file)
    names = _names(tree)
    if not function:
        hint = next((name for name in names if names[name]), "FUNCTION")
        raise NothingToRun(f"{text} names no scenario", next=f"{file}::{hint}")
    first = function.partition(".")[0]
    if first not in names and "*" not in names:
        raise UsageError(f"{file} has no function {function!r}.{did_you_mean(function, names)}")
    return Target(label=text, module=path, function=function, sys_path=_file_front(path))


def _names(tree: ast.Module) -> dict[str, bool]:
    """The names that a module gives, and whether each is a function's."""
    names: dict[str, bool] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names[node.name] = True
        elif isinstance(node, ast.ClassDef):
            names.setdefault(node.name, False)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                names.setdefault((alias.asname or alias.name).partition(".")[0], False)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.setdefault(node.id, False)
    return names


def _file(text: str) -> str:
    if os.path.isdir(text):
        raise UsageError(f"{text} is a folder", why=_FORMS)
    if not os.path.exists(text):
        raise UsageError(f"no such file: {text}{_nearest_file(text)}", why=_FORMS)
    return os.path.realpath(text)


def _parse_file(path: str, shown: str) -> ast.Module:
    try:
        return ast.parse(Path(path).read_bytes(), path)
    except OSError as error:
        raise UsageError(f"cannot read {shown}: {error.strerror}") from None
    except SyntaxError as error:
        raise UsageError(f"{shown} is not valid Python: {error.msg}", where=f"{path}, line {error.lineno}") from None
    except (ValueError, RecursionError, MemoryError) as error:  # NUL bytes; nested beyond the parser's depth
        raise UsageError(f"{shown} is not valid Python: {error}") from None


def _nearest_file(text: str) -> str:
    folder, name = os.path.split(text)
    try:
        here = [each for each in os.listdir(folder or ".") if each.endswith(".py")]
    except OSError:
        return ""
    hint = did_you_mean(name, here)
    return f".{hint}" if hint else ""


def _no_arguments(text: str, arguments: Sequence[str]) -> None:
    if arguments:
        raise UsageError("arguments after -- go to a script", why=f"{text} is a function")


def _short(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


# ---- the import path


def _front(*folders: str) -> tuple[str, ...]:
    """These folders, then what this interpreter was told besides (PYTHONPATH, editable installs, a test's root)."""
    return tuple(dict.fromkeys([*folders, *(path for path in _ours() if _is_extra(path))]))


def _file_front(path: str) -> tuple[str, ...]:
    """`_front` for a file: its folder, and where an import of the packages that it is in begins."""
    return _front(os.path.dirname(path), sources.place_of(path)[1])


def _ours() -> list[str]:
    """Our own import path, absolute, without the folder of the command itself."""
    scripts = os.path.realpath(sysconfig.get_path("scripts"))
    absolute = (os.path.abspath(path) for path in sys.path if path)
    return list(dict.fromkeys(path for path in absolute if os.path.realpath(path) != scripts))


def _is_extra(path: str) -> bool:
    """Whether an entry of the import path is there for other reasons than that the interpreter has it."""
    homes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, site.getuserbase()}
    return not any(path.startswith(home + os.sep) for home in homes)


def _origin(module: str) -> str:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return ""
    return os.path.abspath(spec.origin) if spec is not None and spec.origin else ""
