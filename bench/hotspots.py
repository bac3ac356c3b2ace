"""Where the processor time of a cell goes, by part: `hotspots.py CELL [SECONDS]`, CELL a function of `scenarios.py`.

Runs the cell again and again in one interpreter (`series.py`), and looks every millisecond of processor time at what
runs. A sample counts for the innermost line of the standard library or of Wavetank; what C code does counts for the
Python code that called it. Prints the share of each part and of the dearest functions, as Markdown.
"""

from __future__ import annotations

import _signal as signal  # the functions of `signal` look these up when they are called
import collections
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType, FrameType

start_timer, on_signal = signal.setitimer, signal.signal  # before they are replaced by what the next line runs
series = runpy.run_path(str(Path(__file__).with_name("series.py")), run_name="series")

#: A function belongs to the first part whose words its file's path holds.
PARTS = (
    ("trace and digest", ("/kernel/recorder.py", "/wavetank/trace/")),
    ("TCP", ("/kernel/tcp/",)),
    ("network", ("/wavetank/network/",)),
    ("socket calls and readiness", ("/kernel/socket.py", "/kernel/readiness.py", "/kernel/file.py")),
    ("processes and threads", ("/kernel/core.py", "/kernel/threads.py", "/kernel/process.py", "/kernel/locals.py")),
    ("entropy", ("/kernel/entropy.py",)),
    ("the rest of the kernel", ("/wavetank/kernel/",)),
    ("frameworks", ("/wavetank/frameworks/",)),
    ("making and ending worlds", ("/wavetank/world/", "/bench/series.py")),
    ("the program", ("/bench/",)),
    ("asyncio", ("/asyncio/",)),
    ("the rest of the standard library", ("",)),
)
SHOWN = 25


class Samples:
    """What ran when the timer rang."""

    def __init__(self) -> None:
        self.codes: collections.Counter[CodeType] = collections.Counter()

    def take(self, signum: int, frame: FrameType | None) -> None:
        """One sample."""
        if frame is not None:
            self.codes[frame.f_code] += 1

    def report(self, cell: str) -> None:
        """Print both tables."""
        total = sum(self.codes.values())
        parts: collections.Counter[str] = collections.Counter()
        for code, count in self.codes.items():
            parts[next(name for name, words in PARTS if any(word in code.co_filename for word in words))] += count
        print(f"{cell}: {total} samples\n\n| part | share |\n|---|---|")
        for name, count in parts.most_common():
            print(f"| {name} | {count / total:.1%} |")
        print("\n| function | share |\n|---|---|")
        for code, count in self.codes.most_common(SHOWN):
            file = "/".join(code.co_filename.rsplit("/", 2)[-2:])
            print(f"| `{code.co_qualname}` of {file} | {count / total:.1%} |")


def main(cell: str, seconds: float) -> None:
    """Warm up, sample, print."""
    samples = Samples()

    def begin() -> None:
        on_signal(signal.SIGPROF, samples.take)
        start_timer(signal.ITIMER_PROF, 0.001, 0.001)

    series["repeat"](cell, seconds, begin)
    start_timer(signal.ITIMER_PROF, 0, 0)
    samples.report(cell)
    sys.stdout.flush()
    series["leave"](0)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 10.0)
