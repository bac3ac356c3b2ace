"""`scenarios.tiny` in a process with many libraries: what a fork copies is larger."""

import aiohttp.web
import httpx
import pytest
import redis.asyncio
import twisted.internet.defer
import websockets
from scenarios import tiny

__all__ = ["aiohttp", "httpx", "pytest", "redis", "tiny", "twisted", "websockets"]
