"""From what was raised, logged or violated to problems.

Owns their words. It must never decide whether something is a problem.
"""

from __future__ import annotations

import copy
import sys
import traceback
from collections.abc import Iterable
from typing import Any, Final

from wavetank.check.outcome import Problem
from wavetank.check.watchdog import theirs
from wavetank.contract import RULES
from wavetank.contract.rules import PROTOCOL
from wavetank.errors import ContractViolation

#: Rules of the contract that are judged here: what is written late counts once, and depends on who writes.
LATE_RULES: Final = ("write-after-lost", "write-after-close")
#: So many frames of a traceback are shown, the innermost.
_FRAMES: Final = 8


def raised(error: BaseException, message: str, own: str = "") -> Problem:
    """An exception that reached a transport, a loop or a log; `own` is the package of the user's code."""
    call = message.partition("protocol.")[2].partition("(")[0]
    if call:
        package = type(error).__module__.partition(".")[0]
        refusal = package not in sys.stdlib_module_names and package not in ("", own)
        return Problem("exception", f"{call} raised {_one_line(error)}", trace_of(error), refusal)
    prefix = f"{message}: " if message else ""
    return Problem("unhandled", f"{prefix}{_one_line(error)}", trace_of(error))


def violated(violations: Iterable[ContractViolation]) -> list[Problem]:
    """The rules that the protocol broke; each once."""
    seen: dict[str, Problem] = {}
    for each in violations:
        if RULES[each.rule].breaker == PROTOCOL and each.rule not in seen:
            seen[each.rule] = Problem("contract", f"{each.rule}: {RULES[each.rule].says}", str(each))
    return [*seen.values()]


def written_late(when: str, size: int) -> Problem:
    """A write that nobody gets; the stack is that of the write."""
    stack = theirs(traceback.extract_stack())
    return Problem(
        "contract",
        f"{size} bytes are written after {when}: nobody gets them",
        "".join(traceback.format_list(stack[-_FRAMES:])),
    )


def trace_of(error: BaseException) -> str:
    """The traceback without frames of the checker."""
    frames = theirs(traceback.extract_tb(error.__traceback__))
    return "".join([*traceback.format_list(frames[-_FRAMES:]), *traceback.format_exception_only(error)]).rstrip()


def _one_line(error: BaseException) -> str:
    return " ".join("".join(traceback.format_exception_only(error)).split())[:300]


def stuck_problem(stuck: tuple[str, str] | None, what: str) -> Problem:
    """Code that never gave control back; `stuck` is the watchdog's, None when the loop itself turned for ever."""
    if stuck is None:
        return Problem("spin", f"the {what} turns for ever without anything moving on")
    kind, stack = stuck
    if kind == "spin":
        return Problem("spin", f"the {what} stands still: code runs and never gives control back", stack)
    return Problem("hang", f"the {what} stands still: a call blocks", stack)


def last_line(error: BaseException) -> str:
    """Where it was raised."""
    lines = traceback.extract_tb(error.__traceback__)
    return f"{lines[-1].filename}:{lines[-1].lineno}" if lines else ""


def snapshot(value: Any) -> Any:
    """A copy of what was observed, so that what happens later does not change it."""
    try:
        return copy.deepcopy(value)
    except Exception:
        return value
