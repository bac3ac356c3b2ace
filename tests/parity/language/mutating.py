"""Small wrong changes to the simulated kernel: which there are, drawing a sample, putting one into a kernel.

Owns the changes that are possible inside the functions of a module: comparisons, arithmetic, constants, conditions,
boolean operators. `mutants` runs tests on them. It imports nothing that is simulated, as it runs in the interpreters of
the simulator, too.

What is left alone, since it is no behaviour: assertions, annotations, and the functions that write texts of reports
(`describe`, `__repr__`, `__str__`). Nothing else is: shortcuts, limits, faults, and changes that nobody can see are in
the sample, each with the same chance.

A sample are those with the smallest digest of seed, place and change. So it is spread over the modules as their code
is, and stays the same when other functions are edited.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import pickle
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

#: The variable that names a change to the interpreters of `tests.unit.kernel_harness` and `tests.support.worlds`.
VARIABLE = "WAVETANK_TEST_MUTANT"
ROOT = Path(__file__).parents[3]
#: Real seconds after which a program on a mutant does not come to an end.
STUCK_S = 6
KERNEL = ROOT / "src" / "wavetank" / "kernel"
FOLDERS = ("tcp", "udp", "unix")
FILES = ("readiness.py", "eventpoll.py", "pipe.py")
_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: the file, the function (by its line), which of its places, and what becomes of it."""

    path: str
    function: str
    place: int
    line: int
    change: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} in {self.function}: {self.change}"


def modules() -> list[Path]:
    """The files that are changed."""
    return sorted(
        [path for name in FOLDERS for path in (KERNEL / name).glob("*.py")] + [KERNEL / name for name in FILES]
    )


def mutants() -> list[Mutant]:
    """Every change there is."""
    found = []
    for path in modules():
        for name, function in _functions(ast.parse(path.read_text())):
            for place, node in enumerate(_places(function)):
                line, change = getattr(node, "lineno", function.lineno), _describe(node)
                found.append(Mutant(str(path.relative_to(KERNEL)), name, place, line, change))
    return found


def sample(seed: int, count: int) -> list[Mutant]:
    """So many of them, by the digest of what they change; lines do not count, as they move with other code."""

    def rank(mutant: Mutant) -> bytes:
        named = f"{seed}:{mutant.path}:{mutant.function}:{mutant.place}:{mutant.change}"
        return hashlib.sha256(named.encode()).digest()

    return sorted(mutants(), key=rank)[:count]


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{each.name}", each) for each in node.body if isinstance(each, ast.FunctionDef))


def _places(function: ast.FunctionDef) -> list[ast.AST]:
    """The nodes of a function that can be changed. Texts of reports are no behaviour, and are left alone."""
    if function.name in ("describe", "__repr__", "__str__"):
        return []
    found: list[ast.AST] = []
    silent: list[ast.AST] = [each for each in ast.walk(function) if isinstance(each, ast.Assert)]
    silent += [
        each.annotation for each in ast.walk(function) if isinstance(each, ast.AnnAssign | ast.arg) and each.annotation
    ]
    left_alone = {id(each) for node in silent for each in ast.walk(node)}
    for statement in function.body:
        for node in ast.walk(statement):
            if id(node) not in left_alone and _describe(node):
                found.append(node)
    return found


def _describe(node: ast.AST) -> str:
    """What becomes of a node; empty when it is left alone."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in _COMPARED:
            return f"{type(op).__name__} becomes {_COMPARED[type(op)].__name__}"
        case ast.BinOp(op=op) if type(op) in _COMPUTED:
            return f"{type(op).__name__} becomes {_COMPUTED[type(op)].__name__}"
        case ast.BoolOp(op=op):
            return f"{type(op).__name__} becomes {'Or' if isinstance(op, ast.And) else 'And'}"
        case ast.UnaryOp(op=ast.Not()):
            return "not is left out"
        case ast.If() | ast.While():
            return "the condition is turned round"
        case ast.Constant(value=bool(value)):
            return f"{value} becomes {not value}"
        case ast.Constant(value=int(value)):
            return f"{value} becomes {value + 1}"
        case _:
            return ""


def _change(node: Any) -> None:
    match node:
        case ast.Compare():
            node.ops = [_COMPARED[type(node.ops[0])]()]
        case ast.BinOp():
            node.op = _COMPUTED[type(node.op)]()
        case ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case ast.UnaryOp():
            node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)
        case ast.If() | ast.While():
            node.test = ast.UnaryOp(ast.Not(), node.test)
        case ast.Constant(value=bool(value)):
            node.value = not value
        case ast.Constant():
            node.value += 1


def changed_code(mutant: Mutant) -> CodeType:
    """The code of the function with the change."""
    path = KERNEL / mutant.path
    tree = ast.parse(path.read_text())
    function = dict(_functions(tree))[mutant.function]
    _change(_places(function)[mutant.place])
    ast.fix_missing_locations(tree)
    holder: Any = compile(tree, str(path), "exec")
    for name in mutant.function.split("."):
        holder = next(each for each in holder.co_consts if isinstance(each, CodeType) and each.co_name == name)
    assert isinstance(holder, CodeType)
    return holder


def exchange(mutant: Mutant) -> None:
    """Put the change into the kernel of this interpreter."""
    name = "wavetank.kernel." + mutant.path.removesuffix(".py").replace("/", ".")
    holder: Any = sys.modules[name]
    for part in mutant.function.split("."):
        holder = vars(holder)[part] if isinstance(holder, type) else getattr(holder, part)
    if isinstance(holder, property):
        holder = holder.fget
    function = getattr(holder, "__func__", holder)
    assert isinstance(function, FunctionType)
    function.__code__ = changed_code(mutant)


def exchange_as_told() -> None:
    """Put in the change that the environment names, if it names one: in the interpreters of `tests.unit`."""
    told = os.environ.get(VARIABLE)
    if told:
        exchange(Mutant(**json.loads(told)))


def serve_mutants() -> None:
    """Inside the simulated interpreter: mutants, programs and what Linux showed come in; who was noticed goes out.

    Nothing runs in this interpreter itself: each mutant is a fork of it as it was made.
    """
    fork, wait, leave, write = os.fork, os.waitpid, os._exit, os.write
    target, source = os.dup(1), sys.stdin.buffer
    from tests.parity.language import serving

    serving.STUCK_S = STUCK_S
    run = serving.simulated_runner()
    job = pickle.load(source)
    for mutant in [None, *job["mutants"]]:
        child = fork()
        if not child:
            if mutant is not None:
                exchange(mutant)
            for program, real in job["programs"]:
                if run(program) != real:
                    leave(1)
            leave(0)
        noticed = wait(child, 0)[1] != 0
        write(target, b"1" if noticed else b"0")
