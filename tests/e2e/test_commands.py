"""The real command on real programs, from outside: what a user types, sees and gets."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("wavetank")

HELLO = """
import sys
print("hello", *sys.argv[1:])
print("to stderr", file=sys.stderr)
sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
"""

# The client trusts that a reply arrives in one piece: segments or a slow line break it, loopback never does.
TRUSTING = """
import asyncio, sys

async def serve(reader, writer):
    await reader.readexactly(4)
    writer.write(b"x" * 2000)
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 7000)
    reader, writer = await asyncio.open_connection("127.0.0.1", 7000)
    writer.write(b"ping")
    got = await reader.read(4096)
    print("got", len(got))
    assert len(got) == 2000, f"got {len(got)} bytes only"
    writer.close()
    server.close()

asyncio.run(main())
"""

SERVER = """
import socket
with socket.create_server(("0.0.0.0", 7000)) as listener:
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(connection.recv(100).upper())
"""

CLIENT = """
import socket, sys, time
for attempt in range(50):
    try:
        with socket.create_connection(("db", 7000), timeout=5) as connection:
            connection.sendall(b"hello")
            print(connection.recv(100).decode())
            break
    except ConnectionRefusedError:
        time.sleep(0.1)
else:
    sys.exit("no server")
"""

SCENARIO = """
import asyncio

async def serve(port):
    async def handle(reader, writer):
        writer.write(await reader.readline())
        writer.close()
    async with await asyncio.start_server(handle, "0.0.0.0", port) as server:
        await server.serve_forever()

async def ask(port):
    reader, writer = await asyncio.open_connection("server", port)
    writer.write(b"question\\n")
    answer = await reader.read()
    writer.close()
    return answer

def question(world):
    world.host("server").run(serve, 7000)
    world.sleep(1)
    assert world.host("client").run(ask, 7000).result(timeout=60) == b"question\\n"

def wrong(world):
    world.sleep(2)
    assert world.now < 1, "too late"
"""


# Its error tells where its objects lie: the severest judge of whether two runs are one.
ADDRESSES = """
import asyncio, hashlib
seen = []

def note():
    class Thing: pass
    some = (object(), [1], {1: 2}, 1e9 + len(seen), Thing(), Thing, bytes(100), "x" * (len(seen) % 300), lambda: 0)
    seen.extend(id(each) for each in some)

async def serve(reader, writer):
    while line := await reader.readline():
        note()
        writer.write(line * 50)
        await writer.drain()
    writer.close()

async def client(number):
    reader, writer = await asyncio.open_connection("localhost", 7000)
    for turn in range(5):
        writer.write(b"%d %d\\n" % (number, turn))
        for _ in range(50):
            await reader.readline()
        note()
    writer.close()
    await writer.wait_closed()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 7000)
    await asyncio.gather(*(client(number) for number in range(4)))
    server.close()
    await asyncio.get_running_loop().run_in_executor(None, note)

