"""Hypothesis strategies for faults, targets and events: valid ones, of every word, of a reasonable size.

Owns how faults are drawn for property tests. Needs Hypothesis, and so is imported only by who asks for it by its own
name: `from wavetank.faults import strategies`. Plans of campaigns do not come from here (`campaign.plans`).

Each strategy shrinks towards what is simple: the start of the world, one byte, the whole world as the target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from hypothesis import strategies as st

from wavetank.errors import UsageError, did_you_mean
from wavetank.faults.families import FAMILIES
from wavetank.faults.machine import (
    MAX_DRIFT_PPM,
    RESOURCES,
    STOP_SIGNALS,
    ClockJump,
    ClockSkew,
    Crash,
    Descriptors,
    Pause,
    Scheduling,
)
from wavetank.faults.network import (
    LOSSES,
    NAME_FAILURES,
    Bandwidth,
    Buffers,
    Drop,
    Duplicate,
    Eof,
    Latency,
    Loss,
    NameFailure,
    Partition,
    Refuse,
    Reorder,
    Reset,
    Segments,
    SlowReader,
    Stall,
    Truncate,
)
from wavetank.faults.target import EVENTS, SIDES
from wavetank.faults.words import AnyFault

#: What the strategies draw when nothing else is said: two hosts that most examples have.
HOSTS: Final = ("client", "server")
#: Times and sizes stay below: a day, a mebibyte.
MOST_S: Final = 86_400.0
MOST_BYTES: Final = 1 << 20
_MOST_PORT: Final = 65_535

Strategy = st.SearchStrategy[Any]


def seconds(least: float = 0.0, most: float = MOST_S) -> st.SearchStrategy[float]:
    """Seconds from `least` to `most`, of a microsecond's precision, so that texts and JSON stay readable."""
    return st.integers(round(least * 1e6), round(most * 1e6)).map(lambda number: number / 1e6)


def rates() -> st.SearchStrategy[float]:
    """Probabilities, 0 to 1."""
    return st.integers(0, 1000).map(lambda number: number / 1000)


def sizes(least: int = 1, most: int = MOST_BYTES) -> st.SearchStrategy[int]:
    """Bytes, from `least` to `most`."""
    return st.integers(least, most)


def host_targets(hosts: Sequence[str] = HOSTS) -> st.SearchStrategy[str]:
    """Targets that are machines: "*", or one of `hosts`."""
    return st.sampled_from(["*", *hosts])


def targets(hosts: Sequence[str] = HOSTS) -> st.SearchStrategy[str]:
    """Targets of every form: hosts, sides, directions, pairs, ports and single connections."""
    names = st.sampled_from(["*", *SIDES, *hosts])
    ports = st.just("") | st.integers(1, _MOST_PORT).map(lambda port: f":{port}")
    ends = st.builds(str.__add__, names, ports)
    pairs = st.builds(lambda one, joint, other: f"{one} {joint} {other}", ends, st.sampled_from(["->", "|"]), ends)
    ordinals = st.just("") | st.integers(1, 9).map(lambda number: f" #{number}")
    return st.just("*") | st.builds(str.__add__, ends | pairs, ordinals)


def events() -> st.SearchStrategy[str]:
    """The text of an event, such as "accept #3"; "" is none."""
    named = st.builds(lambda kind, number: f"{kind} #{number}", st.sampled_from([*EVENTS]), st.integers(1, 9))
    return st.just("") | named


def _signed(most: float) -> st.SearchStrategy[float]:
    return seconds(0, most) | seconds(0, most).map(lambda number: -number)


