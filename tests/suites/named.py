"""Suites of other projects that have a name: where each lies, and what it is given to.

Owns the table only. Some come with the installed package; the others are in the source archives on PyPI.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: What the suites of an archive need besides the project itself, as pip takes it. `pytest` goes without saying.
NEEDS = {
    "anyio": ("blockbuster", "coverage", "hypothesis", "psutil", "pytest-mock", "pytest-timeout", "trio", "trustme",
              "truststore", "uvloop"),
    "aiohttp": ("blockbuster", "coverage", "freezegun", "isal", "proxy.py", "pytest-mock", "pytest-codspeed",
                "pytest-xdist", "python-on-whales", "re-assert", "trustme", "zlib-ng", "zstandard", "brotli"),
    "httpcore": ("anyio", "h2", "pytest-trio", "socksio", "trio"),
    "httpx": ("anyio", "brotli", "chardet", "cryptography", "h2", "rich", "socksio", "trio", "trustme", "uvicorn",
              "zstandard"),
    "hypercorn": ("h2", "httpx", "pytest-asyncio", "pytest-trio", "trio", "wsproto"),
    "urllib3": ("anyio", "cryptography", "h2", "httpx", "hypercorn", "pysocks", "pytest-socket", "pytest-timeout",
                "quart", "quart-trio", "trio", "trustme"),
    "uvicorn": ("a2wsgi", "anyio", "cryptography", "h2", "httptools", "httpx2", "pytest-mock", "python-dotenv",
                "pyyaml", "trustme", "uvloop", "watchfiles", "websockets", "wsproto"),
}  # fmt: skip


@dataclass(frozen=True)
class Suite:
    """`target` as `suite_script` takes it; `project`: whose source archive it is in, if it is not installed."""

    target: str
    project: str = ""

    def place(self, sources: Path | None) -> Path | None:
        """The folder of the archive, when it comes in one."""
        return sources / self.project if self.project and sources else None


#: Plugins for asynchronous tests get into each other's way: what a suite does not name itself is left out.
_PLAIN = "-pno:asyncio,-pno:trio,-pno:codspeed,-pno:socket"
_TRIO = "-ptrio._tests.pytest_plugin"
_WITH_TRIO = "-pno:asyncio,-pno:codspeed,-pno:socket"


def _modules(project: str, pattern: str, names: str) -> dict[str, Suite]:
    """Installed modules of unittest or trial."""
    return {f"{project} {name}": Suite(pattern.format(name)) for name in names.split()}


def _files(project: str, folder: str, names: str, options: str = _PLAIN) -> dict[str, Suite]:
    """Files, or folders, of a source archive for pytest."""
    found = {}
    for name in names.split():
        path = f"{folder}/test_{name}.py" if not name.endswith("/") else f"{folder}/{name}".rstrip("/")
        found[f"{project} {name.rstrip('/') or 'all'}"] = Suite(f"pytest:{path},{options}", project)
    return found


_TWISTED_TEST = """protocols policies amp ftp tcp udp unix ssl sslverify internet iosim stateful ident socks memcache
    postfix"""
_TRIO_MODULES = """socket ssl dtls highlevel_socket highlevel_generic highlevel_open_tcp_stream
    highlevel_open_tcp_listeners highlevel_open_unix_stream highlevel_serve_listeners highlevel_ssl_helpers testing
    unix_pipes signals threads sync timeouts channel"""
_AIOHTTP = """client_functional client_session client_ws_functional connector web_functional web_server web_app
    web_runner web_protocol web_sendfile_functional web_websocket_functional client_proto test_utils http_writer streams
    proxy_functional run_app resolver"""
_TORNADO = """iostream httpserver httpclient simple_httpclient tcpserver tcpclient websocket web netutil ioloop process
    locks queues gen concurrent testing httputil"""

SUITES: dict[str, Suite] = {
    **_modules("twisted.internet", "twisted.internet.test.test_{}", "tcp udp unix tls core time threads endpoints"),
    "twisted.web": Suite("twisted.web"),
    "twisted.protocols": Suite("twisted.protocols"),
    **_modules("twisted.test", "twisted.test.test_{}", _TWISTED_TEST),
    **_modules("trio", f"pytest:--pyargs,trio._tests.test_{{}},{_TRIO},{_PLAIN}", _TRIO_MODULES),
    **_modules("trio", f"pytest:--pyargs,trio._core._tests.test_{{}},{_TRIO},{_PLAIN}", "io run guest_mode"),
    **_files("anyio", "tests", "sockets synchronization from_thread to_thread signals taskgroups streams/"),
    **_files("websockets", "tests", "/"),
    **_files("aiohttp", "tests", _AIOHTTP),
    **_modules("tornado", "tornado.test.{}_test", _TORNADO),
    **_files("httpcore", "tests", "/", _WITH_TRIO),
    **_files("httpx", "tests", "/"),
    **_files("h11", "h11/tests", "/"),
    **_files("urllib3", "test", "with_dummyserver/ connection connectionpool poolmanager wait ssltransport contrib/"),
    **_files("uvicorn", "tests", "/", "-pno:asyncio,-pno:trio,-pno:socket,--ignore=tests/benchmarks"),
    **_files("hypercorn", "tests", "/", "-pno:codspeed,-pno:socket"),
}
