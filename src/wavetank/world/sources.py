"""The user's own code: compiled once in the image, executed anew in each run; and what it imports, imported early.

Owns the reading of import statements and the compiled code of the modules next to the target. Never executes any of
it: a module of the user's may read `sys.argv` or the environment when it is imported, and both are known only in a
run. Libraries, which lie elsewhere, are imported in the image for good, because that takes far longer than a run.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType
from typing import Final

from wavetank.errors import UsageError
from wavetank.world import finder

#: So many modules of the user's own are compiled ahead; more are compiled in each run that imports them.
MAX_MODULES: Final = 2_000

_compiled: dict[str, CodeType] = {}
_original_get_code = SourceFileLoader.get_code


def code_of(path: str) -> CodeType:
    """The compiled code of the file at `path`. Raises `UsageError` when it cannot be read or is not Python."""
    code = _compiled.get(path)
    if code is None:
        code = _compile(path)[1]
    return code


def files() -> list[str]:
    """The files compiled so far."""
    return list(_compiled)


_roots: tuple[str, ...] = ()


def _is_own(path: str) -> bool:
    whole = path + os.sep
    return any(whole.startswith(root) for root in _roots) and finder.owner(whole) == "user"


def claim(folders: tuple[str, ...]) -> None:
    """The user's own modules lie in these folders. Called before anything is looked for there."""
    global _roots
    _roots = tuple(os.path.join(folder, "") for folder in folders)
    finder.install()
    SourceFileLoader.get_code = _get_code  # type: ignore[method-assign, assignment]


def _get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
    code = _compiled.get(self.path)
    return _original_get_code(self, fullname) if code is None else code


def own_file(name: str) -> str | None:
    """The user's own file for the module `name`; None when it is somebody else's, or not there."""
    own = list(_own_files(name))
    if len(own) < name.count(".") + 1:
        return None
    return own[-1][0]


def place_of(path: str) -> tuple[str, str]:
    """The name of the file at `path` as a module, and the folder in which an import of this name begins.

    A file in a package has the package's name in front, and the folder is that of the outermost package, as pytest has
    it for test files (its import mode "prepend"). So relative imports work in both.
    """
    folder, file = os.path.split(path)
    name = file.removesuffix(".py")
    while os.path.isfile(os.path.join(folder, "__init__.py")) and os.path.basename(folder).isidentifier():
        folder, package = os.path.split(folder)
        name = f"{package}.{name}"
    return name, folder


def load(path: str) -> ModuleType:
    """Execute the file at `path` as the module that `place_of` names, and return it."""
    name, _ = place_of(path)
    if "." in name:
        return import_module(name)
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) == path:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# ---- reading import statements


def prepare(path: str) -> None:
    """Compile the file at `path` and the user's own modules that it imports; import the libraries it names."""
    todo = [(path, place_of(path)[0].rpartition(".")[0])]
    libraries: dict[str, None] = {}
    settings: dict[str, str] = {}
    while todo:
        file, package = todo.pop()
        if file in _compiled or len(_compiled) >= MAX_MODULES:
            continue
        tree, _compiled[file] = _compile(file)
        settings |= settings_of(tree)
        for name in imported(tree, package):
            own = list(_own_files(name))
            todo.extend(own)
            if not own:
                libraries[name] = None
    with _environment(settings):
        for name in libraries:
            _import_library(name)


def settings_of(tree: ast.Module) -> dict[str, str]:
    """The environment variables that a module sets to constants, at its top, before it imports something.

    Libraries look at some when they are imported (`AIOHTTP_NO_EXTENSIONS`), and programs set them for that reason.
    """
    settings: dict[str, str] = {}
    found: dict[str, str] = {}
    for statement in tree.body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            settings |= found
            continue
        match statement:
            case ast.Assign(
                targets=[ast.Subscript(value=environ, slice=ast.Constant(value=str(name)))],
                value=ast.Constant(value=str(value)),
            ) if _is_environ(environ):
                found[name] = value
            case ast.Expr(
                value=ast.Call(
                    func=ast.Attribute(value=environ, attr="setdefault"),
                    args=[ast.Constant(value=str(name)), ast.Constant(value=str(value))],
                )
            ) if _is_environ(environ):
                found.setdefault(name, value)
    return settings


def _is_environ(node: ast.expr) -> bool:
    return getattr(node, "attr", getattr(node, "id", "")) == "environ"


@contextlib.contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """The image's environment with these settings, as long as it imports what the program imports after setting them.

    Each run sets them again by itself, unless it has others.
    """
    missing = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


def _compile(path: str) -> tuple[ast.Module, CodeType]:
    try:
        with open(path, "rb") as file:
            source = file.read()
        tree = ast.parse(source, path)
        return tree, compile(source, path, "exec", dont_inherit=True)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except SyntaxError as error:
        raise UsageError(f"{path} is not valid Python: {error.msg}", where=f"{path}, line {error.lineno}") from None
    except (ValueError, RecursionError, MemoryError) as error:  # NUL bytes; nested beyond the parser's depth
        raise UsageError(f"{path} is not valid Python: {error}") from None


def imported(tree: ast.Module, package: str) -> Iterator[str]:
    """The dotted names of the import statements in a module, those inside functions too, but not those for types."""
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for other in node.orelse:
                yield other
                yield from _executed(other)
            continue
        yield node
        yield from _executed(node)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    if node.level > len(parts):
        return ""
    kept = parts[: len(parts) - node.level + 1]
    return ".".join([*kept, node.module] if node.module else kept)


def _own_files(name: str) -> Iterator[tuple[str, str]]:
    """The user's own files that importing `name` would execute, each with its package."""
    first, *rest = name.split(".")
    if first in sys.builtin_module_names or first in sys.modules:
        return
    for root in _roots:
        folder, package = root, ""
        found: list[tuple[str, str]] = []
        for part in (first, *rest):
            inside = os.path.join(folder, part)
            package = f"{package}.{part}" if package else part
            if os.path.isfile(os.path.join(inside, "__init__.py")):
                found.append((os.path.join(inside, "__init__.py"), package))
            elif os.path.isfile(inside + ".py"):
                found.append((inside + ".py", package.rpartition(".")[0]))
                break
            elif not os.path.isdir(inside):
                break
            folder = inside
        if found and _is_own(found[0][0]):
            yield from found
            return


def _import_library(name: str) -> None:
    """Import a library's module for good; one that cannot be imported fails again where the program imports it."""
    if name in sys.modules:
        return
    parent, _, last = name.rpartition(".")
    if parent:
        _import_library(parent)
        package = sys.modules.get(parent)
        if package is None or hasattr(package, last) or not hasattr(package, "__path__"):
            return  # it could not be imported, or this is not a module but a name in one
    if name not in _failed:
        try:
            import_module(name)
        except (Exception, SystemExit):
            _failed.add(name)


_failed: set[str] = set()
