"""`wavetank serve`: a third-party server on the command line, ready when it says so, ended with everything it started.

Owns nothing but the way from the options to `ServerProcess` and from it to the terminal.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any, Final

import click

from wavetank.cli import options, output
from wavetank.errors import EXIT_OK, UsageError, did_you_mean
from wavetank.servers import ServerProcess, launcher

_SIGNALS: Final = {each.name.removeprefix("SIG"): each for each in signal.Signals}


@click.command("serve", cls=options.Command, short_help="A third-party server, until Ctrl-C.")
@click.option(
    "--ready",
    multiple=True,
    metavar="HOW",
    help="listen, tcp, http[:/PATH], redis, postgres, ssh, smtp, udp, line:TEXT.  [tcp]",
)
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="The numeric address of clients.  [127.0.0.1]")
@click.option(
    "--port", type=options.Whole(0, 65535), metavar="N", help="This port; 0: the server chooses.  [a free one]"
)
@click.option("--socket", metavar="PATH", help="The UNIX socket for {socket}.")
@click.option("--timeout", type=options.Duration(), default="30s", metavar="TIME", help="For the start.  [30s]")
@click.option(
    "--env", "variables", multiple=True, metavar="NAME=VALUE", help="Add to its environment; may be repeated."
)
@click.option("--cwd", metavar="DIR", help="Its working directory.")
@click.option("--user", metavar="NAME", help="Run it as this user (root only).")
@click.option("--stop-signal", default="TERM", metavar="NAME", help="The polite way to stop it.  [TERM]")
@click.option(
    "--stop-timeout", type=options.Duration(), default="5s", metavar="TIME", help="Before it is killed.  [5s]"
)
@click.option(
    "--containment", default=launcher.RUNGS[0], metavar="RUNG", help=f"{', '.join(launcher.RUNGS)}.  [the first]"
)
@click.option("--daemon", is_flag=True, help="It puts itself into the background: adopt what it leaves.")
@options.json_option
def command(ready: tuple[str, ...], variables: tuple[str, ...], as_json: bool, **given: Any) -> int:
    """Start a server, say where it is ready, and end it, with all that it has started, on Ctrl-C or SIGTERM.

    \b
    wavetank serve --ready redis -- redis-server --port {port}

    The command stands after --. In it, {port} is a free port, {socket} the path of a UNIX socket, {dir} a folder
    that is removed afterwards, {host} the address, {fd} a listening socket. The exit status is 0 after Ctrl-C, 143
    after SIGTERM, 1 when the server was not ready or died.
    """  # noqa: D301  # the mark is click's: do not wrap this paragraph
    words: tuple[str, ...] = click.get_current_context().obj
    if not words:
        raise UsageError("no command to serve", next="wavetank serve --ready redis -- redis-server --port {port}")
    server = ServerProcess(
        list(words),
        ready=list(ready) or None,
        env=_environment(variables),
        stop_signal=_signal(given.pop("stop_signal")),
        **given,
    )
    try:
        with server:
            for leftover in server.report.leftovers:
                output.remark(f"ended a leftover: {leftover}")
            _say_ready(server, as_json=as_json)
            server.wait()
            server.check()
    except KeyboardInterrupt:
        pass
    return EXIT_OK


def _environment(variables: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for each in variables:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise UsageError(f"--env {each!r} is not NAME=VALUE")
        found[name] = value
    return found


def _signal(name: str) -> int:
    number = _SIGNALS.get(name.upper().removeprefix("SIG"))
    if number is None:
        raise UsageError(
            f"unknown signal {name!r}.{did_you_mean(name.upper(), _SIGNALS)}", next="as in --stop-signal INT"
        )
    return number


def _say_ready(server: ServerProcess, *, as_json: bool) -> None:
    report = server.report
    address = server._core.address
    if as_json:
        data = {
            "schema": output.SCHEMA, "pid": server.pid, "host": server.host, "port": address.port or None,
            "socket": address.path or None, "dir": str(server.dir), "command": server.command,
            "containment": report.containment, "spawned_s": report.spawned_s, "listening_s": report.listening_s,
            "ready_s": report.ready_s, "probe_connections": report.probe_connections,
            "stdout": str(server.log.stdout.path), "stderr": str(server.log.stderr.path),
        }  # fmt: skip
        click.echo(json.dumps(data))
    else:
        output.say(f"{server.name} is ready on {address}, pid {server.pid}")
        output.say(f"  {report}")
        output.say(f"  output: {server.log.folder}")
    sys.stdout.flush()
