"""Each change that is named gives the count that is named, and one step less gives the old one."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.hpa import Memory, Recommendation
from inflight.hpa.change import Change, Input
from inflight.hpa.counterfactuals import Counterfactual, count_with, find_counterfactuals
from inflight.hpa.record import Record, make_record

from .builders import SECOND, START, cpu_metric, external, hpa, observe, per_pod, pod, pods, pods_metric, total
from .test_laws import answers_to, fleets, memories, specs


def found(record: Record) -> tuple[Counterfactual, ...]:
    memory = record.memory or Memory()
    return find_counterfactuals(record, memory, record.decide(memory))


def reached(record: Record, change: Change) -> int:
    memory = record.memory or Memory()
    count = count_with(change, record, memory, record.decide(memory))
    assert count is not None
    return count


def prove(record: Record) -> int:
    memory = record.memory or Memory()
    count = record.decide(memory).trace.desired_replicas
    changes = found(record)
    for each in changes:
        assert reached(record, each.change) == each.replicas != count, each
        less = abs(each.change.amount) - 1
        if less:
            sign = 1 if each.change.amount > 0 else -1
            assert reached(record, msgspec.structs.replace(each.change, amount=sign * less)) == count, each
        assert each.text.endswith(f": {each.replicas}")
    return len(changes)


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_the_change_changes_the_count_and_one_step_less_does_not(data: st.DataObject) -> None:
    spec = data.draw(specs())
    seen = observe(
        data.draw(st.integers(0, 40)),
        *data.draw(answers_to(spec)),
        pods=data.draw(fleets()),
        status_replicas=data.draw(st.integers(0, 40)),
    )
    prove(make_record(spec, seen, data.draw(memories()), START))


def texts(record: Record) -> list[str]:
    assert prove(record)
    return [each.text for each in found(record)]


def test_more_in_flight() -> None:
    record = make_record(hpa(external("30", name="inflight_requests")), observe(6, total(175)), Memory(), START)
    said = texts(record)
    # 175 of 180 is within the tolerance, which ends at 198.
    assert said[0] == "with 24 more of inflight_requests in all (199 instead of 175): 7"


def test_values_with_a_fraction_go_in_thousandths() -> None:
    said = texts(make_record(hpa(external("2150m")), observe(3, total(8.5)), Memory(), START))
    assert said[0] == "with 0.101 more of load in all (8.601 instead of 8.5): 5"


def test_stuck_at_max_names_the_max_that_would_move() -> None:
    memory = Memory(recommendations=(Recommendation(5, START - 400 * SECOND),))
    said = texts(make_record(hpa(maximum=5), observe(5, total(300)), memory, START))
    assert "with maxReplicas 6 instead of 5: 6" in said
    assert "with 180 less of load in all (120 instead of 300): 4" in said


def test_slow_to_come_down_names_when_and_with_which_window() -> None:
    memory = Memory(recommendations=(Recommendation(8, START - 200 * SECOND), Recommendation(2, START - 60 * SECOND)))
    said = texts(make_record(hpa(), observe(8, total(60)), memory, START))
    # Without behavior an entry still counts at the very end of its window.
    assert "in 101 s, all else the same: 2" in said
    assert "with a scale-down window of 199 s instead of 300 s: 2" in said


def test_with_behavior_a_window_of_its_own_is_changed() -> None:
    rules = {"scaleDown": {"stabilizationWindowSeconds": 120}}
    memory = Memory(recommendations=(Recommendation(8, START - 50 * SECOND),))
    said = texts(make_record(hpa(behavior=rules), observe(8, total(60)), memory, START))
    assert "in 70 s, all else the same: 2" in said
    assert "with a scale-down window of 50 s instead of 120 s: 2" in said


def test_an_unready_pod_is_named_with_what_it_would_do() -> None:
    fleet = (*pods(3), pod("pod-3", phase="Pending"))
    record = make_record(hpa(cpu_metric(80)), observe(4, per_pod(0.95, 0.95, 0.95), pods=fleet), Memory(), START)
    changes = [each for each in found(record) if each.change.input is Input.PODS_READY]
    assert [each.replicas for each in changes] == [5]
    assert changes[0].text.startswith("with pod pod-3, now unready, ready and counted for resource cpu")
    prove(record)


def test_two_metrics_each_have_their_changes() -> None:
    spec = hpa(external("30"), pods_metric("10"))
    record = make_record(spec, observe(4, total(100), per_pod(10, 10, 10, 10), pods=pods(4)), Memory(), START)
    inputs = {(each.change.input, each.change.metric) for each in found(record)}
    assert {(Input.METRIC_VALUE, 0), (Input.METRIC_VALUE, 1), (Input.TARGET, 0), (Input.TARGET, 1)} <= inputs
    prove(record)


def test_nothing_is_offered_where_the_scale_could_not_be_read() -> None:
    assert found(make_record(hpa(), observe(4, total(1), scale_get_error="gone"), Memory(), START)) == ()
