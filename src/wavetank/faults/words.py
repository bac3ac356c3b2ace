"""All fault words: by name, from JSON and to JSON.

Owns the table of words and the reading of one from a dictionary, with errors that say what is wrong.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import msgspec

from wavetank.errors import PlanError, did_you_mean
from wavetank.faults.machine import ClockJump, ClockSkew, Crash, Descriptors, Pause, Scheduling
from wavetank.faults.network import (
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
from wavetank.faults.target import SIDES

_ADDRESS: Final = re.compile(r"\[.*\]|[0-9.]+")

AnyFault: TypeAlias = (
    Latency
    | Bandwidth
    | Scheduling
    | Segments
    | Buffers
    | SlowReader
    | Loss
    | Reset
    | Eof
    | Stall
    | Drop
    | Partition
    | Refuse
    | NameFailure
    | ClockSkew
    | ClockJump
    | Pause
    | Crash
    | Duplicate
    | Reorder
    | Truncate
    | Descriptors
)

#: Every fault word of JSON, in the order of the docs, with its class.
WORDS: Final[Mapping[str, type[AnyFault]]] = MappingProxyType({
    "latency": Latency,
    "bandwidth": Bandwidth,
    "scheduling": Scheduling,
    "segments": Segments,
    "buffers": Buffers,
    "slow-reader": SlowReader,
    "loss": Loss,
    "reset": Reset,
    "eof": Eof,
    "stall": Stall,
    "drop": Drop,
    "partition": Partition,
    "refuse": Refuse,
    "name-failure": NameFailure,
    "clock-skew": ClockSkew,
    "clock-jump": ClockJump,
    "pause": Pause,
    "crash": Crash,
    "duplicate": Duplicate,
    "reorder": Reorder,
    "truncate": Truncate,
    "descriptors": Descriptors,
})  # fmt: skip


def to_json(fault: AnyFault) -> dict[str, Any]:
    """The fault as a plain dictionary, `{"fault": "latency", "delay_s": 0.05}`; defaults are left out."""
    data = msgspec.to_builtins(fault)
    assert isinstance(data, dict)
    return data


def from_json(data: object, where: str = "") -> AnyFault:
    """The fault in a dictionary as `to_json` makes it. `where` names the place in errors.

    Raises `PlanError` that names the unknown word (and the nearest), the unknown or missing field, or the wrong type.
    """
    if not isinstance(data, dict):
        raise PlanError(f"a fault must be an object, not {reprlib.repr(data)}", where=where)
    word = data.get("fault")
    if not isinstance(word, str) or word not in WORDS:
        hint = did_you_mean(word, WORDS) if isinstance(word, str) else ""
        what = f"unknown fault {reprlib.repr(word)}.{hint}" if word is not None else 'a fault without the key "fault"'
        raise PlanError(what, where=where, why=f"the faults are {', '.join(WORDS)}")
    kind = WORDS[word]
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key in data:
        if key != "fault" and key not in fields:
            hint = did_you_mean(str(key), fields)
            why = f"its fields are {', '.join(fields)}"
            raise PlanError(f"{word}: unknown field {key!r}.{hint}", where=where, why=why)
    for key, field in fields.items():
        if key not in data and field.required:
            raise PlanError(f"{word}: the field {key!r} is missing", where=where)
    try:
        return msgspec.convert(data, type=kind)
    except msgspec.ValidationError as error:
        raise PlanError(f"{word}: {_wrong_type(str(error))}", where=where) from None
    except PlanError as error:
        raise PlanError(error.what, where=where, why=error.why, next=error.next) from None


def hosts_of(fault: AnyFault) -> list[str]:
    """The names of hosts at which a fault aims: without "*", sides, and addresses, whose host only a world knows."""
    if isinstance(fault, Partition):
        named = [fault.a, fault.b]
    else:
        aim = fault.aim
        second = None if isinstance(fault, NameFailure) else aim.second  # there it is a name, known or not
        named = [aim.first.name, *([second.name] if second is not None else [])]
    return [name for name in named if name not in ("*", *SIDES) and not _ADDRESS.fullmatch(name)]


def _wrong_type(message: str) -> str:
    """Turn msgspec's "Expected `float`, got `str` - at `$.delay_s`" round: the field in front."""
    text, _, place = message.partition(" - at ")
    field = place.strip("`").removeprefix("$").removeprefix(".")
    return f"{field}: {text[:1].lower()}{text[1:]}" if field else text
