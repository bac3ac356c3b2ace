"""What a failure says, and that the test it ends with fails where it was made and passes when the bug is gone."""

import pickle
from typing import Any

import pytest

from tests.unit import test_check_protocols as protocols
from wavetank.check import CheckFailed, check_protocol

REPORT = """\
what the protocol does depends on how its input is cut
  where: 7 bytes in pieces of 6 and 1
  why: the output differs

The input:
  > hello\\r
  > \\n

  7 bytes in one piece                               7 bytes in pieces of 6 and 1
  ------------------------------------------------   ------------------------------------------------
  <hello>\\r\\n                                        <hello>\\r\\n
                                                   | <>\\r\\n

A regression test:

from wavetank.check import play

from tests.unit.test_check_protocols import Split


def test_the_cut_does_not_matter():
    expected = play(Split, [b'hello\\r\\n'])
    outcome = play(Split, [b'hello\\r', b'\\n'])
    assert outcome.differences(expected) == []"""


def failure(protocol: object, conversation: object = protocols.LINES, **options: object) -> CheckFailed:
    with pytest.raises(CheckFailed) as caught:
        check_protocol(protocol, conversation, **options)  # type: ignore[arg-type]
    return caught.value


def test_the_whole_text_of_a_failure() -> None:
    assert str(failure(protocols.Split, b"hello\r\n")) == REPORT


def test_a_failure_crosses_processes() -> None:
    error = failure(protocols.Split, b"hello\r\n")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("protocol", "conversation"),
    [
        ("Split", protocols.LINES),
        ("Joined", protocols.LINES.splitlines(keepends=True)),
        ("Raises", protocols.LINES),
        ("RaisesAtEof", protocols.LINES),
        ("RaisesWhenLost", protocols.LINES),
        ("NeverEnds", protocols.LINES),
        ("WritesLater", protocols.LINES),
        ("TwoLines", protocols.LINES),
        ("AnswersLate", protocols.LINES),
        ("Flood", [b"x" * 1000] * 80),
    ],
)
def test_the_regression_test_runs(protocol: str, conversation: object) -> None:
    error = failure(getattr(protocols, protocol), conversation)
    space: dict[str, Any] = {}
    exec(error.test, space)
    (test,) = (value for name, value in space.items() if name.startswith("test_"))
    with pytest.raises(AssertionError):  # CheckFailed is one
        test()
    space[protocol] = protocols.Polite if protocol in ("Flood", "Hoards") else protocols.Line
    test()


def test_a_factory_without_a_name_is_left_to_the_reader() -> None:
    error = failure(lambda: protocols.Split(), b"hello\r\n")
    assert "factory = ...  # what was given as factory" in error.test


def test_long_input_is_written_shortly() -> None:
    error = failure(protocols.Flood, [b"x" * 1000] * 80)
    assert len(error.test) < 500
    assert "b'x' * 1000" in error.test
