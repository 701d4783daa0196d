"""What is kept of objects, within bounds; the log of problems; what is wanted."""

import json
import logging
from typing import Any

import msgspec
import pytest

from inflight.discovery import KINDS, Problem
from inflight.discovery import wanted as wanted_module
from inflight.discovery.autoscalers import MAX_ASKS, MAX_PARTS, Autoscaler, WireAutoscaler, to_autoscaler
from inflight.discovery.grants import how_to_grant
from inflight.discovery.pods import MAX_PORTS, MAX_TEXT, Annotations, PodRecord, Sharing, WirePod, to_record
from inflight.discovery.problems import (
    LINES_PER_MINUTE,
    LINES_PER_NAMESPACE,
    MAX_FIRST_LINES,
    MAX_KEPT,
    MAX_KEPT_OF_NAMESPACE,
    MAX_OBJECT,
    ProblemLog,
)
from inflight.discovery.resources import Resource
from inflight.discovery.wanted import wanted_by
from inflight.objects import EVERYTHING, LabelSelector

from .builders import autoscaler, external_metric, object_metric, pod, pods_metric


def record(plain: Any, sharing: Sharing | None = None) -> PodRecord:
    return to_record(msgspec.json.decode(json.dumps(plain), type=WirePod), sharing or Sharing())


def read(plain: Any) -> Autoscaler | None:
    return to_autoscaler(msgspec.json.decode(json.dumps(plain), type=WireAutoscaler))


def test_ports_of_containers_and_native_sidecars_count_and_those_of_init_containers_do_not() -> None:
    plain = pod("a", ports=(8000, 8001))
    plain["spec"]["containers"] += [
        {
            "ports": [
                {"containerPort": 8000},
                {"containerPort": 53, "protocol": "UDP"},
                {"containerPort": 9, "protocol": "SCTP"},
            ]
        },
        {"ports": [{"containerPort": 9090, "protocol": "TCP"}]},
    ]
    plain["spec"]["initContainers"] = [
        {"ports": [{"containerPort": 1}]},
        {"restartPolicy": "Always", "ports": [{"containerPort": 2}]},
    ]
    assert record(plain).ports == (8000, 8001, 9090, 2)


def test_restarts_of_all_containers_are_added_up() -> None:
    plain = pod("a")
    plain["status"]["containerStatuses"] = [{"restartCount": 2}, {"restartCount": 1}, {}]
    plain["status"]["initContainerStatuses"] = [{"restartCount": 4}]
    assert record(plain).restarts == 7


def test_a_pod_that_has_nearly_nothing_is_read() -> None:
    found = record({"metadata": {"name": "a", "labels": None, "annotations": None, "ownerReferences": None}})
    assert (found.name, found.labels, found.ports, found.host, found.owner) == ("a", {}, (), "", None)


def test_the_controller_is_the_owner_that_counts() -> None:
    plain = pod("a")
    plain["metadata"]["ownerReferences"].insert(0, {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "x"})
    owner = record(plain).owner
    assert owner is not None
    assert (owner.group, owner.kind, owner.name) == ("apps", "ReplicaSet", "llm-7f9c")


def test_what_somebody_writes_without_end_is_cut() -> None:
    plain = pod(
        "a", ports=tuple(range(1, 1000)), annotations={"prometheus.io/path": "/" + "a" * 10_000, "other": "x" * 99}
    )
    plain["metadata"]["labels"] = {f"l{number}": "x" for number in range(1000)}
    found = record(plain)
    assert len(found.ports) == MAX_PORTS
    assert len(found.annotations.path) == MAX_TEXT
    assert (found.labels, found.too_many_labels) == ({}, 1000)


def test_equal_parts_are_kept_once() -> None:
    sharing = Sharing()
    first, second = (record(pod(name, ip=f"10.0.0.{number}"), sharing) for number, name in enumerate("ab", 1))
    assert first.labels is second.labels
    assert first.owner is second.owner
    assert first.annotations is second.annotations
    for number in range(10_000):
        sharing.share(Annotations(port=str(number)))
        sharing.share_labels({"number": str(number)})
    assert len(sharing._values) <= 4096
    assert len(sharing._labels) <= 4096
    assert record(pod("c"), sharing).labels == first.labels


def test_what_is_kept_of_an_hpa() -> None:
    plain = autoscaler(
        "h",
        pods_metric(),
        {"type": "Resource", "resource": {"name": "cpu"}},
        object_metric("engine", "StatefulSet"),
        external_metric(None),
        external_metric({"matchLabels": {}}),
        pods_metric("somebody_elses"),
    )
    found = read(plain)
    assert found is not None
    assert [(ask.type, str(ask.workload), ask.selector) for ask in found.asks] == [
        ("Pods", "Deployment llm", EVERYTHING),
        ("Object", "StatefulSet engine", EVERYTHING),
        ("External", "None", EVERYTHING),
        ("External", "None", EVERYTHING),
    ]


