"""How asyncio, Trio and Twisted receive signals: their own unmodified code on the simulated kernel."""

# Bodies travel as source to another interpreter: they import inside, and `core`, `attempt` and `harness` exist there.
# ruff: noqa: F821

from typing import Any

from tests.unit.kernel_harness import simulated
from wavetank.kernel.shims import FACES


def run(body: Any) -> Any:
    return simulated(body, faces=FACES)


def test_asyncio_handles_signals_in_its_loop_and_cancels_the_main_task_on_an_interrupt() -> None:
    def body():
        import asyncio
        import os
        import signal
        import time

        seen = []

        async def main():
            loop = asyncio.get_running_loop()
            got = asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, got.set)
            loop.call_later(1, os.kill, os.getpid(), signal.SIGUSR1)
            await asyncio.wait_for(got.wait(), 5)
            seen.append(round(time.monotonic() - start, 3))
            seen.append((loop.remove_signal_handler(signal.SIGUSR1), loop.remove_signal_handler(signal.SIGUSR1)))
            loop.call_later(0.5, os.kill, os.getpid(), signal.SIGINT)
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        start = time.monotonic()
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            seen.append(round(time.monotonic() - start, 3))
        return [*seen, signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.set_wakeup_fd(-1)]

    assert run(body) == [1.0, (True, False), "cancelled", 1.5, True, -1]


def test_trio_receives_signals_and_interrupts() -> None:
    def body():
        import os
        import signal

        import trio

        seen = []

        async def send(*numbers):
            await trio.sleep(1)
            for number in numbers:
                os.kill(os.getpid(), number)

        async def main():
            with trio.open_signal_receiver(signal.SIGUSR1, signal.SIGUSR2) as signals:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(send, signal.SIGUSR1, signal.SIGUSR2)
                    async for number in signals:
                        seen.append(int(number))
                        if len(seen) == 2:
                            break
            trio.lowlevel.spawn_system_task(send, signal.SIGINT)
            start = trio.current_time()
            try:
                await trio.sleep(100)
            finally:
                seen.append(round(trio.current_time() - start, 3))

        try:
            trio.run(main)
        except KeyboardInterrupt:
            seen.append("interrupted")
        return seen

    assert run(body) == [10, 12, 1.0, "interrupted"]


def test_twisted_shuts_down_on_sigterm_and_on_an_interrupt_out_of_its_wait() -> None:
    def body():
        import os
        import signal
        import time

        from twisted.internet import reactor

        seen = []
        kernel = core.K
        kernel.at(kernel.now + 1_000_000_000, lambda process: process.send_signal(signal.SIGTERM), kernel.process)
        reactor.addSystemEventTrigger("before", "shutdown", lambda: seen.append(os.getpid()))
        start = time.monotonic()
        reactor.run()
        return seen, round(time.monotonic() - start, 2)

    assert run(body) == ([100], 1.0)


def test_blocking_code_and_worker_threads_survive_signals() -> None:
    def body():
        import queue
        import signal
        import socket
        import threading
        import time

        seen, lines = [], queue.Queue()
        signal.signal(signal.SIGALRM, lambda number, frame: seen.append(threading.current_thread().name))
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        near, far = socket.socketpair()

        def serve():
            for number in range(3):
                time.sleep(0.25)
                lines.put(number)
                far.sendall(b"x")

        worker = threading.Thread(target=serve)
        worker.start()
        got = [lines.get(), near.recv(1), lines.get(timeout=10), near.recv(1)]
        worker.join()
        lock = threading.Lock()
        with lock:
            got.append(lock.acquire(timeout=0.35))
        signal.setitimer(signal.ITIMER_REAL, 0)
        near.close()
        far.close()
        return got, len(seen), set(seen)

    assert run(body) == ([0, b"x", 1, b"x", False], 11, {"MainThread"})
