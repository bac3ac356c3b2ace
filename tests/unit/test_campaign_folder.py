"""The private folder of a campaign, and what becomes of those whose owner was killed."""

import os
import tempfile
import time
from pathlib import Path

import pytest

from wavetank.campaign import folder
from wavetank.campaign.folder import Folder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def make_old(path: str | Path) -> None:
    """As if nobody had touched it for two hours."""
    then = time.time() - 7200
    os.utime(path, (then, then))


def test_it_is_there_until_it_is_removed() -> None:
    one = Folder()
    (Path(one.path) / "00").mkdir()
    assert os.path.basename(one.path).startswith("wavetank-")
    one.remove()
    assert not os.path.exists(one.path)


def test_what_a_killed_process_has_left_is_removed_when_the_next_one_begins(tmp_path: Path) -> None:
    left = tmp_path / "wavetank-left"
    (left / "00").mkdir(parents=True)
    make_old(left)
    one = Folder()
    assert sorted(tmp_path.iterdir()) == [Path(one.path)]
    one.remove()


def test_what_is_in_use_or_young_or_no_folder_of_ours_stays(tmp_path: Path) -> None:
    used = Folder()
    make_old(used.path)
    young = tmp_path / "wavetank-young"
    young.mkdir()
    others = tmp_path / "other"
    others.mkdir()
    make_old(others)
    link = tmp_path / "wavetank-link"
    link.symlink_to(others)
    folder.sweep()
    assert sorted(tmp_path.iterdir()) == sorted([Path(used.path), young, others, link])
    used.remove()