asyncio.run(main())
assert False, hashlib.sha256(repr(seen).encode()).hexdigest()
"""


class Said:
    """What a command gave."""

    def __init__(self, done: "subprocess.CompletedProcess[str]") -> None:
        self.status = done.returncode
        self.out = done.stdout
        self.err = done.stderr
        self.last_line = done.stdout.rstrip("\n").rpartition("\n")[2]

    def __repr__(self) -> str:
        return f"<status {self.status}\n{self.out}\n--- stderr\n{self.err}>"


Say = Callable[..., Said]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    texts = {
        "hello.py": HELLO, "trusting.py": TRUSTING, "server.py": SERVER, "client.py": CLIENT, "cluster.py": SCENARIO,
        "addresses.py": ADDRESSES,
    }  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def say(here: Path) -> Say:
    def run(*words: str, cwd: Path = here, **environment: str) -> Said:
        done = subprocess.run(
            [COMMAND, *words],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            env=os.environ | environment,
        )
        assert "Traceback" not in done.stderr or "wavetank/" not in done.stderr
        return Said(done)

    return run


def digest_of(said: Said) -> str:
    found = re.search(r"digest (\w+)", said.out)
    assert found is not None, said
    return found[1]


# ---- run


def test_run_shows_the_programs_output_and_its_status(say: Say) -> None:
    found = say("run", "hello.py", "--", "0", "world")
    assert found.status == 0
    assert found.out.startswith("hello 0 world\n")
    assert "to stderr\n" in found.err
    assert "hello.py: exit status 0" in found.out


def test_a_status_that_is_not_0_is_a_failure(say: Say) -> None:
    found = say("run", "hello.py", "--", "3")
    assert found.status == 1
    assert "hello.py: exit status 3" in found.out
    assert found.last_line.startswith("wavetank replay ")


def test_run_is_calm(say: Say) -> None:
    found = say("run", "trusting.py")
    assert found.status == 0
    assert "got 2000" in found.out


# ---- explore and replay


def test_explore_finds_what_the_calm_world_hides_and_replay_gives_it_again(say: Say) -> None:
    found = say("explore", "trusting.py", "--faults", "segments")
    assert found.status == 1
    error = re.search(r"FAILURE  (AssertionError: got \d+ bytes only)", found.out)
    assert error is not None
    assert "trusting.py:16 in main" in found.out
    assert "segments of at most" in found.out
    for _ in range(2):
        again = say(*found.last_line.split()[1:])
        assert again.status == 1
        assert again.out.startswith("trusting.py: fails as before, digest ")
        assert error[0] in again.out
        assert again.last_line == found.last_line


def test_the_number_of_workers_changes_nothing(say: Say) -> None:
    one, two = (
        json.loads(say("explore", "trusting.py", "--faults", "segments", "--workers", workers, "--json").out)
        for workers in ("1", "2")
    )
    assert one["runs"] == two["runs"]
    assert one["failures"] == two["failures"]


def test_explore_finds_nothing_in_a_good_program(say: Say) -> None:
    found = say("explore", "cluster.py::question", "--runs", "20")
    assert found.status == 0
    assert found.out.startswith("cluster.py::question: no failure in 20 runs")


def test_the_digest_is_the_same_wherever_a_run_is_started_from(say: Say, here: Path, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    words = ("--seed", "7", "--faults", "mild")
    digest = digest_of(say("run", "cluster.py::question", *words))
    assert digest_of(say("run", "cluster.py::question", *words)) == digest
    assert digest_of(say("run", f"{here}/cluster.py::question", *words, cwd=elsewhere)) == digest
    assert digest_of(say("run", "cluster.py::question", *words, "--limit-real", "50s", "--dir", "other")) == digest
    assert digest_of(say("run", "cluster.py::question", *words, SOMETHING="long" * 1000)) == digest
    program = f"""
