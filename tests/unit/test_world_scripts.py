"""Plain scripts as targets: they run as `__main__`, as `python script.py` would run them."""

import os
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.worlds import run_script, scripts, stdout_of


def test_a_script_sees_what_python_shows_it(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("import sys\nargv = list(sys.argv)\n")
    text = """
import os, sys
import helper
print(__name__, __file__ == sys.argv[0], sys.argv[1:], helper.argv[1:], sys.path[0] == os.path.dirname(__file__))
print(sys.modules["__main__"].__dict__ is globals(), __doc__, __spec__, __builtins__.__name__, __package__)
print(os.getcwd() == sys.path[0], os.environ["WORD"], os.environ.get("HOME"), sys.stdin.read() == "")
sys.stdout.buffer.write(b"raw\\n")
"""
    result = run_script(tmp_path, text, "--port", "80", environment={"WORD": "gift"})
    assert result.failure is None
    assert stdout_of(result, "main/script").splitlines() == [
        "__main__ True ['--port', '80'] ['--port', '80'] True",
        "True None None builtins None",
        "True gift None True",
        "raw",
    ]


@pytest.mark.parametrize(
    ("call", "status", "error"),
    [
        ("sys.exit()", 0, None),
        ("sys.exit(0)", 0, None),
        ("sys.exit(3)", 3, "exit status 3"),
        ("sys.exit('too bad')", 1, "exit status 1: too bad"),
        ("sys.exit(256)", 0, None),
        ("raise KeyboardInterrupt", 130, "KeyboardInterrupt"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
    ],
)
def test_the_exit_status_decides(tmp_path: Path, call: str, status: int, error: str | None) -> None:
    result = run_script(tmp_path, f"import sys\ndef main():\n    {call}\nmain()\n")
    assert result.status == status
    assert (result.failure.error if result.failure else None) == error
    if result.failure is not None:
        assert (result.failure.kind, result.failure.host) == ("exception", "main")
        assert result.failure.where == "script.py:3 in main"


def test_pools_of_processes_are_refused_by_the_name_of_the_call(tmp_path: Path) -> None:
    text = "from concurrent.futures import ProcessPoolExecutor\nProcessPoolExecutor(1).submit(print)\n"
    result = run_script(tmp_path, text)
    assert result.failure is not None
    assert result.failure.error.startswith("wavetank.errors.NotSimulatedOSError: os.fork is not simulated")


def test_shared_memory_needs_no_other_process_and_does_not_outlive_the_run(tmp_path: Path) -> None:
    script = """
        from multiprocessing import Queue, shared_memory

        kept = shared_memory.SharedMemory(create=True, size=100, name="kept")
        kept.buf[:5] = b"words"
        other = shared_memory.SharedMemory(name="kept")
        print(bytes(other.buf[:5]), other.name)
        other.close()
        kept.close()
        with_a_name_of_its_own = shared_memory.SharedMemory(create=True, size=100)
        with_a_name_of_its_own.close()
        with_a_name_of_its_own.unlink()
        Queue().close()
        try:
            shared_memory.SharedMemory(name="missing")
        except FileNotFoundError as error:
            print(error.strerror)
    """
    for _ in range(2):
        result = run_script(tmp_path, dedent(script))
        assert result.failure is None
        assert stdout_of(result, "main/script").splitlines() == ["b'words' kept", "No such file or directory"]
    assert [name for name in os.listdir("/dev/shm") if name.endswith("-kept")] == []


def test_the_environment_can_be_copied(tmp_path: Path) -> None:
    script = """
        import copy, os

        kept = copy.deepcopy(os.environ)
        os.environ["WORD"] = "other"
        print(kept["WORD"], os.environ["WORD"], kept.keys() == os.environ.keys(), copy.deepcopy(os.environb)[b"WORD"])
        os.environ = kept
        print(os.environ["WORD"], type(os.environ._data).__name__)
    """
    result = run_script(tmp_path, dedent(script), environment={"WORD": "gift"})
    assert result.failure is None, result.failure.traceback
    assert stdout_of(result, "main/script").splitlines() == ["gift other True b'other'", "gift dict"]


def test_a_file_opened_to_be_written_has_not_changed_by_that(tmp_path: Path) -> None:
    script = """
        import os, pathlib, tempfile, time

        file = pathlib.Path(tempfile.mkdtemp(), "file")
        file.write_text("one")
        times = [file.stat().st_mtime]
        for mode, text in (("r+", ""), ("r+", "two"), ("a", ""), ("a", "x"), ("w", ""), ("r+", "")):
            time.sleep(10)
            with file.open(mode) as opened:
                opened.write(text)
            times.append(file.stat().st_mtime)
        print([round(after - before) for before, after in zip(times, times[1:])])
    """
    result = run_script(tmp_path, dedent(script))
    assert result.failure is None, result.failure.traceback
    assert stdout_of(result, "main/script") == "[0, 20, 0, 20, 10, 0]\n"


def test_files_that_a_run_writes_have_times_of_the_world(tmp_path: Path) -> None:
    script = """
        import os, pathlib, shutil, tempfile, time

        def age(path):
            return round(time.time() - os.stat(path).st_mtime, 3)

        place = pathlib.Path(tempfile.mkdtemp())
        file, other = place / "file", place / "other"
        file.write_text("one")
        print(age(file))
        time.sleep(100)
        print(age(file))
        with open(file) as opened:
            print(os.fstat(opened.fileno()).st_mtime == os.path.getmtime(file))
        print([entry.stat().st_mtime_ns == os.lstat(entry).st_mtime_ns for entry in os.scandir(place)])
        file.write_text("two")
        time.sleep(5)
        print(age(file))
        os.close(os.open(other, os.O_WRONLY | os.O_CREAT))
        with open(file, "ab") as opened:
            opened.write(b"more")
            time.sleep(5)
        print(age(other), age(file))
        os.utime(other, (5, 7))
        later = time.time() + 90_000
        os.utime(file, (later, later))
        shutil.copy2(file, place / "copy")
        print(os.stat(other).st_mtime, age(file), age(place / "copy"))
        os.utime(file)
        print(age(file), time.localtime(os.stat(file).st_mtime)[3:5])
        print(os.stat("before").st_mtime)
    """
    (tmp_path / "before").write_text("")
    os.utime(tmp_path / "before", (1_000_000, 2_000_000))
    digests = set()
    for _ in range(2):
        result = run_script(tmp_path, dedent(script))
        assert result.failure is None, result.failure.traceback
        assert stdout_of(result, "main/script").splitlines() == [
            "0.0", "100.0", "True", "[True]", "5.0", "5.0 5.0", "7.0 -90000.0 -90000.0", "0.0 (0, 1)", "2000000.0",
        ]  # fmt: skip
        digests.add(result.digest)
    assert len(digests) == 1


def test_inotify_tells_what_changes_and_stops_nobody(tmp_path: Path) -> None:
    script = """
        import ctypes, os, struct, tempfile, threading, time

        libc = ctypes.CDLL(None)
        place = tempfile.mkdtemp()
        fd = libc.inotify_init()
        assert libc.inotify_add_watch(fd, place.encode(), 0x100) > 0  # IN_CREATE

        def change():
            time.sleep(5)
            open(os.path.join(place, "new"), "w").close()

        threading.Thread(target=change).start()
        _, mask, _, length = struct.unpack_from("iIII", event := os.read(fd, 4096))
        print(hex(mask), event[16 : 16 + length].rstrip(b"\\0"), 5 <= time.monotonic() - 100_000 < 10)
    """
    result = run_script(tmp_path, dedent(script))
    assert result.failure is None, result.failure.traceback
    assert stdout_of(result, "main/script").splitlines() == ["0x100 b'new' True"]


def test_a_pipe_with_a_name_is_refused(tmp_path: Path) -> None:
    result = run_script(tmp_path, "import os\nos.mkfifo('pipe')\n")
    assert result.failure is not None
    assert result.failure.error.startswith("wavetank.errors.NotSimulatedOSError: os.mkfifo is not simulated")


def test_an_uncaught_exception_is_printed_as_python_prints_it(tmp_path: Path) -> None:
    text = "def f():\n    raise ValueError('x')\ntry:\n    f()\n"
    text += "except ValueError as error:\n    raise KeyError('y') from error\n"
    result = run_script(tmp_path, text)
    path = tmp_path / "script.py"
    printed = [line for line in result.outputs[0].stderr.splitlines() if "^" not in line and "~" not in line]
    assert printed == [
        "Traceback (most recent call last):",
        f'  File "{path}", line 4, in <module>',
        "    f()",
        f'  File "{path}", line 2, in f',
        "    raise ValueError('x')",
        "ValueError: x",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        f'  File "{path}", line 6, in <module>',
        "    raise KeyError('y') from error",
        "KeyError: 'y'",
    ]


def test_the_end_of_a_script_is_that_of_a_program(tmp_path: Path) -> None:
    text = """
import atexit, sys, threading, time
def work():
    time.sleep(5)
    print("worked")
def hook(kind, error, trace):
    print("hooked", kind.__name__, trace.tb_frame.f_code.co_name)
atexit.register(print, "first registered")
atexit.register(print, "last registered")
threading.Thread(target=work).start()
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
sys.excepthook = hook
sys.stdout.write("no line end")
sys.exit(print("; main ends")) if False else None
raise OSError
"""
    result = run_script(tmp_path, text)
    assert stdout_of(result, "main/script").splitlines() == [
        "no line endhooked OSError <module>",
        "worked",
        "last registered",
        "first registered",
    ]
    assert result.virtual_ns == pytest.approx(5e9, rel=0.01)


def test_the_world_ends_with_the_script_named_last(tmp_path: Path) -> None:
    server = tmp_path / "server.py"
    server.write_text(
        "import socketserver\n"
        "class Handler(socketserver.StreamRequestHandler):\n"
        "    def handle(self):\n"
        "        self.wfile.write(self.rfile.readline().upper())\n"
        "print('serving')\n"
        "socketserver.ThreadingTCPServer(('', 8000), Handler).serve_forever()\n"
    )
    client = tmp_path / "client.py"
    client.write_text(
        "import socket, time\n"
        "time.sleep(1)\n"
        "with socket.create_connection(('db', 8000)) as c:\n"
        "    c.sendall(b'hello\\n')\n"
        "    print(c.recv(100))\n"
    )
    worlds = scripts(("db", server), ("app", client))
    try:
        result = worlds.run(cwd=str(tmp_path))
        again = worlds.run(cwd=str(tmp_path))
    finally:
        worlds.close()
    assert result.failure is None
    assert [(each.name, each.stdout, each.status) for each in result.outputs] == [
        ("db/server", "serving\n", None),
        ("app/client", "b'HELLO\\n'\n", 0),
    ]
    assert result.digest == again.digest


def test_a_script_that_nothing_wakes_any_more_hangs(tmp_path: Path) -> None:
    result = run_script(tmp_path, "import threading\ndef main():\n    threading.Event().wait()\nmain()\n")
    assert result.failure is not None
    assert (result.failure.kind, result.failure.where) == ("hang", "script.py:3 in main")


def test_a_script_that_burns_the_processor_spins(tmp_path: Path) -> None:
    result = run_script(tmp_path, "def spin():\n    while True:\n        pass\nspin()\n", real_limit_s=6)
    assert result.failure is not None
    assert result.failure.kind == "spin"
    assert result.failure.where in ("script.py:2 in spin", "script.py:3 in spin")


def test_an_alarm_interrupts_computing(tmp_path: Path) -> None:
    script = """
        import signal, time

        class Late(Exception):
            pass

        def late(number, frame):
            raise Late

        signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        begun = time.monotonic()
        try:
            while True:
                pass
        except Late:
            print("late after", round(time.monotonic() - begun, 3))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        sum(range(1000))
        print("in time", signal.getitimer(signal.ITIMER_REAL)[0] > 0)
    """
    result = run_script(tmp_path, dedent(script))
    assert result.failure is None
    assert stdout_of(result, "main/script").splitlines() == ["late after 0.2", "in time True"]


def test_waiting_busily_comes_to_an_end(tmp_path: Path) -> None:
    text = "import time\nend = time.monotonic() + 3\nwhile time.monotonic() < end:\n    pass\n"
    result = run_script(tmp_path, text)
    assert result.failure is None
    assert result.virtual_ns >= 3_000_000_000


@pytest.mark.parametrize("way", ["select", "poll", "epoll"])
def test_waiting_busily_for_what_is_always_ready_comes_to_an_end(tmp_path: Path, way: str) -> None:
    """As servers do that ask for both reading and writing, and have nothing to write."""
    script = f"""
        import select, socket, time

        class Select:
            def poll(self):
                return select.select([a], [a], [], 0.1)

        a, b = socket.socketpair()
        waiting = Select() if {way!r} == "select" else getattr(select, {way!r})()
        if {way!r} != "select":
            waiting.register(a, select.POLLIN | select.POLLOUT)
        turns, end = 0, time.monotonic() + 2
        while time.monotonic() < end:
            turns += 1
            assert waiting.poll()
        assert turns < 100_000, turns
    """
    assert run_script(tmp_path, dedent(script)).failure is None


def test_a_library_may_keep_the_stream_that_it_was_imported_with(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "keeper.py").write_text("import sys\nout, error = sys.stdout, sys.__stderr__\n")
    script = """
        import os
        import keeper
        print("one", file=keeper.out)
        print("two")
        print("three", file=keeper.out)
        print("aside", file=keeper.error)
        os.close(2)
        print("lost", file=keeper.error)
    """
    (tmp_path / "script.py").write_text(dedent(script))
    worlds = scripts(("main", tmp_path / "script.py"), search=(str(tmp_path / "site"),))
    result = worlds.run()
    worlds.close()
    assert result.failure is None, result.failure
    assert [(each.name, each.stdout, each.stderr) for each in result.outputs] == [
        ("main/script", "one\ntwo\nthree\n", "aside\n")
    ]


def test_a_program_finds_itself_in_proc(tmp_path: Path) -> None:
    script = """
        import os

        def status_of(pid):
            with open(f"/proc/{pid}/status") as file:
                return dict(line.split(":", 1) for line in file)

        assert int(status_of(os.getpid())["VmRSS"].split()[0]) > 0
        assert status_of(os.getpid())["Pid"] == status_of("self")["Pid"]
        mine = f"/proc/{os.getpid()}"
        assert os.path.isdir(mine)
        assert os.path.samefile(os.readlink(mine + "/exe"), "/proc/self/exe")
        assert "0" in os.listdir(mine + "/fd")
        try:
            open(f"/proc/{os.getpid()}0000000/status")
        except FileNotFoundError:
            print("nobody else")
    """
    result = run_script(tmp_path, dedent(script))
    assert result.failure is None, result.failure
    assert stdout_of(result, "main/script") == "nobody else\n"


def test_what_is_not_simulated_is_refused_at_the_call_and_noted(tmp_path: Path) -> None:
    text = """
import os, subprocess
calls = lambda: subprocess.run(["true"]), os.fork, lambda: os.system("true"), lambda: os.execv("/bin/true", ["true"])
for call in calls:
    try:
        call()
    except OSError as error:
        print(type(error).__name__, error.call)
"""
    result = run_script(tmp_path, text)
    assert stdout_of(result, "main/script").splitlines() == [
        "NotSimulatedOSError subprocess.Popen",
        "NotSimulatedOSError os.fork",
        "NotSimulatedOSError os.system",
        "NotSimulatedOSError os.execv",
    ]
    assert len(result.notes) == 4


def test_small_programs_that_libraries_ask_are_answered_from_the_image(tmp_path: Path) -> None:
    text = "import ctypes.util, platform\nprint(ctypes.util.find_library('c'), platform.machine() != '')\n"
    text += "platform.processor()\n"
    result = run_script(tmp_path, text)
    assert stdout_of(result, "main/script") == "libc.so.6 True\n"
    assert result.notes == []


def test_modules_that_cannot_work_are_refused_when_they_are_imported(tmp_path: Path) -> None:
    folder = tmp_path / "site-packages"
    (folder / "gevent").mkdir(parents=True)
    (folder / "gevent" / "__init__.py").write_text("")
    text = f"""
import importlib.util, sys
sys.path.append({str(folder)!r})
print(importlib.util.find_spec("gevent") is not None)
try:
    import gevent.socket
except ImportError as error:
    print(type(error).__name__, error.name)
try:
    import pycurl
except ImportError as error:
    print(type(error).__name__, error.name)
"""
    result = run_script(tmp_path, text)
    assert stdout_of(result, "main/script").splitlines() == [
        "True",
        "NotSimulatedImport gevent",
        "ModuleNotFoundError pycurl",
    ]
    allowed = run_script(tmp_path, text, allow=("gevent",))
    assert "ModuleNotFoundError gevent.socket" in stdout_of(allowed, "main/script")


def test_uvloop_is_asyncios_own_loop_with_a_note(tmp_path: Path) -> None:
    folder = tmp_path / "site-packages"
    (folder / "uvloop").mkdir(parents=True)
    (folder / "uvloop" / "__init__.py").write_text("raise RuntimeError('the real one')")
    text = f"""
import asyncio, sys
sys.path.append({str(folder)!r})
import uvloop
async def main():
    return type(asyncio.get_running_loop()).__mro__[1].__name__
print(uvloop.run(main()))
uvloop.install()
print(asyncio.run(main()))
"""
    result = run_script(tmp_path, text)
    assert result.failure is None, result.failure
    assert stdout_of(result, "main/script") == 2 * "_UnixSelectorEventLoop\n"
    assert result.notes == ["uvloop was replaced by asyncio's own loop: its C code does not call the simulated kernel"]


def test_what_lies_beside_the_script_does_not_change_the_run(tmp_path: Path) -> None:
    text = "import json, helper\nprint(sorted({object() for _ in range(9)}, key=id)[0])\n"
    (tmp_path / "helper.py").write_text("class A: pass\n")
    digests = []
    for environment in ({}, {"LONG": "x" * 5000, "MORE": "y"}):
        result = run_script(tmp_path, text, environment=environment)
        digests.append((result.digest, result.events))
        (tmp_path / "left-behind.txt").write_text("by an editor")
    assert digests[0] == digests[1]


def test_a_subprocess_that_is_allowed_runs_for_real_and_talks_to_the_program(tmp_path: Path) -> None:
    text = """
import asyncio, subprocess
print(subprocess.run(["sh", "-c", "exit 4"]).returncode)
print(subprocess.run(["tr", "a-z", "A-Z"], input=b"x" * 200_000 + b"end", capture_output=True).stdout[-5:])
print(subprocess.run(["sh", "-c", "echo out; echo err >&2"], stdout=-1, stderr=subprocess.STDOUT).stdout)
try:
    subprocess.run(["/nonexistent"])
except FileNotFoundError as error:
    print(error)
try:
    subprocess.run(["sleep", "5"], timeout=0.05)
except subprocess.TimeoutExpired:
    print("killed")
async def main():
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print(await process.communicate(b"async"))
asyncio.run(main())
"""
    result = run_script(tmp_path, text, allow=("subprocess.Popen",), environment={"PATH": "/usr/bin:/bin"})
    assert result.failure is None, result.failure
    assert stdout_of(result, "main/script").splitlines() == [
        "4",
        "b'XXEND'",
        "b'out\\nerr\\n'",
        "[Errno 2] No such file or directory: '/nonexistent'",
        "killed",
        "(b'async', None)",
    ]


def test_a_fork_that_is_allowed_reports_to_nobody(tmp_path: Path) -> None:
    text = """
import os, sys
pid = os.fork()
if pid == 0:
    sys.exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    result = run_script(tmp_path, text, allow=("os.fork",))
    assert (result.failure, stdout_of(result, "main/script")) == (None, "3\n")


def test_a_name_that_allows_nothing_is_noted(tmp_path: Path) -> None:
    result = run_script(tmp_path, "", allow=("os.frk", "gevent"))
    assert result.notes == ["--allow os.frk: nothing is refused by this name. Did you mean 'os.fork'?"]


@pytest.mark.parametrize(
    ("call", "status", "error"),
    [
        ("os._exit(0)", 0, None),
        ("os._exit(3)", 3, "exit status 3"),
        ("os.kill(os.getpid(), 15)", -15, "wavetank.errors.ProgramKilled: main/script was killed by signal 15"),
    ],
)
def test_a_program_that_does_not_come_to_its_end(tmp_path: Path, call: str, status: int, error: str | None) -> None:
    result = run_script(tmp_path, f"import os\n{call}\n")
    assert result.status == status
    assert (result.failure.error.partition("\n")[0] if result.failure else None) == error
