"""The pytest plugin, as a user has it: in a pytest of its own."""

import os
import subprocess
import sys

import pytest

from tests.servers.support import PROGRAM

LIGHT = "import sys, wavetank.pytest_plugin; print(sorted(n for n in sys.modules if n.startswith('wavetank.')))"


@pytest.fixture
def server_program(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("PYTEST_XDIST_TESTRUNUID", raising=False)
    return f"[{sys.executable!r}, '-S', {str(PROGRAM)!r}, '{{port}}']"


def test_the_plugin_imports_nothing_of_wavetank() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['wavetank.pytest_plugin']"


def test_a_server_for_one_test(pytester: pytest.Pytester, server_program: str) -> None:
    pytester.makepyfile(
        f"""
        import os, socket
        pids = []
        def test_one(server_process):
            server = server_process({server_program}, name="mine")
            socket.create_connection((server.host, server.port)).close()
            with server as same: assert same is server
            pids.append(server.pid)
        def test_it_is_gone():
            assert not os.path.exists(f"/proc/{{pids[0]}}")
        """
    )
    pytester.runpytest_subprocess("-p", "no:randomly", "-W", "error").assert_outcomes(passed=2)


def test_a_death_fails_the_test_in_which_it_happens(pytester: pytest.Pytester, server_program: str) -> None:
    pytester.makepyfile(
        f"""
        import os, pytest, signal
        @pytest.fixture(scope="module")
        def server():
            from wavetank.servers import ServerProcess
            with ServerProcess({server_program}, name="mine") as server: yield server
        def test_before(server): pass
        def test_meanwhile(server):
            os.kill(server.pid, signal.SIGKILL)
            while server.running: pass
        def test_after(server): pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-W", "error", "-rA")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*ServerDied: mine was killed by someone else (SIGKILL*", "*FAILED*test_meanwhile*"])


def test_only_the_output_of_a_failed_test_is_shown(pytester: pytest.Pytester, server_program: str) -> None:
    pytester.makepyfile(
        f"""
        import socket
        def ask(server):
            with socket.create_connection((server.host, server.port)) as c:
                c.sendall(b"x"); c.makefile().read()
        def test_one(request):
            from wavetank.servers import ServerProcess
            with ServerProcess({server_program[:-1]}, "reply=10000"], name="mine") as server:
                ask(server)
        def test_two(request):
            from wavetank.servers import ServerProcess
            with ServerProcess({server_program}, name="other") as server:
                assert ask(server)
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-W", "error")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*server other, output during this test*", "*stdout.log:", "*| ready"])
    result.stdout.no_fnmatch_line("*xxxxx*")
    result.stdout.no_fnmatch_line("*server mine*")


READY_MADE = """
    import urllib.request, socket
    def test_redis(redis_server):
        with socket.create_connection((redis_server.host, redis_server.port)) as c:
            c.sendall(b"PING\\r\\n"); assert c.recv(100) == b"+PONG\\r\\n"
    def test_nginx(nginx_server):
        (nginx_server.dir / "www" / "page").write_text("hello")
        url = f"http://{nginx_server.host}:{nginx_server.port}/page"
        assert urllib.request.urlopen(url).read() == b"hello"
    def test_postgres(postgres_server):
        import os, subprocess
        environment = os.environ | {"PGPORT": str(postgres_server.port), "PGHOST": postgres_server.host}
        out = subprocess.run(["psql", "-U", "postgres", "-Atc", "select 6 * 7"], env=environment, capture_output=True)
        assert out.stdout == b"42\\n", out
"""


@pytest.mark.debian("postgresql", command="psql")
@pytest.mark.debian("nginx")
@pytest.mark.debian("redis-server")
def test_the_ready_made_servers(pytester: pytest.Pytester, server_program: str) -> None:
    pytester.makepyfile(READY_MADE)
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=3)


@pytest.mark.debian("openssh-server", command="/usr/sbin/sshd")
def test_an_ssh_server_for_the_session(pytester: pytest.Pytester, server_program: str) -> None:
    pytester.makepyfile(
        """
        from wavetank.servers import SSHForward
        def test_one(sshd_server, server_process):
            with SSHForward(sshd_server, "local", (sshd_server.host, sshd_server.port)) as forward:
                with forward.connect() as connection:
                    assert connection.recv(4) == b"SSH-"
        """
    )
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)


@pytest.mark.debian("redis-server")
def test_workers_share_a_ready_made_server(pytester: pytest.Pytester, server_program: str) -> None:
    pytester.makepyfile(
        """
        import os, pathlib, pytest, time
        @pytest.fixture(scope="session")
        def both_have_it(redis_server, worker_id):
            # Whoever is done early would be the last one out, and the other would start the next server.
            here = pathlib.Path(os.environ["SEEN"]).parent
            (here / f"has-{worker_id}").touch()
            limit = time.monotonic() + 60
            while len([*here.glob("has-gw*")]) < 2:
                assert time.monotonic() < limit
                time.sleep(0.01)
        @pytest.mark.parametrize("n", range(8))
        def test_one(redis_server, both_have_it, n):
            with open(os.environ["SEEN"], "a") as file: file.write(f"{redis_server.pid}\\n")
        """
    )
    seen = pytester.path / "seen"
    os.environ["SEEN"] = str(seen)
    try:
        pytester.runpytest_subprocess("-n", "2", "--dist", "each", "-W", "error").assert_outcomes(passed=16)
    finally:
        del os.environ["SEEN"]
    pids = seen.read_text().split()
    assert len(pids) == 16
    assert len({*pids}) == 1
    assert not os.path.exists(f"/proc/{pids[0]}")


@pytest.mark.parametrize(("missing", "outcome"), [((), "skipped"), (("--wavetank-missing", "fail"), "errors")])
def test_a_server_that_is_not_installed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], outcome: str
) -> None:
    pytester.makepyfile(
        """
        import pytest
        @pytest.fixture(autouse=True, scope="session")
        def nothing_is_installed():
            import wavetank.servers.program as program
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(program, "_MORE_PLACES", ()); patch.setenv("PATH", "/nowhere"); yield
        def test_one(redis_server): pass
        """
    )
    result = pytester.runpytest_subprocess(*missing, "-rs")
    result.assert_outcomes(**{outcome: 1})
    result.stdout.fnmatch_lines(["*program 'redis-server' not found*"])


def test_a_bad_line_for_one_test(pytester: pytest.Pytester, server_program: str) -> None:
    pytester.makepyfile(
        f"""
        import socket
        from wavetank.faults import Refuse, Reset
        ports = []
        def test_it_passes(server_process, fault_proxy):
            proxy = fault_proxy(server_process({server_program}, name="mine"))
            socket.create_connection((proxy.host, proxy.port)).close()
            ports.append(proxy.port)
        def test_it_is_gone():
            assert socket.socket().connect_ex(("127.0.0.1", ports[0])) == 111
        def test_it_fails(server_process, fault_proxy):
            with fault_proxy(server_process({server_program}, name="mine"), seed=3) as proxy:
                proxy.inject(Refuse())
                socket.create_connection((proxy.host, proxy.port))
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-rA")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*ConnectionRefusedError*", "*- proxy before 127.0.0.1:* -*", "*listen*", "*fault*connections are refused*"]
    )
