"""A server of aiohttp whose first answer takes a second; a client that sends thousands of requests meanwhile."""

import asyncio
from typing import Any

from aiohttp import web

CONVERSATION = [b"GET /item/%d HTTP/1.1\r\nHost: example\r\n\r\n" % number for number in range(15_000)]


async def factory() -> Any:
    async def item(request: web.Request) -> web.Response:
        if request.match_info["number"] == "0":
            await asyncio.sleep(1.0)
        return web.Response(text=request.match_info["number"])

    app = web.Application()
    app.router.add_get("/item/{number}", item)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    assert runner.server is not None
    return runner.server()
