"""One run: from a job to its result, inside an interpreter that has the simulated kernel in place.

Owns the two calls of an image: `prepare` imports what the target needs, once; `execute` carries out one job in a forked
child. It puts the parts together and judges how the world ended; what the parts do is theirs.

Before the program starts, nothing here may depend on whether a trace is kept, choices are listed, or how long the
environment is: addresses, and with them the order of sets, follow from everything allocated before.
"""

from __future__ import annotations

import contextlib
import os
from functools import partial
from importlib import import_module
from typing import Any, Final

from wavetank import frameworks
from wavetank.contract import watch
from wavetank.errors import NothingToRun, UsageError, did_you_mean
from wavetank.frameworks import reports
from wavetank.kernel import c_functions, core, descriptors, entropy, exits, guard, names, refusals, sharing, threads
from wavetank.kernel.choices import Choices
from wavetank.kernel.core import Kernel
from wavetank.kernel.descriptors import filetimes
from wavetank.kernel.process import Process
from wavetank.kernel.recorder import Recorder
from wavetank.kernel.stack import Stack
from wavetank.kernel.unix import files
from wavetank.network.fabric import Fabric, Node
from wavetank.trace.schema import Kind
from wavetank.world import debug, hang, identity, leaks, mailbox, output, script, sources
from wavetank.world.director import Director, Scenario
from wavetank.world.job import FailureRecord, Job, Payload, RunResult, Target
from wavetank.world.oracles import CONTRACT, HANG, Oracles
from wavetank.world.spin import Watchdog
from wavetank.world.universe import Universe

#: Where the image puts the descriptor of the trace file in a child (`campaign.image.TRACE_FD`).
TRACE_FD: Final = 198
#: What the image and its children have open themselves is among these.
IMAGE_FDS: Final = range(TRACE_FD, 256)
#: Modules that the standard library and common libraries import only when they are first used.
WARM: Final = (
    "asyncio", "concurrent.futures.thread", "encodings.idna", "encodings.ascii", "encodings.latin_1",
    "encodings.utf_8_sig", "linecache", "logging", "queue", "random", "select", "selectors", "signal", "socket", "ssl",
    "stringprep", "tempfile", "threading", "tokenize", "traceback", "uuid", "weakref", "zoneinfo",
)  # fmt: skip

#: Choices are explained when there are so few that they are listed one by one in a report, with room to spare.
EXPLAINED: Final = 1_000

_kept: list[Any] = []  # what must not be collected before the child leaves: parked threads would run their `finally`


# ---- in the image


def prepare(target: Target) -> None:
    """Import what the target's import statements name; compile the user's own code, and execute none of it.

    Raises `UsageError` when the target cannot be read, or names no function that is there.
    """
    sources.claim(_own_folders(target))
    output.follow()
    for name in WARM:
        _warm(name)
    frameworks.install()
    for each in target.scripts:
        sources.prepare(each.path)
    if target.module:
        _prepare_module(target.module)
    threads.remember_image()
    descriptors.protect(IMAGE_FDS)
    guard.prepare()
    from wavetank.world import rehearsal  # which builds its world with what stands here

    rehearsal.rehearse()
    image = core.K
    _spare.append(_lay_ground())
    core.K = image  # what still happens in the image costs the spare kernel no time


def _own_folders(target: Target) -> tuple[str, ...]:
    if target.scripts:
        return tuple(dict.fromkeys(os.path.dirname(each.path) for each in target.scripts))
    if os.path.isabs(target.module):
        return tuple(dict.fromkeys((os.path.dirname(target.module), sources.place_of(target.module)[1])))
    return target.sys_path[:1]


def _warm(name: str) -> None:
    with contextlib.suppress(ImportError):  # this interpreter may have been built without it
        import_module(name)


def _prepare_module(module: str) -> None:
    if os.path.isabs(module):
        sources.prepare(module)
        return
    path = sources.own_file(module)
    if path is not None:
        sources.prepare(path)
    else:
        import_module(module)


# ---- in the child


