"""Writes docs/fidelity.md from the programs: `python -m tests.parity.language.page`.

Owns the words of the page, and the differences that are left out before comparing, each with its reason.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.parity.language.comparing import written
from tests.parity.language.topics import TOPICS

PAGE = Path(__file__).parents[3] / "docs" / "fidelity.md"
#: What is not compared, and why.
DIFFERENCES = (
    (
        "how many bytes fit into the buffers of a TCP connection, and at which byte between full and empty it becomes "
        "writable again",
        "Linux counts the memory of its packets (`skb->truesize`), which follows from how they were cut and joined on "
        "the way; here bytes are counted. Compared is that it fills, that it is not writable then, and that it is "
        "again when all has been read. Whether what comes behind a full buffer has arrived (a FIN, or data that "
        "resets a side which no longer reads) follows from it, too; a few of 50,000 drawn programs show that.",
    ),
    (
        "`TCP_MAXSEG` of a connection, and how much a cork keeps of a write of more than that",
        "on loopback Linux takes half of the largest window seen so far, which follows from that memory. It is "
        "compared before a connection is made.",
    ),
    (
        "`SO_SNDBUF` and `SO_RCVBUF` of a connection that has carried more than a window",
        "Linux enlarges both as measured round trips and memory have it. They are compared until then.",
    ),
    (
        "how soon data is acknowledged on a connection that was full or has carried much: `TIOCOUTQ` of little, and "
        "with it when Nagle's algorithm lets a small write go",
        "Linux acknowledges at once while its window can grow (`tcp_grow_window`), which follows from that memory. "
        "Whether it is acknowledged within 200 ms, and not how soon, is compared of a stream that was full.",
    ),
    (
        "how soon a FIN without data is acknowledged: FIN-WAIT-1 or FIN-WAIT-2 within some milliseconds",
        "Linux waits for the next tick of its timer, which comes sooner or later; here 4 ms pass. `state()`, "
        "`TIOCOUTQ` of a FIN alone, and closing with a negative `TCP_LINGER2` wait until it has come.",
    ),
    (
        "whether data sent with `MSG_MORE` leaves because a segment of less than 4096 bytes arrived that acknowledges "
        "nothing, behind other data of that side",
        "whether Linux takes its fast path for such a segment follows from memory it has in reserve; here it takes it. "
        "Compared is all else: that it stays, and that it leaves with the next write, by `TCP_NODELAY` and `TCP_CORK`, "
        "with an acknowledgement, a FIN, the first data, and after 200 ms.",
    ),
    (
        "`TIOCOUTQ` of a TCP socket without a connection",
        "Linux subtracts sequence numbers that a former connection has left.",
    ),
    (
        "the contents of what `MSG_TRUNC` returns beyond the data",
        "CPython returns memory that nobody has written.",
    ),
    (
        "an address of one family for a descriptor that meanwhile belongs to a socket of another family",
        "CPython passes the kernel an address of the wrong length, and reads one of the wrong length back.",
    ),
    (
        "port numbers, numbers of descriptors, process ids, names that the kernel makes up",
        "they are compared by the order in which they come up.",
    ),
)


def page() -> str:
    """The page."""
    programs = written()
    steps = sum(len(program.steps) for program in programs)
    counts = Counter(topic for program in programs for topic in program.topics)
    rows = [f"| {text} | {counts[topic]} |" for topic, text in TOPICS.items()]
    differences = [f"| {what} | {why} |" for what, why in DIFFERENCES]
    return "\n".join(
        [
            "# Fidelity",
            "",
            "The judge of the simulated kernel is Linux. The tests have a small language of socket programs: two or",
            "three parties, each step a call; recorded are value, errno, data, order, and the readiness of every",
            "descriptor after each step. Each program runs on real loopback and in the simulated kernel, which has",
            "taken over the host's settings (`kernel.profile`: buffers, backlog, ports, retries, release), and the two",
            "records must be the same.",
            "",
            "```text",
            "A: l = listener()",
            "B: c = socket(); c.connect(at(l))",
            "A: s = accept(l)",
            "B: later c.recv(10)      # waits in a thread of its own",
            'A: s.send(b"x")',
            "B: done()                # what became of it",
            "```",
            "",
            "This page is written by `python -m tests.parity.language.page`; a test holds it to the programs.",
            "",
            "## What is compared",
            "",
            f"{len(programs)} programs written by hand, {steps:,} steps; all equal. One may be about several lines:",
            "",
            "| behaviour | programs |",
            "|---|---:|",
            *rows,
            "",
            "Programs drawn by Hypothesis come on top: 300 in `make test`, 50,000 in `make test-long`.",
            "`python -m tests.parity.survey --count 50000 --workers 2` draws and compares them, shortens what differs,",
            "and goes on where it was stopped: [what came out](results/drawn-programs.md), with how often each call,",
            "option and state came up. What they found is kept as programs in `tests/parity/programs/drawn.txt`.",
            "Seven of 50,000 were answered differently on 2026-11-20; they stand at the end of that page. Four are",
            "corrected since and kept as programs; three follow from how much fits into a buffer, the first row below.",
            "",
            "## What is different, and why",
            "",
            "Left out before comparing is this, and nothing else:",
            "",
            "| what | why |",
            "|---|---|",
            *differences,
            "",
            "What is not simulated at all is refused by name: see [the kernel](kernel.md#what-is-refused). Timers that",
            "loopback cannot show run against real Linux in network namespaces: [what came out](results/timers.md).",
            "",
            "## Other people's suites",
            "",
            "[CPython's own suites](results/cpython-suites.md) and, by `python -m tests.suites.others`, those of",
            "[Twisted, Trio and others](results/other-suites.md) run as programs inside the simulator, and on Linux.",
            "",
            "## Mutants",
            "",
            "`python -m tests.parity.language.mutants` makes small wrong changes to TCP, UDP, UNIX sockets, readiness",
            "and pipes, one at a time, and says which of them the programs, written and drawn, do not notice; with",
            "`--tests` the tests in virtual time are asked about those, too:",
            "[what came out](results/mutants.md).",
            "",
        ]
    )  # fmt: skip


if __name__ == "__main__":
    PAGE.write_text(page())
