"""Pairs of protocols on an asyncio loop: how they listen, connect, end, and what a loop may not keep of them.

Owns the endpoints of asyncio and the search of a loop for what was left behind. Loops of other makers show less of
themselves than asyncio's own; what they do not show is not searched.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from typing import Any, Final

from wavetank.conformance import certificate
from wavetank.conformance.pairs import Happening, Pair

#: So many turns of the loop until what is due at once has been done: closing a transport takes two (call_soon twice).
_TURNS: Final = 20


class Endpoint:
    """One named endpoint: `listen`, then `connect` to what listens."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._folder = tempfile.TemporaryDirectory(prefix="wavetank-") if name == "unix" else None

    async def listen(self, loop: Any, factory: Callable[[], Any]) -> Any:
        """A server that makes its protocols with `factory`."""
        if self._folder is not None:
            return await loop.create_unix_server(factory, os.path.join(self._folder.name, "socket"))
        tls = certificate.serving() if self.name == "tls" else None
        return await loop.create_server(factory, "127.0.0.1", 0, ssl=tls)

    async def connect(self, loop: Any, factory: Callable[[], Any], listening: Any) -> Any:
        """Connect a protocol to that server: the transport and the protocol."""
        address = listening.sockets[0].getsockname()
        if self._folder is not None:
            return await loop.create_unix_connection(factory, address)
        if self.name == "tls":
            return await loop.create_connection(
                factory, *address[:2], ssl=certificate.asking(), server_hostname="localhost"
            )
        return await loop.create_connection(factory, *address[:2])

    def clean(self) -> None:
        """Remove what was made for it."""
        if self._folder is not None:
            self._folder.cleanup()


def run(loop: Any, pair: Pair, endpoint: Any, timeout_s: float) -> Happening:
    """Run the pair on this loop, and close the loop."""
    errors: list[BaseException] = []
    chosen = Endpoint(endpoint) if isinstance(endpoint, str) else endpoint
    asyncio.set_event_loop(loop)
    try:
        loop.set_exception_handler(lambda _, context: errors.append(_error_in(context)))
        return loop.run_until_complete(_run(loop, pair, chosen, timeout_s, errors))  # type: ignore[no-any-return]
    finally:
        if isinstance(chosen, Endpoint):
            chosen.clean()
        asyncio.set_event_loop(None)
        loop.close()


async def _run(loop: Any, pair: Pair, endpoint: Any, timeout_s: float, errors: list[BaseException]) -> Happening:
    ended = asyncio.Event()
    pair.begin(loop, ended.set)
    listening = await endpoint.listen(loop, lambda server=pair.server: server)
    await endpoint.connect(loop, lambda client=pair.client: client, listening)
    timed_out = False
    try:
        await asyncio.wait_for(ended.wait(), timeout_s)
    except TimeoutError:
        timed_out = True
        pair.freeze()
        for protocol in (pair.client, pair.server):
            if protocol.wire is not None:
                protocol.wire.abort()
        del protocol
    listening.close()
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    del listening
    happening = pair.release(errors, timed_out=timed_out)
    if not timed_out:
        happening.left += [*_of_loop(loop), *_tasks(loop)]
    return happening


def _error_in(context: dict[str, Any]) -> BaseException:
    error = context.get("exception")
    return error if isinstance(error, BaseException) else RuntimeError(str(context.get("message")))


def _tasks(loop: Any) -> list[str]:
    others = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
    return [f"task {task.get_name()}" for task in others]


def _of_loop(loop: Any) -> list[str]:
    """Readers, writers and timers of asyncio's own loops; the loop's own waker is no one's."""
    selector, own = getattr(loop, "_selector", None), getattr(loop, "_ssock", None)
    if selector is None:
        return []
    own_fd = own.fileno() if own is not None else -1
    found = []
    for key in selector.get_map().values():
        if key.fd != own_fd:
            reader, writer = key.data if isinstance(key.data, tuple) else (key.data, None)
            found += [f"a reader of descriptor {key.fd}"] * (reader is not None)
            found += [f"a writer of descriptor {key.fd}"] * (writer is not None)
    return found + [f"timer {each!r}" for each in getattr(loop, "_scheduled", ()) if not each.cancelled()]