def execute(job: Job, scenario: Scenario | None = None) -> RunResult:
    """Carry out one run. The caller has set the working folder, and leaves the process by `_exit` afterwards.

    `scenario`: the function itself, where the caller has it and the target names none (`inprocess`). Raises
    `UsageError` or `NothingToRun` when the target's module has no such scenario: only running it shows that.
    """
    universe, director = build(job, scenario)
    kernel, oracles = universe.kernel, universe.oracles
    for text in (*guard.install(job.allow), *_nothing_allowed(job.allow)):
        oracles.note(text)
    watchdog = Watchdog(kernel, oracles, job.real_limit_s)
    if mailbox.current is None:
        descriptors.protect()
    filetimes.begin()
    watchdog.start()
    reason = kernel.run()
    watchdog.stop()
    _kept.append((kernel, universe, director))
    return conclude(universe, director, reason, job)


def conclude(universe: Universe, director: Director | None, reason: Any, job: Job) -> RunResult:
    """The result of a run whose kernel has stopped for `reason`. Raises as `execute`."""
    files.clear()
    sharing.clear()
    c_functions.clear()
    filetimes.end()
    universe.note_unknown_hosts()
    universe.note_faults_without_traffic(job.plan.faults)
    _judge(universe, director, reason, job)
    if director is not None and director.refused is not None:
        raise director.refused
    result = _compose(universe, director, job)
    error = universe.oracles.blamed()
    if job.debugger and error is not None:
        result.notes += filter(None, [debug.post_mortem(error)])
    return result


def build(job: Job, scenario: Scenario | None) -> tuple[Universe, Director | None]:
    """The world of a run, ready to start: its kernel is the one in force from now on."""
    kernel = _spare.pop() if _spare else _lay_ground()
    _begin(kernel, job)
    fabric = Fabric(kernel, kernel.choices.stream)
    kernel.process.stack.fabric = fabric
    limit_s = job.plan.delay_limit_s
    fabric.delay_limit_ns = None if limit_s is None else round(limit_s * 1e9)
    inherited = exits.registered()
    entropy.begin(job.plan.seed)
    refusals.begin(job.allow)
    oracles = Oracles(job.oracles_off)
    universe = Universe(kernel, fabric, oracles, job.environment, inherited)
    _listen(universe)
    if CONTRACT in job.oracles_on:
        frameworks.watch_protocols()
    director = _populate(universe, job, scenario)
    for fault in job.plan.faults:
        universe.inject(fault)
    return universe, director


def _nothing_allowed(names: tuple[str, ...]) -> list[str]:
    """Words about names after `--allow` that allow nothing."""
    if not names:
        return []
    known = {*refusals.names(), *guard.names()}
    return [
        f"--allow {name}: nothing is refused by this name.{did_you_mean(name, known)}"
        for name in names
        if name not in known
    ]


_spare: list[Kernel] = []  # made in the image: what is the same in all runs need not be made in each


def _lay_ground() -> Kernel:
    """A kernel in which nothing runs but the thread on which a world is scheduled: that of a process on no host."""
    choices = Choices(0)
    kernel = Kernel(choices, Recorder(), 0)
    scheduler = Process(Stack("wavetank", Node("wavetank", []), Fabric(kernel, choices.stream)), "scheduler", 1)
    identity.keep_present(scheduler)
    core.K = kernel
    scheduler.main_thread = kernel.adopt(scheduler, "MainThread")
    threads.process_threads_begin()
    return kernel


def _begin(kernel: Kernel, job: Job) -> None:
    """Let the kernel be that of one run."""
    core.K = kernel
    recorder = kernel.recorder = Recorder(_trace_file(job), frozenset(job.opaque))
    frameworks.name_tasks(recorder)
    home = kernel.running
    recorder.define_thread(home.number, f"{home.process.host_name}/{home.process.name}/{home.name}")
    kernel.choices = mailbox.choices_of(job)
    kernel.epoch_ns = job.plan.epoch_s * 1_000_000_000
    kernel.limit = kernel.attention = job.virtual_limit_ns


def _trace_file(job: Job) -> int | None:
    box = mailbox.current
    if box is not None:
        return TRACE_FD if box.trace_path() else None
    return os.open(job.trace_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644) if job.trace_path else None


