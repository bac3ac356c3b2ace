"""Choices in words, for people who read a report.

Owns the sentences; what the numbers mean is said where the choices are drawn (`network.link`, `kernel.core`).
"""

from __future__ import annotations

from wavetank.network.link import CUT_RATES, JITTER_STEP_NS


def in_words(key: str, value: int) -> str:
    """One choice that is not calm, as a sentence; its key and number when it is of no known kind."""
    stream, _, ordinal = key.rpartition(" / ")
    concern, _, place = stream.partition(" ")
    match concern:
        case "cut":
            return f"{place}: piece {ordinal} is cut after {value} byte{'' if value == 1 else 's'}"
        case "jitter":
            return f"{place}: packet {ordinal} is {value * JITTER_STEP_NS / 1e6:g} ms late"
        case "loss":
            return f"{place}: packet {ordinal} is lost"
        case "scheduling":
            return f"turn {ordinal} on {place}: number {value + 1} in line goes first"
        case "style" if value < len(CUT_RATES):
            return f"{place}: {CUT_RATES[value] * 100 // 65536} % of the pieces are cut"
        case _:
            return f"{key} = {value}"
