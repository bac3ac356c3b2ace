"""The heart of the kernel: threads that start threads."""

from typing import Any

from tests.unit.kernel_harness import simulated


def a_long_chain_of_starts(length: int) -> Any:
    kernel = core.K  # type: ignore[name-defined]  # noqa: F821  # the harness gives it
    depths = []

    def start_next(left: int) -> None:
        import sys

        frame, depth = sys._getframe(), 0
        while frame is not None:
            frame, depth = frame.f_back, depth + 1
        depths.append(depth)
        thread = kernel.new_thread(kernel.process, "next")
        kernel.start(thread, (lambda: start_next(left - 1)) if left else (lambda: kernel.wake(main)))
        kernel.park("until woken", kernel.now + 1_000_000_000)

    main = kernel.running
    start_next(length)
    return len(depths), max(depths[1:])


def test_a_thread_starts_at_the_bottom_of_the_stack() -> None:
    # Each is started while the one before it is parked; 2000 of them would pass the recursion limit of 1000.
    started, deepest = simulated(a_long_chain_of_starts, 2000, faces=[])
    assert started == 2001
    assert deepest < 20
