"""The words of scripts for datagrams on asyncio's loops."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, Final

from wavetank.conformance.actors import Log, payload
from wavetank.conformance.case import amount
from wavetank.conformance.engine import Bench, Verb
from wavetank.conformance.ground_aio import HOST, folder, loop_of
from wavetank.conformance.wires import Wire


class Datagrams(asyncio.DatagramProtocol):
    """A datagram protocol of a script: each datagram is a token with its size."""

    def __init__(self, name: str, react: Callable[[str, str], Any]) -> None:
        self.name = name
        self.log = Log()
        self._react = react
        self.transport: Any = None
        self.wire: Any = None
        self.to: Any = None
        self.last_from: Any = None

    def connection_made(self, transport: Any) -> None:
        """Note it."""
        self.transport, self.wire = transport, Wire(transport)
        self.log.add("made")
        self._react(self.name, "made")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Note its size, and whether it is whole."""
        self.last_from = addr
        whole = data == payload(0, len(data))
        self.log.received_bytes += len(data)
        self.log.add(f"datagram {len(data)}" if whole else f"datagram {len(data)} garbled")
        self._react(self.name, "datagram")

    def error_received(self, exc: Exception) -> None:
        """Note it."""
        self.log.add(f"error {type(exc).__name__}")
        self._react(self.name, "error")

    def pause_writing(self) -> None:
        """Note it."""
        self.log.flow("paused")

    def resume_writing(self) -> None:
        """Note it."""
        self.log.flow("resumed")

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note it."""
        self.log.add(f"lost {'clean' if exc is None else type(exc).__name__}")


async def _bind(bench: Bench, name: str, *words: str) -> None:
    """Open an endpoint: `connected` to the other, or `nowhere` (a port where nobody listens), or `unix`, or neither."""
    protocol = bench.add(name, Datagrams(name, bench.react))
    other = bench.actors.get("server") if name == "client" else None
    if "unix" in words:
        await _bind_unix(bench, protocol, other)
        return
    target = other.transport.get_extra_info("sockname") if other is not None else None
    if "nowhere" in words:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind((HOST, 0))
            target = taken.getsockname()
    # Without a remote address an endpoint needs a local one.
    remote = target if {"connected", "nowhere"} & {*words} else None
    await loop_of(bench).create_datagram_endpoint(
        lambda: protocol, local_addr=None if remote else (HOST, 0), remote_addr=remote
    )
    protocol.to = None if remote else target


async def _bind_unix(bench: Bench, protocol: Datagrams, other: Any) -> None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.setblocking(False)
    if other is None:
        bench.extra["datagram path"] = os.path.join(folder(bench), "datagrams")
        sock.bind(bench.extra["datagram path"])
    else:
        sock.connect(bench.extra["datagram path"])
    await loop_of(bench).create_datagram_endpoint(lambda: protocol, sock=sock)


def _sendto(bench: Bench, name: str, what: str, *words: str) -> None:
    """Send a datagram of so many bytes; `times NxS` many; `text` what is no bytes; `elsewhere` to another address."""
    actor = bench.actors[name]
    if what == "times":
        number, size = words[0].split("x")
        for _ in range(int(number)):
            actor.transport.sendto(payload(0, amount(size)), actor.to)
    elif what == "text":
        actor.transport.sendto("text", actor.to)
    elif what == "back":
        actor.transport.sendto(payload(0, amount(words[0])), actor.last_from)
    elif "elsewhere" in words:
        actor.transport.sendto(payload(0, amount(what)), (HOST, 9))
    else:
        actor.transport.sendto(payload(0, amount(what)), actor.to)


VERBS: Final[dict[str, Verb]] = {"bind": _bind, "sendto": _sendto}
