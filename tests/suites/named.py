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
    "aioftp": ("async-timeout", "pytest-asyncio", "pytest-mock", "siosocks", "trustme"),
    "aiofiles": ("pytest-asyncio",),
    "aioquic": ("cryptography", "service-identity"),
    "bottle": ("mako", "jinja2"),
    "cheroot": ("jaraco.text", "portend", "pyopenssl", "pypytools", "pytest-mock", "requests", "requests-toolbelt",
                "requests-unixsocket", "trustme"),
    "gmqtt": ("atomicwrites", "attrs", "pytest-asyncio"),
    "h2": ("hypothesis",),
    "hpack": ("hypothesis",),
    "janus": ("pytest-asyncio",),
    "kazoo": ("objgraph", "pyjks", "pyopenssl"),
    "pyftpdlib": ("psutil", "pyasynchat", "pyasyncore", "pyopenssl", "setuptools"),
    "pymemcache": ("faker", "pytest-mock", "zstd"),
    "python-engineio": ("aiohttp", "eventlet", "pytest-asyncio", "requests", "tornado", "websocket-client"),
    "quart-trio": ("pytest-trio",),
    "requests": ("httpbin", "pysocks", "pytest-httpbin", "pytest-mock", "trustme"),
    "starlette": ("anyio", "httpx", "httpx2", "itsdangerous", "jinja2", "opentelemetry-sdk", "python-multipart",
                  "pyyaml", "trio"),
    "txaio": ("twisted",),
    "txtorcon": ("hypothesis", "pytest-mock"),
    "websocket-client": ("python-socks", "wsaccel"),
    "werkzeug": ("cryptography", "ephemeral-port-reserve", "pytest-timeout", "watchdog"),
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
_NO_TRIO = "-pno:trio"
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


_TRIO_MODULES = """socket ssl dtls highlevel_socket highlevel_generic highlevel_open_tcp_stream
    highlevel_open_tcp_listeners highlevel_open_unix_stream highlevel_serve_listeners highlevel_ssl_helpers testing
    unix_pipes signals threads sync timeouts channel"""
_AIOHTTP = """client_functional client_session client_ws_functional connector web_functional web_server web_app
    web_runner web_protocol web_sendfile_functional web_websocket_functional client_proto test_utils http_writer streams
    proxy_functional run_app resolver"""
_TWISTED = """conch words mail names pair spread application cred logger runner trial persisted python scripts"""
_TORNADO = """iostream httpserver httpclient simple_httpclient tcpserver tcpclient websocket web netutil ioloop process
    locks queues gen concurrent testing httputil"""

SUITES: dict[str, Suite] = {
    **_modules("twisted.internet", "twisted.internet.test.test_{}", "tcp udp unix tls core time threads endpoints"),
    "twisted.web": Suite("twisted.web"),
    "twisted.protocols": Suite("twisted.protocols"),
    **{f"twisted.{name}": Suite(f"twisted.{name}") for name in _TWISTED.split()},
    "twisted.test": Suite("twisted.test"),
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
    **_files("h2", "tests", "/"),
    **_files("hpack", "tests", "/"),
    **_files("wsproto", "tests", "/"),
    **_files("aioquic", "tests", "/"),
    **_files("aioftp", "tests", "/", _NO_TRIO),
    **_files("aiofiles", "tests", "/", _NO_TRIO),
    **_files("gmqtt", "tests", "/", _NO_TRIO),
    **_files("janus", "tests", "/", _NO_TRIO),
    **_files("python-engineio", "tests", "/", _NO_TRIO),
    **_files("starlette", "tests", "/", "-pno:asyncio,-pno:trio"),
    **_files("quart-trio", "tests", "/", "-pno:asyncio"),
    **_files("requests", "tests", "/"),
    **_files("websocket-client", "websocket", "tests/"),
    **_files("websockify", "tests", "/"),
    **_files("bottle", "test", "/"),
    **_files("cheroot", "cheroot", "test/"),
    **_files("kazoo", "kazoo", "tests/"),
    **_files("pymemcache", "pymemcache", "test/"),
    **_files("pyftpdlib", "tests", "/"),
    **_files("pyro5", "tests", "/"),
    **_files("werkzeug", "tests", "/"),
    **_files("txaio", "tests", "/"),
    **_files("txtorcon", "test", "/"),
    **_files("hypercorn", "tests", "/", "-pno:codspeed,-pno:socket"),
}
