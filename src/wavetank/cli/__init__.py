"""The command line: `wavetank VERB ...`, one module for each verb.

Owns what all verbs share at the door: the list of verbs, exit statuses, and that nobody ever sees a traceback of ours.
The verbs parse, call `wavetank.campaign`, and print; they decide nothing else.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Final

import click

from wavetank import __version__
from wavetank.errors import EXIT_INTERNAL, EXIT_OK, EXIT_USAGE, InternalError, WavetankError, did_you_mean

#: The verbs there are, with the line that `--help` shows.
VERBS: Final = {
    "run": "One simulated run of a script or scenario, calm unless told otherwise.",
    "explore": "Many runs with many seeds and faults: find the one that breaks it.",
    "replay": "Run a failure again, exactly, from its failure file.",
    "proxy": "A proxy in front of a real server: a bad line, as faults say.",
    "serve": "A third-party server, ready when it says so, until Ctrl-C.",
    "check": "One protocol, one conversation: every cut, end and pause.",
    "conform": "Does a loop or a reactor keep the transport contract? 250 cases on real sockets.",
    "doctor": "Say what works on this machine.",
}
#: What a shell gives for a command that Ctrl-C has ended (128 + SIGINT).
EXIT_INTERRUPTED: Final = 128 + signal.SIGINT


class _Verbs(click.Group):
    """The verbs, each imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*VERBS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = import_module(f"wavetank.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], VERBS) or f" The verbs are {', '.join(VERBS)}."
            raise click.UsageError(f"unknown verb {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([*VERBS.items()])


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    subcommand_metavar="VERB ...",
)
@click.version_option(__version__, message="wavetank %(version)s")
@click.pass_context
def _wavetank(ctx: click.Context) -> None:
    """Run unmodified network programs on a simulated kernel and network, in virtual time, with seeded faults.

    \b
    wavetank run script.py                       one run
    wavetank explore script.py                   many runs: find the seed that breaks it
    wavetank explore file.py::scenario           the same for a scenario function
    wavetank explore --host db=a.py --host app=b.py
    wavetank replay FILE                         the failure again

    Exit status: 0 no failure, 1 failure found, 2 usage, 3 internal error, 4 environment, 5 nothing to run,
    6 nondeterminism, 130 stopped by Ctrl-C without a failure.
    """  # noqa: D301  # the mark is click's: do not wrap this paragraph
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """The entry point of the command `wavetank`: carries out `sys.argv`, and exits."""
    if not sys.flags.safe_path and sys.path:
        # The folder of the command itself, or the present one for `python -m`: not a place for the target's imports.
        del sys.path[0]
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(carry_out(sys.argv[1:]))


def _terminate(number: int, frame: FrameType | None) -> None:
    """Leave in order: runs are ended and temporary folders removed on the way out."""
    raise SystemExit(128 + number)


def carry_out(arguments: list[str]) -> int:
    """Carry out a command line; returns the exit status. Everything that goes wrong becomes a few clear lines."""
    own, rest = _split(arguments)
    try:
        status = _wavetank.main(own, prog_name="wavetank", standalone_mode=False, obj=rest)
        sys.stdout.flush()
        return status if isinstance(status, int) else EXIT_OK
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        _say(error.format_message())
        return EXIT_USAGE
    except InternalError as error:
        return _defect(error.what, str(error))
    except WavetankError as error:
        _say(str(error))
        _for_developers()
        return error.exit_status
    except BrokenPipeError:
        # Whoever read our output has enough (`| head`). Python would complain once more at its own exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_OK
    except (KeyboardInterrupt, click.Abort):
        _say("stopped")
        return EXIT_INTERRUPTED
    except Exception as error:
        return _defect(f"{type(error).__name__}: {error}")


def _split(arguments: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Our own arguments, and those behind `--`, which are the script's."""
    if "--" not in arguments:
        return arguments, ()
    at = arguments.index("--")
    return arguments[:at], tuple(arguments[at + 1 :])


def _say(text: str) -> None:
    click.echo(f"wavetank: {text}", err=True)


def _defect(what: str, details: str = "") -> int:
    """Something of ours is broken: one line, and how to see more."""
    _say(f"internal error: {what}".splitlines()[0])
    _say("this is a defect of Wavetank, not of your program; WAVETANK_DEBUG=1 shows where")
    _for_developers(details)
    return EXIT_INTERNAL


def _for_developers(details: str = "") -> None:
    if os.environ.get("WAVETANK_DEBUG") == "1":
        import traceback

        click.echo(f"{details}\n{traceback.format_exc()}", err=True)
