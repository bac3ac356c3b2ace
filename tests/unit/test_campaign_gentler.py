"""What is gentler than a fault."""

from __future__ import annotations

import pytest

from wavetank.campaign.gentler import candidates
from wavetank.faults import AnyFault, Eof, Latency, Loss, Reset, Stall

SENT = {"a -> b:80 #1": 90, "b:80 -> a #1": 400}


def gentler(fault: AnyFault) -> list[str]:
    return [str(each) for each in candidates(fault, SENT)]


@pytest.mark.parametrize(
    ("fault", "some"),
    [
        (Eof(target="connecting | accepting"), ["0.00 s: end of stream on connecting -> accepting",
                                                "0.00 s: end of stream on accepting -> connecting"]),
        (Eof(after_bytes=17, target="a -> b"), ["0.00 s: end of stream after 400 bytes on a -> b",
                                                "0.00 s: end of stream after 90 bytes on a -> b"]),
        (Reset(after_bytes=100, target="a | b #2"), ["0.00 s: reset after 100 bytes on a -> b #2",
                                                     "0.00 s: reset after 400 bytes on a | b #2"]),
        (Reset(when="send #3", target="a -> b"), ["at send #19: reset on a -> b", "at send #4: reset on a -> b"]),
        (Stall(duration_s=16.0), ["0.00 s: stalled reader for 1 s", "0.00 s: stalled reader for 8 s"]),
        (Latency(delay_s=0.1, jitter_s=0.2), ["0.00 s: latency 0.1 s", "0.00 s: latency 0 s, jitter 0.2 s"]),
    ],
)  # fmt: skip
def test_the_gentlest_comes_first(fault: AnyFault, some: list[str]) -> None:
    found = gentler(fault)
    assert found[0] == some[0]
    assert [each for each in found if each in some] == some


@pytest.mark.parametrize("fault", [Loss(0.1), Latency(0.1), Eof(), Stall(), Stall(duration_s=0.05)])
def test_nothing_is_gentler(fault: AnyFault) -> None:
    assert gentler(fault) == []
