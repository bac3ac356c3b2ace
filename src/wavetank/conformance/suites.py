"""`suite`: the cases as tests of another project, in two lines.

Owns the bridge to pytest. It must never be imported by anything but a user's call: pytest is no dependency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from wavetank.errors import EnvironmentProblem


def suite(
    factory: Callable[[], Any],
    *,
    endpoint: Callable[[], Any] | None = None,
    cases: Iterable[str] | None = None,
    limit_s: float | None = None,
) -> Callable[..., None]:
    """A pytest test function with every case for the loops or reactors that `factory` makes.

    ```python
    from wavetank.conformance import suite

    test_conformance = suite(my_loop.new_event_loop)
    ```

    `endpoint`: makes an object with `listen(loop, factory)` and `connect(loop, factory, listening)`, as `run_protocols`
    takes it, for transports of one's own: then the cases of plain streams run on those. `cases`: names of those to run,
    None for all; `limit_s`: seconds after which a case hangs. Each case runs in a process of its own. A case that the
    loop does not offer is skipped; a deviation that the ledger knows is an expected failure. Raises UsageError for a
    factory that makes neither, and for an unknown case; EnvironmentProblem without pytest.
    """
    try:
        import pytest
    except ImportError as missing:
        raise EnvironmentProblem(
            "suite() makes tests for pytest, and there is none", next="pip install pytest"
        ) from missing
    from wavetank.conformance import runner
    from wavetank.conformance.cases import CASES
    from wavetank.conformance.targets import of_factory

    target = replace(of_factory(factory), endpoint=endpoint)
    names = [*CASES] if cases is None else runner.known_names(cases)
    limit = runner.LIMIT_S if limit_s is None else limit_s

    @pytest.mark.parametrize("case", names)
    def test_conformance(case: str) -> None:
        result = runner.run_case(target, case, limit_s=limit)
        if result.verdict == runner.NOT_OFFERED:
            pytest.skip(f"not offered: {result.note}")
        if result.verdict == runner.KNOWN:
            pytest.xfail(result.note)
        if result.is_new:
            lines = [f"{target.label}: {case}: {result.verdict}", *result.complaints, f"rule: {CASES[case].source}"]
            pytest.fail("\n".join(lines), pytrace=False)

    return test_conformance
