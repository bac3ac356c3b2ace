"""The pages of docs/ as a new user works through them: each command is typed, and its output is what the page shows.

In a page, a block of Python whose first line is `# name.py` is a file, a `console` block is a session: lines that begin
with "$ " are typed, the others are shown. Left open of what is shown: a line of three dots stands for any lines, three
dots in a line for any text, and figures that differ by machine or version of Python (times of six digits or of
one, digests, names of failure files) for others of their kind.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("wavetank")
PAGES = [
    pytest.param(page, marks=[pytest.mark.debian("redis-server")] if "redis" in page.read_text() else [], id=page.stem)
    for page in sorted([*(TOP / "docs").glob("*.md"), *(TOP / "docs").glob("tutorials/*.md")])
    if "\n```console\n$ " in page.read_text() and page.name != "command-line.md"
]
#: What a page shows, and what may stand there instead.
OPEN = {
    r"\d+\.\d{6} s\b": r"\d+\.\d{6} s",
    r"\b\d+\.\d s\b": r"\d+\.\d s",
    r"digest [0-9a-f]{32}": r"digest [0-9a-f]{32}",
    r"-[0-9a-f]{4}\.json": r"-[0-9a-f]+\.json",
    r"\.\.\.": r".*",
}


def pattern_of(shown: str) -> str:
    """The regular expression for what a page shows."""
    lines = []
    for line in shown.splitlines():
        if line.strip() == "...":
            lines.append(r"(?:.*\n)*?")
            continue
        for part in re.split(f"({'|'.join(OPEN)})", line.rstrip()):
            free = [after for before, after in OPEN.items() if re.fullmatch(before, part)]
            lines.append(free[0] if free else re.escape(part))
        lines.append(r" *\n")
    return "".join(lines)


def sessions(text: str) -> list[tuple[str, str]]:
    """The commands of a page, each with what is shown."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            found.append((command, shown))
    return found


def files(text: str) -> dict[str, str]:
    """The files that a page shows, by name."""
    blocks = re.findall(r"^```python\n(# (\w+\.py)\n.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return {name: content for content, name in blocks}


def typed(command: str, here: Path) -> str:
    """The command, with the name that its failure file has this time."""
    found = re.search(r"\S*/failures/(\S+)-[0-9a-f]+\.json", command)
    if found is None:
        return command
    newest = max(here.glob(f".wavetank/failures/{found[1]}-*.json"), key=lambda path: path.stat().st_mtime_ns)
    return command.replace(found[0], str(newest.relative_to(here)))


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_show_what_it_shows(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    here = tmp_path
    shutil.copytree(TOP / "examples", here / "examples")
    for name, content in files(text).items():
        (here / name).write_text(content)
    environment = os.environ | {"PATH": f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}
    for name in ("CI", "BUILD_NUMBER"):  # with one of these, pytest's summary is not cut to a line each
        environment.pop(name, None)
    for command, shown in sessions(text):
        if command.startswith("cd "):
            here = here / command.removeprefix("cd ")
            continue
        done = subprocess.run(
            ["bash", "-c", typed(command, here)],
            cwd=here,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
            env=environment,
        )
        assert re.fullmatch(pattern_of(shown), done.stdout), f"$ {command}\n{done.stdout}\n--- the page shows\n{shown}"


def test_what_pages_quote_of_the_examples_stands_there() -> None:
    quotes = [
        (page.name, source, quote)
        for page in sorted((TOP / "docs").glob("**/*.md"))
        for source, quote in re.findall(
            r"^<!-- part of (\S+) -->\n```python\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL
        )
    ]
    assert quotes
    assert [(page, source) for page, source, quote in quotes if quote not in (TOP / source).read_text()] == []


@pytest.mark.parametrize(
    ("shown", "output", "same"),
    [
        ("a\n", "a\n", True),
        ("a\n", "b\n", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a ... d\n", "a b c d\n", True),
        ("x: 0.000168 s\n", "x: 0.000171 s\n", True),
        ("x: 2.5 s\n", "x: 12.0 s\n", True),
        ("x: 0.25 s\n", "x: 0.26 s\n", False),
        ("wavetank replay .wavetank/failures/a-00ff.json\n", "wavetank replay .wavetank/failures/a-1234.json\n", True),
        ("digest 00112233445566778899aabbccddeeff\n", "digest ffeeddccbbaa99887766554433221100\n", True),
    ],
)
def test_what_a_page_leaves_open(shown: str, output: str, same: bool) -> None:
    assert bool(re.fullmatch(pattern_of(shown), output)) is same
