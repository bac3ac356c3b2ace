"""Twisted's private side: whose reactor is whose, logs, threads, what goes unhandled, who waits for what."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.application import internet as application_internet
from twisted.application import service
from twisted.internet import defer, endpoints, error, interfaces, protocol, reactor, task, threads
from twisted.internet.reactor import callLater as early_call_later  # type: ignore[attr-defined]
from twisted.logger import Logger, globalLogBeginner, globalLogPublisher, textFileLogObserver
from twisted.protocols import basic
from twisted.python import log, threadable

from tests.support.passing import failed, passed
from tests.support.worlds import Worlds, functions_of, run_script, scripts, stdout_of
from wavetank import frameworks
from wavetank.world.world import World

early_reactor = reactor  # as a module has it that imported it long before there was a program


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    made = functions_of(__file__)
    yield made
    made.close()


def under(name: str) -> Callable[..., Any]:
    """A runner that installs a reactor first, as a script would."""

    def run(main: Callable[..., Any], *args: Any) -> Any:
        from importlib import import_module

        import_module(f"twisted.internet.{name}").install()
        return main(*args)

    return run


# ---- whose reactor is whose


def uses_the_reactor(seconds: float) -> tuple[str, float]:
    assert not early_reactor.running
    begun = early_reactor.seconds()
    early_call_later(seconds, early_reactor.stop)
    early_reactor.run()
    return type(early_reactor._internalReaders).__name__ and early_reactor.__class__.__name__, reactor.seconds() - begun


def three_reactors(world: World) -> None:
    jobs = [
        world.host("one").run(uses_the_reactor, 1.0),
        world.host("two").run(uses_the_reactor, 2.0, runner=under("selectreactor")),
        world.host("three").run(uses_the_reactor, 3.0, runner=under("pollreactor")),
        world.host("four").run(uses_the_reactor, 4.0, runner=under("asyncioreactor")),
    ]
    names = []
    for seconds, job in enumerate(jobs, 1):
        name, passed_s = job.result(10)
        names.append(name)
        assert seconds <= passed_s < seconds + 0.1
    assert names == ["EPollReactor", "SelectReactor", "PollReactor", "AsyncioSelectorReactor"]


def test_each_process_has_its_own_reactor(worlds: Worlds) -> None:
    passed(worlds.run("three_reactors"))


def restarts(world: World) -> None:
    host = world.host("host")
    job = host.run(uses_the_reactor, 5.0)
    world.sleep(2)
    host.crash()
    world.sleep(2)
    host.restart()
    assert job.result(10)[0] == "EPollReactor"
    assert world.now > 9


def test_a_restarted_program_has_a_new_reactor(worlds: Worlds) -> None:
    passed(worlds.run("restarts"))


def what_it_is() -> None:
    from zope.interface import providedBy, verify

    assert interfaces.IReactorTCP.providedBy(early_reactor)
    assert interfaces.IReactorTime(early_reactor) is early_reactor
    assert not interfaces.IReactorWin32Events.providedBy(early_reactor)
    assert interfaces.IReactorUNIX in providedBy(early_reactor)
    verify.verifyObject(interfaces.IReactorCore, early_reactor)
    import twisted.internet
    from twisted.internet import epollreactor
    from twisted.internet import reactor as imported

    assert imported is early_reactor is twisted.internet.reactor is sys.modules["twisted.internet.reactor"]
    assert isinstance(early_reactor, epollreactor.EPollReactor)
    assert early_reactor != threadable
    with pytest.raises(AttributeError):
        _ = early_reactor.noSuchThing
    early_reactor.somethingOfMine = 1
    assert imported.somethingOfMine == 1
    del imported.somethingOfMine
    assert not hasattr(early_reactor, "somethingOfMine")
    protocols: list[Any] = []
    port = early_reactor.listenTCP(0, protocol.Factory.forProtocol(protocol.Protocol))
    assert port.reactor == early_reactor
    assert early_reactor == port.reactor
    assert hash(early_reactor) == hash(port.reactor)
    assert early_reactor in {port.reactor}
    assert protocols == []


def looked_at(world: World) -> None:
    world.host("host").run(what_it_is).result(10)


def test_the_reactor_is_taken_for_one(worlds: Worlds) -> None:
    passed(worlds.run("looked_at"))


def sets_the_reactor_aside() -> list[bool]:
    from twisted.internet import main, pollreactor
    from twisted.internet.test.modulehelpers import NoReactor

    early_reactor.addSystemEventTrigger("during", "shutdown", int)  # it is made
    stand_in = object()
    with NoReactor():
        main.installReactor(stand_in)
        from twisted.internet import reactor as first
    with NoReactor():
        from twisted.internet import reactor as second
    with NoReactor():
        pollreactor.install()
        from twisted.internet import reactor as third

        third.callLater(1, third.stop)
        third.run()
    from twisted.internet import reactor as last

    early_reactor.callLater(1, early_reactor.stop)
    early_reactor.run()
    return [
        first is stand_in, second is not early_reactor, isinstance(second, early_reactor.__class__),
        isinstance(third, pollreactor.PollReactor), last is early_reactor, early_reactor.seconds() >= 2,
    ]  # fmt: skip


def aside(world: World) -> None:
    found = world.host("host").run(sets_the_reactor_aside).result(10)
    assert all(found), found


def test_a_reactor_that_is_set_aside_comes_back(worlds: Worlds) -> None:
    passed(worlds.run("aside"))


def installs_twice() -> list[str]:
    from twisted.internet import pollreactor, selectreactor

    before = "twisted.internet.reactor" in sys.modules
    selectreactor.install()
    after = "twisted.internet.reactor" in sys.modules
    with pytest.raises(error.ReactorAlreadyInstalledError):
        pollreactor.install()
    return [str(before), str(after), early_reactor.__class__.__name__]


def installs_after_an_import() -> str:
    from twisted.internet import reactor, selectreactor  # noqa: F401

    with pytest.raises(error.ReactorAlreadyInstalledError):
        selectreactor.install()
    return early_reactor.__class__.__name__


def replaces_it_in_a_test() -> None:
    import twisted.internet
    from twisted.internet import reactor as own

    clock = task.Clock()
    twisted.internet.reactor = clock  # type: ignore[assignment]
    from twisted.internet import reactor as shown

    assert shown is clock
    twisted.internet.reactor = own
    from twisted.internet import reactor as again

    assert again is own is early_reactor


def runs_twice() -> None:
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    with pytest.raises(error.ReactorNotRestartable):
        reactor.run()


def installing(world: World) -> None:
    assert world.host("one").run(installs_twice).result(10) == ["False", "True", "SelectReactor"]
    assert world.host("two").run(installs_after_an_import).result(10) == "EPollReactor"
    world.host("three").run(replaces_it_in_a_test).result(10)
    world.host("four").run(runs_twice).result(10)


def test_installing_a_reactor(worlds: Worlds) -> None:
    passed(worlds.run("installing"))


# ---- the runner "twisted", and task.react


def fires(reactor: Any, value: str) -> Any:
    return task.deferLater(reactor, 2, lambda: value)


@defer.inlineCallbacks
def fires_inline(reactor: Any) -> Any:
    yield task.deferLater(reactor, 1, lambda: None)
    with pytest.raises(defer.TimeoutError):
        yield defer.Deferred().addTimeout(1, reactor)
    return "inline"


async def fires_async(reactor: Any) -> str:
    await task.deferLater(reactor, 1)
    return "async"


def fires_at_once(reactor: Any) -> Any:
    return defer.succeed("at once")


def only_stops(reactor: Any) -> Any:
    reactor.callLater(1, reactor.stop)
    return defer.Deferred()


async def fails(reactor: Any) -> None:
    await task.deferLater(reactor, 1)
    raise LookupError("failed")


def raises(reactor: Any) -> None:
    raise LookupError("at once")


def runner(world: World) -> None:
    host = world.host("host")
    assert host.run(fires, "value", runner="twisted").result(10) == "value"
    assert host.run(fires_inline, runner="twisted").result(10) == "inline"
    assert host.run(fires_async, runner="twisted").result(10) == "async"
    assert host.run(fires_at_once, runner="twisted").result(10) == "at once"
    assert host.run(only_stops, runner="twisted").result(10) is None
    assert str(host.run(fails, runner="twisted").exception(10)) == "failed"
    assert str(host.run(raises, runner="twisted").exception(10)) == "at once"


def test_the_runner_waits_for_the_deferred(worlds: Worlds) -> None:
    passed(worlds.run("runner"))


REACT = """
import sys
from twisted.internet.task import deferLater, react
from twisted.internet import reactor as early