import sys
sys.path.insert(0, {str(here)!r})
import wavetank
from cluster import question
outcome = wavetank.run(question, seed=7, faults="mild")
assert outcome.ok, outcome
print("digest", outcome.digest, len(outcome.trace))
"""
    (here / "from_python.py").write_text(program)
    python = subprocess.run([sys.executable, here / "from_python.py"], capture_output=True, text=True, check=False)
    assert digest_of(Said(python)) == digest


@pytest.mark.parametrize("seed", ["0", "5", "8", "9"])
def test_every_object_lies_where_it_lay(
    say: Say, here: Path, tmp_path_factory: pytest.TempPathFactory, seed: str
) -> None:
    """By seed, by choices, traced or not, replayed, with another environment: not one address may differ."""
    if "addresses   fixed" not in say("doctor").out:
        pytest.skip("this machine refuses fixed addresses (personality(2))")
    words = ("run", f"{here}/addresses.py", "--faults", "mild", "--seed", seed, "--json")
    found = say(*words)
    assert found.status == 1, found  # 6 would be: the same run by its choices, traced, had another error
    (failure,) = json.loads(found.out)["failures"]
    elsewhere = tmp_path_factory.mktemp("a-longer-name-for-a-folder-elsewhere")
    other = say(*words, cwd=elsewhere, SOMETHING="long" * 1000, TMPDIR=str(elsewhere))
    assert json.loads(other.out)["failures"][0]["error"] == failure["error"]
    again = say("replay", failure["file"], "--trace", "--json")
    assert json.loads(again.out)["failures"][0]["error"] == failure["error"]


def test_a_failing_scenario_shows_the_users_line(say: Say) -> None:
    found = say("explore", "cluster.py::wrong", "--runs", "3")
    assert found.status == 1
    assert "FAILURE  AssertionError: too late" in found.out
    assert 'assert world.now < 1, "too late"' in found.out
    assert "wavetank/" not in found.out.replace(".wavetank/", "")


def test_replay_prints_the_trace(say: Say) -> None:
    file = say("explore", "trusting.py", "--faults", "segments").last_line.split()[-1]
    found = say("replay", file, "--trace")
    assert found.status == 1
    assert "connect" in found.out


def test_a_repaired_program_no_longer_fails(say: Say, here: Path) -> None:
    file = say("explore", "trusting.py", "--faults", "segments").last_line.split()[-1]
    (here / "trusting.py").write_text(TRUSTING.replace("reader.read(4096)", "reader.readexactly(2000)"))
    found = say("replay", file)
    assert found.status == 0
    assert "no longer fails" in found.out
    assert "changed" in found.err
    assert say("replay", file, "--strict").status == 4


def test_a_script_on_each_host(say: Say) -> None:
    found = say("run", "--host", "db=server.py", "--host", "app=client.py")
    assert found.status == 0, found
    assert "HELLO" in found.out


# ---- programs that do not end, or not in order


def test_a_program_that_waits_for_ever_hangs(say: Say, here: Path) -> None:
    (here / "waits.py").write_text("import asyncio\nasyncio.run(asyncio.Event().wait())\n")
    data = json.loads(say("run", "waits.py", "--json").out)
    assert data["failures"][0]["kind"] == "hang"


def test_a_program_that_sleeps_beyond_the_limit_hangs(say: Say, here: Path) -> None:
    (here / "sleeps.py").write_text("import time\nwhile True: time.sleep(60)\n")
    data = json.loads(say("run", "sleeps.py", "--limit-virtual", "5m", "--json").out)
    assert data["failures"][0]["kind"] == "hang"


def test_a_program_that_burns_the_processor_spins(say: Say, here: Path) -> None:
    (here / "spins.py").write_text("def spin():\n    while True:\n        pass\n\nspin()\n")
    data = json.loads(say("run", "spins.py", "--limit-real", "1s", "--json").out)
    assert data["failures"][0]["kind"] == "spin"
    assert data["failures"][0]["where"].startswith("spins.py:")


def test_a_run_that_does_not_repeat_is_reported_as_such(say: Say, here: Path) -> None:
    # The file is real: what one run leaves there, the next one sees.
    (here / "grows.py").write_text(
        "import time\nwith open('grows.txt', 'a+') as file:\n    file.write('x')\n    size = file.tell()\n"
        "time.sleep(size)\nassert False, size\n"
    )
    found = say("explore", "grows.py", "--runs", "3")
    assert found.status == 6
    assert "nondeterminism" in found.out
    assert "the runs part at event " in found.out
    assert say("run", "grows.py", "--private-cwd").status == 1


def test_failures_found_before_are_tried_first_and_reported_apart(here: Path) -> None:
    (here / "counts.py").write_text("import sys\nsys.exit(3)\n")
    words = [COMMAND, "explore", "counts.py", "--runs", "2"]
    assert subprocess.run(words, cwd=here, capture_output=True, check=False).returncode == 1
    (here / ".wavetank/failures/broken.json").write_text("{")
    again = subprocess.run(words, cwd=here, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert again.stdout.startswith("counts.py: 1 stored failure of earlier, 1 still there\n")
    assert "still fails, exception: exit status 3" in again.stdout
    assert "broken.json" in again.stderr
    [failure] = (here / ".wavetank/failures").glob("counts*.json")
    for number in range(20):
        shutil.copy(failure, failure.with_stem(f"copy{number}"))
    many = subprocess.run(words, cwd=here, capture_output=True, text=True, check=False)
    assert many.stdout.startswith("counts.py: 20 stored failures of earlier, 20 still there\n")
    assert "note: 1 older stored failure not run again" in many.stderr
    for number in range(20):
        failure.with_stem(f"copy{number}").unlink()
    (here / "counts.py").write_text("import sys\nsys.exit(0)\n")
    mended = subprocess.run([*words, "--json"], cwd=here, capture_output=True, text=True, check=False)
    assert mended.returncode == 0, mended.stdout
    assert [each["fails"] for each in json.loads(mended.stdout)["stored"]] == [False]


def test_ctrl_c_ends_a_campaign_and_reports_it(here: Path) -> None:
    begun = here / "begun"
    (here / "marks.py").write_text("open('begun', 'w').close()\n")
    with subprocess.Popen(
        [COMMAND, "explore", "marks.py", "--runs", "1000000"], cwd=here, stdout=subprocess.PIPE, text=True
    ) as running:
        while not begun.exists() and running.poll() is None:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=30)
    assert running.returncode == 130
    assert re.match(r"marks\.py: no failure in [\d,]+ runs?, [\d.]+ s, stopped by Ctrl-C", out)


# ---- mistakes


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["run", "nothing.py"], 2),
        (["run", "cluster.py::nothing"], 2),
        (["run", "no_such_module:function"], 2),
        (["run", "cluster:nothing"], 2),
        (["run", "cluster.py"], 5),
        (["explore", "hello.py", "--faults", "nothing"], 2),
        (["explore", "hello.py", "--runs", "0"], 2),
        (["explore", "hello.py", "--dir", "/proc/x"], 4),
        (["nothing"], 2),
    ],
)
def test_mistakes(say: Say, words: list[str], status: int) -> None:
    found = say(*words)
    assert found.status == status, found
    assert found.out == ""
    assert found.err.startswith("wavetank: ")


def test_a_script_that_is_not_python(say: Say, here: Path) -> None:
    (here / "broken.py").write_text("def f(:\n")
    found = say("run", "broken.py")
    assert found.status == 2
    assert "broken.py is not valid Python" in found.err


def test_nothing_reaches_the_real_network(say: Say, here: Path) -> None:
    (here / "outside.py").write_text("import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=5)\n")
    found = say("run", "outside.py")
    assert found.status == 1
    assert "192.0.2.1" in found.out


def test_faults_that_aim_at_hosts_find_the_hosts_of_a_scenario(say: Say) -> None:
    words = ("--faults", "partition", "--limit-virtual", "2s")  # enough when nothing is in the way
    found = say("explore", "cluster.py::question", *words)
    assert "does not apply" not in found.err
    assert re.search(r"partition (client|server|\*) (\||->) (client|server|\*) for", found.out), found


def test_a_scenario_in_a_package_imports_its_siblings_and_its_parents(say: Say, here: Path) -> None:
    inner = here / "project" / "tests" / "net"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        (folder / "__init__.py").touch()
    (inner.parent / "support.py").write_text("WORD = 'hello'\n")
    (inner / "near.py").write_text("from ..support import WORD\n")
    imports = "from tests.support import WORD\nfrom . import near\n"
    (inner / "scenarios.py").write_text(f"{imports}def go(world):\n    print(WORD, near.WORD, __name__)\n")
    said = say("run", "project/tests/net/scenarios.py::go")
    assert said.out.splitlines()[0] == "hello hello tests.net.scenarios", said


def test_local_time_is_utc_wherever_the_user_is(say: Say, here: Path) -> None:
    (here / "zone.py").write_text(
        "import os, time\nprint(os.environ['TZ'], time.tzname[0], time.localtime().tm_hour)\n"
    )
    assert say("run", "zone.py", TZ="Asia/Tokyo").out.splitlines()[0] == "UTC UTC 0"


def test_the_private_folder_has_one_name(say: Say, here: Path) -> None:
    (here / "mine.py").write_text(
        "import os, pathlib, socket, tempfile\n"
        "place = tempfile.mkdtemp()\n"
        "print(place, os.path.realpath(place) == place, str(pathlib.Path(place).resolve(strict=True)) == place)\n"
        "os.chdir(place)\n"
        "pathlib.Path('file').touch()\n"
        "os.symlink('file', 'link')\n"
        "print(os.getcwd() == place, os.getcwdb() == place.encode(), os.path.abspath('a/../b') == place + '/b')\n"
        "print(os.path.realpath('link') == place + '/file', os.path.realpath('..') == tempfile.gettempdir())\n"
        "print(os.path.samefile(place, '.'), pathlib.Path.home().resolve() == pathlib.Path.home())\n"
        "for length in 107, 108:  # of a name below /tmp\n"
        "    name = tempfile.gettempdir() + '/' + 'x' * (length - len('/tmp/'))\n"
        "    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:\n"
        "        try:\n"
        "            listening.bind(name)\n"
        "        except OSError as error:\n"
        "            print(error)\n"
        "            continue\n"
        "        listening.listen()\n"
        "        client.connect(name)\n"
        "        print(client.getpeername() == name)\n"
    )
    name, *found = say("run", "mine.py").out.splitlines()
    assert re.fullmatch(r"/proc/self/fd/199/tmp/\w+ True True", name)
    expected = ["True True True", "True True", "True True", "True", "AF_UNIX path too long"]
    assert found[: len(expected)] == expected, found
