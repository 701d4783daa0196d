"""Which look stands for a sync, by what the controller wrote of it."""

import msgspec

from inflight.hpa import Decision, ExternalAnswer, FailedAnswer, Memory, Observation, Record, decide
from inflight.hpa.record import make_record
from inflight.objects import HorizontalPodAutoscaler, Time, decode_hpa, set_defaults
from inflight.observe.syncs import answers_seen, as_synced

from .fake_cluster import SECOND, external
from .test_any_observation import NOW

replace = msgspec.structs.replace


def look(*loads: int | None, replicas: int = 5) -> tuple[Record, Decision]:
    """Of an HPA with as many External metrics; None: the request failed."""
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"},
        "maxReplicas": 10,
        "metrics": [external(name=f"m{index}") for index in range(len(loads))],
    }
    hpa: HorizontalPodAutoscaler = set_defaults(decode_hpa({"metadata": {"name": "llm", "uid": "u"}, "spec": spec}))
    answers = tuple(FailedAnswer("gone") if load is None else ExternalAnswer((load * 1000,)) for load in loads)
    record = make_record(hpa, Observation(replicas, replicas, "app=llm", (), answers), None, NOW)
    return record, record.decide()


def written(record: Record, *loads: int) -> HorizontalPodAutoscaler:
    """The HPA after a sync that saw these loads."""
    answers = tuple(ExternalAnswer((load * 1000,)) for load in loads)
    seen = replace(record.observation, answers=answers)
    decision = decide(record.hpa, seen, Memory(), NOW + SECOND)
    return replace(record.hpa, status=decision.memory.status)


def test_a_look_that_saw_what_the_controller_saw_stands_for_the_sync() -> None:
    record, decision = look(150)
    status = written(record, 150).status
    synced = as_synced(record, decision, status, None, NOW + SECOND)
    assert synced is not None
    assert (synced.now_ns, synced.observation, synced.memory) == (NOW + SECOND, record.observation, None)
    assert synced.outcome is not None
    assert (synced.outcome.replicas, synced.outcome.rescaled) == (5, False)


def test_a_rescale_is_told_by_the_time_of_the_last_one() -> None:
    record, decision = look(240)
    status = replace(written(record, 240).status, last_scale_time=Time(NOW))
    synced = as_synced(record, decision, status, None, NOW)
    assert synced is not None
    assert synced.outcome is not None
    assert (synced.outcome.replicas, synced.outcome.rescaled) == (8, True)


def test_a_value_that_moved_is_taken_from_the_look_after_or_from_the_status() -> None:
    record, decision = look(150, 60)
    status = written(record, 160, 60).status
    later = replace(record.observation, answers=(ExternalAnswer((160_000,)), ExternalAnswer((90_000,))))
    assert answers_seen(record, decision, status, later) == (ExternalAnswer((160_000,)), ExternalAnswer((60_000,)))
    assert answers_seen(record, decision, status, None) == (ExternalAnswer((160_000,)), ExternalAnswer((60_000,)))


def test_an_average_in_the_status_gives_the_total_that_it_may_have_been() -> None:
    record, decision = look(150)
    status = written(record, 151).status
    assert answers_seen(record, decision, status, None) == (ExternalAnswer((151_000,)),)
    odd = written(record, 100).status
    odd_metric = replace(
        odd.current_metrics[0].external, current=msgspec.convert({}, type(odd.current_metrics[0].external.current))
    )  # type: ignore[union-attr, arg-type]
    broken = replace(odd, current_metrics=(replace(odd.current_metrics[0], external=odd_metric),))
    assert answers_seen(record, decision, broken, None) is None


def test_a_metric_that_failed_for_one_and_not_for_the_other_makes_the_sync_unknown() -> None:
    record, decision = look(None)
    assert as_synced(record, decision, decision.memory.status, None, NOW) is not None
    worked, computed = look(150)
    assert as_synced(worked, computed, decision.memory.status, None, NOW) is None


def test_an_hpa_with_another_number_of_metrics_is_another_sync() -> None:
    record, decision = look(150)
    two, _ = look(150, 60)
    assert as_synced(record, decision, written(two, 150, 60).status, None, NOW) is None
