"""The Twisted twin of `ServerProcess`, in a reactor of its own."""

import subprocess
import sys

from tests.servers.support import PROGRAM

PREAMBLE = """
import os, signal, sys
from twisted.internet import defer, protocol, reactor, task
from wavetank.servers import tx
from wavetank.errors import ServerDied, ServerNotReady
COMMAND = [sys.executable, "-S", sys.argv[1], "{port}"]

class Heard(protocol.ProcessProtocol):
    def __init__(self): self.calls, self.out = [], b""
    def connectionMade(self): self.calls.append(f"made {self.transport.pid > 0}")
    def outReceived(self, data): self.out += data
    def processExited(self, reason): self.calls.append(f"exited {reason.type.__name__}")
    def processEnded(self, reason): self.calls.append(f"ended {reason.value.signal or reason.value.exitCode}")
"""


def run(body: str) -> list[str]:
    code = f"{PREAMBLE}\nasync def main(reactor):\n{body}\ntask.react(lambda r: defer.ensureDeferred(main(r)))"
    command = [sys.executable, "-W", "error", "-c", code, str(PROGRAM)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout.splitlines()


def test_start_restart_and_stop_give_deferreds() -> None:
    body = """
    server = await tx.ServerProcess(COMMAND, ready=["tcp", "line:ready"]).start()
    port, pid = server.port, server.pid
    await server.restart()
    print(server.port == port, server.pid != pid, await server.wait(0.01))
    report = await server.stop()
    print(report.steps, report.status, os.path.exists(f"/proc/{pid}"))
    """
    assert run(body) == ["True True None", "['SIGTERM'] -15 False"]


def test_a_process_protocol_hears_what_spawn_process_would_tell() -> None:
    body = """
    heard = Heard()
    server = await tx.ServerProcess(COMMAND, protocol=heard).start()
    await server.stop()
    print(heard.calls, heard.out)
    heard = Heard()
    server = await tx.ServerProcess(COMMAND, protocol=heard).start()
    heard.transport.signalProcess("KILL")
    await server.wait()
    await task.deferLater(reactor, 0.1, lambda: None)
    print(heard.calls)
    try: await server.stop()
    except ServerDied as error: print("killed by someone else" in str(error))
    """
    assert run(body) == [
        "['made True', 'exited ProcessTerminated', 'ended 15'] b'ready\\n'",
        "['made True', 'exited ProcessTerminated', 'ended 9']",
    ]


def test_errors_arrive_and_cancelling_leaves_nothing() -> None:
    body = """
    try: await tx.ServerProcess([*COMMAND, "exit=3"]).start()
    except ServerDied as error: print("exited with status 3" in str(error))
    server = tx.ServerProcess([*COMMAND, "never=1"])
    starting = server.start()
    while not server.server._core.pid: await task.deferLater(reactor, 0.001, lambda: None)
    pid = server.pid
    starting.cancel()
    try: await starting
    except defer.CancelledError: print(os.path.exists(f"/proc/{pid}"))
    print(len(reactor.getDelayedCalls()))
    """
    assert run(body) == ["True", "False", "0"]


def test_a_callable_may_be_a_coroutine_function() -> None:
    body = """
    asked = []
    async def ready(server):
        await task.deferLater(reactor, 0.001, lambda: None)
        asked.append(server.port)
        return len(asked) > 1
    server = await tx.ServerProcess(COMMAND, ready=ready).start()
    print(asked == [server.port] * 2)
    await server.stop()
    """
    assert run(body) == ["True"]
