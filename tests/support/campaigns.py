"""The fixture `stand_ins`: sessions whose image runs `tests.support.fake_runtime` instead of a simulated world."""

from pathlib import Path

import pytest

from wavetank.campaign import session


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images import the stand-ins, and find them."""
    monkeypatch.setattr(
        session, "_stand_ins", {"runtime": "tests.support.fake_runtime", "shims": "tests.support.fake_shims"}
    )
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
