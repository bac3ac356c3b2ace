"""The failure file: all that is needed to replay one failure exactly, and to see at once what it was. Schema 1.

Owns the record, its file and its name. Must never find, shrink or replay a failure (the campaign does), nor know how
a fingerprint is taken: here it is plain data.

The idea: JSON that a person can read and a version control system can compare, never pickle; written whole or not at
all, because a run may be stopped at any moment. `integrity` is a hash over the content (over its meaning: layout and
order of keys do not count). It guards against edits by mistake, not against malice: a replay that differs must never
be blamed on the program when it was the file that changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, Final

import msgspec

from wavetank import documents, plan
from wavetank.errors import FailureFileError, PlanError, did_you_mean
from wavetank.plan import Plan

#: The schema of failure files this version writes; it reads this one and those before.
SCHEMA: Final = 1
_KIND: Final = "failure file"
_NAME_LENGTH: Final = 60
#: Digits of the digest in the file name: first so many, more when another failure has the same name.
_DIGITS: Final = (4, 8, 16, 32)


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One script on one host: absolute path and arguments."""

    host: str
    path: str
    argv: tuple[str, ...] = ()


class TargetRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ran. `label` is what the user typed.

    `kind` "script": `scripts`, one for each host. `kind` "scenario": `function` in `module` (a module's name, or the
    absolute path of a file), with `argv`. `sys_path` was put in front of the import path; it ran in the folder `cwd`.
    """

    label: str
    kind: str
    scripts: tuple[Script, ...] = ()
    module: str = ""
    function: str = ""
    argv: tuple[str, ...] = ()
    sys_path: tuple[str, ...] = ()
    cwd: str = ""


class Environment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fingerprint of where the failure was found.

    `python` ("3.13.0"), `implementation` ("cpython"), `platform` ("linux-x86_64"), `kernel` (the kernel profile that
    was simulated, "6.12"), `packages` by name with their versions, `sources` by absolute path with their SHA-256.
    """

    python: str
    implementation: str
    platform: str
    kernel: str = ""
    packages: dict[str, str] = {}
    sources: dict[str, str] = {}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of the run that bear on its outcome, by the names of the command line."""

    limit_virtual_ns: int = 3_600_000_000_000
    limit_real_s: float = 60.0
    faults: tuple[str, ...] = ()
    no_oracle: tuple[str, ...] = ()
    oracle: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    private_cwd: bool = False


class FailureFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One failure, found and confirmed.

    `version`: of the Wavetank that wrote it. `plan` replays it, shrunk; `original_plan` is the one it was found with.
    `digest`: of the replay of `plan`. `kind`: the oracle that saw it; `error`: its message; `where`: the user's own
    line; `host`, `time_ns`: where and when in the world; `summary`: in a few words; `last_events`: the end of the
    trace as lines; `opaque`: keys of connections whose payload the digest leaves out. `integrity` is filled in by
    `write_failure`.
    """

    schema: int = SCHEMA
    version: str
    target: TargetRecord
    seed: int
    plan: Plan
    original_plan: Plan
    digest: str
    kind: str
    error: str
    environment: Environment
    summary: str = ""
    where: str = ""
    host: str = ""
    time_ns: int = 0
    traceback: str = ""
    last_events: tuple[str, ...] = ()
    opaque: tuple[str, ...] = ()
    options: Options = Options()
    integrity: str = ""


def to_json(failure: FailureFile) -> dict[str, Any]:
    """Return the failure as the dictionary that its file holds, its integrity hash filled in."""
    data = _plain(msgspec.to_builtins(failure))
    assert isinstance(data, dict)
    data["plan"] = plan.to_json(failure.plan)
    data["original_plan"] = plan.to_json(failure.original_plan)
    data["integrity"] = integrity_of(data)
    return data


