"""What Hypothesis draws: schedules that nobody enumerates.

Owns the strategy. It must never judge: it is told whether a trial shows something, and makes that smaller.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wavetank.check.conversation import Conversation
from wavetank.check.schedule import cut_at, stopped_at
from wavetank.check.trials import Trial

if TYPE_CHECKING:
    from wavetank.check.search import Ground


def drawn(conversation: Conversation, ground: Ground, shows: Callable[[Trial], bool], examples: int) -> Trial | None:
    """The smallest trial found that shows something, of so many examples; None when none does."""
    from hypothesis import HealthCheck, Phase, find, settings
    from hypothesis import errors as hypothesis_errors

    chosen = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[*HealthCheck],
    )
    with warnings.catch_warnings():
        # Hypothesis looks at coverage and at thread switches, and warns about both in strange surroundings.
        warnings.simplefilter("ignore")
        try:
            found: Trial = find(_trials(conversation, ground), shows, settings=chosen)
        except hypothesis_errors.NoSuchExample:
            return None
        except hypothesis_errors.HypothesisException:
            return None  # a run that differs from itself: confirmed, or not, by the search
    return found


def _trials(conversation: Conversation, ground: Ground) -> Any:
    from hypothesis import strategies as st

    size = len(conversation.data)
    near = st.integers(1, size - 1)
    cuts = st.one_of(
        st.lists(near, max_size=8),
        st.lists(near, min_size=2, max_size=64),
        st.builds(lambda start, sizes: [start + sum(sizes[:n]) for n in range(len(sizes))], near,
                  st.lists(st.integers(1, 4), min_size=1, max_size=8)),
    )  # fmt: skip
    paces = st.sampled_from(["apart", "together"])
    stops = st.one_of(st.none(), st.tuples(st.integers(0, size), st.sampled_from(ground.ends())))

    def trial(offsets: list[int], pace: Any, stop: Any) -> Trial:
        schedule = cut_at(conversation, offsets, ground.max_read)
        if stop is not None:
            schedule = stopped_at(schedule, *stop)
        schedule = type(schedule)(schedule.pieces, pace=pace, end=schedule.end)
        return Trial(conversation, schedule, "cut" if stop is None else None)

    return st.builds(trial, cuts, paces, stops)
