"""The page on scenarios: its first example runs the same twice, and its tables name what is there.

That of the oracles names them all, too. The other examples are typed by `tests/e2e/test_pages.py`.
"""

import re
from pathlib import Path

from tests.support.worlds import functions_of
from wavetank.world import world
from wavetank.world.host import Host, Process
from wavetank.world.oracles import KINDS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "scenarios.md").read_text()


def test_the_first_example_runs(tmp_path: Path) -> None:
    text, *_ = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    path = tmp_path / "example.py"
    path.write_text(text)
    worlds = functions_of(str(path))
    try:
        results = [worlds.run("failover", seed=seed) for seed in (1, 1)]
    finally:
        worlds.close()
    assert [result.failure for result in results] == [None, None]
    assert results[0].digest == results[1].digest


def test_every_public_name_of_the_handles_is_in_the_tables() -> None:
    for kind in (world.World, Host, Process, world.Link):
        for name in vars(kind):
            if not name.startswith("_") and name not in ("source", "target", "stack", "start"):
                assert re.search(rf"`[^`|]*\b{name}\b", PAGE), f"{kind.__name__}.{name}"


def test_every_oracle_is_in_the_table() -> None:
    named = re.findall(r"^\| \[`([a-z]+)`\]", (DOCS / "oracles.md").read_text(), flags=re.MULTILINE)
    assert {*named} == {*KINDS, "nondeterminism"}
