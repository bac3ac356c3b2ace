"""Trio's streams, through Trio's own checks: `trio.testing.check_two_way_stream` and its half-closeable twin.

Owns the makers of the pairs that have a name, and the way into a process of its own for each check. It imports Trio,
so it is imported only when it is asked for.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Final

from wavetank.conformance import runner
from wavetank.errors import EnvironmentProblem, UsageError

try:
    import trio
    import trio.testing
except ImportError as missing:
    raise EnvironmentProblem("there is no Trio here", next="pip install trio") from missing

#: Of Trio itself.
VERSION: Final = trio.__version__
#: What makes a pair of connected streams.
Maker = Callable[[], Awaitable[tuple[Any, Any]]]


async def socket_pair() -> tuple[Any, Any]:
    """Two streams over a socketpair."""
    left, right = trio.socket.socketpair()
    return trio.SocketStream(left), trio.SocketStream(right)


async def tcp_pair() -> tuple[Any, Any]:
    """Two streams over TCP on the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = await trio.open_tcp_stream(*listening.getsockname())
        accepted, _ = listening.accept()
    return client, trio.SocketStream(trio.socket.from_stdlib_socket(accepted))


async def memory_pair() -> tuple[Any, Any]:
    """Two streams in memory, of `trio.testing`."""
    return trio.testing.memory_stream_pair()


#: The pairs that have a name.
PAIRS: Final[dict[str, Maker]] = {"tcp": tcp_pair, "socketpair": socket_pair, "memory": memory_pair}


#: Those of them whose streams take no more when the other end reads nothing.
_CLOGGING: Final = (tcp_pair, socket_pair)


async def clogged(maker: Maker) -> tuple[Any, Any]:
    """A pair that takes no more in either direction: what Trio's checks ask of `clogged_stream_maker`."""
    pair = await maker()
    for stream in pair:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            stream.socket.setsockopt(socket.SOL_SOCKET, option, 4096)
    for stream in pair:
        # Until the kernel has taken nothing for a while: a blocked send is cancelled, and then the next one is, too.
        blocked = 0
        while blocked < 3:
            with trio.move_on_after(0.03) as scope:
                await stream.send_all(b"x" * 4096)
            blocked = blocked + 1 if scope.cancelled_caught else 0
    return pair


_CHECKS: Final = {
    "trio-two-way-stream": trio.testing.check_two_way_stream,
    "trio-half-closeable-stream": trio.testing.check_half_closeable_stream,
}


def run_checks(maker: Maker, *, limit_s: float = runner.LIMIT_S) -> Iterator[runner.Result]:
    """Run Trio's checks on the streams that `maker` makes, each in a process of its own.

    Streams without `send_eof` are not half-closeable: that check is not offered. Raises UsageError for a maker that is
    no async function.
    """
    if not callable(maker):
        raise UsageError(f"the maker of streams is a {type(maker).__name__}, not an async function")
    for name in _CHECKS:
        (answer,) = runner.isolated([partial(_check, name, maker)], limit_s)
        if "missing" in answer:
            yield runner.Result(name, runner.NOT_OFFERED, note=answer["missing"])
        elif "heard" in answer and not answer["heard"]["check"]:
            yield runner.Result(name, runner.OK)
        else:
            (kind,) = answer
            verdict = {"crashed": runner.CRASHED, "hung": runner.HUNG}.get(kind, runner.FAILS)
            text = answer["heard"]["check"] if kind == "heard" else [answer[kind]]
            yield runner.Result(name, verdict, complaints=text)


def _check(name: str, maker: Maker) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        first, second = await maker()
        halves = hasattr(first, "send_eof")
        await trio.aclose_forcefully(first)
        await trio.aclose_forcefully(second)
        if name == "trio-half-closeable-stream" and not halves:
            return {"missing": "send_eof"}
        await _CHECKS[name](maker, partial(clogged, maker) if maker in _CLOGGING else None)
        return {"heard": {"check": []}}

    try:
        answer: dict[str, Any] = trio.run(main)
        return answer
    except Exception as error:
        return {"heard": {"check": _said(error)}}


def _said(error: BaseException) -> list[str]:
    """The errors inside a group, one line each."""
    if isinstance(error, BaseExceptionGroup):
        return [line for each in error.exceptions for line in _said(each)]
    return [f"{type(error).__name__}: {error}".strip()]
