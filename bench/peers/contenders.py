"""One adapter per contender.

An adapter is ``run(main, seed) -> result``: it runs the zero-argument coroutine
function ``main`` to completion in a fresh world made from ``seed`` and returns what
``main`` returned. Add a contender by writing one such function and one CONTENDERS
entry.

Fields of an entry:
  pip      what run.sh installs in the contender's own environment
  real     True when the contender moves bytes through real sockets (ports must be free)
  virtual  True when waiting costs no wall time (the idle benchmark makes sense)
  native   name of a module with hand-written versions of the workloads, for a contender
           that has no asyncio streams at all (seedloop)
  host     optional: the name programs bind and connect to (127.0.0.1 unless given)
  sweep    optional: the contender's own many-seeds entry point, sweep(main, n, jobs)
"""

from __future__ import annotations

import asyncio


def _asyncio(main, seed=0):
    return asyncio.run(main())


def _uvloop(main, seed=0):
    import uvloop

    return uvloop.run(main())


def _looptime(main, seed=0):
    import looptime

    # idle_step makes the loop wait in small real steps for real I/O, as its docs advise
    with asyncio.Runner(
        loop_factory=lambda: looptime.new_event_loop(start=0.0)
    ) as runner:
        return runner.run(main())


def _solipsism(main, seed=0):
    import async_solipsism

    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        return runner.run(main())


def _simloop(main, seed=0, prepare=None):
    """Through simloop.explore, its public entry point, which also tears the run down."""
    import simloop

    out, failed = [], []

    async def wrapped():
        if prepare:
            prepare(asyncio.get_running_loop())
        try:
            out.append(await main())
        except BaseException as e:
            failed.append(e)
            raise

    report = simloop.explore(wrapped, [seed])
    if failed and not isinstance(failed[0], asyncio.CancelledError):
        raise failed[0]
    if report is not None:
        raise RuntimeError(report.render())
    return out[0]


def _simloop_flow(main, seed=0):
    return _simloop(main, seed, lambda loop: loop.net.set_flow_control())


def _simloop_sweep(main, n, jobs=1):
    import simloop

    report = simloop.explore(main, range(n), jobs=jobs)
    assert report is None, report.render()


def _simloom(main, seed=0):
    import simloom

    return simloom.run(main, seed=seed).value


def _simloom_zero(main, seed=0):
    """simloom with its default 0.5-20 ms latency set to zero."""
    import simloom

    async def wrapped(world):
        world.net.set_latency(0.0, 0.0)
        return await main()

    return simloom.run(wrapped, seed=seed).value


def _simloom_test(main, seed=0):
    """simloom with the switches its @simloom.test decorator turns on."""
    import simloom

    return simloom.run(main, seed=seed, virtual_time=True, seed_randomness=True).value


def _simloom_sweep(main, n, jobs=1):
    import simloom

    found = simloom.explore(main, runs=n, processes=jobs)
    assert not found.failed, found.summary()


def _seedloop(main, seed=0):
    import seedloop

    out = []

    async def scenario(world):
        import inspect

        wants = bool(inspect.signature(main).parameters)
        out.append(await (main(world) if wants else main()))

    seedloop.replay(scenario, seed=seed)
    return out[0]


def _seedloop_sweep(main, n, jobs=1):
    import seedloop

    if jobs != 1:
        raise NotImplementedError("seedloop.check has no jobs option")
    seedloop.check(main, seeds=n)


def _limit(main, seed=0):
    import limit

    return limit.run(main, seed)


def _wavetank(main, seed=0, faults="none"):
    """Through `wavetank.run`; `main` is a closure, so the run is a fork of this process (the weaker mode)."""
    import wavetank

    out = []

    async def program():
        out.append(await main())

    outcome = wavetank.run(program, seed=seed, faults=faults)
    if not outcome.ok:
        raise RuntimeError(f"{outcome.failure}\n{outcome.failure.traceback}")
    return out[0]


def _wavetank_mild(main, seed=0):
    return _wavetank(main, seed, "mild")


def _wavetank_sweep(main, n, jobs=1):
    import wavetank

    found = wavetank.explore(main, runs=n, workers=jobs, faults="none")
    assert found.ok, found.failures[0]


CONTENDERS: dict[str, dict] = {
    "asyncio": dict(run=_asyncio, pip=[], real=True, virtual=False),
    "uvloop": dict(run=_uvloop, pip=["uvloop==0.23.0"], real=True, virtual=False),
    "looptime": dict(run=_looptime, pip=["looptime==0.9"], real=True, virtual=True),
    "async-solipsism": dict(run=_solipsism, pip=["async-solipsism==0.10"], real=False, virtual=True),
    "simloop": dict(
        run=_simloop, pip=["simloop==0.2.2"], real=False, virtual=True, sweep=_simloop_sweep,
        host="driver",  # create_connection("127.0.0.1") is an unknown host in 0.2.2
    ),
    "simloop+flow": dict(
        run=_simloop_flow, pip=["simloop==0.2.2"], env="simloop", real=False, virtual=True, host="driver"
    ),
    "simloom": dict(
        run=_simloom, pip=["simloom==0.5.0"], real=False, virtual=True, sweep=_simloom_sweep
    ),
    "simloom+zero": dict(
        run=_simloom_zero, pip=["simloom==0.5.0"], env="simloom", real=False, virtual=True
    ),
    "simloom+test": dict(
        run=_simloom_test, pip=["simloom==0.5.0"], env="simloom", real=False, virtual=True
    ),
    "seedloop": dict(
        run=_seedloop, pip=["seedloop==0.4.1"], real=False, virtual=True,
        native="seedloop_work", sweep=_seedloop_sweep,
    ),
    # asyncio's own code over a kernel that costs nothing: an upper bound, not a simulator
    "limit": dict(run=_limit, pip=[], env="asyncio", real=False, virtual=False),
    "wavetank": dict(run=_wavetank, pip=["-e", "../.."], real=False, virtual=True, sweep=_wavetank_sweep),
    "wavetank+mild": dict(run=_wavetank_mild, pip=["-e", "../.."], env="wavetank", real=False, virtual=True),
}
