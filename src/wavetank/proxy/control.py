"""The control API: faults switched on and off over HTTP, for what is not Python.

Owns the way from requests to the proxy and back. Off unless it is asked for; it listens on loopback only, and every
request must carry the token, which other users of the machine do not know. Nothing here may decide what a fault does.

    GET    /                 what the proxy is, and how many connections are open
    GET    /faults           the faults, each with its "id"
    POST   /faults           a fault as in a plan, or {"faults": [...]}; answers with the ids
    DELETE /faults           heals everything
    DELETE /faults/ID        heals one
    GET    /events?since=N   events from the Nth on (the first is 0), and the "next" one to ask for

HTTP/1.1 (RFC 9112), one request for a connection. The token is `Authorization: Bearer TOKEN` (RFC 6750). Requests that
name another host than loopback are refused, so that a web page cannot reach it by a name of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import json
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from wavetank import documents, faults
from wavetank.errors import EnvironmentProblem, PlanError, UsageError, WavetankError
from wavetank.proxy import address as addresses
from wavetank.proxy.line import as_json

if TYPE_CHECKING:
    from wavetank.proxy.fault_proxy import FaultProxy

SCHEMA: Final = 1
#: Limits of a request: its lines before the body, its body, and the time it may take.
MAX_HEAD_BYTES: Final = 16_384
MAX_BODY_BYTES: Final = 1 << 20
TIME_LIMIT_S: Final = 10.0
#: So many events in one answer; more are asked for with `since`.
MAX_EVENTS: Final = 10_000
MIN_TOKEN: Final = 8


class _Refused(Exception):
    """A request that gets an error: a status, and a line."""

    def __init__(self, status: HTTPStatus, line: str) -> None:
        super().__init__(line)
        self.status = status
        self.line = line


class Control:
    """The control API of one proxy. `url` is "" while it does not listen."""

    def __init__(self, proxy: FaultProxy, listen: object, token: str | None) -> None:
        self._proxy = proxy
        self._address = addresses.parse("127.0.0.1:0" if listen is True else listen, "control")
        if self._address.kind != "tcp" or not _is_loopback(self._address.host):
            raise UsageError(f"control: {self._address} is not on loopback; use 127.0.0.1, [::1] or localhost")
        if token is not None and (len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable()):
            raise UsageError(f"token: at least {MIN_TOKEN} printable ASCII characters are needed")
        self.token = token if token is not None else secrets.token_urlsafe(24)
        self.url = ""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises `EnvironmentProblem`."""
        try:
            self._server = await asyncio.start_server(
                self._serve, self._address.host, self._address.port, limit=MAX_HEAD_BYTES
            )
        except OSError as problem:
            what = f"control: cannot listen on {self._address}: {problem.strerror or problem}"
            raise EnvironmentProblem(what) from None
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """Listen no longer."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    # ---- one request

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(TIME_LIMIT_S):
                status, answer = await self._answer(reader)
                body = (json.dumps(answer) + "\n").encode()
                head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
                extra = "WWW-Authenticate: Bearer\r\n" if status is HTTPStatus.UNAUTHORIZED else ""
                length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                writer.write((head + extra + length).encode() + body)
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, TimeoutError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[HTTPStatus, dict[str, Any]]:
        try:
            method, path, body = await self._request(reader)
            return self._carry_out(method, path, body)
        except _Refused as refused:
            return refused.status, {"schema": SCHEMA, "error": refused.line}
        except WavetankError as error:
            return HTTPStatus.BAD_REQUEST, {"schema": SCHEMA, "error": error.what, "why": error.why}

    async def _request(self, reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            line = f"more than {MAX_HEAD_BYTES} bytes of head"
            raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, line) from None
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise _Refused(HTTPStatus.BAD_REQUEST, "this is not a request of HTTP/1.1")
        headers = {}
        for line in lines:
            name, found, value = line.partition(":")
            if found:
                headers[name.strip().lower()] = value.strip()
        self._check_allowed(headers)
        return words[0], words[1], await self._body(reader, headers)

    def _check_allowed(self, headers: dict[str, str]) -> None:
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if not _is_loopback(host):
            raise _Refused(HTTPStatus.FORBIDDEN, "the request names another host than loopback")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self.token.encode()):
            raise _Refused(HTTPStatus.UNAUTHORIZED, "the token is missing or wrong: Authorization: Bearer TOKEN")

    @staticmethod
    async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        if "transfer-encoding" in headers:
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "send the body with Content-Length")
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit():
            raise _Refused(HTTPStatus.BAD_REQUEST, "Content-Length is not a number")
        if len(length) > 9 or int(length) > MAX_BODY_BYTES:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the limit of a body is {MAX_BODY_BYTES:,} bytes")
        return await reader.readexactly(int(length))

    def _carry_out(self, method: str, target: str, body: bytes) -> tuple[HTTPStatus, dict[str, Any]]:
        parts = urlsplit(target)
        path = parts.path.rstrip("/") or "/"
        if path == "/" and method == "GET":
            return HTTPStatus.OK, self._status()
        if path == "/faults" and method == "GET":
            return HTTPStatus.OK, {"schema": SCHEMA, "faults": [as_json(*each) for each in self._proxy.faults]}
        if path == "/faults" and method == "POST":
            return HTTPStatus.CREATED, {"schema": SCHEMA, "ids": self._inject(body)}
        if path == "/faults" and method == "DELETE":
            self._proxy.clear()
            return HTTPStatus.OK, {"schema": SCHEMA, "faults": []}
        if path.startswith("/faults/") and method == "DELETE":
            return HTTPStatus.OK, self._heal(path.removeprefix("/faults/"))
        if path == "/events" and method == "GET":
            return HTTPStatus.OK, self._events(parse_qs(parts.query).get("since", ["0"])[-1])
        if path in ("/", "/faults", "/events") or path.startswith("/faults/"):
            raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not for {path}")
        raise _Refused(HTTPStatus.NOT_FOUND, f"there is no {path}; there are /, /faults and /events")

    def _status(self) -> dict[str, Any]:
        proxy = self._proxy
        return {
            "schema": SCHEMA,
            "listen": proxy.listening,
            "upstream": proxy.upstream,
            "seed": proxy.seed,
            "connections": proxy.connections,
            "events": len(proxy.events) + proxy.events.forgotten,
            "seconds": round(proxy.events.now_s, 6),
        }

    def _inject(self, body: bytes) -> list[int]:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise _Refused(HTTPStatus.BAD_REQUEST, "the body is not text in UTF-8") from None
        data = documents.parse(text, PlanError, "fault", "the body")
        listed = data.get("faults") if isinstance(data, dict) and "fault" not in data else [data]
        if not isinstance(listed, list):
            raise PlanError('the body must be a fault, or an object with the list "faults"')
        found = [faults.from_json(each, f"faults[{index}]") for index, each in enumerate(listed)]
        for fault in found:
            self._proxy.check(fault)
        return [self._proxy.inject(fault) for fault in found]

    def _heal(self, number: str) -> dict[str, Any]:
        known = {each[0] for each in self._proxy.faults}
        if not number.isascii() or not number.isdigit() or int(number[:18]) not in known:
            raise _Refused(HTTPStatus.NOT_FOUND, f"there is no fault {number!r}; GET /faults lists them")
        self._proxy.clear(int(number))
        return {"schema": SCHEMA, "faults": [as_json(*each) for each in self._proxy.faults]}

    def _events(self, since: str) -> dict[str, Any]:
        if not since.isascii() or not since.isdigit():
            raise _Refused(HTTPStatus.BAD_REQUEST, f"since must be a number, not {since!r}")
        log = self._proxy.events
        skipped = max(0, int(since[:18]) - log.forgotten)
        shown = log[skipped : skipped + MAX_EVENTS]
        following = log.forgotten + min(len(log), skipped) + len(shown)
        return {"schema": SCHEMA, "events": [event._asdict() for event in shown], "next": following}


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