def _fields(kind: type[AnyFault], hosts: Sequence[str]) -> Mapping[str, Strategy]:
    """What a word takes besides time, event and target."""
    table: dict[type[AnyFault], Mapping[str, Strategy]] = {
        Latency: {"delay_s": seconds(), "jitter_s": seconds()},
        Bandwidth: {"bytes_per_s": sizes()},
        Scheduling: {"rate": rates()},
        Segments: {"max_bytes": sizes()},
        Buffers: {"send_bytes": sizes(), "receive_bytes": sizes()},
        SlowReader: {"bytes_per_s": sizes()},
        Loss: {"rate": rates(), "of": st.sampled_from(LOSSES)},
        Reset: {"after_bytes": sizes(0)},
        Eof: {"after_bytes": sizes(0)},
        Stall: {},
        Drop: {},
        Refuse: {},
        ClockSkew: {"offset_s": _signed(MOST_S), "drift_ppm": _signed(MAX_DRIFT_PPM)},
        ClockJump: {"offset_s": _signed(MOST_S)},
        Pause: {},
        Crash: {
            "restart_after_s": st.none() | seconds(1e-6),
            "signal": st.sampled_from(["", *STOP_SIGNALS]),
            "duration_s": st.none(),
        },
        Duplicate: {"rate": rates()},
        Reorder: {"rate": rates()},
        Truncate: {"max_bytes": sizes(0)},
        Descriptors: {"limit": st.integers(0, 1000), "of": st.sampled_from([*RESOURCES])},
    }
    return table[kind]


_OF_HOSTS: Final = (Scheduling, ClockSkew, ClockJump, Pause, Crash, Descriptors)


def of_word(kind: type[AnyFault], hosts: Sequence[str] = HOSTS) -> st.SearchStrategy[AnyFault]:
    """Faults of one word, such as `of_word(Reset)`, aimed at `hosts`, their connections and sides."""
    if kind is NameFailure:
        return _name_failures(hosts)
    common: dict[str, Strategy] = {"at_s": seconds(), "duration_s": st.none() | seconds(1e-6), "when": events()}
    if kind is Partition:
        ends = st.permutations(["*", *hosts]).map(lambda names: names[:2])
        return st.builds(
            lambda pair, one_way, more: Partition(pair[0], pair[1], one_way, **more),
            ends,
            st.booleans(),
            st.fixed_dictionaries(common),
        )
    target = host_targets(hosts) if kind in _OF_HOSTS else targets(hosts)
    build: Callable[..., AnyFault] = kind
    return st.builds(build, **{**common, "target": target, **_fields(kind, hosts)})


def _name_failures(hosts: Sequence[str]) -> st.SearchStrategy[AnyFault]:
    def build(kind: str, delay_s: float, **more: Any) -> AnyFault:
        return NameFailure(kind, delay_s, **more) if kind == "slow" else NameFailure(kind, **more)

    return st.builds(
        build,
        st.sampled_from([*NAME_FAILURES]),
        seconds(1e-6),
        target=host_targets(hosts) | st.permutations(list(hosts)).map(lambda names: f"{names[0]} -> {names[-1]}"),
        at_s=seconds(),
        duration_s=st.none() | seconds(1e-6),
        when=events(),
    )


def faults(families: Sequence[str] = tuple(FAMILIES), hosts: Sequence[str] = HOSTS) -> st.SearchStrategy[AnyFault]:
    """Faults of `families` (names of `wavetank.faults.FAMILIES`), aimed at `hosts`.

    Raises `UsageError` for an unknown family, naming the nearest, and when there is none at all.
    """
    for name in families:
        if name not in FAMILIES:
            raise UsageError(f"unknown fault family {name!r}.{did_you_mean(name, FAMILIES)}", why=", ".join(FAMILIES))
    kinds = [kind for name in families for kind in FAMILIES[name].faults]
    if not kinds:
        raise UsageError("no fault family to draw from", why=f"the families are {', '.join(FAMILIES)}")
    return st.sampled_from(kinds).flatmap(lambda kind: of_word(kind, hosts))


def plans_of(
    families: Sequence[str] = tuple(FAMILIES), hosts: Sequence[str] = HOSTS, *, most: int = 5
) -> st.SearchStrategy[tuple[AnyFault, ...]]:
    """At most `most` faults together, as `Plan.faults` takes them."""
    return st.lists(faults(families, hosts), max_size=most).map(tuple)