def _listen(universe: Universe) -> None:
    reports.unhandled_hooks[:] = [universe.unhandled]
    reports.note_hooks[:] = [universe.oracles.note]
    reports.leak_hooks[:] = [partial(leaks.report_lost, universe.kernel, universe.oracles)]
    watch.listeners[:] = [universe.contract_broken]
    names.on_unknown = lambda name: universe.oracles.note(
        f"{name!r} is no host of this world: add it with --host {name}=SCRIPT, or world.host({name!r})"
    )
    threads.thread_exception_hooks[:] = [
        lambda error, text: universe.unhandled(universe.kernel.process.host_name, text, error)
    ]


def _populate(universe: Universe, job: Job, scenario: Scenario | None) -> Director | None:
    """The programs of the world, or the director who makes them."""
    target = job.target
    if not target.scripts:
        director = Director(universe, job.plan.seed, lambda: scenario or load(target))
        director.start()
        return director
    for each in target.scripts:
        script.start(universe, universe.hosts.get(each.host) or universe.add_host(each.host), each)
    universe.programs[-1].when_done = lambda: universe.kernel.stop("done")
    return None


def load(target: Target) -> Scenario:
    """The scenario function of a target. Raises `UsageError`: no such name; `NothingToRun`: not a function."""
    module = sources.load(target.module) if os.path.isabs(target.module) else import_module(target.module)
    found: Any = module
    for name in target.function.split("."):
        if not hasattr(found, name):
            hint = did_you_mean(name, vars(found))
            raise UsageError(f"{target.label}: there is no {name!r}.{hint}")
        found = getattr(found, name)
    scenario: Scenario = getattr(found, "scenario", found)
    if not callable(scenario):
        raise NothingToRun(f"{target.label} is no scenario: not a function, but {type(scenario).__name__}")
    return scenario


# ---- the end


def _judge(universe: Universe, director: Director | None, reason: Any, job: Job) -> None:
    """Whether a world that stopped for `reason` hangs."""
    if reason == "idle":
        _hangs(universe, "nothing can happen any more")
    elif reason == "limit":
        _hangs(universe, f"not finished after {universe.kernel.limit / 1e9:g} virtual seconds")
    for program in universe.programs:
        if not program.done and program.process is not None:
            universe.check_leaks(program.process)
    kernel = universe.kernel
    for queue in (kernel.ready, kernel.heap, kernel.soft):
        queue.clear()


def _hangs(universe: Universe, what: str) -> None:
    kernel = universe.kernel
    if universe.healed_at is not None:
        what += f", although every fault was healed at {universe.healed_at / 1e9:.6f} s"

    def words() -> FailureRecord:
        return hang.record(kernel, what, universe.programs, universe.director_threads())

    universe.oracles.report(HANG, "", words)


def _compose(universe: Universe, director: Director | None, job: Job) -> RunResult:
    kernel, recorder, oracles = universe.kernel, universe.kernel.recorder, universe.oracles
    failure = oracles.verdict()
    if failure is not None:
        recorder.event(kernel.now, Kind.FAILURE, 0, 0, failure.error.encode("utf-8", "replace"))
    outputs = [output for program in universe.programs for output in program.output()]
    if director is not None:
        outputs += director.output()
    for call, times in refusals.refused.items():
        oracles.note(f"{call} was refused{f' {times} times' if times > 1 else ''}: it is not simulated")
    wanted = job.want_choices or failure is not None
    return RunResult(
        digest=recorder.finish(),
        events=recorder.events,
        virtual_ns=kernel.now,
        failure=failure,
        status=_status(universe, director, failure),
        outputs=outputs,
        notes=oracles.notes,
        choices=kernel.choices.not_calm() if wanted else {},
        explanations=kernel.choices.explanations() if wanted and kernel.choices.count <= EXPLAINED else {},
        payloads=[
            Payload(key, each.size_bytes, "" if each.opaque else f"{each.checksum:08x}")
            for key, each in recorder.payloads.items()
        ],
        hosts=[*universe.hosts],
    )


def _status(universe: Universe, director: Director | None, failure: FailureRecord | None) -> int:
    """The status of the last script; of a scenario, 0 when all is well."""
    if director is None and universe.programs and universe.programs[-1].status is not None:
        return universe.programs[-1].status
    return 0 if failure is None else 1
