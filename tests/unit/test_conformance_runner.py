"""Cases on real loops: each in a process of its own, what crashes or hangs costs one case; the command; the suite."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from wavetank.conformance import runner, targets
from wavetank.conformance.cases import CASES
from wavetank.conformance.ledger import entries
from wavetank.errors import EnvironmentProblem, UsageError

COMMAND = Path(sys.executable).with_name("wavetank")
#: Some of each sort, and all that a ledger entry is about and that does not wait for what never comes.
QUICK = [
    "data-eof-lost", "close-ends-both", "eof-kept-open", "pause-in-made", "reset", "write-big", "no-pause-at-the-mark",
    "data-raises", "set-protocol-in-data", "unix-exchange", "tls-exchange", "sendfile", "buffered-small-buffer",
    "datagram-refused", "read-pipe", "process-output", "server-again-on-the-port", "connect-cancelled-later",
]  # fmt: skip
KNOWN = sorted({entry.case for entry in entries() if entry.family == "asyncio"} & {*CASES})


def test_ordinary_cases_pass_on_asyncio() -> None:
    results = list(runner.run_cases(targets.loop_target("asyncio"), QUICK))
    assert [(row.name, row.verdict, row.complaints) for row in results] == [(name, "ok", []) for name in QUICK]


def test_ordinary_cases_pass_on_twisted() -> None:
    names = [name for name in QUICK if "asyncio" not in CASES[name].wants]
    results = list(runner.run_cases(targets.reactor_target("epoll"), names))
    assert [(row.name, row.complaints) for row in results if row.is_new] == []
    assert [row.name for row in results if row.verdict == "not offered"] == []


#: The differences of the contract's table that each target has, beside those of some versions of Python.
DIFFERENCES = {
    "asyncio": {2, 7, 8, 9, 10, 11, 12, 15, 17, 18},
    "uvloop": {1, 2, 3, 6, 7, 8, 9, 11, 12, 14, 16, 17, 19, 20},
}
BY_VERSION = {4: ((3, 12), (3, 15)), 14: ((3, 12), (3, 15)), 13: ((3, 13), (3, 14)), 16: ((3, 11), (3, 12))}


#: Difference 10 has a script of its own, and many scenarios that show the same.
ABORTING = {name for name in CASES if "abort-in-resume" in name}


@pytest.mark.parametrize("loop", [*DIFFERENCES])
def test_every_difference_is_found_by_name(loop: str) -> None:
    wanted = set(DIFFERENCES[loop])
    if loop == "asyncio":
        wanted |= {number for number, (first, end) in BY_VERSION.items() if first <= sys.version_info < end}
    named = {entry.case: entry.difference for entry in entries() if entry.family == loop and entry.difference in wanted}
    shown = {*named} - ABORTING
    results = list(runner.run_cases(targets.loop_target(loop), shown))
    assert [row.name for row in results if row.is_new] == []
    assert {named[row.name] for row in results if row.verdict == "known"} == wanted


class Crashing(asyncio.SelectorEventLoop):
    def create_server(self, *args: Any, **keywords: Any) -> Any:
        os.kill(os.getpid(), signal.SIGSEGV)


class Hanging(asyncio.SelectorEventLoop):
    def create_server(self, *args: Any, **keywords: Any) -> Any:
        while True:
            time.sleep(1)


class Lacking(asyncio.SelectorEventLoop):
    create_unix_server = None  # type: ignore[assignment]  # as of a loop that has none


def verdict(factory: Any, case: str, **options: Any) -> runner.Result:
    return runner.run_case(targets.of_factory(factory), case, **options)


def test_a_loop_that_crashes_the_interpreter_costs_one_case() -> None:
    result = verdict(Crashing, "close-ends-both")
    assert (result.verdict, result.complaints) == ("crashed", ["the interpreter was ended by SIGSEGV"])


def test_a_loop_that_hangs_costs_one_case() -> None:
    result = verdict(Hanging, "close-ends-both", limit_s=0.3)
    assert (result.verdict, result.complaints) == ("hung", ["not over after 0.3 s"])


def test_a_call_that_a_loop_lacks_is_not_offered() -> None:
    result = verdict(Lacking, "unix-exchange")
    assert (result.verdict, result.note) == ("not offered", "create_unix_server")


def no_loop() -> int:
    return 5


@pytest.mark.parametrize(
    ("making", "error", "text"),
    [
        (lambda: targets.of_factory(no_loop), UsageError, "made a int, which is neither an asyncio loop nor"),
        (lambda: targets.of_factory(lambda: 1 / 0), UsageError, "failed: ZeroDivisionError"),
        (lambda: targets.loop_target("uvlop"), UsageError, "--loop uvlop: no such name. Did you mean 'uvloop'?"),
        (lambda: targets.loop_target("no_such_module:new"), EnvironmentProblem, "No module named 'no_such_module'"),
        (lambda: targets.loop_target("asyncio:no_such"), UsageError, "has no attribute 'no_such'"),
        (lambda: targets.reactor_target("epol"), UsageError, "Did you mean 'epoll'?"),
        (lambda: targets.any_target("uvlop"), UsageError, "no target 'uvlop'"),
        (lambda: runner.known_names(["pause-in-mad"]), UsageError, "Did you mean 'pause-in-made'?"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(making: Any, error: type, text: str) -> None:
    with pytest.raises(error) as caught:
        making()
    assert text in str(caught.value)
    assert caught.value.next


def wavetank(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "conform", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=os.environ | {"NO_COLOR": "1"},
    )


def test_the_command_shows_one_case_with_its_script() -> None:
    done = wavetank("--case", "close-twice")
    assert done.returncode == 0
    assert "close-twice                                ok" in done.stdout
    assert "| client close" in done.stdout
    assert "1 case: 1 ok" in done.stdout


def test_the_command_gives_json() -> None:
    done = wavetank("--json", "--case", "close-in-resumed", "--case", "reset")
    data = json.loads(done.stdout)
    assert data["schema"] == 1
    (target,) = data["targets"]
    assert (target["target"], target["counts"]) == ("asyncio", {"known": 1, "ok": 1})
    assert "gh-156512" in target["cases"][0]["note"]
    assert done.returncode == 0


def test_a_new_failure_is_exit_status_1(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "import asyncio\nfrom asyncio import selector_events as s\n\n\n"
        "class Transport(s._SelectorSocketTransport):\n    def pause_reading(self):\n        pass\n\n\n"
        "class Loop(asyncio.SelectorEventLoop):\n"
        "    def _make_socket_transport(self, sock, protocol, waiter=None, *, extra=None, server=None):\n"
        "        return Transport(self, sock, protocol, waiter, extra, server)\n"
    )
    done = subprocess.run(
        [COMMAND, "conform", "--loop", "broken:Loop", "--case", "pause-holds-data"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "client: made, data 5, mark quiet; allowed: made, mark quiet, data 5" in done.stdout


def test_both_grounds_agree() -> None:
    done = wavetank(
        "--ground", "both", "--json", "--case", "reset", "--case", "write-eof", "--case", "close-in-resumed"
    )
    real, simulated = json.loads(done.stdout)["targets"]
    assert (real["ground"], simulated["ground"]) == ("real", "simulated")
    assert [case["heard"] for case in real["cases"]] == [case["heard"] for case in simulated["cases"]]
    assert [case["verdict"] for case in simulated["cases"]] == ["ok", "ok", "known"]
    assert done.returncode == 0


class OverUnix:
    """An adapter as a user writes it."""

    async def listen(self, loop: Any, factory: Any) -> Any:
        self.path = f"/tmp/wavetank-test-{os.getpid()}"
        return await loop.create_unix_server(factory, self.path)

    async def connect(self, loop: Any, factory: Any, listening: Any) -> Any:
        try:
            return await loop.create_unix_connection(factory, self.path)
        finally:
            os.unlink(self.path)


def test_transports_of_ones_own_by_an_adapter() -> None:
    target = targets.replace(targets.loop_target("asyncio"), endpoint=OverUnix)
    names = ["close-ends-both", "write-big", "write-eof", "abort-with-full-buffers", "data-eof-lost", "tls-exchange"]
    results = {row.name: row.verdict for row in runner.run_cases(target, names)}
    assert results == dict.fromkeys(names[:4], "ok") | dict.fromkeys(names[4:], "not offered")


def test_a_misspelt_option_is_usage() -> None:
    done = wavetank("--case", "pause-in-mad")
    assert done.returncode == 2
    assert "Did you mean 'pause-in-made'?" in done.stderr


def test_the_list_names_every_case() -> None:
    assert [line.split()[0] for line in wavetank("--list").stdout.splitlines()] == [*CASES]


def test_two_lines_make_a_suite_of_another_project(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio
        from wavetank.conformance import suite

        test_conformance = suite(
            asyncio.new_event_loop, cases=["close-twice", "close-in-resumed", "connect-with-happy-eyeballs"]
        )
        """
    )
    done = pytester.runpytest_inprocess("-p", "no:randomly", "-q")
    done.assert_outcomes(passed=2, xfailed=1)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("ground", ["real", "simulated"])
@pytest.mark.parametrize("target", ["asyncio", "twisted-select", "twisted-epoll"])
def test_nothing_new_on_any_case(target: str, ground: str, record_property: Any) -> None:
    began = time.monotonic()
    found = targets.any_target(target)
    if ground == "real":
        results = list(runner.run_cases(found))
    else:
        from wavetank.conformance import simulated

        results = list(simulated.run_cases(found, CASES))
    record_property("seconds", round(time.monotonic() - began, 1))
    assert [(row.name, row.complaints) for row in results if row.is_new] == []
