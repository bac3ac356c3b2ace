"""Twisted's own tests pass with our doubles in the place of Twisted's, as docs/results/twisted-suites.md says."""

from collections.abc import Callable

import pytest

from tests.suites.twisted_names import MODULES, compare, counts


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("module", MODULES)
def test_module(module: str, record_property: Callable[[str, object], None]) -> None:
    comparison = compare(module)
    record_property("with Twisted's", counts(comparison.theirs))
    record_property("with ours", counts(comparison.ours))
    assert comparison.different == {}
    assert any(outcome == "ok" for outcome, _ in comparison.ours.values())


def test_one_small_module_with_our_names() -> None:
    assert compare("twisted.test.test_protocols").different == {}
