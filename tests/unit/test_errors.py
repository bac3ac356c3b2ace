"""The tree of exceptions: whole texts, exit statuses, pickles, and what programs read from a refusal."""

import copy
import errno
import os
import pickle

import pytest

from wavetank import errors
from wavetank.errors import (
    CheckFailed,
    ContractViolation,
    EnvironmentProblem,
    FailureFileError,
    InternalError,
    KernelError,
    Nondeterminism,
    NothingToRun,
    NotSimulated,
    NotSimulatedImport,
    NotSimulatedOSError,
    OutsideWorld,
    PlanError,
    PortTaken,
    ProgramKilled,
    ProgramUnusable,
    ServerDied,
    ServerError,
    ServerNotReady,
    ServerStopError,
    TraceError,
    UsageError,
    WavetankError,
    did_you_mean,
)

EXAMPLES: list[tuple[WavetankError, int, str]] = [
    (
        UsageError("seed -1 is out of range", where="--seed -1", why="seeds start at 0", next="wavetank run --help"),
        2,
        "seed -1 is out of range\n  where: --seed -1\n  why: seeds start at 0\n  next: wavetank run --help",
    ),
    (UsageError("no target"), 2, "no target"),
    (PlanError("seed must be a whole number", where="p.json"), 2, "seed must be a whole number\n  where: p.json"),
    (FailureFileError("no such failure file", where="f"), 2, "no such failure file\n  where: f"),
    (TraceError("no such trace file", where="t"), 2, "no such trace file\n  where: t"),
    (EnvironmentProblem("cannot write here", where="/x"), 4, "cannot write here\n  where: /x"),
    (NothingToRun("no function in a.py"), 5, "no function in a.py"),
    (Nondeterminism("two runs differ", where="event 7"), 6, "two runs differ\n  where: event 7"),
    (
        InternalError("a child answered nonsense"),
        3,
        "a child answered nonsense\n"
        "  why: this is a defect of Wavetank, not of your program\n"
        "  next: report it with this text, the command line, the seed and the output of `wavetank doctor`",
    ),
    (
        KernelError("7 bytes appeared", host="db", connection="app:40001 -> db:80", time_ns=1_500_000_001),
        3,
        "7 bytes appeared\n"
        "  where: host db, connection app:40001 -> db:80, virtual time 1.500000001 s\n"
        "  why: this is a defect of Wavetank, not of your program\n"
        "  next: report it with this text, the command line, the seed and the output of `wavetank doctor`",
    ),
    (
        ProgramKilled("db/serve was killed by signal 9", where="at 3.000000 s"),
        1,
        "db/serve was killed by signal 9\n  where: at 3.000000 s",
    ),
    (ServerError("redis misbehaved", where="w"), 1, "redis misbehaved\n  where: w"),
    (ProgramUnusable("program 'x' not found", where="/bin"), 4, "program 'x' not found\n  where: /bin"),
    (PortTaken("port 1 already belongs to pid 2", next="n"), 1, "port 1 already belongs to pid 2\n  next: n"),
    (ServerNotReady("x was not ready after 3 s"), 1, "x was not ready after 3 s"),
    (ServerDied("x exited with status 3"), 1, "x exited with status 3"),
    (ServerStopError("x ignored SIGTERM for 5.0 s"), 1, "x ignored SIGTERM for 5.0 s"),
    (
        ContractViolation("made-first", "asyncio/protocols.py", ["data_received(3 bytes)"], where="stream"),
        1,
        "the rule made-first is broken\n"
        "  where: stream\n"
        "  why: asyncio/protocols.py\n"
        "  calls, the last is the one:\n"
        "    data_received(3 bytes)",
    ),
    (
        CheckFailed("cut", "it differs", where="2 pieces", why="the output", report="a | b", test="def test(): ..."),
        1,
        "it differs\n  where: 2 pieces\n  why: the output\n\na | b\n\nA regression test:\n\ndef test(): ...",
    ),
    (
        NotSimulated("fcntl.ioctl(SIOCGIFADDR)", "there are no network cards"),
        1,
        "fcntl.ioctl(SIOCGIFADDR) is not simulated\n"
        "  why: there are no network cards\n"
        "  next: to let it through to the real system, at the price of repeatable runs: "
        "--allow fcntl.ioctl(SIOCGIFADDR)",
    ),
    (
        NotSimulatedOSError("os.fork", "a process of the real system would leave the world", where="host db"),
        1,
        "os.fork is not simulated\n"
        "  where: host db\n"
        "  why: a process of the real system would leave the world\n"
        "  next: to let it through to the real system, at the price of repeatable runs: --allow os.fork",
    ),
    (
        OutsideWorld("connect", "203.0.113.7:443", where="host app"),
        1,
        "connect: 203.0.113.7:443 is outside the world\n"
        "  where: host app\n"
        "  why: 203.0.113.7:443 is the address of no host of this world, and nothing leaves to the real network\n"
        "  next: give the world that host: --host NAME=SCRIPT, or world.host(NAME, addresses=[...])",
    ),
    (
        NotSimulatedImport("gevent", "its loop is C code of its own"),
        1,
        "import gevent is not simulated\n"
        "  why: its loop is C code of its own\n"
        "  next: to import it all the same, at the price of repeatable runs: --allow gevent",
    ),
]
IDS = [type(error).__name__ for error, _, _ in EXAMPLES]