@pytest.mark.parametrize(
    "metric",
    [
        {"type": "Pods"},
        {"type": "Pods", "pods": {}},
        {"type": "Pods", "pods": None},
        {"type": "Object", "object": {"describedObject": {"kind": "x", "name": "y"}}},
        {"type": "External", "external": {"metric": {"name": ""}}},
        {"type": "Nonsense", "pods": {"metric": {"name": "inflight_requests"}}},
        {},
    ],
)
def test_entries_that_say_nothing_are_passed_over(metric: dict[str, Any]) -> None:
    plain = autoscaler("h")
    plain["spec"]["metrics"] = [metric]
    assert read(plain) is None


def test_an_hpa_without_metrics_is_passed_over() -> None:
    assert read({"metadata": {"name": "h", "namespace": "llm"}, "spec": {"metrics": None}}) is None


def test_an_hpa_without_end_is_cut() -> None:
    many = read(autoscaler("h", *[pods_metric()] * 500))
    assert many is not None
    assert len(many.asks) == MAX_ASKS
    values = [f"{number:060}" for number in range(150)]
    long = read(
        autoscaler("h", external_metric({"matchExpressions": [{"key": "a", "operator": "In", "values": values}]}))
    )
    assert long is not None
    assert "characters; at most 4096 are followed" in long.asks[0].problem
    assert long.asks[0].selector == EVERYTHING


def labelled(count: int, letters: int = 1) -> dict[str, Any]:
    return external_metric({"matchLabels": {f"k{number}": "v" * letters for number in range(count)}})


def test_all_selectors_of_an_hpa_together_are_bounded() -> None:
    found = read(autoscaler("h", *[labelled(40)] * 20))
    assert found is not None
    followed = MAX_PARTS // (40 + 40)
    assert [bool(ask.problem) for ask in found.asks] == [False] * followed + [True] * (20 - followed)
    assert "more than 1000 requirements and values" in found.asks[-1].problem


@pytest.mark.parametrize(
    "metric",
    [
        external_metric({"matchExpressions": [{"key": "a", "operator": "In", "values": ["v"] * 2000}]}),
        external_metric({"matchExpressions": [{"key": "a", "operator": "Exists", "values": []}] * 2000}),
        labelled(2000),
        labelled(50, letters=5000),
    ],
)
def test_what_is_refused_for_its_size_has_not_been_read(
    metric: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_: Any) -> Any:
        raise AssertionError("it was read")

    monkeypatch.setattr(LabelSelector, "to_selector", never)
    found = read(autoscaler("h", metric))
    assert found is not None
    assert "are followed" in found.asks[0].problem


def test_beyond_the_bounds_the_first_by_name_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wanted_module, "MAX_NAMESPACES", 2)
    found = {}
    for namespace in "cab":
        for name in "yx":
            each = read(autoscaler(name, namespace=namespace))
            assert each is not None
            found[namespace, name] = each
    wanted = wanted_by(found)
    assert {name: [each.name for each in hpas] for name, hpas in wanted.by_namespace.items()} == {
        "a": ["x", "y"],
        "b": ["x", "y"],
    }
    assert wanted.count == 4
    assert [problem.sentence for problem in wanted.problems] == [
        "there are 3 namespaces with HPAs, and at most 2 are followed: the first by name"
    ]
    assert [named.askers for named in wanted.workloads.values()] == [("x", "y"), ("x", "y")]
    monkeypatch.setattr(wanted_module, "MAX_AUTOSCALERS", 1)
    bounded = wanted_by(found)
    assert {name: [each.name for each in hpas] for name, hpas in bounded.by_namespace.items()} == {
        "a": ["x"],
        "b": ["x"],
    }
    assert [(problem.namespace, problem.sentence.split(":")[0]) for problem in bounded.problems[1:]] == [
        ("a", "there are 2 HPAs in namespace a, and at most 1 are followed"),
        ("b", "there are 2 HPAs in namespace b, and at most 1 are followed"),
    ]


def test_the_workloads_of_a_namespace_are_bounded_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wanted_module, "MAX_WORKLOADS", 2)
    greedy = read(autoscaler("greedy", *[object_metric(f"w{number}") for number in range(5)], namespace="a"))
    modest = read(autoscaler("modest", namespace="b"))
    assert greedy is not None
    assert modest is not None
    wanted = wanted_by({("a", "greedy"): greedy, ("b", "modest"): modest})
    assert [key[::3] for key in wanted.workloads] == [("a", "w0"), ("a", "w1"), ("b", "llm")]
    assert [problem.object for problem in wanted.problems] == ["Namespace/a/workloads"]


def problem(name: str, sentence: str = "it is so") -> Problem:
    return Problem("no_port", "llm", f"Pod/{name}", sentence)


