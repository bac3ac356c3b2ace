"""Asking for a library's version in a run does not see what comes and goes in the user's folder, only distributions."""

import time
from pathlib import Path

import pytest

from wavetank.campaign import target
from wavetank.campaign.session import Session, Settings
from wavetank.plan import Plan

SCRIPT = """
import gc
import importlib.metadata
import wt_library

def program():
    return importlib.metadata.version("mine"), gc.get_count()[0], [id([each]) for each in range(3)], id({})

def scenario(world):
    world.host("a").run(program).result()
    print(world.host("b").run(program).result())
"""


def test_the_heap_is_the_same_whatever_lies_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = tmp_path / "site-packages"
    libraries.mkdir()
    monkeypatch.syspath_prepend(str(libraries))
    # Libraries are imported before the runs: what this one has asked for is then known for the folder as it was.
    (libraries / "wt_library.py").write_text("import importlib.metadata\nimportlib.metadata.version('mine')\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    information = tmp_path / "mine-1.5.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.5\n")
    with Session(target.parse(f"{tmp_path / 'script.py'}::scenario"), Settings()) as session:
        plan = Plan(epoch_s=session.epoch_s)
        one = session.run(plan)
        for number in range(50):
            (tmp_path / f"left behind {number} {'x' * number}").write_text("")
        time.sleep(0.02)  # what has changed within a tick of the disk's clock counts as changed by the run
        other = session.run(plan)
    assert one.failure is None, one.failure
    assert "('1.5', " in str(one.outputs)
    assert one.outputs == other.outputs