def _plain(value: Any) -> Any:
    """Tuples as lists, all the way down: what comes back from JSON."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def integrity_of(data: dict[str, Any]) -> str:
    """Return the hash of everything in `data` but the key "integrity" (BLAKE2b, 128 bits, over sorted compact JSON)."""
    content = {key: value for key, value in data.items() if key != "integrity"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).hexdigest()


def from_json(data: dict[str, Any], where: str = "") -> FailureFile:
    """Return the failure in a dictionary as `to_json` makes it; `where` names the file in errors.

    Raises `FailureFileError`: not a failure file, newer than this Wavetank, edited, or a value that is not valid.
    """
    documents.check_schema(data, SCHEMA, FailureFileError, _KIND, where)
    if "digest" not in data or "plan" not in data:
        what = f'this is not a {_KIND}: it has no key "{"plan" if "digest" in data else "digest"}"'
        raise FailureFileError(what, where=where, next=f"if it is a plan: wavetank run TARGET --plan {where or 'FILE'}")
    if data.get("integrity") != integrity_of(data):
        raise _edited(data, where)
    for key in data:
        if key not in FailureFile.__struct_fields__:
            what = f"a {_KIND} has no key {key!r}.{did_you_mean(key, FailureFile.__struct_fields__)}"
            raise FailureFileError(what, where=where)
    try:
        plans = {key: plan.from_json(data.get(key), f"{where}, {key}") for key in ("plan", "original_plan")}
        rest = {key: value for key, value in data.items() if key not in plans}
        calm = plan.to_json(Plan())
        whole = msgspec.convert({**rest, "plan": calm, "original_plan": calm}, type=FailureFile)
    except PlanError as error:
        raise FailureFileError(error.what, where=error.where, why=error.why, next=error.next) from None
    except msgspec.ValidationError as error:
        raise FailureFileError(f"the {_KIND} is not valid: {error}", where=where) from None
    return msgspec.structs.replace(whole, **plans)


def _edited(data: dict[str, Any], where: str) -> FailureFileError:
    target = data.get("target")
    label = target.get("label") if isinstance(target, dict) else None
    shown = label if isinstance(label, str) and label else "TARGET"
    return FailureFileError(
        f"the {_KIND} was edited after it was written: its content does not match its integrity hash",
        where=where,
        why="a replay could differ from the failure that was found, and nobody could say why",
        next=f'to try an edited plan, put its "plan" into a file of its own: wavetank run {shown} --plan FILE',
    )


def read_failure(path: str | os.PathLike[str]) -> FailureFile:
    """Return the failure in a file. Raises `FailureFileError`: missing, cut short, not JSON, or as `from_json`."""
    return from_json(documents.read_object(path, FailureFileError, _KIND), os.fspath(path))


def write_failure(failure: FailureFile, folder: str | os.PathLike[str]) -> Path:
    """Write the failure into `folder` (made when missing), whole or not at all; return the path of the file.

    Its name is made of the target's and the first digits of the digest; the same failure found again takes the same
    name. A run that had to be ended from outside has no digest: then it is a hash of what failed, where, and the plan.
    Raises `EnvironmentProblem` when the folder cannot be written.
    """
    path = _free_path(failure, Path(folder))
    documents.write_atomically(path, documents.dump(to_json(failure)))
    return path


def _free_path(failure: FailureFile, folder: Path) -> Path:
    name = file_name(failure.target)
    path = folder / f"{name}.json"
    mark = _mark(to_json(failure))
    for digits in _DIGITS:
        path = folder / f"{name}-{mark[:digits]}.json"
        if not os.path.exists(path) or _mark_in(path) == mark:
            break
    return path


def _mark(data: dict[str, Any]) -> str:
    """What tells one failure from another, 32 hexadecimal digits: the digest, or the hash of what stands for it."""
    if data.get("digest"):
        return str(data["digest"])
    text = json.dumps([data.get(key) for key in ("kind", "where", "plan")], sort_keys=True)
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).hexdigest()


def _mark_in(path: Path) -> str | None:
    try:
        return _mark(documents.read_object(path, FailureFileError, _KIND))
    except FailureFileError:
        return None


def file_name(target: TargetRecord) -> str:
    """Return the first part of a failure file's name: the scenario's function, or the first script's, made safe."""
    if target.function:
        word = target.function.rpartition(".")[2]
    else:
        word = Path(target.scripts[0].path).stem if target.scripts else target.label
    return re.sub(r"[^A-Za-z0-9_.]+", "-", word).strip("-.")[:_NAME_LENGTH] or "failure"