async def main(reactor, word):
    assert reactor == early
    await deferLater(reactor, 1)
    print(word, reactor.running)
    if word == "fail":
        raise LookupError("in main")
    sys.exit(int(word))

react(main, sys.argv[1:])
"""


def test_react_and_its_status(tmp_path: Path) -> None:
    result = passed(run_script(tmp_path, REACT, "0"))
    assert (result.status, stdout_of(result, "main/script")) == (0, "0 True\n")
    result = run_script(tmp_path, REACT, "3")
    assert (result.status, failed(result).error) == (3, "exit status 3")
    failure = failed(run_script(tmp_path, REACT, "fail"))
    assert failure.error == "LookupError: in main"
    assert failure.where == "script.py:11 in main"


# ---- threads, names, signals


@defer.inlineCallbacks
def uses_threads(reactor: Any) -> Any:
    yield task.deferLater(reactor, 0)
    assert threadable.isInIOThread()
    begun = reactor.seconds()
    jobs = [threads.deferToThread(in_a_thread, reactor, number) for number in range(5)]
    found = yield defer.gatherResults(jobs)
    assert found == list(range(5))
    assert 1 <= reactor.seconds() - begun < 1.1
    with pytest.raises(ZeroDivisionError):
        yield threads.deferToThread(lambda: 1 / 0)
    address = yield reactor.resolve("other")
    return address


def in_a_thread(reactor: Any, number: int) -> int:
    assert not threadable.isInIOThread()
    time.sleep(1)
    return threads.blockingCallFromThread(reactor, defer.succeed, number)


def threaded(world: World) -> None:
    other = world.host("other")
    jobs = [world.host(name).run(uses_threads, runner="twisted") for name in ("one", "two")]
    for job in jobs:
        assert job.result(10) in other.addresses


def test_the_thread_pool_and_name_resolution(worlds: Worlds) -> None:
    passed(worlds.run("threaded"))


def stopped_by_a_signal() -> str:
    stopped: list[str] = []
    reactor.addSystemEventTrigger("before", "shutdown", stopped.append, "shut down in order")
    reactor.run()
    return stopped[0]


def signals(world: World) -> None:
    names = ("epollreactor", "selectreactor", "asyncioreactor")
    jobs = [world.host(name).run(stopped_by_a_signal, runner=under(name)) for name in names]
    world.sleep(1)
    for job, number in zip(jobs, (signal.SIGTERM, signal.SIGINT, signal.SIGTERM), strict=True):
        assert not job.done()
        job.send_signal(number)
        assert job.result(1) == "shut down in order"


def test_signals_stop_the_reactor(worlds: Worlds) -> None:
    passed(worlds.run("signals"))


# ---- other transports


class Upper(protocol.DatagramProtocol):
    def datagramReceived(self, data: bytes, address: Any) -> None:
        self.transport.write(data.upper(), address)


def asks_datagrams(reactor: Any, host: str) -> Any:
    done: defer.Deferred[bytes] = defer.Deferred()

    class Ask(protocol.DatagramProtocol):
        def startProtocol(self) -> None:
            reactor.resolve(host).addCallback(self.connect)

        def connect(self, address: str) -> None:
            self.transport.connect(address, 5353)
            self.transport.write(b"hello")

        def datagramReceived(self, data: bytes, address: Any) -> None:
            done.callback(data)

        def connectionRefused(self) -> None:
            done.callback(b"refused")

        def stopProtocol(self) -> None:
            # epoll reports the refusal as EPOLLERR, and so the reactor ends the port: on Linux, too (Twisted 26.10).
            if not done.called:
                done.callback(b"closed")

    reactor.listenUDP(0, Ask())
    return done


def answers_datagrams(reactor: Any) -> Any:
    reactor.listenUDP(5353, Upper())
    return defer.Deferred()


def datagrams(world: World) -> None:
    world.host("server").run(answers_datagrams, runner="twisted")
    world.host("nobody")
    world.sleep(1)
    client = world.host("client")
    assert client.run(asks_datagrams, "server", runner="twisted").result(10) == b"HELLO"
    assert client.run(asks_datagrams, "nobody", runner="twisted").result(10) == b"closed"

    def with_select(*args: Any) -> Any:
        return under("selectreactor")(frameworks.runners["twisted"], *args)

    assert client.run(asks_datagrams, "nobody", runner=with_select).result(10) == b"refused"


def test_datagrams(worlds: Worlds) -> None:
    passed(worlds.run("datagrams"))


class Lines(basic.LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line[::-1])


@defer.inlineCallbacks
def over_a_path(reactor: Any, path: str) -> Any:
    port = yield endpoints.serverFromString(reactor, f"unix:{path}").listen(protocol.Factory.forProtocol(Lines))
    got: defer.Deferred[bytes] = defer.Deferred()

    class Ask(basic.LineReceiver):
        def connectionMade(self) -> None:
            self.sendLine(b"abc")

        def lineReceived(self, line: bytes) -> None:
            got.callback(line)
            self.transport.loseConnection()

    yield endpoints.connectProtocol(endpoints.clientFromString(reactor, f"unix:{path}"), Ask())
    line = yield got
    yield port.stopListening()
    return line


def unix_sockets(world: World) -> None:
    for name in ("one", "two"):
        assert world.host(name).run(over_a_path, f"/tmp/{name}.socket", runner="twisted").result(10) == b"cba"


def test_unix_sockets(worlds: Worlds) -> None:
    passed(worlds.run("unix_sockets"))


# ---- no more descriptors


@defer.inlineCallbacks
def serves_with_few_descriptors(reactor: Any) -> Any:
    from wavetank.kernel import core

    yield endpoints.TCP4ServerEndpoint(reactor, 7000).listen(protocol.Factory.forProtocol(Lines))
    yield task.deferLater(reactor, 0)
    process = core.K.process
    process.open_files = len(process.fds) + 1  # for one connection
    yield task.deferLater(reactor, 10)
    return len(process.fds) == process.open_files


def counts_what_is_open(reactor: Any, host: str) -> Any:
    lost = []

    class Watch(protocol.Protocol):
        def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
            lost.append(reason)

    endpoint = endpoints.HostnameEndpoint(reactor, host, 7000)
    for _ in range(3):
        endpoints.connectProtocol(endpoint, Watch())
    return task.deferLater(reactor, 5, lambda: len(lost))


def no_descriptors(world: World) -> None:
    server = world.host("server").run(serves_with_few_descriptors, runner="twisted")
    world.sleep(1)
    assert world.host("client").run(counts_what_is_open, "server", runner="twisted").result(20) == 2
    server.result(20)


def test_the_descriptor_in_reserve_refuses_what_is_too_much(worlds: Worlds) -> None:
    passed(worlds.run("no_descriptors"))


# ---- services


def reconnects(reactor: Any, host: str) -> Any:
    """A ClientService through a crash of its server: how often it was connected."""
    connected = []

    class Count(protocol.Protocol):
        def connectionMade(self) -> None:
            connected.append(reactor.seconds())
            self.transport.setTcpKeepAlive(True)

    endpoint = endpoints.HostnameEndpoint(reactor, host, 7000)
    client = application_internet.ClientService(endpoint, protocol.Factory.forProtocol(Count), clock=reactor)
    application = service.Application("client")
    client.setServiceParent(application)
    beats: list[int] = []
    application_internet.TimerService(1, beats.append, 1).setServiceParent(application)
    service.IService(application).startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.IService(application).stopService)
    return task.deferLater(reactor, 60, lambda: (len(connected), len(beats)))


def serves(reactor: Any) -> Any:
    return (
        endpoints.TCP4ServerEndpoint(reactor, 7000)
        .listen(protocol.Factory.forProtocol(Lines))
        .addCallback(lambda _: defer.Deferred())
    )


def services(world: World) -> None:
    server = world.host("server")
    serving = server.run(serves, runner="twisted")
    client = world.host("client").run(reconnects, "server", runner="twisted")
    world.sleep(10)
    serving.kill()
    world.sleep(10)
    server.restart()
    connections, beats = client.result(100)
    assert connections == 2
    assert beats in (60, 61)


def test_services_and_a_client_that_reconnects(worlds: Worlds) -> None:
    passed(worlds.run("services"))


# ---- one process's cooperator and log


@defer.inlineCallbacks
def cooperates(reactor: Any, name: str) -> Any:
    seen = []

    def steps() -> Iterator[Any]:
        for _ in range(5):
            seen.append(threadable.getThreadID())
            yield task.deferLater(reactor, 0.01)

    yield task.coiterate(steps())
    return len(seen) == 5 and set(seen) == {threadable.getThreadID()}


def cooperating(world: World) -> None:
    jobs = [world.host(name).run(cooperates, name, runner="twisted") for name in ("one", "two")]
    assert all(job.result(10) for job in jobs)


def test_cooperating_tasks_stay_in_their_process(worlds: Worlds) -> None:
    passed(worlds.run("cooperating"))


def logs_to_its_stdout() -> None:
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
    Logger("first").info("before")
    time.sleep(2)
    Logger("first").info("after")


def starts_legacy_logging() -> None:
    time.sleep(0.5)
    log.startLogging(sys.stdout)
    print("redirected")
    log.msg("a message")
    time.sleep(2)


def logs_critical_things() -> None:
    time.sleep(1)
    log.msg("never shown")
    log.err(ValueError("handled"), "shown")  # and deliberate: not unhandled


def logging_apart(world: World) -> None:
    jobs = [
        world.host("one").run(logs_to_its_stdout),
        world.host("two").run(starts_legacy_logging),
        world.host("three").run(logs_critical_things),
    ]
    for job in jobs:
        job.result(10)
    first = [line.partition("[")[2] for line in jobs[0].stdout.splitlines()]
    assert first == ["first#info] before", "first#info] after"]
    legacy = [line.partition("[")[2] for line in jobs[1].stdout.splitlines()]
    assert legacy == ["-] Log opened.", "-] redirected", "-] a message"]
    assert jobs[2].stdout == ""
    assert "ValueError: handled" in jobs[2].stderr
    assert "never shown" not in jobs[2].stderr
    assert len(globalLogPublisher._observers) <= 3


def test_each_process_has_its_own_log(worlds: Worlds) -> None:
    passed(worlds.run("logging_apart"))


# ---- what nobody handled


def drops_a_failure(reactor: Any) -> Any:
    reactor.callLater(0.5, lambda: defer.fail(LookupError("dropped")) and None)
    return task.deferLater(reactor, 1)


def delayed_call_raises(reactor: Any) -> Any:
    reactor.callLater(0.5, lambda: {}["missing"])
    return task.deferLater(reactor, 1)


async def protocol_raises(reactor: Any) -> None:
    class Raise(protocol.Protocol):
        def dataReceived(self, data: bytes) -> None:
            raise ArithmeticError("in dataReceived")

    port = await endpoints.TCP4ServerEndpoint(reactor, 7000).listen(protocol.Factory.forProtocol(Raise))
    asked = await endpoints.connectProtocol(endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", 7000), Lines())
    asked.transport.write(b"x")
    await task.deferLater(reactor, 1)
    await port.stopListening()


def thread_call_raises(reactor: Any) -> Any:
    reactor.callInThread(lambda: [].pop())
    return task.deferLater(reactor, 1)


UNHANDLED = {
    "dropped": (drops_a_failure, "LookupError: dropped"),
    "delayed": (delayed_call_raises, "KeyError: 'missing'"),
    "protocol": (protocol_raises, "ArithmeticError: in dataReceived"),
    "thread": (thread_call_raises, "IndexError: pop from empty list"),
}


def unhandled(world: World) -> None:
    import os

    world.host("host").run(UNHANDLED[os.environ["WHAT"]][0], runner=os.environ["RUNNER"]).result(10)


@pytest.mark.parametrize("what", UNHANDLED)
def test_unhandled_errors_are_failures(worlds: Worlds, what: str) -> None:
    failure = failed(worlds.run("unhandled", environment={"WHAT": what, "RUNNER": "twisted"}))
    assert (failure.kind, failure.error, failure.host) == ("unhandled", UNHANDLED[what][1], "host")


def handles_by_logging(reactor: Any) -> Any:
    defer.fail(LookupError("logged")).addErrback(log.err)
    defer.fail(LookupError("logged")).addErrback(lambda failure: log.err(failure, "on purpose"))
    try:
        raise LookupError("logged")
    except LookupError:
        Logger().failure("on purpose")
    early_reactor.callLater(0.5, globalLogBeginner.beginLoggingTo, [], redirectStandardIO=False)
    return task.deferLater(reactor, 1)


def handled(world: World) -> None:
    world.host("host").run(handles_by_logging, runner="twisted").result(10)


def test_errors_that_a_program_logs_are_handled(worlds: Worlds) -> None:
    passed(worlds.run("handled"))


# ---- who waits for what


async def waits_for_ever(reactor: Any) -> None:
    @defer.inlineCallbacks
    def inner() -> Any:
        yield defer.Deferred()

    reactor.listenTCP(7000, protocol.Factory.forProtocol(Lines))
    await inner()


def hanging(world: World) -> None:
    world.host("host").run(waits_for_ever, runner="twisted").result()


def test_a_hang_names_suspended_functions_and_sockets(worlds: Worlds) -> None:
    failure = failed(worlds.run("hanging"))
    assert failure.kind == "hang"
    assert "host/waits_for_ever/MainThread waits_for_ever: awaits\n" in failure.traceback
    assert "in waits_for_ever\n    await inner()\n" in failure.traceback
    assert "waits_for_ever.<locals>.inner: awaits\n" in failure.traceback
    assert "in inner\n    yield defer.Deferred()\n" in failure.traceback
    port = "<<class 'twisted.internet.tcp.Port'> of <class 'twisted.internet.protocol.Factory'> on 7000>"
    assert f"reactor: reads from {port}" in failure.traceback
    assert "host/waits_for_ever/MainThread: epoll on " in failure.traceback


# ---- scripts


SERVER = """
from twisted.internet import reactor, protocol
from twisted.protocols.basic import LineReceiver

