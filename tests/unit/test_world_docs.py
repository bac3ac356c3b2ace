"""The page on scenarios: its example runs, and its tables name what is there."""

import re
from pathlib import Path

from tests.support.worlds import functions_of
from wavetank.world import world
from wavetank.world.host import Host, Process
from wavetank.world.oracles import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text()


def test_the_example_runs(tmp_path: Path) -> None:
    (text,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
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
    named = re.findall(r"^\| `([a-z]+)` \|", PAGE, flags=re.MULTILINE)
    assert {*KINDS} <= {*named}
