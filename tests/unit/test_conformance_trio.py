"""Trio's streams through Trio's own checks, and a stream that breaks one."""

from typing import Any

import pytest
import trio
import trio.testing

from wavetank.conformance import trio_streams


@pytest.mark.parametrize("name", [*trio_streams.PAIRS])
def test_trios_own_streams_pass(name: str) -> None:
    results = list(trio_streams.run_checks(trio_streams.PAIRS[name]))
    assert [(row.name, row.verdict, row.complaints) for row in results] == [
        ("trio-two-way-stream", "ok", []),
        ("trio-half-closeable-stream", "ok", []),
    ]


class Careless(trio.abc.HalfCloseableStream):
    """Passes everything on to another stream, and loses all but the first byte of what it receives."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def send_all(self, data: Any) -> None:
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self.inner.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self.inner.receive_some(max_bytes))[:1]

    async def aclose(self) -> None:
        await self.inner.aclose()


async def careless_pair() -> tuple[Any, Any]:
    first, second = trio.testing.memory_stream_pair()
    return first, Careless(second)


def test_a_stream_that_loses_bytes_fails() -> None:
    results = list(trio_streams.run_checks(careless_pair, limit_s=10.0))
    assert all(row.is_new for row in results)
