"""`ServerProcess` with real servers and small ones: addresses, readiness, output, restart, stop, both faces."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.support import PROGRAM, ask, free_port, misbehaving, ours_left, wait_until
from wavetank.errors import ServerDied, ServerNotReady, ServerStopError, UsageError
from wavetank.servers import ServerProcess, launcher, processes, sockdiag
from wavetank.servers.address import SOCKET_PATH_BYTES

REDIS = ["redis-server", "--port", "{port}", "--save", "", "--bind", "127.0.0.1"]


def talk(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(data)
        return connection.recv(4096)


# Addresses.


def test_a_chosen_port_is_outside_the_ephemeral_range() -> None:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    with misbehaving() as server:
        assert not low <= server.port <= high
        assert ask(server.port) == b"pong\n"
        assert server.command[3] == str(server.port)


def test_a_port_may_be_discovered_after_the_server_has_bound_zero() -> None:
    code = "import socket; s = socket.create_server(('127.0.0.1', 0))\nwhile True: s.accept()[0].close()"
    with ServerProcess([sys.executable, "-S", "-c", code]) as server, sockdiag.Table() as table:
        held = processes.socket_inodes([server.pid])
        assert [each.port for each in table.tcp() if each.inode in held] == [server.port]


def test_port_zero_stands_in_the_command_and_the_real_one_is_found() -> None:
    with misbehaving(port=0) as server:
        assert server.command[3] == "0"
        assert ask(server.port) == b"pong\n"


def test_a_listening_socket_can_be_handed_over() -> None:
    code = (
        "import os, socket, sys\n"
        "s = socket.socket(fileno=int(sys.argv[1]))\n"
        "assert os.environ['LISTEN_PID'] == str(os.getpid()) and os.environ['LISTEN_FDS'] == '1'\n"
        "while True:\n c, _ = s.accept()\n c.sendall(b'pong\\n')\n c.close()"
    )
    with ServerProcess([sys.executable, "-S", "-c", code, "{fd}"]) as server:
        port = server.port
        assert talk(port, b"") == b"pong\n"
        server.restart()
        assert server.port == port
        assert talk(port, b"") == b"pong\n"


def test_a_server_that_does_not_take_the_socket_it_was_handed_is_not_ready() -> None:
    server = ServerProcess([sys.executable, "-S", "-c", "import time; time.sleep(600)", "{fd}"], timeout=3)
    with pytest.raises(ServerNotReady, match="the connection waits in the queue: the server does not accept"):
        server.start()


def test_a_unix_socket_of_its_own() -> None:
    with ServerProcess([sys.executable, "-S", PROGRAM, "0", "bind={socket}"]) as server:
        assert server.socket.startswith(str(server.dir))
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(server.socket)
            connection.sendall(b"x")
            assert connection.recv(10) == b"pong\n"
        with pytest.raises(UsageError, match="listens on a UNIX socket"):
            _ = server.port


def test_a_stale_socket_file_is_removed_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    command = [sys.executable, "-S", PROGRAM, "0", "bind={socket}"]
    with (
        ServerProcess(command, socket=path) as server,
        pytest.raises(Exception, match=rf"socket {path} already belongs to pid {server.pid}"),
    ):
        ServerProcess(command, socket=path).start()


def test_a_long_temporary_folder_does_not_make_the_socket_path_too_long(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    code = (
        "import sys; from wavetank.servers import ServerProcess\n"
        "with ServerProcess([sys.executable, '-S', sys.argv[1], '0', 'bind={socket}']) as server: print(server.socket)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, PROGRAM],
        env=os.environ | {"TMPDIR": str(folder)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("/tmp/wavetank-")
    assert not os.path.exists(os.path.dirname(done.stdout))


def test_stop_works_in_a_signal_handler_and_after_a_loop_has_crashed() -> None:
    code = (
        "import asyncio, os, signal, sys; from wavetank.servers import ServerProcess\n"
        "command = [sys.executable, '-S', sys.argv[1], '{port}']\n"
        "server = ServerProcess(command).start()\n"
        "signal.signal(signal.SIGALRM, lambda *_: print(server.stop().steps))\n"
        "os.kill(os.getpid(), signal.SIGALRM)\n"
        "async def crash():\n"
        "    global server\n"
        "    server = await ServerProcess(command).start_async()\n"
        "    raise RuntimeError\n"
        "try: asyncio.run(crash())\n"
        "except RuntimeError: print(server.stop().steps, os.path.exists(f'/proc/{server.pid}'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "['SIGTERM']\n['SIGTERM'] False\n"


def test_a_socket_path_that_is_too_long_is_refused_first() -> None:
    with pytest.raises(UsageError, match=f"has 120 bytes, and the most is {SOCKET_PATH_BYTES}"):
        ServerProcess(["cat", "{socket}"], socket="/" + 119 * "x").start()


def test_wildcard_and_dual_stack_listeners_serve_the_loopback() -> None:
    for bind in ("0.0.0.0", "::"):
        with misbehaving(f"bind={bind}") as server:
            assert ask(server.port) == b"pong\n"


# Readiness.


@pytest.mark.debian("redis-server")
def test_redis_is_ready_when_it_answers_ping() -> None:
    with ServerProcess(REDIS, ready="redis") as server:
        assert talk(server.port, b"PING\r\n") == b"+PONG\r\n"
        report = server.report
        assert report.listening_s is not None
        assert 0 < report.spawned_s <= report.listening_s <= report.ready_s
        assert report.probe_connections >= 1
        assert server.containment in launcher.RUNGS
        assert launcher.RUNG_WORDS[server.containment] in str(report)


@pytest.mark.debian("nginx")
def test_nginx_is_ready_when_it_answers_http() -> None:
    configuration = (
        "daemon off; error_log stderr; pid {dir}/pid; worker_processes 1; events {}\n"
        "http { access_log off; server { listen {host}:{port}; location /here { return 204; } } }\n"
    )
    command = ["nginx", "-c", "{dir}/nginx.conf", "-p", "{dir}", "-e", "stderr"]
    for ready in ("http", "http:/here"):
        with ServerProcess(
            command, files={"nginx.conf": configuration}, ready=ready, stop_signal=signal.SIGQUIT
        ) as server:
            assert talk(server.port, b"GET /here HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 204")
    with pytest.raises(ServerNotReady, match=r"the http:/nowhere probe got .* 404"):
        ServerProcess(command, files={"nginx.conf": configuration}, ready="http:/nowhere", timeout=4).start()


@pytest.mark.debian("socat")
def test_no_connection_is_made_for_a_server_that_serves_one_client_only() -> None:
    command = ["socat", "TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr", "EXEC:cat"]
    with ServerProcess(command, ready="listen", exit_codes=(0, 143)) as server:
        assert server.report.probe_connections == 0
        assert talk(server.port, b"to the first and only client") == b"to the first and only client"
        assert server.wait(30) == 0


@pytest.mark.debian("haproxy")
def test_haproxy_listens_before_it_is_asked() -> None:
    configuration = (
        "defaults\n mode http\n timeout client 9s\nfrontend f\n bind {host}:{port}\n http-request return status 200\n"
    )
    command = ["haproxy", "-db", "-f", "{dir}/haproxy.cfg"]
    with ServerProcess(command, files={"haproxy.cfg": configuration}, ready="http") as server:
        assert talk(server.port, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_smtp_and_ssh_by_their_greetings() -> None:
    for greeting, ready in (("220 mail.test ready", "smtp"), ("SSH-2.0-test", "ssh")):
        code = (
            "import socket, sys\ns = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
            "while True:\n c, _ = s.accept()\n c.sendall(sys.argv[2].encode() + b'\\r\\n')\n c.recv(99)\n c.close()"
        )
        with ServerProcess([sys.executable, "-S", "-c", code, "{port}", greeting], ready=ready) as server:
            assert server.running


@pytest.mark.parametrize("ready", ["line:ready", re.compile("^rea.y$"), ["tcp", "line:ready"]])
def test_a_line_of_output(ready: object) -> None:
    with misbehaving("before=0.05", ready=ready) as server:
        assert "ready" in server.log


def test_a_line_that_never_comes_is_named() -> None:
    with pytest.raises(ServerNotReady, match=r"no line of output matches 'up and running'[\s\S]*true: listens on"):
        misbehaving(ready="line:up and running", timeout=4).start()


def test_a_callable_gets_the_server_and_may_be_a_coroutine_function() -> None:
    asked = []

    def sync(server: ServerProcess) -> bool:
        asked.append(ask(server.port))
        return len(asked) > 2

    async def coroutine(server: ServerProcess) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"x")
        answer = await reader.read()
        writer.close()
        return answer == b"pong\n"

    with misbehaving(ready=[sync, coroutine]):
        assert asked == [b"pong\n"] * 3

    async def main() -> None:
        async with misbehaving(ready=[coroutine]) as server:
            assert server.running

    asyncio.run(main())


def test_an_error_in_a_callable_is_not_waited_out() -> None:
    with pytest.raises(AttributeError, match="prt"):
        misbehaving(ready=lambda server: server.prt).start()
    with pytest.raises(ServerNotReady, match="the probe got ValueError: not yet"):
        misbehaving(ready=refuse, timeout=4).start()
    assert ours_left() == []


def refuse(server: ServerProcess) -> bool:
    raise ValueError("not yet")


# Environment and output.


def test_the_environment_is_clean_and_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SETTING_OF_THE_DEVELOPER", "1")
    monkeypatch.setenv("PASSED_ON", "2")
    with misbehaving(env={"PORT": "{port}", "HOME": None}, pass_env=["PASSED_*"]) as server:
        environment = processes.environment(server.pid)
        assert "A_SETTING_OF_THE_DEVELOPER" not in environment
        assert "HOME" not in environment
        assert environment["PASSED_ON"] == "2"
        assert environment["PORT"] == str(server.port)
        assert environment["WAVETANK_SERVER"].startswith(f"{os.getpid()}-")


def test_it_inherits_no_descriptor_but_three(tmp_path: Path) -> None:
    with open(tmp_path / "open", "w") as file:
        os.set_inheritable(file.fileno(), True)
        with misbehaving(ready="listen") as server:  # without a connection of a probe
            descriptors = server.descriptors()
    sockets = [what for what in descriptors.values() if what.startswith("socket:")]
    assert len(descriptors) == 4
    assert len(sockets) == 1
    assert descriptors[0] == "/dev/null"


def test_output_is_cut_by_marks() -> None:
    with misbehaving("reply=20000") as server:
        before = server.log.mark()
        assert server.log.since(before) == ""
        ask(server.port)
        assert len(server.log.since(before)) == 20_000
        assert server.log.read_text().startswith("ready\n")
        assert "ready" in str(server.log)
        assert server.log.stdout.path.read_bytes() == server.log.read_bytes()


# Restart, stop.


@pytest.mark.parametrize("reuse", ["", "SO_REUSEADDR"])
def test_a_restart_keeps_address_folder_and_output(reuse: str) -> None:
    option = f"s.setsockopt(socket.SOL_SOCKET, socket.{reuse}, 1)" if reuse else ""
    code = (
        f"import socket, sys\ns = socket.socket()\n{option}\ns.bind(('127.0.0.1', int(sys.argv[1])))\ns.listen()\n"
        "print('up', flush=True)\nwhile True: s.accept()[0].recv(1)"
    )
    with ServerProcess([sys.executable, "-S", "-c", code, "{port}"], ready="listen") as server:
        port, pid, folder = server.port, server.pid, server.dir
        (folder / "kept").touch()
        server.restart()
        assert (server.port, server.dir) == (port, folder)
        assert server.pid != pid
        assert (folder / "kept").exists()
        assert server.log.stdout.read_text() == "up\nup\n"


def test_stop_is_idempotent_and_a_server_can_be_started_again() -> None:
    server = misbehaving().start()
    first = server.stop()
    assert server.stop() is first
    assert first.status == -signal.SIGTERM
    assert not first.escalated
    with server:
        assert ask(server.port) == b"pong\n"
    assert ours_left() == []


def test_the_polite_way_can_be_a_command_or_input(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", "touch asked; kill -INT {pid}"]
    with misbehaving(stop_command=command, cwd="{dir}", exit_codes=(0, -2, 1, 130)) as server:
        pass
    assert server.last_stop is not None
    assert server.last_stop.steps == ["stop command"]
    with ServerProcess(["cat"], ready=[], stdin="pipe", stop_input=b"bye\n") as cat:
        cat.send_input(b"hello\n")
        wait_until(lambda: "hello" in cat.log)
    assert cat.log.read_text() == "hello\nbye\n"
    assert cat.last_stop is not None
    assert (cat.last_stop.steps, cat.last_stop.status) == (["input"], 0)


def test_a_ctrl_c_byte_reaches_a_program_that_reads_a_terminal() -> None:
    with ServerProcess(["cat"], ready=[], stdin="terminal", stop_input=b"\x03", exit_codes=(-2,)) as cat:
        wait_until(lambda: processes.awaited_input(cat.pid))
    assert cat.last_stop is not None
    assert (cat.last_stop.steps, cat.last_stop.status) == (["input"], -signal.SIGINT)


def test_an_unexpected_exit_status_is_named_when_statuses_were_given() -> None:
    server = misbehaving(exit_codes=(0, 3)).start()
    with pytest.raises(
        ServerStopError, match="was killed by SIGTERM when it was asked to stop, expected was one of 0, 3"
    ):
        server.stop()


def test_waiting_for_its_end() -> None:
    with misbehaving() as server:
        assert server.wait(0.01) is None
        server.send_signal(signal.SIGTERM)
        assert server.wait() == -signal.SIGTERM


# asyncio.


def test_the_face_for_asyncio() -> None:
    async def main() -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.create_task(tick())
        async with misbehaving("before=0.05") as server:
            assert ticks > 10  # the loop went on meanwhile
            port = server.port
            await server.restart_async()
            assert server.port == port
            assert await server.wait_async(0.01) is None
        ticking.cancel()
        server = await misbehaving().start_async()
        server.stop()  # blocking is allowed for the end, from anywhere
        with pytest.raises(ServerDied):
            await misbehaving("exit=1").start_async()

    asyncio.run(main())
    assert ours_left() == []


def test_cancelling_a_start_leaves_nothing() -> None:
    async def main() -> None:
        server = misbehaving("never=1")
        starting = asyncio.create_task(server.start_async())
        while not server._core.pid:
            await asyncio.sleep(0.001)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    asyncio.run(main())
    assert ours_left() == []


def test_many_servers_at_once_in_one_loop() -> None:
    async def one() -> int:
        async with misbehaving() as server:
            assert (await asyncio.to_thread(ask, server.port)) == b"pong\n"
            return server.port

    async def main() -> list[int]:
        return await asyncio.gather(*(one() for _ in range(6)))

    assert len({*asyncio.run(main())}) == 6


def test_start_and_stop_leak_no_descriptor() -> None:
    with misbehaving():
        pass
    before = processes.descriptors(os.getpid())
    for _ in range(3):
        with misbehaving():
            pass
        with pytest.raises(ServerDied):
            misbehaving("exit=1").start()
    assert processes.descriptors(os.getpid()).keys() == before.keys()


# Wrong use.


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"command": []}, "command is empty"),
        ({"command": "redis-server 'open"}, "cannot be split into words"),
        ({"command": ["x", "{prot}"]}, r"\{prot\} is not a placeholder. Did you mean 'port'\?"),
        ({"command": ["x"], "ready": "redsi"}, r"unknown readiness 'redsi'. Did you mean 'redis'\?"),
        ({"command": ["x"], "ready": 5}, "neither a name, a pattern nor a callable|is not"),
        ({"command": ["x"], "timeout": 0}, "timeout=0 is not a length of time"),
        ({"command": ["x"], "port": 70000}, "port 70000 is not a port"),
        ({"command": ["x"], "host": "example"}, "host 'example' is not a numeric address"),
        ({"command": ["x"], "stdin": "nul"}, r"stdin='nul' is unknown. Did you mean 'null'\?"),
        ({"command": ["x"], "stop_input": b"\x03"}, "stop_input= needs an input to write to"),
        ({"command": ["x"], "containment": "names"}, r"containment='names' is unknown. Did you mean 'namespace'\?"),
        ({"command": ["x"], "tries": 0}, "tries=0 is no try at all"),
        ({"command": ["x", "{fd}", "{socket}"], "socket": "/x"}, "{fd} and {socket} together"),
    ],
)
def test_bad_options_are_one_clear_error(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        ServerProcess(**arguments)
    assert len(str(caught.value).splitlines()) <= 4


def test_what_is_not_known_before_the_start_says_so() -> None:
    server = misbehaving(port=free_port())
    assert server.port
    for ask_for in ("pid", "log", "dir"):
        with pytest.raises(UsageError, match="is not started"):
            getattr(server, ask_for)
    with server, pytest.raises(UsageError, match="is running already"):
        server.start()


def test_the_room_imports_no_framework() -> None:
    code = "import sys, wavetank.servers, wavetank.servers.process; print({'twisted', 'asyncssh'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
