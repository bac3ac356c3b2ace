"""`wavetank proxy`: a proxy in front of a real server, with faults.

Owns nothing but the way from the options to the proxy and from its events to the terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from wavetank import documents, faults
from wavetank.cli import options, output
from wavetank.errors import EXIT_OK, EnvironmentProblem, PlanError, UsageError, WavetankError
from wavetank.faults import MAX_BYTES, AnyFault
from wavetank.plan import MAX_SEED
from wavetank.proxy import Event, FaultProxy

#: Sizes: SI units count by 1000, those with i by 1024 (IEC 80000-13).
_SIZES: Final = {
    "": 1, "b": 1, "k": 1000, "kb": 1000, "m": 1000**2, "mb": 1000**2, "g": 1000**3, "gb": 1000**3,
    "ki": 1024, "kib": 1024, "mi": 1024**2, "mib": 1024**2, "gi": 1024**3, "gib": 1024**3,
}  # fmt: skip
_SIZE: Final = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>[a-z]*)(?P<speed>/s)?")

if TYPE_CHECKING:  # generic since click 8.2
    _Int = click.ParamType[int]
    _Float = click.ParamType[float]
else:
    _Int = _Float = click.ParamType


class Size(_Int):
    """A number of bytes: 100, 64KiB, 1MiB, 10kB; `speed`: in a second, with or without /s."""

    name = "size"

    def __init__(self, *, speed: bool = False, least: int = 1) -> None:
        self.speed = speed
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The bytes."""
        found = _SIZE.fullmatch(str(value).strip().lower())
        example = "as in 500, 64KiB/s or 1MiB/s" if self.speed else "as in 500, 64KiB or 1MiB"
        if found is None or found["unit"] not in _SIZES or (found["speed"] and not self.speed):
            self.fail(f"{value!r} is not a {'speed' if self.speed else 'number of bytes'}, {example}", param, ctx)
        size = float(found["number"]) * _SIZES[found["unit"]]
        if not self.least <= size <= MAX_BYTES or not size.is_integer():
            self.fail(f"{value} is not a whole number of bytes from {self.least} to {MAX_BYTES:,}", param, ctx)
        return int(size)