def test_problems_are_logged_when_they_begin_and_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = ProblemLog(lambda: 0.0)
    log.update([problem("a"), problem("b"), problem("a", "twice")])
    log.update([problem("a", "in other words")])
    log.update([])
    assert [record.getMessage() for record in caplog.records] == [
        "event=problem kind=no_port namespace=llm object='Pod/a' why='it is so'",
        "event=problem kind=no_port namespace=llm object='Pod/b' why='it is so'",
        "event=problem_ended kind=no_port namespace=llm object='Pod/b' why='it is so'",
        "event=problem_ended kind=no_port namespace=llm object='Pod/a' why='in other words'",
    ]
    assert log.counts == dict.fromkeys(KINDS, 0)


def test_lines_are_bounded_and_what_was_left_out_is_said(caplog: pytest.LogCaptureFixture) -> None:
    times = [0.0]
    log = ProblemLog(lambda: times[0])
    log.update(problem(str(number)) for number in range(250))
    assert len(caplog.records) == LINES_PER_NAMESPACE
    assert log.counts["no_port"] == 250
    times[0] = 61.0
    log.update([*log.current, problem("new")])
    assert [record.getMessage() for record in caplog.records[LINES_PER_NAMESPACE:]] == [
        "event=problems_not_logged lines=240 why='too many in a minute'",
        "event=problem kind=no_port namespace=llm object='Pod/new' why='it is so'",
    ]


def test_a_noisy_namespace_hides_no_other_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    log = ProblemLog(lambda: 0.0)
    noise = [Problem("no_port", f"noisy-{n % 20}", f"Pod/{n}", "x") for n in range(1000)]
    log.update([*noise, problem("quiet")])
    assert len(caplog.records) == 20 + LINES_PER_MINUTE + 1
    assert "object='Pod/quiet'" in caplog.records[-1].getMessage()


def test_lines_are_bounded_also_where_there_are_many_namespaces(caplog: pytest.LogCaptureFixture) -> None:
    log = ProblemLog(lambda: 0.0)
    log.update(Problem("no_port", f"ns-{n}", "Pod/a", "x") for n in range(2000))
    assert len(caplog.records) == MAX_FIRST_LINES


def test_what_strangers_wrote_cannot_make_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    forged = Problem("no_port", "llm", "a\nevent=problem object=x\x1b[2J" + "y" * 9999, "b\r\nevent=forged")
    assert forged.object.isprintable()
    assert forged.sentence == "b\\r\\nevent=forged"
    assert len(forged.object) == MAX_OBJECT + len("...")
    ProblemLog(lambda: 0.0).update([forged, Problem("no_port", "llm", "Pod/a kind=forged", "x")])
    lines = [record.getMessage() for record in caplog.records]
    assert all(line.isprintable() for line in lines)
    assert "object='Pod/a kind=forged' why='x'" in lines[1]


def test_a_namespace_full_of_problems_hides_none_of_another() -> None:
    log = ProblemLog(lambda: 0.0)
    noisy = [Problem("no_port", "noisy", f"Pod/{number}", "it is so") for number in range(MAX_KEPT + 1000)]
    log.update([*noisy, *noisy[:3], problem("quiet")])
    assert log.counts["no_port"] == MAX_KEPT + 1001
    assert len(log.current) == MAX_KEPT_OF_NAMESPACE + 1
    assert log.current[-1] == problem("quiet")


def test_what_a_minute_left_out_is_said_also_when_nothing_else_is(caplog: pytest.LogCaptureFixture) -> None:
    times = [0.0]
    log = ProblemLog(lambda: times[0])
    log.update(problem(str(number)) for number in range(100))
    times[0] = 61.0
    log.update(log.current)
    assert [record.getMessage() for record in caplog.records[-2:]][1].startswith("event=problems_not_logged lines=")


def test_the_commands_that_grant() -> None:
    refusal = 'User "system:serviceaccount:ns-1:account.x" cannot get resource "deployments/scale"'
    assert how_to_grant("get", "deployments.apps/scale", refusal) == (
        "kubectl create clusterrole inflight-deployments-apps-scale --verb=get --resource=deployments.apps/scale &&"
        " kubectl create clusterrolebinding inflight-deployments-apps-scale"
        " --clusterrole=inflight-deployments-apps-scale --serviceaccount=ns-1:account.x"
    )
    assert how_to_grant("list,watch", "pods", refusal, "llm") == (
        "kubectl create role inflight-pods -n llm --verb=list,watch --resource=pods &&"
        " kubectl create rolebinding inflight-pods -n llm --role=inflight-pods --serviceaccount=ns-1:account.x"
    )
    assert how_to_grant("get", "pods", 'User "jane; rm -rf" cannot').endswith("--serviceaccount=NAMESPACE:NAME")


@pytest.mark.parametrize(
    "name", ["deployment.apps", "Deployments.apps", "deployments.Apps", "deployments", "deployments."]
)
def test_a_resource_goes_by_one_name_alone(name: str) -> None:
    resource = Resource("apps", "v1", "deployments")
    assert resource.goes_by("deployments.apps")
    assert not resource.goes_by(name)
    assert not Resource("", "v1", "replicationcontrollers").goes_by("replicationcontrollers.")
