"""Who a simulated process is, and what machine it runs on."""

# Bodies travel as source to another interpreter: they import inside, and `core`, `attempt` and `harness` exist there.
# ruff: noqa: F821

from typing import Any

from tests.unit.kernel_harness import simulated


def run(body: Any, **options: Any) -> Any:
    return simulated(body, faces=("time", "signals", "identity"), **options)


def test_processes_have_their_own_numbers_and_lead_their_own_groups() -> None:
    def body():
        import os

        seen = []

        def ask():
            seen.append((os.getpid(), os.getppid(), os.getpgrp(), os.getpgid(0), os.getsid(0)))

        world = harness.World.current
        world.start(world.process("alpha", "other", 200), ask)
        world.start(world.process("beta", "far", 300), ask)
        ask()
        kernel = core.K
        kernel.start(kernel.new_thread(kernel.process, "worker"), ask)
        kernel.park("others", kernel.now + 1_000_000)
        return seen, os.getpgid(200) if not world.stacks["alpha"].processes[1].status else None

    seen, group = run(body)
    assert seen == [(100, 1, 100, 100, 100), (200, 1, 200, 200, 200), (300, 1, 300, 300, 300), (100, 1, 100, 100, 100)]
    assert group == 200


def test_a_leader_of_a_session_stays_one() -> None:
    def body():
        import os

        calls = (
            ("setsid",), ("setpgrp",), ("setpgid", 0, 0), ("setpgid", 100, 5), ("setpgid", 4711, 0), ("setpgid", 0, -1),
            ("getpgid", 4711), ("getsid", 4711), ("getsid", "x"),
        )  # fmt: skip
        return [attempt(getattr(os, name), *args)[1:] for name, *args in calls]

    refused, nobody = (
        ("PermissionError", (1, "Operation not permitted")),
        ("ProcessLookupError", (3, "No such process")),
    )
    assert run(body) == [
        refused, refused, refused, refused, nobody, ("OSError", (22, "Invalid argument")), nobody, nobody,
        ("TypeError", ("'str' object cannot be interpreted as an integer",)),
    ]  # fmt: skip


def test_the_machine_is_the_same_everywhere_and_each_host_has_its_name() -> None:
    def before():
        import platform

        harness.early = platform.uname(), platform.platform()

    def body():
        import os
        import platform

        seen = []

        def ask():
            seen.append((os.uname().nodename, platform.node(), platform.uname().node))

        world = harness.World.current
        world.start(world.process("beta", "far", 300), ask)
        ask()
        core.K.park("others", core.K.now + 1_000_000)
        said = os.uname()
        return (
            seen, (said.sysname, said.release, said.version), platform.release(), platform.system(),
            "6.12.0" in platform.platform(), tuple(platform.uname())[:4], type(said).__name__,
            os.cpu_count(), sorted(os.sched_getaffinity(0)), os.getloadavg(), attempt(os.sched_getaffinity, 4711)[1],
        )  # fmt: skip

    assert run(body, before=before) == (
        [("alpha",) * 3, ("beta",) * 3], ("Linux", "6.12.0", "#1 SMP"), "6.12.0", "Linux", True,
        ("Linux", "alpha", "6.12.0", "#1 SMP"), "uname_result", 4, [0, 1, 2, 3], (0.0, 0.0, 0.0), "ProcessLookupError",
    )  # fmt: skip


def test_priority_and_processors_are_remembered() -> None:
    def body():
        import os

        me = os.getpid()
        out = [os.getpriority(os.PRIO_PROCESS, me), os.nice(3), os.getpriority(os.PRIO_PGRP, 0)]
        os.setpriority(os.PRIO_PROCESS, me, 40)
        out.append(os.getpriority(os.PRIO_PROCESS, 0))
        os.sched_setaffinity(me, [1, 77])
        out.append(os.sched_getaffinity(0))
        errors = [
            attempt(os.getpriority, 7, 0)[1],
            attempt(os.getpriority, os.PRIO_PROCESS, 4711)[1],
            attempt(os.sched_setaffinity, 0, [])[2][0],
            attempt(os.sched_setaffinity, 0, [-1])[1],
            attempt(os.sched_setaffinity, 0, [1 << 128])[1],
        ]
        return out, errors

    assert run(body) == (
        [0, 3, 3, 19, {1}],
        ["OSError", "ProcessLookupError", 22, "ValueError", "OverflowError"],
    )
