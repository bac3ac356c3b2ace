"""The progress bar of a campaign: on standard error, and only on a terminal.

Owns nothing else. rich is imported only when a bar is shown.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from wavetank.campaign.explore import Found, Search

_REDRAW_S: Final = 0.1


@contextmanager
def progress_bar(search: Search) -> Iterator[Callable[[Found], None]]:
    """A function to be told of each run; it draws while the context lasts."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda found: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("exploring"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[found]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,  # no thread: this process must stay able to start images
    )
    task = bar.add_task("", total=search.runs, found="")
    drawn = 0.0

    def tell(found: Found) -> None:
        nonlocal drawn
        failed = found.runs - found.outcomes["ok"]
        bar.update(task, completed=found.runs, found=f"{failed} failed" if failed else "")
        if time.monotonic() - drawn > _REDRAW_S:
            drawn = time.monotonic()
            bar.refresh()

    with bar:
        yield tell
