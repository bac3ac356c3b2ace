"""Plans from seeds: pure, swarm-like, and within the bounds that keep ordinary timeouts quiet."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavetank.campaign import plans
from wavetank.campaign.plans import applicable, plan_for, untried
from wavetank.faults import (
    FAMILIES,
    MILD,
    AnyFault,
    Bandwidth,
    Buffers,
    ClockJump,
    ClockSkew,
    Crash,
    Drop,
    Duplicate,
    Eof,
    Latency,
    Loss,
    Partition,
    Reorder,
    Reset,
    Scheduling,
    Segments,
    SlowReader,
    Stall,
    hosts_of,
)
from wavetank.plan import MAX_SEED

SEEDS = st.integers(0, MAX_SEED)
EPOCH_S = 1_767_225_600

# A failing seed of today must fail tomorrow: changing these means that all seeds of all users mean something else.
KNOWN = [
    [
        "0.00 s: segments of at most 73 bytes",
        "0.00 s: buffers of 15000 bytes to send, 4200 bytes to receive",
        "0.00 s: slow reader, 130000 bytes/s on connecting",
    ],
    [
        "0.00 s: buffers of 23000 bytes to send, 37000 bytes to receive",
        "0.00 s: slow reader, 230000 bytes/s",
        "0.00 s: loss of 4.6 % of segments",
    ],
    [
        "0.00 s: latency 6.1 ms, jitter 47 ms",
        "0.00 s: scheduling, out of turn 18 % of the time",
        "0.00 s: segments of at most 110 bytes",
        "0.00 s: slow reader, 4500000 bytes/s on connecting",
    ],
    [],
]


def test_a_seed_gives_the_plan_that_it_always_gave() -> None:
    assert [plan_for(seed, MILD, EPOCH_S).lines() for seed in (0, 4, 5, 7)] == KNOWN


@given(SEEDS)
def test_the_same_arguments_give_the_same_plan(seed: int) -> None:
    assert plan_for(seed, MILD, EPOCH_S) == plan_for(seed, MILD, EPOCH_S)


@given(SEEDS)
def test_without_families_the_plan_has_no_fault(seed: int) -> None:
    plan = plan_for(seed, (), EPOCH_S)
    assert (plan.seed, plan.epoch_s, plan.faults, plan.choices) == (seed, EPOCH_S, (), None)


@given(SEEDS, st.sampled_from(MILD))
def test_a_family_left_out_moves_no_other(seed: int, left_out: str) -> None:
    rest = tuple(name for name in MILD if name != left_out)
    words = FAMILIES[left_out].faults
    kept = tuple(fault for fault in plan_for(seed, MILD, EPOCH_S).faults if not isinstance(fault, words))
    assert plan_for(seed, rest, EPOCH_S).faults == kept


@given(SEEDS)
def test_mild_faults_stay_within_their_bounds(seed: int) -> None:
    for fault in plan_for(seed, MILD, EPOCH_S).faults:
        match fault:
            case Latency():
                assert 0 <= fault.delay_s <= 0.05
                assert 0 <= fault.jitter_s <= 0.4
            case Bandwidth() | SlowReader():
                assert fault.bytes_per_s >= 64 * 1024
            case Scheduling():
                assert 0 < fault.rate <= 0.5
            case Segments():
                assert 1 <= fault.max_bytes <= 1460
            case Buffers():
                assert min(fault.send_bytes, fault.receive_bytes) >= 2304
            case Loss():
                assert 0 < fault.rate <= 0.05
            case _:
                pytest.fail(f"not mild: {fault}")


def test_each_family_is_on_in_about_half_of_the_plans_and_some_plans_are_empty() -> None:
    count: Counter[str] = Counter()
    for seed in range(400):
        faults = plan_for(seed, MILD, EPOCH_S).faults
        count.update(name for name in MILD if any(isinstance(fault, FAMILIES[name].faults) for fault in faults))
        count["empty"] += not faults
    assert all(150 < count[name] < 250 for name in MILD), count
    assert 10 < count["empty"] < 60


def test_strengths_are_spread_over_the_orders_of_magnitude() -> None:
    faults = [fault for seed in range(400) for fault in plan_for(seed, ("segments",), EPOCH_S).faults]
    sizes = [fault.max_bytes for fault in faults if isinstance(fault, Segments)]
    assert sum(size < 10 for size in sizes) > len(sizes) / 5
    assert sum(size > 300 for size in sizes) > len(sizes) / 8


@given(SEEDS)
def test_a_partition_cuts_named_hosts_off_and_heals(seed: int) -> None:
    hosts = ("app", "db", "cache")
    for fault in plan_for(seed, ("partition",), EPOCH_S, hosts).faults:
        assert isinstance(fault, Partition)
        assert fault.a in hosts
        assert fault.b in ("*", *hosts)
        assert fault.a != fault.b
        assert fault.duration_s is not None


def test_a_family_that_needs_two_hosts_does_not_apply_to_one() -> None:
    assert applicable(("timing", "partition"), ("main",)) == ("timing",)
    assert applicable(("timing", "partition"), ("app", "db")) == ("timing", "partition")


def test_every_family_has_a_draw() -> None:
    assert set(plans._FAMILY) == set(FAMILIES)


STRONG = tuple(name for name in FAMILIES if name not in MILD)


@given(SEEDS, st.sampled_from(STRONG), st.sampled_from([(), ("main",), ("app", "db"), ("a", "b", "c")]))
def test_every_family_draws_its_own_words_and_names_hosts_that_there_are(
    seed: int, family: str, hosts: tuple[str, ...]
) -> None:
    faults = plan_for(seed, (family,), EPOCH_S, hosts).faults
    assert {type(fault) for fault in faults} <= {*FAMILIES[family].faults}
    assert {name for fault in faults for name in hosts_of(fault)} <= {*hosts}


@given(SEEDS, st.sampled_from(STRONG))
def test_strong_faults_leave_a_way_to_recover(seed: int, family: str) -> None:
    for fault in plan_for(seed, (family,), EPOCH_S, ("app", "db")).faults:
        assert fault.at_s <= 10
        assert fault.duration_s is None or 0.01 <= fault.duration_s <= 120
        match fault:
            case Reset() | Eof():
                assert not fault.after_bytes or fault.aim.ordinal  # of one connection, or those of one moment
            case Stall() | Drop():
                assert fault.duration_s is not None
                assert fault.duration_s <= 5 or fault.aim.ordinal > 1  # a program can get on by its first connection
            case Crash():
                assert fault.restart_after_s is not None
                assert fault.restart_after_s <= 20
            case Loss():
                assert fault.of == "datagrams"
                assert fault.rate <= 0.3
            case Duplicate() | Reorder() | ClockSkew() | ClockJump() | Buffers():
                pass  # nobody is kept from getting on
            case _:
                assert fault.duration_s is not None


@given(SEEDS, st.sampled_from(STRONG))
def test_a_strong_family_left_out_moves_no_other(seed: int, left_out: str) -> None:
    def without(family: str) -> list[AnyFault]:
        words = FAMILIES[family].faults
        kept = (fault for fault in plan_for(seed, STRONG, EPOCH_S, ("app", "db")).faults)
        return [fault for fault in kept if not isinstance(fault, words)]

    rest = tuple(name for name in STRONG if name != left_out)
    assert [*plan_for(seed, rest, EPOCH_S, ("app", "db")).faults] == without(left_out)


def test_families_that_were_not_tried() -> None:
    assert untried(MILD, ()) == STRONG
    assert untried((*MILD, "reset", "crash"), ("app", "db")) == tuple(
        name for name in STRONG if name not in ("reset", "crash")
    )
    assert {*STRONG} - {*untried(MILD, ("main",))} == {"partition", "names", "crash"}
    assert untried(tuple(FAMILIES), ("app", "db")) == ()
