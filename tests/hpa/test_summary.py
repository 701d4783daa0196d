"""The one sentence of a decision."""

from inflight.hpa import FailedAnswer

from .builders import Story, cpu_metric, external, hpa, per_pod, pod, pods, pods_metric, total


def test_scale_up() -> None:
    decision = Story(hpa(external("30", name="inflight_requests")), 5).sync(total(231))
    assert decision.summary() == (
        "5 -> 8: external metric inflight_requests is 231 over 5 replicas (46.2 each, target 30): 8 wanted; "
        "limited by nothing"
    )


def test_within_tolerance() -> None:
    decision = Story(hpa(external("30")), 5).sync(total(155))
    assert decision.summary() == (
        "stays at 5: external metric load is 155 over 5 replicas (31 each, target 30): within tolerance, 5 kept; "
        "limited by nothing"
    )


def test_held_by_the_window() -> None:
    decision = Story(hpa(external("30")), 8).sync(total(60))
    assert decision.summary() == (
        "stays at 8: external metric load is 60 over 8 replicas (7.5 each, target 30): 2 wanted; "
        "held at 8 by higher recommendations of the last 300 s, the last of which leaves in 300 s"
    )


def test_limited_by_a_policy() -> None:
    behavior = {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}
    decision = Story(hpa(external("30"), behavior=behavior), 5).sync(total(300))
    assert decision.summary().endswith("10 wanted; limited to 6 by the policy of 1 pod in 60 s")


def test_limited_by_the_bounds() -> None:
    assert Story(hpa(maximum=6), 5).sync(total(300)).summary().endswith("limited to 6 by maxReplicas")


def test_pods_and_what_was_set_aside() -> None:
    members = (*pods(3), pod("pod-3", phase="Pending"), pod("pod-4"))
    decision = Story(hpa(pods_metric("10")), 5).sync(per_pod(20, 20, 20), pods=members)
    assert decision.summary().startswith(
        "5 -> 6: pods metric inflight is 20 on average over 3 pods (target 10), 1 unready, 1 without a value: 6 wanted"
    )


def test_utilization() -> None:
    decision = Story(hpa(cpu_metric(80)), 2).sync(per_pod(1.6, 1.6), pods=pods(2))
    assert decision.summary() == (
        "2 -> 4: resource cpu is at 160% of the requests (target 80%): 4 wanted; limited by nothing"
    )


def test_outage() -> None:
    decision = Story(hpa(), 5).sync(FailedAnswer("adapter down"))
    assert decision.summary() == (
        "stays at 5: external metric load failed (unable to get external metric default/load/nil: adapter down), "
        "so nothing is known and nothing changes"
    )


def test_bounds_without_metrics_and_disabled() -> None:
    assert Story(hpa(maximum=6), 9).sync().summary() == ("9 -> 6: more than maxReplicas (6), metrics were not asked")
    assert Story(hpa(), 0).sync().summary() == ("stays at 0: scaling is disabled, somebody else set the target to 0")


def test_failed_write_and_read() -> None:
    assert (
        Story(hpa(), 5)
        .sync(total(231), scale_update_error="forbidden")
        .summary()
        .startswith("5, wanted 8 but the scale could not be written: ")
    )
    assert "could not be read" in Story(hpa(), 5).sync(total(231), scale_get_error="gone").summary()
