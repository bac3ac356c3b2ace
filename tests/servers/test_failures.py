"""Each row of the table of failures: provoked by a real process, and the error says all that it must say."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.support import ask, free_port, misbehaving, ours_left, wait_until
from wavetank.errors import (
    PortTaken,
    ProgramUnusable,
    ServerDied,
    ServerNotReady,
    ServerStopError,
    UsageError,
)
from wavetank.servers import ServerProcess, ServerWarning

#: The deadline of a start that is to fail *after* the server has come up, on a busy machine as well.
UP_S = 4.0


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    assert ours_left() == []


# The program.


def test_a_missing_program_is_named_with_the_places_that_were_searched() -> None:
    with pytest.raises(ProgramUnusable) as caught:
        ServerProcess(["redis-sever", "--port", "{port}"]).start()
    text = str(caught.value)
    assert "program 'redis-sever' not found" in text
    assert all(place in text for place in os.environ["PATH"].split(":"))
    assert "install it" in text
    assert "/usr/sbin" in text


def test_a_missing_path_is_named() -> None:
    with pytest.raises(ProgramUnusable, match="there is no /nowhere/serverd"):
        ServerProcess(["/nowhere/serverd"]).start()


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (b"#!/bin/sh\n", 0o644, "is not executable"),
        (b"#!/opt/nowhere/python9\n", 0o755, "its interpreter /opt/nowhere/python9 does not exist"),
        (b"#!/bin/sh\r\n", 0o755, "ends as on Windows (CR LF), which makes the interpreter's name '/bin/sh\\r'"),
        (b"#!/usr/bin/env nowhere9\n", 0o755, "its interpreter 'nowhere9', which /usr/bin/env looks for, is not on"),
        (b"#!/usr/bin/env -S nowhere9 -u\n", 0o755, "its interpreter 'nowhere9'"),
        (b"echo no first line\n", 0o755, "has no #! line"),
        (b"", 0o755, "is empty"),
        (b"\x7fELF\x02\x01\x01" + bytes(11) + b"\xf3\x00" + bytes(44), 0o755, "wrong architecture: riscv64"),
    ],
)
def test_a_program_that_cannot_be_executed_says_why(tmp_path: Path, content: bytes, mode: int, says: str) -> None:
    path = tmp_path / "serverd"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ProgramUnusable) as caught:
        ServerProcess([path, "{port}"]).start()
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_working_directory_is_not_called_a_missing_file() -> None:
    with pytest.raises(ProgramUnusable, match="the working directory /nowhere does not exist"):
        ServerProcess(["true"], cwd="/nowhere").start()


# Ends before it is ready.


@pytest.mark.parametrize("status", [0, 3])
def test_an_early_exit_says_status_time_output_and_command(status: int) -> None:
    server = misbehaving(f"exit={status}", timeout=20)
    with pytest.raises(ServerDied) as caught:
        server.start()
    text = str(caught.value)
    assert f"exited with status {status}" in text
    assert re.search(r"\d\.\d\d s after its start, before it was ready", text)
    assert "server: cannot read the configuration" in text
    assert "stdout: nothing" in text
    assert "misbehave.py" in text
    assert f"exit={status}" in text


def test_an_early_death_by_a_signal_names_it(tmp_path: Path) -> None:
    script = tmp_path / "die.sh"
    script.write_text("#!/bin/sh\necho last words\nkill -ABRT $$\n")
    script.chmod(0o755)
    with pytest.raises(ServerDied, match=r"was killed by SIGABRT[\s\S]*last words"):
        ServerProcess([script, "{port}"]).start()


def test_a_server_that_forks_into_the_background_is_named_and_ended() -> None:
    with pytest.raises(ServerDied) as caught:
        misbehaving("background=1").start()
    text = str(caught.value)
    assert "forked into the background" in text
    assert "use its foreground option" in text
    assert "misbehave.py" in text


@pytest.mark.parametrize("containment", ["namespace", "subreaper"])
def test_a_daemon_that_was_announced_is_adopted(containment: str) -> None:
    with misbehaving("background=1", daemon=True, containment=containment) as server:
        assert ask(server.port) == b"pong\n"
        assert server.running
        assert server.pid in server.processes()


# Never ready.


def test_never_ready_says_what_is_true_and_what_is_false() -> None:
    server = misbehaving("never=1", timeout=UP_S)
    with pytest.raises(ServerNotReady) as caught:
        server.start()
    text = str(caught.value)
    assert "was not ready after 4 s" in text
    assert re.search(r"true: pid \d+ is running", text)
    assert "false: does not listen anywhere, expected 127.0.0.1:" in text
    assert "server: waiting for a lock" in text


@pytest.mark.parametrize(("bind", "where"), [("::1", r"\[::1\]:{}"), ("127.0.0.2", r"127\.0\.0\.2:{}")])
def test_listening_elsewhere_says_where_and_what_was_expected(bind: str, where: str) -> None:
    server = misbehaving(f"bind={bind}", timeout=UP_S)
    with pytest.raises(ServerNotReady) as caught:
        server.start()
    port = server.command[3]
    assert re.search(f"listens on {where.format(port)}, expected 127.0.0.1:{port}", str(caught.value))


def test_listening_on_a_unix_socket_instead_says_so(tmp_path: Path) -> None:
    server = misbehaving(f"bind={tmp_path}/s", timeout=UP_S)
    with pytest.raises(ServerNotReady, match=rf"listens on unix:{tmp_path}/s, expected 127.0.0.1:"):
        server.start()


def test_a_mute_server_says_what_came_and_what_was_expected() -> None:
    server = misbehaving("mute=1", ready="redis", timeout=UP_S)
    with pytest.raises(ServerNotReady) as caught:
        server.start()
    assert "the redis probe got nothing" in str(caught.value)
    assert "expected +PONG" in str(caught.value)


def test_a_server_of_another_protocol_is_quoted() -> None:
    server = misbehaving("say=220 smtp here", ready="redis", timeout=UP_S)
    with pytest.raises(ServerNotReady) as caught:
        server.start()
    assert "the redis probe got 14 bytes: b'220 smtp here\\n'; expected +PONG" in str(caught.value)
    assert "true: listens on 127.0.0.1:" in str(caught.value)


def test_a_program_blocked_on_its_input_is_named() -> None:
    with pytest.raises(ServerNotReady) as caught:
        ServerProcess(["cat"], ready="line:never", stdin="pipe", timeout=UP_S).start()
    assert re.search(
        r"pid \d+ \(cat\) is blocked reading pipe:\[\d+\]: it wants input or a terminal", str(caught.value)
    )


def test_a_program_that_has_found_the_end_of_its_input_gets_a_hint() -> None:
    with pytest.raises(ServerDied, match="has found the end of that: stdin='pipe' keeps it open"):
        ServerProcess(["cat"]).start()


def test_a_program_that_wants_a_terminal_gets_a_hint(tmp_path: Path) -> None:
    script = tmp_path / "wants.py"
    script.write_text(f"#!{sys.executable}\nopen('/dev/tty').read()\n")
    script.chmod(0o755)
    with pytest.raises(ServerDied, match="seems to want a terminal"):
        ServerProcess([script]).start()


# Whose port.


def test_a_busy_port_names_its_owner_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as blocker:
        port = blocker.getsockname()[1]
        server = misbehaving(f"pids={tmp_path}/pids", port=port)
        with pytest.raises(PortTaken) as caught:
            server.start()
    text = str(caught.value)
    assert f"port {port} already belongs to pid {os.getpid()} (" in text
    assert re.search(r"started \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", text)
    assert "not tried again on another port" in text
    assert not (tmp_path / "pids").exists()


def test_an_impostor_is_named_and_never_accepted() -> None:
    port = free_port()
    code = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(600)"
    server = misbehaving("before=2", "stay=1", port=port, timeout=20, ready="tcp")
    impostor = None

    async def both() -> None:
        nonlocal impostor
        starting = asyncio.create_task(server.start_async())
        while not server._core.pid:  # the impostor comes when the server is already being waited for
            await asyncio.sleep(0.001)
        impostor = subprocess.Popen([sys.executable, "-S", "-c", code])
        await starting

    try:
        with pytest.raises(PortTaken) as caught:
            asyncio.run(both())
        assert impostor is not None
        text = str(caught.value)
        assert "another process listens where" in text
        assert f"pid {impostor.pid} (" in text
        assert "create_server" in text
    finally:
        if impostor is not None:
            impostor.kill()
            impostor.wait()


def test_a_bind_error_on_a_chosen_port_is_tried_again_and_every_port_reported(tmp_path: Path) -> None:
    script = tmp_path / "busy.sh"
    script.write_text('#!/bin/sh\necho "bind to $1: Address already in use" >&2\nexit 1\n')
    script.chmod(0o755)
    server = ServerProcess([script, "{port}"], tries=3)
    with pytest.raises(PortTaken) as caught:
        server.start()
    assert "tried 3 times" in str(caught.value)
    assert len({*re.findall(r"127\.0\.0\.1:(\d+): port", str(caught.value))}) == 3
    assert len(server.report.tried) == 3


def test_a_bind_error_is_tried_again_until_a_port_is_free(tmp_path: Path) -> None:
    # The first try finds its port taken between the choice and the bind, as on a busy machine.
    script = tmp_path / "once.sh"
    helper = Path(__file__).with_name("misbehave.py")
    script.write_text(
        f'#!/bin/sh\nif mkdir {tmp_path}/tried 2>/dev/null; then echo "EADDRINUSE" >&2; exit 1; fi\n'
        f'exec {sys.executable} -S {helper} "$1"\n'
    )
    script.chmod(0o755)
    with ServerProcess([script, "{port}"]) as server:
        assert ask(server.port) == b"pong\n"
        assert len(server.report.tried) == 1


# While it runs, and when it stops.


@pytest.mark.parametrize("limit", [1 << 20])
def test_a_flood_is_capped_with_a_visible_marker(limit: int) -> None:
    with misbehaving("flood=20000000", output_limit=limit) as server:
        assert ask(server.port) == b"pong\n"
        wait_until(lambda: server.log.dropped() > 0)
    assert server.log.stdout.size() == 20_000_006
    assert re.match(r"\[\.\.\. \d+ bytes dropped \.\.\.\]\n", server.log.stdout.read_text())
    assert server.log.stdout.read_text().endswith("xxx\nready\n")
    assert len(server.log.stdout.read_bytes()) <= limit + 8192


def test_a_server_that_ignores_sigterm_is_killed_and_reported() -> None:
    server = misbehaving("ignore=SIGTERM", stop_timeout=0.3, strict=True).start()
    pid = server.pid
    with pytest.raises(ServerStopError) as caught:
        server.stop()
    assert re.search(rf"ignored SIGTERM for 0\.3 s, killed: pid {pid} \(", str(caught.value))
    assert server.last_stop is not None
    assert server.last_stop.escalated
    assert server.last_stop.status == -signal.SIGKILL


def test_without_strict_the_same_is_a_warning() -> None:
    server = misbehaving("ignore=SIGTERM", stop_timeout=0.2).start()
    with pytest.warns(ServerWarning, match=r"ignored SIGTERM for 0\.2 s, killed: pid"):
        server.stop()


@pytest.mark.parametrize("containment", ["namespace", "subreaper"])
@pytest.mark.parametrize("kind", ["plain", "setsid", "daemon"])
def test_children_that_are_left_are_listed_and_killed(tmp_path: Path, kind: str, containment: str) -> None:
    pids = tmp_path / "pids"
    server = misbehaving(f"child={kind}", f"pids={pids}", containment=containment, strict=True).start()
    wait_until(lambda: "child" in pids.read_text())
    child = int(dict(line.split() for line in pids.read_text().splitlines())["child"])
    with pytest.raises(ServerStopError) as caught:
        server.stop()
    assert f"left processes behind, killed: pid {child} (" in str(caught.value)
    assert "python" in str(caught.value)
    assert not os.path.exists(f"/proc/{child}")


def test_a_zombie_is_never_counted_as_running() -> None:
    with misbehaving("zombie=1", strict=True) as server:
        assert server.processes() == [server.pid]
    assert server.last_stop is not None
    assert server.last_stop.left == []


def test_a_kill_by_somebody_else_is_called_that() -> None:
    server = misbehaving().start()
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not server.running)
    with pytest.raises(ServerDied) as caught:
        server.check()
    assert "was killed by someone else (SIGKILL, which Wavetank has not sent" in str(caught.value)
    assert "while it was in use" in str(caught.value)
    assert server.stop().died


def test_a_crash_names_the_signal_and_shows_the_last_lines() -> None:
    def crash() -> None:
        with misbehaving("core=1") as server:
            assert ask(server.port) == b""
            wait_until(lambda: not server.running)

    with pytest.raises(ServerDied, match=r"was killed by SIGSEGV(, core dumped)? [\s\S]*\| ready") as caught:
        crash()
    assert "after it was ready, while it was in use" in str(caught.value)


def test_an_error_in_the_block_goes_first_and_learns_of_the_death() -> None:
    def fails() -> None:
        with misbehaving("core=1") as server:
            ask(server.port)
            wait_until(lambda: not server.running)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        fails()
    assert "was killed by SIGSEGV" in "".join(caught.value.__notes__)


def test_leaked_descriptors_are_listed() -> None:
    with misbehaving("leak=3") as server:
        assert server.leaked_descriptors() == {}
        ask(server.port)
        leaked = server.leaked_descriptors()[server.pid]
        assert [*leaked.values()] == ["/etc/hostname"] * 3
    assert server.last_stop is not None
    assert [*server.last_stop.more_descriptors] == [server.pid]


def test_a_server_that_must_not_leak_descriptors_says_how_many_and_which() -> None:
    def leak() -> None:
        with misbehaving("leak=2", check_descriptors=True, strict=True) as server:
            ask(server.port)

    with pytest.raises(ServerStopError) as caught:
        leak()
    found = re.search(
        r"leaks descriptors: pid \d+ had (\d+) descriptors open when it was ready and (\d+) at its end",
        str(caught.value),
    )
    assert found is not None
    assert int(found[2]) - int(found[1]) == 2
    assert str(caught.value).count("-> /etc/hostname") == 2


def test_a_connection_is_leaked_when_only_its_client_has_closed_it() -> None:
    for closes, leaked in ((False, 0), (True, 1)):
        server = misbehaving("mute=1", check_descriptors=True, strict=True).start()
        with socket.create_connection((server.host, server.port)) as client:
            wait_until(lambda server=server: len(server.descriptors()) >= 6)  # 0 to 2, two connections, the listener
            if not closes:
                server.stop()
            client.close()
            if closes:
                wait_until(server.leaked_descriptors)  # a busy kernel may bring the end of the connection later
                with pytest.raises(ServerStopError, match=r"leaks descriptors: pid \d+ had 4 .* and 5 .*socket:"):
                    server.stop()
        assert server.last_stop is not None
        assert len(server.last_stop.more_descriptors) == leaked


# From where it may be called.


def test_a_blocking_start_in_a_running_loop_is_refused() -> None:
    async def wrong() -> None:
        misbehaving().start()

    with pytest.raises(UsageError, match=r"start\(\) blocks, and an asyncio event loop is running in this thread"):
        asyncio.run(wrong())


def test_a_fork_may_not_use_the_server_of_its_parent() -> None:
    code = (
        "import os, sys; from wavetank.servers import ServerProcess\n"
        "with ServerProcess([sys.executable, '-S', sys.argv[1], '{port}']) as s:\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        try: s.stop()\n"
        "        except Exception as error: print(error, flush=True)\n"
        "        sys.exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "    s.check(); print('still running', flush=True)\n"
    )
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, Path(__file__).with_name("misbehave.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "belongs to process" in done.stdout
    assert "still running" in done.stdout
