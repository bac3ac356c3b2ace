"""The pytest plugin: fixtures of the live ground, and what their servers add to reports.

Owns fixtures, options and hooks. It is loaded into every pytest of an environment that has Wavetank, so it must never
import anything of Wavetank before a fixture is used: hooks look into `sys.modules` first.

- A server that dies during a test fails that test, with its exit status and last lines.
- The part of a server's output that belongs to a failed test is attached to its report; that of a passed test is not
  shown.
- The events of the proxies of a failed test are attached to its report.
- Under pytest-xdist, the ready-made servers are shared by the workers of a session.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

if TYPE_CHECKING:
    from wavetank.proxy import FaultProxy
    from wavetank.servers import ServerProcess, SSHServer
    from wavetank.servers.output import Mark

_MARKS: Final = pytest.StashKey["dict[int, Mark]"]()
_PROXIES: Final = pytest.StashKey["list[FaultProxy]"]()
#: So many of the last events of a proxy are shown.
_EVENTS: Final = 50


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option `--wavetank-missing` and its twin in the ini file."""
    group = parser.getgroup("wavetank", "network programs and their servers")
    group.addoption(
        "--wavetank-missing",
        choices=("skip", "fail"),
        help="what happens to a test whose server is not installed: skip (default) or fail",
    )
    parser.addini("wavetank_missing", "the same: skip or fail", default="skip")


# Fixtures.


class ServerFactory:
    """Starts servers for one test: `server_process(command, **options)`, as `ServerProcess`; ended with the test."""

    def __init__(self) -> None:
        self._servers: list[ServerProcess] = []

    def __call__(self, command: Any, **options: Any) -> ServerProcess:
        """A started server. In a coroutine: `await server_process.start_async(command, ...)`."""
        return self._new(command, options).start()

    async def start_async(self, command: Any, **options: Any) -> ServerProcess:
        """A started server, without blocking the running loop."""
        return await self._new(command, options).start_async()

    def _new(self, command: Any, options: dict[str, Any]) -> ServerProcess:
        from wavetank.servers import ServerProcess

        server = ServerProcess(command, **options)
        self._servers.append(server)
        return server

    def close(self) -> None:
        """Stop them, the last one first; the first error is raised when all have been stopped."""
        errors = []
        for server in self._servers[::-1]:
            try:
                server.stop()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]


@pytest.fixture
def server_process() -> Iterator[ServerFactory]:
    """A callable that starts any server: `server_process(["redis-server", "--port", "{port}"], ready="redis")`."""
    factory = ServerFactory()
    yield factory
    factory.close()


class ProxyFactory:
    """Starts proxies for one test: `fault_proxy(upstream, **options)`, as `FaultProxy`; ended with the test."""

    def __init__(self, proxies: list[FaultProxy]) -> None:
        self._proxies = proxies

    def __call__(self, upstream: object, **options: Any) -> FaultProxy:
        """A running proxy; its loop is in a thread, so it serves blocking tests and those of any framework."""
        from wavetank.proxy import FaultProxy

        proxy = FaultProxy(upstream, **options).start()
        self._proxies.append(proxy)
        return proxy

    def close(self) -> None:
        """Stop them, the last one first."""
        for proxy in self._proxies[::-1]:
            proxy.stop()


@pytest.fixture
def fault_proxy(request: pytest.FixtureRequest) -> Iterator[ProxyFactory]:
    """A callable that puts a bad line before a server: `fault_proxy(redis_server)` or `fault_proxy("db:5432")`."""
    factory = ProxyFactory(request.node.stash.setdefault(_PROXIES, []))
    yield factory
    factory.close()


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """A redis server for the session: `redis_server.host`, `redis_server.port`."""
    yield from _session_server(request, "redis")


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """A PostgreSQL server for the session: user and database `postgres`, no password."""
    yield from _session_server(request, "postgres")


@pytest.fixture(scope="session")
def nginx_server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """An nginx for the session, serving the folder `nginx_server.dir / "www"`."""
    yield from _session_server(request, "nginx")


@pytest.fixture(scope="session")
def sshd_server(request: pytest.FixtureRequest) -> Iterator[SSHServer]:
    """An OpenSSH server for the session: `sshd_server.access` has host, port, user and keys; see `SSHForward`."""
    from wavetank.errors import ProgramUnusable
    from wavetank.servers import SSHServer

    try:
        server = SSHServer("openssh").start()
    except ProgramUnusable as error:
        _missing(request.config, error)
    with server:
        yield server


def _session_server(request: pytest.FixtureRequest, kind: str) -> Iterator[ServerProcess]:
    """One of the ready-made servers, shared by the session's xdist workers."""
    from wavetank.servers import readymade

    make: Callable[..., ServerProcess] = getattr(readymade, kind)
    with _or_missing(request.config, make(share=f"fixture {kind}")) as server:
        yield server


def _or_missing(config: pytest.Config, server: ServerProcess) -> ServerProcess:
    """The started server; where it is not installed the test is skipped, or fails if that is asked for."""
    from wavetank.errors import ProgramUnusable

    try:
        return server.start()
    except ProgramUnusable as error:
        _missing(config, error)


def _missing(config: pytest.Config, error: Exception) -> NoReturn:
    if (config.getoption("--wavetank-missing") or config.getini("wavetank_missing")) == "fail":
        pytest.fail(str(error), pytrace=False)
    pytest.skip(str(error).splitlines()[0])


# Reports.


def _servers() -> list[ServerProcess]:
    """The servers of this process that run or have ended lately; without importing anything."""
    module = sys.modules.get("wavetank.servers.process")
    return [*module.STOPPED, *module.LIVE] if module is not None else []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Remember how far the output of every server had come when the test began."""
    module = sys.modules.get("wavetank.servers.process")
    if module is not None:
        module.STOPPED.clear()
    item.stash[_MARKS] = {id(server): server.log.mark() for server in _servers()}
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A server that has died during the test fails it."""
    result = yield
    for server in _servers():
        server.check()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach to a failed test what each server has printed since its beginning, and whether it has died."""
    report = yield
    if report.failed:
        for server in _servers():
            _attach(report, server, item.stash.get(_MARKS, {}).get(id(server)))
        for proxy in item.stash.get(_PROXIES, []):
            title = f"proxy before {proxy.upstream}, the last events of {len(proxy.events)}"
            report.sections.append((title, "\n".join(map(str, proxy.events[-_EVENTS:]))))
    return report


def _attach(report: pytest.TestReport, server: ServerProcess, mark: Mark | None) -> None:
    core = server._core
    if core.log is None or core.folder is None:
        return
    core.place.keep(core.folder)
    death = core.died()
    if death is not None and not core.death_told:
        core.death_told = True
        report.sections.append((f"server {server.name} has died", str(death)))
    report.sections.append((f"server {server.name}, output during this test", core.log.excerpt(mark)))
