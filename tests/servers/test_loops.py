"""Event loops: where blocking is refused, where awaiting is, and two procedures that wait for one server."""

import asyncio
import subprocess
import sys
import threading

import pytest

from tests.servers.support import PROGRAM, misbehaving
from wavetank.errors import UsageError
from wavetank.proxy import FaultProxy
from wavetank.servers import ServerProcess, SSHForward, SSHServer


def run(code: str) -> str:
    """What the program prints; warnings are errors."""
    command = [sys.executable, "-W", "error", "-c", code, str(PROGRAM)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stderr == ""
    return done.stdout


def test_a_blocking_start_in_a_running_reactor_is_refused_and_in_its_threads_it_is_not() -> None:
    out = run(
        "import sys\n"
        "from twisted.internet import reactor, threads\n"
        "from wavetank.servers import ServerProcess\n"
        "server = ServerProcess([sys.executable, '-S', sys.argv[1], '{port}'])\n"
        "def first():\n"
        "    try: server.start()\n"
        "    except Exception as error: print(error)\n"
        "    threads.deferToThread(server.start).addCallback(then)\n"
        "def then(started):\n"
        "    print(started.running)\n"
        "    started.stop()\n"
        "    reactor.stop()\n"
        "server.start(); server.stop()  # not running yet\n"
        "reactor.callWhenRunning(first)\n"
        "reactor.run()\n"
        "server.start(); server.stop()  # no longer\n"
    )
    assert "ServerProcess.start() blocks, and a Twisted reactor is running in this thread" in out
    assert "wavetank.servers.tx" in out
    assert out.endswith("True\n")


def test_trio_is_told_what_to_do() -> None:
    out = run(
        "import sys, trio\n"
        "from wavetank.servers import ServerProcess\n"
        "server = ServerProcess([sys.executable, '-S', sys.argv[1], '{port}'])\n"
        "async def main():\n"
        "    try: server.start()\n"
        "    except Exception as error: print(error)\n"
        "    try: await server.start_async()\n"
        "    except Exception as error: print(error)\n"
        "    await trio.to_thread.run_sync(server.start)\n"
        "    print(server.running)\n"
        "    server.stop()\n"
        "trio.run(main)\n"
    )
    assert "ServerProcess.start() blocks, and Trio is running in this thread" in out
    assert "none is running in this thread" in out
    assert "await trio.to_thread.run_sync(server.start)" in out
    assert out.endswith("True\n")


def test_awaiting_without_a_loop_is_refused() -> None:
    for waiting in (misbehaving().start_async(), FaultProxy(1).__aenter__()):
        with pytest.raises(UsageError, match="none is running in this thread"):
            waiting.send(None)


def test_other_blocking_starts_are_refused_as_well() -> None:
    async def wrong(blocking: SSHForward | SSHServer) -> None:
        blocking.start()

    with pytest.raises(UsageError, match=r"SSHForward.start\(\) blocks, and an asyncio event loop"):
        asyncio.run(wrong(SSHForward(SSHServer("asyncssh"), "dynamic")))
    with pytest.raises(UsageError, match=r"ServerProcess.start\(\) blocks, and an asyncio event loop"):
        asyncio.run(wrong(SSHServer("openssh")))


def test_a_task_that_waits_for_the_end_hears_of_a_stop_by_another() -> None:
    async def both() -> tuple[int | None, int | None]:
        server = await misbehaving().start_async()
        waiting = asyncio.create_task(server.wait_async())
        await asyncio.sleep(0)  # it waits now
        report = await server.stop_async()
        return await asyncio.wait_for(waiting, 60), report.status

    assert asyncio.run(both()) == (-15, -15)


def test_two_stops_at_once_are_one() -> None:
    async def both() -> list[int | None]:
        server = await misbehaving().start_async()
        reports = await asyncio.gather(server.stop_async(), server.stop_async())
        assert not server.running
        return [report.status for report in reports]

    assert asyncio.run(both()) == [-15, -15]


def test_a_stop_that_begins_when_another_has_ended_the_server_is_no_death() -> None:
    async def both() -> list[int | None]:
        server = await misbehaving().start_async()
        first = asyncio.create_task(server.stop_async())
        while server.running:
            await asyncio.sleep(0)
        server.check()
        reports = [await server.stop_async(), await first]
        return [report.status for report in reports]

    assert asyncio.run(both()) == [-15, -15]


def test_a_stop_that_was_given_up_can_be_repeated() -> None:
    async def given_up() -> ServerProcess:
        server = await misbehaving("ignore=SIGTERM").start_async()
        stopping = asyncio.create_task(server.stop_async())
        await asyncio.sleep(0.05)
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        return server

    server = asyncio.run(given_up())
    server.stop()
    assert not server.running


def test_a_thread_that_waits_for_the_end_hears_of_a_stop_by_another() -> None:
    server = misbehaving().start()
    heard: list[int | None] = []
    waiting = threading.Thread(target=lambda: heard.append(server.wait()))
    waiting.start()
    server.stop()
    waiting.join(60)
    assert heard == [-15]


def test_a_signal_handler_may_stop_a_server_that_is_being_stopped() -> None:
    out = run(
        "import signal, sys; from wavetank.servers import ServerProcess\n"
        "command = [sys.executable, '-S', sys.argv[1], '{port}', 'ignore=SIGTERM']\n"
        "server = ServerProcess(command, stop_timeout=1).start()\n"
        "signal.signal(signal.SIGALRM, lambda *_: print(server.stop().status))\n"
        "import warnings; warnings.simplefilter('ignore')  # it had to be killed\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.2)\n"
        "print(server.stop().status, server.running)\n"
    )
    assert out == "-9\n-9 False\n"


def test_a_reactor_waits_for_one_server_twice() -> None:
    out = run(
        "import sys\n"
        "from twisted.internet import defer, task\n"
        "from wavetank.servers import tx\n"
        "async def main(reactor):\n"
        "    server = await tx.ServerProcess([sys.executable, '-S', sys.argv[1], '{port}']).start()\n"
        "    waiting = server.wait()\n"
        "    report = await server.stop()\n"
        "    print(await waiting, report.status)\n"
        "task.react(lambda reactor: defer.ensureDeferred(main(reactor)))\n"
    )
    assert out == "-15 -15\n"
