"""The strategies draw valid faults of every word, and Hypothesis is loaded only with them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_import_light import modules_loaded
from wavetank import faults
from wavetank.errors import UsageError
from wavetank.faults import FAMILIES, WORDS, AnyFault, Fault, parse_event, parse_target, strategies
from wavetank.plan import Plan, from_json, to_json


@pytest.mark.parametrize("word", WORDS)
def test_each_word_is_drawn_and_survives_json(word: str) -> None:
    @settings(max_examples=20)
    @given(strategies.of_word(WORDS[word]))
    def check(fault: AnyFault) -> None:
        assert type(fault) is WORDS[word]
        assert faults.from_json(faults.to_json(fault)) == fault
        assert str(fault)

    check()


@given(strategies.targets(["a", "b"]))
def test_targets_are_targets(text: str) -> None:
    parse_target(text)


@given(strategies.events())
def test_events_are_events_or_none(text: str) -> None:
    assert not text or parse_event(text)


@settings(max_examples=40)
@given(st.data(), st.sampled_from([*FAMILIES]))
def test_a_family_draws_its_own_words(data: st.DataObject, family: str) -> None:
    fault = data.draw(strategies.faults([family]))
    assert isinstance(fault, Fault)
    assert type(fault) in FAMILIES[family].faults


@settings(max_examples=30)
@given(strategies.plans_of(most=3))
def test_several_make_a_plan(drawn: tuple[AnyFault, ...]) -> None:
    plan = Plan(faults=drawn)
    assert from_json(to_json(plan)) == plan


def test_what_cannot_be_drawn_is_told() -> None:
    with pytest.raises(UsageError, match=r"unknown fault family 'rest'\. Did you mean 'reset'\?"):
        strategies.faults(["rest"])
    with pytest.raises(UsageError, match="no fault family to draw from"):
        strategies.faults([])


def test_hypothesis_is_loaded_by_nothing_else() -> None:
    assert "hypothesis" not in modules_loaded("import wavetank.faults, wavetank.campaign.api, wavetank.world.world")
    assert "hypothesis" in modules_loaded("from wavetank.faults import strategies")
