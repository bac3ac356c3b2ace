"""The options that several verbs have, and the words for time and numbers on the command line.

Owns names, types and defaults of options, and the settings in `pyproject.toml`. It decides nothing about runs.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from wavetank.campaign import target as targets
from wavetank.campaign.session import Settings
from wavetank.errors import UsageError, did_you_mean
from wavetank.faults import parse_families
from wavetank.plan import MAX_SEED, Plan, read_plan
from wavetank.world.job import Target
from wavetank.world.mailbox import SLOTS

_UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
    "": 1.0,
}
_DURATION: Final = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>[a-z]*)")
#: Ten years: beyond this, a duration is a mistake.
_LONGEST_S: Final = 10 * 366 * 86_400.0
_MOST_RUNS: Final = 10**9

_Command = TypeVar("_Command", bound=Callable[..., Any])

if TYPE_CHECKING:  # generic since click 8.2
    _Seconds = click.ParamType[float]
    _Number = click.ParamType[int | str]
else:
    _Seconds = _Number = click.ParamType


class Duration(_Seconds):
    """A length of time: 50ms, 2s, 5m, 1h; a bare number means seconds. The value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds, more than 0."""
        found = _DURATION.fullmatch(str(value).strip().lower())
        if found is None or found["unit"] not in _UNITS:
            self.fail(f"{value!r} is not a length of time, as in 50ms, 2s, 5m or 1h", param, ctx)
        seconds = float(found["number"]) * _UNITS[found["unit"]]
        if not 0 < seconds <= _LONGEST_S:
            self.fail(f"{value} is {'no time' if seconds == 0 else 'too long'}", param, ctx)
        return seconds


class Whole(_Number):
    """A whole number between two bounds, which the error names."""

    name = "number"

    def __init__(self, least: int, most: int, word: str = "") -> None:
        self.least = least
        self.most = most
        self.word = word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The number; or `word`, where that is allowed instead."""
        text = str(value).strip()
        if self.word and text == self.word:
            return self.word
        try:
            number = int(text)
        except ValueError:
            self.fail(f"{value!r} is not a whole number{f' or {self.word!r}' if self.word else ''}", param, ctx)
        if not self.least <= number <= self.most:
            self.fail(f"{number} is out of range: {self.least} to {self.most}", param, ctx)
        return number


@dataclass(frozen=True, kw_only=True)
class Common:
    """The common options, checked."""

    settings: Settings
    seed: int | None
    plan: Plan | None
    folder: str
    json: bool


def target_options(command: _Command) -> _Command:
    """TARGET and `--host`."""
    command = click.argument("target", required=False, metavar="[TARGET]")(command)
    return click.option(
        "--host", "hosts", multiple=True, metavar="NAME=SCRIPT", help="One script on one host; may be repeated."
    )(command)


def run_options(faults: str) -> Callable[[_Command], _Command]:
    """What `run` and `explore` have in common; `faults` is the default of `--faults`."""
    options = [
        click.option("--seed", type=Whole(0, MAX_SEED), metavar="N", help="The seed, or the first of many.  [0]"),
        click.option("--plan", "plan_file", metavar="FILE", help="The faults (and choices) of this plan."),
        click.option("--faults", metavar="FAMILIES", help=f"none, mild, all, or names joined by commas.  [{faults}]"),
        click.option(
            "--oracle", multiple=True, metavar="KIND", help="Switch it on in full: contract watches all protocols."
        ),
        click.option("--no-oracle", multiple=True, metavar="KIND", help="Failures of this kind do not count."),
        click.option(
            "--limit-virtual", type=Duration(), default="1h", metavar="TIME", help="Virtual time of one run.  [1h]"
        ),
        click.option(
            "--limit-real", type=Duration(), default="60s", metavar="TIME", help="Real time of one run.  [60s]"
        ),
        click.option("--allow", multiple=True, metavar="CALL", help="Let this call through to the real system."),
        click.option("--private-cwd", is_flag=True, help="Run in a temporary copy of the target's folder."),
        click.option("--dir", "folder", default=".wavetank", metavar="DIR", help="Where failures go.  [.wavetank]"),
        json_option,
    ]

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def json_option(command: _Command) -> _Command:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")(command)


def common(options: dict[str, Any], *, faults: str) -> Common:
    """Check the options of `run_options`; `faults` is the default. Raises `UsageError`."""
    plan = read_plan(options["plan_file"]) if options["plan_file"] else None
    if plan is not None and options["faults"] is not None:
        raise UsageError("--plan and --faults are two answers to one question", next="leave one of them out")
    families = () if plan is not None else parse_families(options["faults"] or faults)
    settings = Settings(
        families=families,
        no_oracle=options["no_oracle"],
        oracle=options["oracle"],
        limit_virtual_ns=round(options["limit_virtual"] * 1e9),
        limit_real_s=options["limit_real"],
        allow=options["allow"],
        private_cwd=options["private_cwd"],
    )
    return Common(settings=settings, seed=options["seed"], plan=plan, folder=options["folder"], json=options["as_json"])


def script_arguments() -> tuple[str, ...]:
    """What stood behind `--` on the command line."""
    given: tuple[str, ...] = click.get_current_context().obj
    return given


def find_target(target: str | None, hosts: tuple[str, ...]) -> Target:
    """The target of the command line. Raises `UsageError` and `NothingToRun`."""
    arguments = script_arguments()
    if hosts and target is not None:
        raise UsageError(f"either TARGET or --host, not both: {target}")
    if hosts:
        return targets.parse_hosts(hosts, arguments)
    if target is None:
        raise UsageError("no TARGET", next="wavetank explore script.py, or file.py::function, or --host NAME=SCRIPT")
    return targets.parse(target, arguments)


# ---- pyproject.toml

MOST_WORKERS: Final = SLOTS
MOST_RUNS: Final = _MOST_RUNS
#: Parameters of commands whose name is not their option's.
_OTHER_NAMES: Final = {"plan": "plan_file", "dir": "folder", "json": "as_json", "for": "seconds"}
_SETTINGS: Final = (
    "allow", "dir", "faults", "for", "json", "keep-going", "limit-real", "limit-virtual", "no-oracle", "oracle",
    "plan", "private-cwd", "runs", "seed", "workers",
)  # fmt: skip


def settings_file() -> dict[str, Any]:
    """The defaults that `[tool.wavetank]` of `pyproject.toml` in the present folder gives, by parameter.

    Raises `UsageError`: not TOML, or a setting that there is not.
    """
    try:
        with open("pyproject.toml", "rb") as file:
            table = tomllib.load(file).get("tool", {}).get("wavetank", {})
    except (OSError, AttributeError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"pyproject.toml is not valid TOML: {error}", where=os.path.abspath("pyproject.toml")
        ) from None
    if not isinstance(table, dict):
        raise UsageError("[tool.wavetank] in pyproject.toml is not a table")
    defaults: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("_", "-")
        if name not in _SETTINGS:
            hint = did_you_mean(name, _SETTINGS)
            raise UsageError(f"pyproject.toml: [tool.wavetank] has no setting {key!r}.{hint}", why=", ".join(_SETTINGS))
        if isinstance(value, list) and name == "faults":
            value = ",".join(map(str, value))
        elif name in ("allow", "no-oracle", "oracle") and isinstance(value, str):
            value = [value]
        defaults[_OTHER_NAMES.get(name, name.replace("-", "_"))] = value
    return defaults


class Command(click.Command):
    """A verb: its options take their defaults from `pyproject.toml`."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """As click does, with our defaults."""
        return super().make_context(info_name, args, parent, default_map=settings_file(), **extra)