@pytest.mark.parametrize(("error", "status", "text"), EXAMPLES, ids=IDS)
def test_every_error_has_its_text_and_its_exit_status(error: WavetankError, status: int, text: str) -> None:
    assert str(error) == text
    assert error.exit_status == status


@pytest.mark.parametrize("error", [error for error, _, _ in EXAMPLES], ids=IDS)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_a_pickle_and_a_copy(error: WavetankError, protocol: int) -> None:
    for again in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.args == error.args
        assert vars(again) == vars(error)


def test_notes_cross_with_the_error() -> None:
    error = OutsideWorld("connect", "203.0.113.7:443")
    error.add_note("in run 3")
    again = pickle.loads(pickle.dumps(error))
    assert again.__notes__ == ["in run 3"]
    assert again.errno == errno.ENETUNREACH


def test_every_class_of_the_module_is_in_the_tree_and_shown_here() -> None:
    classes = {
        value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert all(issubclass(each, WavetankError) for each in classes)
    assert {each.__name__ for each in classes} == {*IDS, "WavetankError"}


def test_a_refused_call_is_the_os_error_that_programs_know() -> None:
    error = NotSimulatedOSError("os.fork")
    assert isinstance(error, OSError)
    assert isinstance(error, NotSimulated)
    assert error.errno == errno.ENOSYS
    assert error.args[0] == errno.ENOSYS
    assert error.strerror == f"os.fork is not simulated ({os.strerror(errno.ENOSYS)})"
    assert NotSimulatedOSError("os.fork", errno=errno.EPERM).errno == errno.EPERM
    assert pickle.loads(pickle.dumps(NotSimulatedOSError("os.fork", errno=errno.EPERM))).errno == errno.EPERM


def test_an_address_outside_the_world_is_an_unreachable_network() -> None:
    with pytest.raises(OSError, match="outside the world") as caught:
        raise OutsideWorld("connect", "203.0.113.7:443")
    assert caught.value.errno == errno.ENETUNREACH


def test_a_refused_import_is_an_import_error_with_the_name_of_the_module() -> None:
    error = NotSimulatedImport("gevent")
    assert isinstance(error, ImportError)
    assert error.name == "gevent"
    assert error.msg == "import gevent is not simulated"


def test_a_broken_assertion_may_say_its_place_in_its_own_words() -> None:
    assert KernelError("a stopped world was resumed", where="at 0.5 s").where == "at 0.5 s"
    assert KernelError("the heap is empty").where == ""


def test_an_error_without_words_shows_its_name() -> None:
    assert str(WavetankError()) == "WavetankError"


def test_a_misspelt_word_suggests_the_nearest_and_a_strange_one_nothing() -> None:
    assert did_you_mean("latncy", ["loss", "latency"]) == " Did you mean 'latency'?"
    assert did_you_mean("xyz", ["loss", "latency"]) == ""
