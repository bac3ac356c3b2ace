"""Choices in words, for people who read a report.

Owns the sentences; what the numbers mean is said where the choices are drawn (`network.segmentation`,
`network.lateness`, `network.link`, `kernel.core`, `world.cancelling`).
"""

from __future__ import annotations

from collections.abc import Mapping

from wavetank.network import lateness, segmentation
from wavetank.network.lateness import JITTER_STEP_NS
from wavetank.network.link import OVERTAKEN_STEP_NS
from wavetank.plan import Plan
from wavetank.world import cancelling

#: What explains a choice whose run told nothing of it.
_NOTHING = (0, 0)


def in_words(key: str, value: int, explanation: tuple[int, int] = _NOTHING) -> str:
    """One choice that is not calm, as a sentence; its key and number when it is of no known kind.

    `explanation`: the two numbers that the run gave beside it (`RunResult.explanations`): the number of the write that
    the packet carries and, of a cut, how far into the write it is.
    """
    stream, _, ordinal = key.rpartition(" / ")
    concern, _, place = stream.partition(" ")
    write, inside = explanation
    which = f"the {ordinal_of(write)} write of {place}" if write else f"packet {ordinal} of {place}"
    match concern:
        case "cut" if write:
            return f"{which} arrives cut after {_bytes(inside)}"
        case "cut":
            return f"what is sent from byte {ordinal} of {place} on arrives cut after {_bytes(value)}"
        case "jitter" | "control-jitter":
            late = f"{value * JITTER_STEP_NS / 1e6:g} ms late"
            if concern == "jitter":
                which = f"the {ordinal_of(write)} write of {place}" if write else f"byte {ordinal} of {place}"
            elif " #" in place:
                which = f"packet {ordinal} without data of {place}"
            else:  # flows of datagrams have no number
                which = f"datagram {ordinal} of {place}"
            return f"{which} arrives {late}"
        case "loss":
            return f"{which} is lost"
        case "duplicate":
            return f"datagram {ordinal} of {place} arrives twice"
        case "overtaken":
            return f"datagram {ordinal} of {place} is overtaken: {value * OVERTAKEN_STEP_NS / 1e6:g} ms late"
        case "cancel":
            turn, in_time = cancelling.decode(value)
            when = " when what it waits for has come" if in_time else ""
            which = f"the {ordinal_of(int(ordinal))} cancellable wait of {place}"
            return f"{which} is cancelled at its {ordinal_of(turn)} suspension{when}"
        case "scheduling":
            return f"turn {ordinal} on {place}: number {value + 1} in line goes first"
        case "style" if value < len(segmentation.STYLES):
            return f"{place}: {segmentation.STYLES[value].words}"
        case "lateness" if value < len(lateness.STYLES):
            return f"{place}: {lateness.STYLES[value].words}"
        case _:
            return f"{key} = {value}"


def choices(plan: Plan, explanations: Mapping[str, tuple[int, int]]) -> list[str]:
    """The choices that a plan lists, in words. `explanations`: of a run of the plan (`RunResult`)."""
    return [in_words(key, value, explanations.get(key, _NOTHING)) for key, value in (plan.choices or {}).items()]


def ordinal_of(number: int) -> str:
    """As in 1st, 2nd, 3rd, 11th."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{('th', 'st', 'nd', 'rd')[number % 10] if number % 10 < 4 else 'th'}"


def _bytes(count: int) -> str:
    return f"{count} byte{'' if count == 1 else 's'}"
