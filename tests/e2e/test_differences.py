"""The page of differences: each of its programs prints what the page says, on this Python and on uvloop."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from wavetank.contract import DIFFERENCES

PAGE = (Path(__file__).parents[2] / "docs" / "differences.md").read_text()
FILES = dict(re.findall(r"^```python\n# ([\w.]+)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL))
SECTIONS = {int(number): text for number, text in re.findall(r"^## (\d+)\.(.*?)(?=^## |\Z)", PAGE, flags=re.M | re.S)}
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
#: What uvloop does depends on its version; the page is about this one.
UVLOOP = "0.23."


def printed(number: int, folder: Path, *words: str) -> str:
    for name in ("pair.py", f"difference_{number}.py"):
        (folder / name).write_text(FILES[name])
    done = subprocess.run(
        [sys.executable, f"difference_{number}.py", *words], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().rstrip(";")


def told(number: int) -> dict[str, str]:
    """What the page says, by loop and version."""
    found = {}
    for loop, versions, text in re.findall(r"^- (asyncio|uvloop) ([\d., ]+): `(.*)`$", SECTIONS[number], flags=re.M):
        for version in versions.split(", "):
            found[f"{loop} {version}"] = text
    return found


def test_the_page_has_every_difference_of_the_contract() -> None:
    assert {*SECTIONS} == {row.number for row in DIFFERENCES}


@pytest.mark.parametrize("number", [*SECTIONS])
def test_a_program_has_about_ten_lines(number: int) -> None:
    lines = [line for line in FILES[f"difference_{number}.py"].splitlines() if line.strip()]
    assert len(lines) - len(["the import", "run(main)"]) <= 11


@pytest.mark.parametrize("number", [*SECTIONS])
def test_asyncio_does_what_the_page_says(number: int, tmp_path: Path) -> None:
    assert printed(number, tmp_path) == told(number)[f"asyncio {HERE}"]


@pytest.mark.parametrize("number", [*SECTIONS])
def test_uvloop_does_what_the_page_says(number: int, tmp_path: Path) -> None:
    if not metadata.version("uvloop").startswith(UVLOOP):
        pytest.skip(f"the page is about uvloop {UVLOOP}x")
    assert printed(number, tmp_path, "uvloop") == told(number)["uvloop 0.23"]