class Reverse(LineReceiver):
    def lineReceived(self, line):
        self.sendLine(line[::-1])

reactor.listenTCP(7000, protocol.Factory.forProtocol(Reverse))
reactor.run()
"""
CLIENT = """
from twisted.internet import selectreactor
selectreactor.install()
from twisted.internet import reactor, protocol
from twisted.protocols.basic import LineReceiver

class Ask(LineReceiver):
    def connectionMade(self):
        self.sendLine(b"straight")
    def lineReceived(self, line):
        print(line.decode(), type(self.transport.reactor).__name__)
        self.transport.loseConnection()
    def connectionLost(self, reason):
        reactor.stop()

class Factory(protocol.ReconnectingClientFactory):
    protocol = Ask
    def clientConnectionLost(self, connector, reason):
        pass

reactor.connectTCP("server", 7000, Factory())
reactor.run()
"""


def test_a_select_reactor_talks_to_an_epoll_reactor(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "client.py").write_text(CLIENT)
    made = scripts(("server", tmp_path / "server.py"), ("client", tmp_path / "client.py"))
    try:
        result = passed(made.run(cwd=str(tmp_path)))
    finally:
        made.close()
    assert stdout_of(result, "client/client") == "thgiarts SelectReactor\n"


UNSEEN = """
import importlib, sys
name = "twisted.internet." + "reactor"       # no import statement tells the image of it
assert name not in sys.modules
reactor = importlib.import_module(name)
echo = importlib.import_module("tw" + "isted.internet.protocol")

class Echo(echo.Protocol):
    def dataReceived(self, data):
        self.transport.write(data)
    def connectionLost(self, reason):
        reactor.callLater(0, reactor.stop)

if sys.argv[1] == "serve":
    reactor.listenTCP(7000, echo.Factory.forProtocol(Echo))
else:
    class Ask(Echo):
        def connectionMade(self):
            self.transport.write(b"hello")
        def dataReceived(self, data):
            print(data.decode(), reactor.__class__.__name__)
            self.transport.loseConnection()
    factory = echo.ClientFactory()
    factory.protocol = Ask
    reactor.connectTCP("server", 7000, factory)
reactor.run()
"""


def test_a_reactor_that_the_image_has_not_seen(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(UNSEEN.replace("sys.argv[1]", "'serve'"))
    (tmp_path / "client.py").write_text(UNSEEN.replace("sys.argv[1]", "'ask'"))
    made = scripts(("server", tmp_path / "server.py"), ("client", tmp_path / "client.py"))
    try:
        result = passed(made.run(cwd=str(tmp_path)))
    finally:
        made.close()
    assert stdout_of(result, "client/client") == "hello EPollReactor\n"
