"""The subject: from the factory that the user gives to one fresh protocol for each run.

Owns what a factory may be, how its dialect is told, and the errors for what is none. It must never keep a protocol.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable
from typing import Any, Final, Literal

from wavetank.check.problems import last_line
from wavetank.errors import UsageError, did_you_mean

Dialect = Literal["asyncio", "twisted", "sans-io", "socket"]
DIALECTS: Final = ("asyncio", "twisted", "sans-io", "socket")
#: A factory may give a factory, which gives a protocol: so deep.
_DEPTH: Final = 4


def checked_dialect(dialect: str | None) -> Dialect | None:
    """The dialect by its name. Raises `UsageError` for one that there is not."""
    if dialect is None:
        return None
    for known in DIALECTS:
        if dialect == known:
            return known
    raise UsageError(
        f"unknown dialect {dialect!r}.{did_you_mean(str(dialect), DIALECTS)}", why=f"there are {', '.join(DIALECTS)}"
    )


def checked_factory(factory: Any, *, arguments: int = 0) -> Callable[..., Any]:
    """The factory, if it can be called with so many arguments. Raises `UsageError` with the way out."""
    if callable(getattr(factory, "buildProtocol", None)) and not isinstance(factory, type):
        return lambda: factory
    if not callable(factory):
        kind = type(factory).__name__
        raise UsageError(
            f"{reprlib.repr(factory)} cannot be called: it is a {kind}, not a factory",
            why="each run needs a new protocol, so check takes what makes one",
            next=f"give the class: {kind}" if dialect_of(factory) else "give the class, or a function that makes one",
        )
    needed = _needed(factory)
    if needed is not None and len(needed) > arguments:
        name = name_of(factory)
        raise UsageError(
            f"{name} needs {'an argument' if len(needed) == 1 else 'arguments'}: {', '.join(needed)}",
            why="check calls the factory without arguments, once for each run",
            next=f"def make(): return {name}({', '.join(f'{each}=...' for each in needed)})"
            + ("   or, if that is a connected socket: dialect 'socket'" if len(needed) == 1 else ""),
        )
    if arguments and not _takes_one(factory):
        raise UsageError(
            f"{name_of(factory)} takes no argument",
            why="with the dialect 'socket', the factory is called with a connected socket",
            next="def serve(sock): ...   or leave the dialect out, for a protocol",
        )
    return factory  # type: ignore[no-any-return]


def _takes_one(factory: Any) -> bool:
    try:
        inspect.signature(factory).bind(None)
    except TypeError:
        return False
    except ValueError:  # nobody can say
        return True
    return True


def name_of(factory: Any) -> str:
    """What to call a factory."""
    return getattr(factory, "__qualname__", None) or getattr(factory, "__name__", None) or type(factory).__name__


def package_of(factory: Any) -> str:
    """The package that a factory is written in."""
    return str(getattr(factory, "__module__", type(factory).__module__)).partition(".")[0]


def _needed(factory: Any) -> list[str] | None:
    """The names of the arguments that a call must give; None when nobody can say."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in parameters if each.default is each.empty and each.kind not in kinds]


def dialect_of(made: Any) -> Dialect | None:
    """The dialect that an object speaks; None when that cannot be told."""
    if isinstance(made, type):
        return None
    speaks_asyncio = any(callable(getattr(made, name, None)) for name in ("data_received", "get_buffer"))
    speaks_twisted = callable(getattr(made, "dataReceived", None)) and callable(getattr(made, "makeConnection", None))
    if speaks_asyncio != speaks_twisted:
        return "asyncio" if speaks_asyncio else "twisted"
    if not speaks_asyncio and callable(getattr(made, "receive_data", None)):
        return "sans-io"
    return None


def made_by(call: Callable[..., Any], given: Any, *arguments: Any) -> Any:
    """What the factory `given`, called as `call`, makes; raises `UsageError` for what it raises."""
    try:
        return call(*arguments)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"the factory {name_of(given)} raised {type(error).__name__}: {error}",
            where=last_line(error),
            next=_hint(error),
        ) from error


def _hint(error: Exception) -> str:
    if isinstance(error, RuntimeError) and "running event loop" in str(error):
        return "make the factory a coroutine function (async def): it may await, and return the protocol"
    return "the factory is called without arguments, inside the event loop, once for each run"


def unwrapped(made: Any, factory: Any, dialect: Dialect | None, address: Any = None) -> Any:
    """The protocol, where the factory gave another factory. Raises `UsageError` for what is none.

    `address` is for `buildProtocol` of Twisted's factories.
    """
    for _ in range(_DEPTH):
        spoken = dialect_of(made)
        if spoken is not None:
            _same_dialect(made, spoken, dialect)
            return made
        if callable(getattr(made, "buildProtocol", None)):
            prepare = getattr(made, "doStart", None)
            if callable(prepare):
                prepare()
            made = made.buildProtocol(address)
            if made is None:
                raise UsageError(f"{name_of(factory)}: buildProtocol returned None: it refuses the connection")
        elif inspect.isawaitable(made) or not callable(made) or _speaks_both(made):
            break
        else:
            made = checked_factory(made)()
    _refuse(made, factory, dialect)
    return made


def _same_dialect(made: Any, spoken: Dialect, wanted: Dialect | None) -> None:
    if wanted is not None and spoken != wanted:
        raise UsageError(
            f"{type(made).__name__} speaks {spoken}, and the dialect is to be {wanted}",
            next="leave the dialect out: it can be told",
        )


def _speaks_both(made: Any) -> bool:
    return callable(getattr(made, "data_received", None)) and callable(getattr(made, "dataReceived", None))


def _refuse(made: Any, factory: Any, dialect: Dialect | None) -> None:
    name = name_of(factory)
    if _speaks_both(made):
        if dialect is not None:
            return
        raise UsageError(
            f"the dialect of {type(made).__name__} cannot be told: it has both data_received and dataReceived",
            where=f"made by {name}",
            next="--dialect asyncio or --dialect twisted; in Python, check_protocol(..., dialect='asyncio')",
        )
    raise UsageError(
        f"{name} gives {_a(made)}, which is no protocol",
        why="a protocol has data_received or get_buffer (asyncio), dataReceived (Twisted),"
        " or receive_data (sans-I/O, through wavetank.check.SansIO)",
        next="give the class of the protocol, or a function that returns a new one",
    )


def _a(made: Any) -> str:
    return "None" if made is None else f"a {type(made).__name__}"