class Rate(_Float):
    """A probability: 5% or 0.05."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """From 0 to 1."""
        text = str(value).strip()
        try:
            rate = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            self.fail(f"{value!r} is not a rate, as in 5% or 0.05", param, ctx)
        if not 0 <= rate <= 1:
            self.fail(f"{value} is not from 0 to 1, or 0% to 100%", param, ctx)
        return rate


@click.command("proxy", cls=options.Command, short_help="A bad line in front of a real server.")
@click.argument("upstream", metavar="UPSTREAM")
@click.option("--listen", metavar="ADDRESS", help="Where to listen.  [a free port of 127.0.0.1]")
@click.option("--latency", type=options.Duration(), metavar="TIME", help="Everything takes so much longer.")
@click.option("--jitter", type=options.Duration(), metavar="TIME", help="And up to so much more, drawn.")
@click.option("--bandwidth", type=Size(speed=True), metavar="SPEED", help="No more bytes a second than this.")
@click.option("--segments", type=Size(), metavar="SIZE", help="Bytes arrive in pieces of at most this size.")
@click.option("--slow-reader", type=Size(speed=True), metavar="SPEED", help="Bytes are read no faster than this.")
@click.option("--loss", type=Rate(), metavar="RATE", help="Packets are lost: TCP gets slower, datagrams are gone.")
@click.option("--reset", is_flag=True, help="Reset the next connection.")
@click.option("--reset-after", type=Size(least=0), metavar="SIZE", help="Reset connections after so many bytes.")
@click.option("--eof-after", type=Size(least=0), metavar="SIZE", help="End connections after so many bytes.")
@click.option("--stall", is_flag=True, help="Nothing is read, nothing passes.")
@click.option("--drop", is_flag=True, help="Everything is read and forgotten.")
@click.option("--partition", is_flag=True, help="The two ends cannot reach each other.")
@click.option("--refuse", is_flag=True, help="New connections are refused.")
@click.option("--duplicate", type=Rate(), metavar="RATE", help="Datagrams arrive twice.")
@click.option("--reorder", type=Rate(), metavar="RATE", help="Datagrams are overtaken.")
@click.option("--truncate", type=Size(least=0), metavar="SIZE", help="Datagrams are cut to this size.")
@click.option("--target", metavar="TARGET", default="*", help="What these aim at: 'client -> server #2'.  [*]")
@click.option("--at", "at_s", type=options.Duration(), metavar="TIME", help="When they begin.  [at once]")
@click.option("--lasting", "duration_s", type=options.Duration(), metavar="TIME", help="How long.  [until the end]")
@click.option("--fault", "given_faults", multiple=True, metavar="JSON", help="A fault as in a plan; may be repeated.")
@click.option("--plan", "live_plan", metavar="FILE", help="The faults of this plan.")
@click.option("--seed", type=options.Whole(0, MAX_SEED), metavar="N", help="What is drawn follows from it.  [0]")
@click.option("--names", metavar="CLIENT,SERVER", default="client,server", help="The ends in targets.")
@click.option("--control", metavar="ADDRESS", help="Listen here for the control API; port 0: a free one.  [off]")
@click.option("--token", metavar="TEXT", envvar="WAVETANK_TOKEN", help="Its password; also $WAVETANK_TOKEN.  [drawn]")
@click.option("--trace", "trace_file", metavar="FILE", help="Write the trace of what happens.")
@click.option("--events", is_flag=True, help="Print each event.")
@click.option("--no-splice", is_flag=True, help="Copy all bytes through this process.")
@click.option("--exit-after", type=options.Duration(), metavar="TIME", help="End after so long.  [Ctrl-C, SIGTERM]")
@options.json_option
def command(upstream: str, **given: Any) -> int:
    """Listen, connect each client to UPSTREAM, and do to the bytes between them what the faults say; else nothing.

    UPSTREAM and ADDRESS: HOST:PORT, udp:HOST:PORT, unix:PATH, unix-dgram:PATH or unix-seqpacket:PATH. The first line of
    output says where it listens. It ends by Ctrl-C or SIGTERM, with status 0.
    """
    try:
        return _serve(upstream, given)
    except (UsageError, PlanError, EnvironmentProblem) as error:
        raise _in_one_line(error) from None


def _serve(upstream: str, given: dict[str, Any]) -> int:
    """What the command does. Raises what is wrong with its options, or with the machine."""
    if options.script_arguments():
        raise UsageError("proxy starts no program: leave out -- and what follows")
    said = click.get_current_context().get_parameter_source("token")
    if said is ParameterSource.COMMANDLINE and not given["control"]:
        raise UsageError("--token: there is no control API to protect; --control ADDRESS switches it on")
    proxy = FaultProxy(
        upstream,
        listen=given["listen"],
        plan=given["live_plan"],
        seed=given["seed"],
        names=tuple(given["names"].split(",")),
        control=given["control"],
        token=given["token"] if given["control"] else None,
        trace=given["trace_file"],
        splice=not given["no_splice"],
    )
    asked = [*_faults(given)]
    for fault in asked:
        proxy.check(fault)
    _raise_limit()
    try:
        asyncio.run(_live(proxy, asked, given))
    except BrokenPipeError:
        _nobody_reads()
    return EXIT_OK


def _in_one_line(error: WavetankError) -> WavetankError:
    """The same error with its parts one after another: what is wrong with an option is said in one line."""
    where = f"{error.where}: " if error.where else ""
    return type(error)("; ".join(filter(None, (f"{where}{error.what}", error.why, error.next))).replace("\n", " "))


def _faults(given: dict[str, Any]) -> Iterator[AnyFault]:
    """The faults that the options ask for."""
    common: dict[str, Any] = {
        "target": given["target"],
        "at_s": given["at_s"] or 0.0,
        "duration_s": given["duration_s"],
    }
    # Only what is given: the JSON of a fault leaves defaults out when they are the very same objects.
    times: dict[str, Any] = {name: given[name] for name in ("at_s", "duration_s") if given[name] is not None}
    common = times | ({} if given["target"] == "*" else {"target": given["target"]})
    if given["latency"] is not None or given["jitter"] is not None:
        jitter = {} if given["jitter"] is None else {"jitter_s": given["jitter"]}
        yield faults.Latency(given["latency"] or 0.0, **jitter, **common)
    one_value: tuple[tuple[str, type[Any]], ...] = (
        ("bandwidth", faults.Bandwidth), ("segments", faults.Segments), ("slow_reader", faults.SlowReader),
        ("loss", faults.Loss), ("reset_after", faults.Reset), ("eof_after", faults.Eof),
        ("duplicate", faults.Duplicate), ("reorder", faults.Reorder), ("truncate", faults.Truncate),
    )  # fmt: skip
    for name, kind in one_value:
        if given[name] is not None:
            yield kind(given[name], **common)
    flags: tuple[tuple[str, type[Any]], ...] = (
        ("reset", faults.Reset), ("stall", faults.Stall), ("drop", faults.Drop), ("refuse", faults.Refuse),
    )  # fmt: skip
    for name, kind in flags:
        if given[name]:
            yield kind(**common)
    if given["partition"]:
        client, _, server = given["names"].partition(",")
        yield faults.Partition(client, server, **times)
    for text in given["given_faults"]:
        yield faults.from_json(documents.parse(text, PlanError, "fault", "--fault"), "--fault")


def _raise_limit() -> None:
    """Each connection takes two descriptors: use all that this user may have (getrlimit(2))."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _live(proxy: FaultProxy, asked: list[AnyFault], given: dict[str, Any]) -> None:
    """Start, say so, and wait for the end."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    async with proxy:
        for fault in asked:
            proxy.inject(fault)
        _say_ready(proxy, as_json=given["as_json"])
        if given["events"]:
            for event in proxy.events:
                _say_event(event, given["as_json"])
            proxy.events.listen(lambda event: _tell(event, proxy, over, as_json=given["as_json"]))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(given["exit_after"]):
                await over.wait()
        count = proxy.connections_so_far
    if not given["as_json"]:
        there, back = proxy.events.carried
        output.say(f"{output.plural(count, 'connection')}, {there:,} bytes to the server, {back:,} bytes to the client")


def _say_ready(proxy: FaultProxy, *, as_json: bool) -> None:
    listed = [fault for _, fault, _ in proxy.faults]
    if as_json:
        data = {
            "schema": output.SCHEMA,
            "listen": proxy.listening,
            "host": proxy.host,
            "port": proxy.port,
            "upstream": proxy.upstream,
            "seed": proxy.seed,
            "faults": [faults.to_json(fault) for fault in listed],
            "control": proxy.control_url,
            "token": proxy.token,
        }
        click.echo(json.dumps(data))
        return
    output.say(f"listening on {proxy.listening}, upstream {proxy.upstream}")
    for fault in listed:
        output.say(f"  {fault}")
    if proxy.control_url is not None:
        output.say(f"control API on {proxy.control_url}, token {proxy.token}")


def _tell(event: Event, proxy: FaultProxy, over: asyncio.Event, *, as_json: bool) -> None:
    """Print an event while the proxy works. Whoever read them may have gone (`| head`): that ends the command."""
    try:
        _say_event(event, as_json)
    except BrokenPipeError:
        proxy.events.listen(None)
        _nobody_reads()
        over.set()


def _nobody_reads() -> None:
    """What is still to be written goes nowhere; Python would complain about it at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _say_event(event: Event, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(event._asdict()))
    else:
        output.say(str(event))
