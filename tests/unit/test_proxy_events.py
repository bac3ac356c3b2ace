"""The event log, what is kept of it, and the trace that it becomes."""

import threading
from pathlib import Path

import pytest

from tests.support.lines import connected, echo, exactly, serving, to_the_end
from wavetank.errors import EnvironmentProblem, UsageError
from wavetank.faults import Drop, Reset
from wavetank.proxy import FaultProxy, events
from wavetank.proxy.events import EventLog
from wavetank.trace.reading import read_trace

NAMES = ("client", "server")
UP = "client -> server"


def test_events_say_when_where_and_which_byte() -> None:
    with serving(echo) as server, FaultProxy(server.port) as proxy:
        with connected(proxy.port) as client:
            for word in (b"one", b"three"):
                client.sendall(word)
                assert exactly(client, len(word)) == word
        proxy.events.wait("close")
        log = proxy.events
        assert [event.kind for event in log][:5] == ["listen", "accept", "connect", "data", "data"]
        assert [(event.offset, event.size) for event in log.of("data", connection=1, direction=UP)] == [(0, 3), (3, 5)]
        assert [event.kind for event in log.of(connection=1)][-1] == "close"
        times = [event.time_s for event in log]
        assert times == sorted(times)
        assert log.delivered(UP) == 8
    assert len(proxy.events) == len(log)
    assert str(log[-1]).endswith("close")


def test_one_can_wait_for_what_has_yet_to_happen() -> None:
    log = EventLog(NAMES)
    timer = threading.Timer(0.01, lambda: log.add("accept", 1))
    timer.start()
    assert log.wait("accept", connection=1).connection == 1
    timer.join()


def test_what_does_not_happen_is_told_with_what_did() -> None:
    log = EventLog(NAMES)
    log.add("fault", text="packets vanish")
    with pytest.raises(TimeoutError, match=r"no event reset within 0.01 s; the last ones were:\n.*packets vanish"):
        log.wait("reset", timeout=0.01)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"kinds": ("restet",)}, "there is no kind of event 'restet'. Did you mean 'reset'?"),
        ({"direction": "up"}, "there is no direction 'up'; there are client -> server and server -> client"),
    ],
)
def test_a_misspelt_question_is_no_empty_answer(arguments: dict[str, object], line: str) -> None:
    log = EventLog(NAMES)
    with pytest.raises(UsageError) as caught:
        log.of(*arguments.pop("kinds", ()), **arguments)  # type: ignore[misc, arg-type]
    assert str(caught.value) == line


def test_transfers_do_not_push_out_what_is_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_TRANSFERS", 3)
    log = EventLog(NAMES)
    log.add("accept", 1)
    for offset in range(5):
        log.add("data", 1, events.UP, offset, 1)
    log.add("close", 1)
    assert [event.kind for event in log] == ["accept", "data", "data", "data", "close"]
    assert log.forgotten == 2
    assert log.carried == (5, 0)


def test_the_trace_is_one_of_the_simulators(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with serving(echo) as server, FaultProxy(server.port, trace=path) as proxy, connected(proxy.port) as client:
        client.sendall(b"hello")
        assert exactly(client, 5) == b"hello"
        proxy.inject(Drop(target=UP))
        client.sendall(b"gone")
        proxy.events.wait("dropped")
        proxy.clear()
        proxy.inject(Reset(target=f"{UP} #1"))
        assert to_the_end(client) == (b"", "RST")
    records = [(record.verb, record.object, record.detail) for record in read_trace(path)]
    up, down = f"{UP} #1", "server -> client #1"
    assert [each for each in records if each[0] not in ("listen", "note")] == [
        ("accept", up, ""),
        ("connected", up, ""),
        ("segment delivered", up, "5 B"),
        ("segment delivered", down, "5 B"),
        ("fault", "", "packets vanish on client -> server  begins"),
        ("segment dropped", up, "4 B"),
        ("fault", "", "packets vanish on client -> server  ends"),
        ("fault", "", "reset on client -> server #1  begins"),
        ("reset", down, "sent"),
        ("reset", up, "sent"),
        ("close", up, ""),
    ]


def test_a_trace_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"^trace: cannot write .*: No such file or directory$"):
        FaultProxy(1, trace=tmp_path / "missing" / "trace").start()
