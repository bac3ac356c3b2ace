"""The plan of a run: its seed, its faults, and the choices that are not calm. Plain data, JSON, schema 1.

Owns what a plan is, its validity and its file. Must never draw one (the campaign does) nor carry one out (the kernel
and the network do).

The idea: a *choice* is one thing the simulator decides, a non-negative integer at a key (concern, place, ordinal),
and 0 is the calm one. Every draw is a function of (seed, key), so that leaving one out moves no other. A plan with
`choices=None` draws its choices from the seed; a plan with a dictionary has exactly these and is calm everywhere
else - the form that shrinking, replay and failure files use. One representation serves all of them.
"""

from __future__ import annotations

import os
import re
import reprlib
from typing import Any, Final

import msgspec

from wavetank import documents, faults
from wavetank.errors import PlanError, did_you_mean

#: The schema of plans this version writes; it reads this one and those before.
SCHEMA: Final = 1
#: Seeds and choices are 63 bits: they fit a signed 64-bit integer everywhere.
MAX_SEED: Final = 2**63 - 1
MAX_CHOICE: Final = 2**63 - 1
#: A key is a concern, a place and an ordinal: "cut client -> server:8000 #1 / 12".
MAX_KEY: Final = 512
#: Far above what a run can carry out in reasonable time, far below what would fill the memory.
MAX_FAULTS: Final = 10_000
MAX_CHOICES: Final = 1 << 18
#: The virtual clock starts here when nothing else is said: 2026-01-01 00:00:00 UTC.
DEFAULT_EPOCH_S: Final = 1_767_225_600
#: The last second that `datetime` can say: 9999-12-31 23:59:59 UTC.
MAX_EPOCH_S: Final = 253_402_300_799

_KEY: Final = re.compile(r"\S.* / [0-9]+")


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one run is told to do.

    `seed`: 0 to 2**63 - 1, from which choices are drawn when `choices` is None. `epoch_s`: whole seconds since 1970
    (UTC) at which the virtual wall clock starts. `faults`: in the order in which they act at equal times. `choices`:
    None, or key -> value for exactly the choices that are not calm. `delay_limit_s`: at most so many seconds of delay
    do the faults add to one exchange of ordinary length over one connection, its handshake included; None: no bound.
    Raises `PlanError` when a value is not valid.
    """

    schema: int = SCHEMA
    seed: int = 0
    epoch_s: int = DEFAULT_EPOCH_S
    faults: tuple[faults.AnyFault, ...] = ()
    choices: dict[str, int] | None = None
    delay_limit_s: float | None = None

    def __post_init__(self) -> None:
        _check_int("schema", self.schema, SCHEMA, least=1)
        _check_int("seed", self.seed, MAX_SEED)
        _check_int("epoch_s", self.epoch_s, MAX_EPOCH_S)
        msgspec.structs.force_setattr(self, "faults", tuple(self.faults))
        if len(self.faults) > MAX_FAULTS:
            raise PlanError(f"a plan with {len(self.faults):,} faults", why=f"the limit is {MAX_FAULTS:,}")
        for fault in self.faults:
            if not isinstance(fault, faults.Fault):
                raise PlanError(f"faults: {reprlib.repr(fault)} is not a fault of wavetank.faults")
        if self.choices is not None:
            _check_choices(self.choices)
        if self.delay_limit_s is not None and not 0 <= self.delay_limit_s <= faults.MAX_SECONDS:
            raise PlanError(f"delay_limit_s must be 0 to {faults.MAX_SECONDS:g} seconds, not {self.delay_limit_s!r}")

    @property
    def calm(self) -> bool:
        """Whether nothing but the calm world can happen: no fault, and no choice that is drawn or set."""
        return not self.faults and self.choices is not None and not any(self.choices.values())

    def lines(self) -> list[str]:
        """The plan in words, one line for each fault and then for each choice."""
        named = [f"choice {key} = {value}" for key, value in sorted((self.choices or {}).items())]
        return [*(str(fault) for fault in self.faults), *named]


def _check_int(name: str, value: object, most: int, *, least: int = 0) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise PlanError(f"{name} must be a whole number, not {reprlib.repr(value)}")
    if not least <= value <= most:
        raise PlanError(f"{name} must be from {least} to {most}, not {value}")


def _check_choices(choices: object) -> None:
    if not isinstance(choices, dict):
        raise PlanError(f"choices must be an object of key and number, not {reprlib.repr(choices)}")
    if len(choices) > MAX_CHOICES:
        raise PlanError(f"a plan with {len(choices):,} choices", why=f"the limit is {MAX_CHOICES:,}")
    for key, value in choices.items():
        if not isinstance(key, str) or len(key) > MAX_KEY or not _KEY.fullmatch(key):
            why = f"a key is a concern, a place and a number, 'cut client -> server:8000 #1 / 12'; limit {MAX_KEY}"
            raise PlanError(f"{reprlib.repr(key)} is not the key of a choice", why=why)
        _check_int(f"the choice {key!r}", value, MAX_CHOICE)


def to_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as the dictionary that its file holds."""
    return {**msgspec.structs.asdict(plan), "faults": [faults.to_json(fault) for fault in plan.faults]}


def from_json(data: object, where: str = "") -> Plan:
    """Return the plan in a dictionary as `to_json` makes it; "seed", "epoch_s", "faults", "choices" may be missing.

    `where` names the place in errors. Raises `PlanError` that names the key and what is wrong with it, or says to
    upgrade when the schema is newer than ours.
    """
    if not isinstance(data, dict):
        raise PlanError(f"a plan must be an object, not {type(data).__name__}", where=where)
    documents.check_schema(data, SCHEMA, PlanError, "plan", where)
    known = Plan.__struct_fields__
    for key in data:
        if key not in known:
            what = f"a plan has no key {key!r}.{did_you_mean(str(key), known)}"
            raise PlanError(what, where=where, why=f"its keys are {', '.join(known)}")
    values = dict(data)
    if "faults" in values:
        listed = values["faults"]
        if not isinstance(listed, list):
            raise PlanError(f"faults must be a list, not {reprlib.repr(listed)}", where=where)
        at = f"{where}, " if where else ""
        values["faults"] = tuple(faults.from_json(each, f"{at}faults[{n}]") for n, each in enumerate(listed))
    try:
        return Plan(**values)
    except PlanError as error:
        raise PlanError(error.what, where=error.where or where, why=error.why, next=error.next) from None


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Return the plan in a file. Raises `PlanError`: missing, not JSON (with line and column), cut short, not valid."""
    return from_json(documents.read_object(path, PlanError, "plan"), os.fspath(path))


def write_plan(plan: Plan, path: str | os.PathLike[str]) -> None:
    """Write the plan, whole or not at all. Raises `EnvironmentProblem` when the place cannot be written."""
    documents.write_atomically(path, documents.dump(to_json(plan)))
