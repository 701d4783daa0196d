"""A batch that passes in closed form against one that is stepped, and time cut into any pieces."""

from math import isclose
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.sim.engine import ReplicaEvent
from inflight.sim.replica import Replica

from .stepping import SteppingReplica
from .workloads import Act, acts, engine

SEEDS = st.integers(min_value=0, max_value=2**32 - 1)
GAUGES = ("running", "waiting", "in_flight", "kv_usage", "busy_seconds")


def do(replica: Replica | SteppingReplica, act: Act) -> None:
    if act.request is not None:
        replica.submit(act.request, act.at)
    elif act.leaves is not None:
        replica.abort(act.leaves, act.at)


def equal_within(one: object, other: object, seconds: float) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=1e-9, abs_tol=seconds)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(equal_within(a, b, seconds) for a, b in zip(one, other, strict=True))
    if isinstance(one, msgspec.Struct):
        return type(one) is type(other) and equal_within(
            msgspec.structs.astuple(one), msgspec.structs.astuple(other), seconds
        )
    return one == other


@settings(max_examples=80, deadline=None)
@given(SEEDS)
def test_a_run_of_steps_equals_stepping_through_it(seed: int) -> None:
    random = Random(seed)
    config = engine(random)
    closed, stepped = Replica(config, 0.0), SteppingReplica(config, 0.0)
    for act in acts(random, config, random.choice([5, 20, 40])):
        at = act.at if random.random() < 0.7 else closed.now + random.random() * (act.at - closed.now)
        assert equal_within(closed.advance(at), stepped.advance(at), 1e-9)
        if random.random() < 0.3:
            assert_equal_pages(closed, stepped)
        closed_events, stepped_events = closed.advance(act.at), stepped.advance(act.at)
        assert equal_within(closed_events, stepped_events, 1e-9)
        do(closed, act)
        do(stepped, act)
    assert equal_within(closed.advance(1e4), stepped.advance(1e4), 1e-9)
    assert_equal_pages(closed, stepped)


def assert_equal_pages(closed: Replica, stepped: SteppingReplica) -> None:
    for gauge in GAUGES:
        assert equal_within(getattr(closed, gauge), getattr(stepped, gauge), 1e-9), gauge
    page, expected = closed.stats, stepped.stats
    for name in page.__struct_fields__:
        assert equal_within(getattr(page, name), getattr(expected, name), 1e-8), name
    for request_id in stepped.ids_in_flight():
        assert closed.tokens_emitted(request_id) == stepped.tokens_emitted(request_id)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_cutting_time_into_pieces_and_looking_changes_nothing(seed: int) -> None:
    random = Random(seed)
    config = engine(random)
    rows = acts(random, config, 30)
    ahead, in_time, curious = (Replica(config, 0.0) for _ in range(3))
    for act in rows:
        do(ahead, act)
    seen: list[list[ReplicaEvent]] = [ahead.advance(1e4), [], []]
    for act in rows:
        seen[1] += in_time.advance(act.at)
        while random.random() < 0.6:
            due = curious.next_event_at()
            until = due if due is not None and random.random() < 0.5 else curious.now + random.expovariate(20.0)
            seen[2] += curious.advance(min(until, act.at))
            assert curious.stats.steps >= 0
            assert 0.0 <= curious.kv_usage <= 1.0
        seen[2] += curious.advance(act.at)
        do(in_time, act)
        do(curious, act)
    seen[1] += in_time.advance(1e4)
    while (due := curious.next_event_at()) is not None:
        seen[2] += curious.advance(due)
    seen[2] += curious.advance(1e4)
    assert seen[0] == seen[1] == seen[2]
    assert ahead.stats == in_time.stats == curious.stats
    assert ahead.busy_seconds == in_time.busy_seconds == curious.busy_seconds


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_nothing_is_lost_and_nothing_is_made_up(seed: int) -> None:
    random = Random(seed)
    config = engine(random)
    rows = [act for act in acts(random, config, 40) if act.request is not None]
    replica = Replica(config, 0.0)
    for act in rows:
        do(replica, act)
    events = replica.advance(1e4)
    assert [event.at for event in events] == sorted(event.at for event in events)
    stats = replica.stats
    asked = [act.request for act in rows if act.request is not None]
    outputs = [
        min(one.output_tokens, one.max_tokens or 10**9, config.max_model_len_tokens - one.prompt_tokens)
        for one in asked
    ]
    assert stats.generation_tokens == sum(outputs)
    assert stats.generation_tokens == (
        stats.time_to_first_token_seconds.count + stats.inter_token_latency_seconds.count
    )
    assert stats.prompt_tokens == sum(one.prompt_tokens for one in asked)
    assert sum(stats.request_success.values()) == len(asked) == len(events) // 2
    assert stats.request_num_preemptions.sum == stats.num_preemptions
    parts = stats.request_prefill_time_seconds.sum + stats.request_decode_time_seconds.sum
    assert stats.request_inference_time_seconds.sum == pytest.approx(parts)
    gaps = stats.inter_token_latency_seconds.sum
    assert gaps == pytest.approx(stats.request_decode_time_seconds.sum, abs=1e-9)
    assert (replica.running, replica.waiting, replica.in_flight, replica.kv_usage) == (0, 0, 0, 0.0)
    assert replica.next_event_at() is None
