"""What pyproject.toml promises to whoever installs Wavetank."""

import re
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


@pytest.mark.parametrize(
    "requirement", [*PROJECT["dependencies"], *(name for extra in EXTRAS.values() for name in extra)]
)
def test_a_requirement_has_a_lower_bound_and_no_upper_one(requirement: str) -> None:
    assert re.fullmatch(r"[a-z-]+>=[0-9.]+", requirement)


def test_type_checkers_find_the_types() -> None:
    assert (TOP / "src" / "wavetank" / "py.typed").exists()


def test_every_python_that_is_declared_is_one_that_the_gate_knows() -> None:
    declared = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert f"for version in {' '.join(declared)}; do" in (TOP / ".ci" / "run").read_text()
