"""Who asks for the floor, and the sentences for HPAs for which it cannot work."""

from typing import Any

from inflight.laws.asking import ANNOTATION, Asker, find_asker
from inflight.objects import HorizontalPodAutoscaler, decode_hpa, parse_selector

AVERAGE_ONE = {"type": "AverageValue", "averageValue": "1"}


def external(name: str, target: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "External", "external": {"metric": {"name": name}, "target": target or AVERAGE_ONE}}


FLOOR = external("inflight_replica_floor")
LOAD = {"type": "Pods", "pods": {"metric": {"name": "inflight_requests"}, "target": AVERAGE_ONE}}


def hpa(*metrics: dict[str, Any], name: str = "llm", target: str = "llm", report: str = "") -> HorizontalPodAutoscaler:
    return decode_hpa({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "ns", "annotations": {ANNOTATION: report} if report else {}},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            "maxReplicas": 9,
            "metrics": list(metrics),
        },
    })  # fmt: skip


def find(selector: str, *hpas: HorizontalPodAutoscaler) -> Asker | str:
    return find_asker(parse_selector(selector), hpas)


def test_the_label_names_the_hpa() -> None:
    mine, other = hpa(LOAD, FLOOR), hpa(LOAD, FLOOR, name="other", target="other")
    assert find("hpa=llm", other, mine) == Asker(mine, independent=False, report_only=False)
    assert find("hpa in (llm)", mine) == Asker(mine, independent=False, report_only=False)


def test_without_the_label_a_sentence_says_what_to_write() -> None:
    for selector in ("", "app=llm", "hpa", "hpa in (a,b)", "hpa!=llm"):
        found = find(selector, hpa(LOAD, FLOOR))
        assert isinstance(found, str)
        assert "selector: {matchLabels: {hpa: NAME}}" in found


def test_an_hpa_that_is_not_there_or_does_not_ask() -> None:
    assert "there is no HPA nobody" in str(find("hpa=nobody", hpa(LOAD, FLOOR)))
    assert "has no metric of this name" in str(find("hpa=llm", hpa(LOAD)))


def test_as_the_only_metric_it_would_freeze_the_hpa() -> None:
    assert "the only metric of llm" in str(find("hpa=llm", hpa(FLOOR)))


def test_any_other_target_would_make_another_number_of_it() -> None:
    for target in ({"type": "Value", "value": "1"}, {"type": "AverageValue", "averageValue": "2"}):
        assert "has to be AverageValue 1" in str(find("hpa=llm", hpa(LOAD, external("inflight_replica_floor", target))))


def test_two_hpas_on_one_workload_stop_each_other() -> None:
    found = find("hpa=llm", hpa(LOAD, FLOOR), hpa(LOAD, FLOOR, name="second"))
    assert "llm and second both scale Deployment llm" in str(found)


def test_only_a_metric_that_is_not_made_of_the_pods_can_wake_them() -> None:
    def independent(metric: dict[str, Any]) -> bool:
        found = find("hpa=llm", hpa(metric, FLOOR))
        assert isinstance(found, Asker), found
        return found.independent

    described = {"describedObject": {"kind": "Service", "name": "llm"}, "target": AVERAGE_ONE}
    assert independent(external("gateway_queue"))
    assert independent({"type": "Object", "object": {"metric": {"name": "requests"}, **described}})
    assert not independent(external("inflight_requests"))
    assert not independent({"type": "Object", "object": {"metric": {"name": "inflight_requests"}, **described}})
    assert not independent(LOAD)
    assert not independent({"type": "Resource", "resource": {"name": "cpu", "target": AVERAGE_ONE}})


def test_an_annotation_makes_it_only_report() -> None:
    found = find("hpa=llm", hpa(LOAD, FLOOR, report="Report "))
    assert isinstance(found, Asker)
    assert found.report_only
    acting = find("hpa=llm", hpa(LOAD, FLOOR, report="off"))
    assert isinstance(acting, Asker)
    assert not acting.report_only


def test_what_strangers_wrote_is_bounded_and_printable() -> None:
    name = "x" * 63
    found = str(find(f"hpa={name}", hpa(LOAD, FLOOR)))
    assert len(found) < 300
