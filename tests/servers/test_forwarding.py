"""`ForwardingProcess` and `ForwardingPort` in both dialects, with the errors of the failure table."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.support import free_port, ours_left
from wavetank.errors import PortTaken, ProgramUnusable, ServerDied, ServerNotReady
from wavetank.servers import ForwardingPort, ForwardingProcess

PROGRAM = Path(__file__).with_name("forward_once.py")


def command(*mode: str) -> list[str]:
    return [sys.executable, "-S", str(PROGRAM), "{port}", *mode]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    assert ours_left() == []


def run_asyncio(mode: tuple[str, ...], data: bytes, port: int, **options: Any) -> bytes:
    async def main() -> bytes:
        return await ForwardingProcess(command(*mode), port, data, **options)

    return asyncio.run(main())


TWISTED = """
import sys
from twisted.internet import reactor, task
from wavetank.servers.tx import ForwardingProcess
port, timeout, data, *command = sys.argv[1:]
process = ForwardingProcess(int(port), data.encode(), timeout=float(timeout))
fired = []
def fire(result):
    fired.append(1)
    print(repr(result) if isinstance(result, bytes) else f"{result.type.__name__}: {result.value}")
def main(reactor):
    d = process.spawn(command).addBoth(fire)
    return d
from twisted.internet import defer
d = task.deferLater(reactor, 0, main, reactor)
def end(_):
    left = [c for c in reactor.getDelayedCalls() if c.active()]
    print("left:", left, "fired:", len(fired))
    reactor.stop()
d.addBoth(lambda _: task.deferLater(reactor, 0, end, None))
reactor.run()
"""


def run_twisted(mode: tuple[str, ...], data: bytes, port: int, **options: Any) -> bytes:
    words = [str(port), str(options.get("timeout", 30)), data.decode(), *command(*mode)]
    done = subprocess.run(
        [sys.executable, "-c", TWISTED, *words], capture_output=True, text=True, check=True, timeout=90
    )
    *told, last = done.stdout.splitlines()
    assert last == "left: [] fired: 1"
    assert done.stderr == ""
    text = "\n".join(told)
    kinds = {kind.__name__: kind for kind in (PortTaken, ServerDied, ServerNotReady, ProgramUnusable)}
    name, _, message = text.partition(": ")
    if name in kinds:
        raise kinds[name](message)
    return eval(text)  # the repr of bytes, from our own program


DIALECTS = pytest.mark.parametrize("run", [run_asyncio, run_twisted])


@DIALECTS
@pytest.mark.parametrize("mode", ["", "late", "serve-and-exit"])
def test_the_answer_is_delivered(run: Any, mode: str) -> None:
    assert run((mode,) if mode else (), b"test\n", free_port()) == b"test\n"


@DIALECTS
def test_a_large_answer_is_complete(run: Any) -> None:
    data = b"x" * 100_000 + b"\n"
    assert run((), data, free_port()) == data


@DIALECTS
def test_a_program_that_exits_is_named_with_its_words(run: Any) -> None:
    with pytest.raises(ServerDied, match=r"exited with status 1[\s\S]*forwarder: permission denied"):
        run(("exit",), b"test\n", free_port())


@DIALECTS
def test_what_came_until_the_peer_had_gone_is_the_answer_whatever_the_program_does(run: Any) -> None:
    assert run(("die",), b"test\n", free_port()) == b"tes"


@DIALECTS
def test_a_program_that_never_listens_runs_into_the_deadline(run: Any) -> None:
    with pytest.raises(ServerNotReady, match=r"after 3 s: does not listen on 127\.0\.0\.1:\d+"):
        run(("silent",), b"test\n", free_port(), timeout=3)


@DIALECTS
def test_a_peer_that_never_closes_runs_into_the_deadline(run: Any) -> None:
    with pytest.raises(ServerNotReady, match=r"the peer has not closed; received so far: 5 bytes: b'test\\n'"):
        run(("open",), b"test\n", free_port(), timeout=5)


@DIALECTS
def test_an_impostor_is_named_before_the_start(run: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as impostor:
        port = impostor.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} already belongs to pid {os.getpid()} \("):
            run((), b"test\n", port)


def test_a_stranger_that_comes_later_is_refused() -> None:
    port = free_port()
    code = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); print(flush=True); time.sleep(600)"

    async def main() -> bytes:
        process = ForwardingProcess(command("silent"), port, b"test\n")
        going = asyncio.ensure_future(process.run())
        while not process._server._core.pid:
            await asyncio.sleep(0.001)
        stranger = subprocess.Popen([sys.executable, "-S", "-c", code])
        try:
            with pytest.raises(PortTaken, match=rf"listens on the forwarded port: .*pid {stranger.pid} \("):
                await going
        finally:
            stranger.kill()
            stranger.wait()
        return b""

    asyncio.run(main())


def test_a_listener_of_this_process_is_the_remote_end_of_a_forward() -> None:
    port = free_port()

    async def main() -> bytes:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        process = ForwardingProcess(command("silent"), port, b"test\n")
        going = asyncio.ensure_future(process.run())
        while not process._server._core.pid:
            await asyncio.sleep(0.001)
        async with await asyncio.start_server(echo, "127.0.0.1", port):
            return await going

    assert asyncio.run(main()) == b"test\n"


@DIALECTS
def test_a_missing_program_is_named(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "command", lambda *mode: ["no-such-forwarder", "{port}"])
    with pytest.raises(ProgramUnusable, match="program 'no-such-forwarder' not found"):
        run((), b"test\n", free_port())


def test_awaiting_twice_is_one_exchange() -> None:
    async def main() -> None:
        process = ForwardingProcess(command(), free_port(), b"test\n")
        assert await asyncio.gather(process, process) == [b"test\n", b"test\n"]
        assert await process == b"test\n"
        assert isinstance(process._port, ForwardingPort)

    asyncio.run(main())


def test_cancelling_ends_the_program() -> None:
    async def main() -> None:
        process = ForwardingProcess(command("silent"), free_port(), b"test\n")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(process.run(), 0.5)

    asyncio.run(main())


CONCH = """
import sys
from twisted.conch.test import test_conch
from wavetank.servers import tx
test_conch.ConchTestForwardingProcess = tx.ForwardingProcess
test_conch.ConchTestForwardingPort = tx.ForwardingPort
from twisted.scripts.trial import run
sys.argv = ["trial", *(f"twisted.conch.test.test_conch.{case}" for case in sys.argv[1:])]
run()
"""


@pytest.mark.debian("openssh-client", command="ssh")
def test_conchs_own_forwarding_tests_pass_with_ours(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    cases = ["OpenSSHClientForwardingTests", "CmdLineClientTests"]
    done = subprocess.run(
        [sys.executable, "-c", CONCH, *cases], capture_output=True, text=True, cwd=tmp_path, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED" in done.stdout
    assert "skips" not in done.stdout
