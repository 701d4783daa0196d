"""What cannot be explained is refused with a sentence and what to do; what the controller cannot do is explained."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from inflight.cli.explain import command
from inflight.cli.explain_live import Question, find_place
from inflight.cluster import ConfigError

from .asking import answer_of, ask, notes, text_of
from .fake_cluster import FakeCluster, cpu, external, pods_metric

REFUSED = "/namespaces/shop"


def refused(result: Result) -> str:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return " ".join(result.stderr.split())


def test_an_hpa_that_is_not_there_is_named_with_those_that_come_near(cluster: FakeCluster) -> None:
    cluster.put_hpa(name="llm-small")
    cluster.put_hpa(name="gateway")
    said = refused(ask(cluster, name="lm"))
    assert "there is no HPA lm in namespace shop" in said
    assert "HPAs of shop: llm" in said
    other = refused(ask(cluster, namespace="default"))
    assert "inflight explain hpa/llm -n shop" in other


def test_an_hpa_that_is_not_there_and_no_list_of_others_either(cluster: FakeCluster) -> None:
    cluster.hpas.clear()
    assert "there is no HPA in any namespace" in refused(ask(cluster))


@pytest.mark.parametrize(
    ("part", "what", "can_i"),
    [
        ("horizontalpodautoscalers/llm", "the HPA shop/llm", "get horizontalpodautoscalers.autoscaling -n shop"),
        ("/scale", "the scale of deployments.apps/llm", "get deployments.apps/llm --subresource=scale -n shop"),
        ("/namespaces/shop/pods", "the pods app=llm", "list pods -n shop"),
        ("external.metrics", "the metric load.external.metrics.k8s.io", "list load.external.metrics.k8s.io -n shop"),
    ],
)
def test_missing_rights_are_named_with_the_command_that_asks_for_them(
    cluster: FakeCluster, part: str, what: str, can_i: str
) -> None:
    cluster.forbidden.add(part)
    said = refused(ask(cluster))
    assert f"{what} cannot be read: you may not read it" in said
    assert f"kubectl auth can-i {can_i}" in said


def test_missing_rights_on_custom_metrics_name_the_subresource(cluster: FakeCluster) -> None:
    cluster.put_hpa(pods_metric())
    cluster.forbidden.add("custom.metrics")
    said = refused(ask(cluster))
    assert "kubectl auth can-i get pods.custom.metrics.k8s.io --subresource=inflight -n shop" in said


def test_who_may_not_read_the_metric_is_told_what_the_controller_last_wrote(cluster: FakeCluster) -> None:
    cluster.current_metrics = [
        {"type": "External", "external": {"metric": {"name": "load"}, "current": {"averageValue": "30"}}}
    ]
    cluster.put_status(desired=5)
    cluster.forbidden.add("external.metrics")
    said = refused(ask(cluster))
    assert "the controller's last sync left 5 (ReadyForNewScale, ValidMetricFound, DesiredWithinRange)" in said


def test_extras_that_may_not_be_read_are_only_not_seen(cluster: FakeCluster) -> None:
    cluster.forbidden |= {"/events", "/leases", "/apiservices"}
    cluster.put_status(desired=5)
    unseen = answer_of(cluster)["live"]["unseen"]
    assert any("events could not be read" in sentence for sentence in unseen)
    assert any("since when the controller manager runs is not known" in sentence for sentence in unseen)


def test_an_api_server_that_is_away_is_said_so(cluster: FakeCluster) -> None:
    cluster.is_down = True
    assert f"{cluster.url} cannot be asked" in refused(ask(cluster))
    in_json = ask(cluster, "-o", "json")
    assert in_json.exit_code == 2
    assert json.loads(in_json.stdout)["error"]["code"] == "Unreachable"


def test_a_target_without_a_scale_is_what_the_controller_meets(cluster: FakeCluster) -> None:
    cluster.hpas["shop", "llm"]["spec"]["scaleTargetRef"]["kind"] = "DaemonSet"
    text = text_of(cluster)
    assert "the target's scale could not be read, so nothing was done" in text
    cluster.hpas["shop", "llm"]["spec"]["scaleTargetRef"]["kind"] = "Rocket"
    answer = answer_of(cluster)
    assert answer["explanation"]["outcome"] == "FailedGetScale"
    assert 'no matches for kind "Rocket" in group "apps"' in notes(answer)["ScaleError"]


@pytest.mark.parametrize(("selector", "code"), [("", "InvalidSelector"), ("app in llm", "InvalidSelector")])
def test_a_scale_without_a_selector_that_selects(cluster: FakeCluster, selector: str, code: str) -> None:
    cluster.put_scale(5, selector=selector)
    assert answer_of(cluster)["explanation"]["outcome"] == code


def test_pods_that_two_hpas_select_stop_both(cluster: FakeCluster) -> None:
    cluster.put_hpa(name="other")
    cluster.put_scale(3, name="other", selector="app in (llm,gateway)")
    cluster.put_hpa(name="elsewhere")
    cluster.put_scale(3, name="elsewhere", selector="app=elsewhere")
    answer = answer_of(cluster)
    assert answer["explanation"]["outcome"] == "AmbiguousSelector"
    assert "are controlled by more than one HPA (e.g. [shop/llm shop/other])" in answer["explanation"]["sentence"]


def test_two_hpas_of_one_target_stop_both(cluster: FakeCluster) -> None:
    cluster.put_hpa(name="twin", target="llm")
    assert "shop/llm shop/twin" in answer_of(cluster)["explanation"]["sentence"]


def test_what_the_controller_may_not_read_is_told_from_what_we_may(cluster: FakeCluster) -> None:
    message = (
        "the HPA was unable to compute the replica count: unable to get external metric shop/load/nil: unable to fetch"
        " metrics from external metrics API: load.external.metrics.k8s.io is forbidden: User"
        ' "system:serviceaccount:kube-system:horizontal-pod-autoscaler" cannot list resource "load"'
    )
    cluster.put_status(desired=5, active="FailedGetExternalMetric", active_text=message)
    comparison = answer_of(cluster)["live"]["comparison"]
    assert comparison["code"] == "ControllerForbidden"
    assert "You may read these metrics, but the controller may not" in comparison["text"]


def test_an_edit_that_the_controller_has_not_seen(cluster: FakeCluster) -> None:
    cluster.put_status(desired=5)
    cluster.hpas["shop", "llm"]["status"]["observedGeneration"] = 1
    cluster.hpas["shop", "llm"]["metadata"]["generation"] = 2
    assert answer_of(cluster)["live"]["comparison"]["code"] == "SpecChanged"


def test_what_no_memory_explains_is_said_so_and_is_exit_code_1(cluster: FakeCluster) -> None:
    cluster.put_hpa(behavior={"scaleDown": {"stabilizationWindowSeconds": 0}})
    cluster.put_external("200")
    cluster.current_metrics = [
        {"type": "External", "external": {"metric": {"name": "load"}, "current": {"averageValue": "40"}}}
    ]
    cluster.put_status(desired=5)
    answer = answer_of(cluster, code=1)
    assert answer["live"]["comparison"]["code"] == "Unexplained"
    assert "a flag of the controller manager" in answer["live"]["comparison"]["text"]


@pytest.mark.parametrize(
    ("version", "kubernetes", "code"),
    [
        ({"major": "1", "minor": "36+", "gitVersion": "v1.36.3-gke.1"}, "1.36", "ReleaseOfServer"),
        ({"major": "1", "minor": "31", "gitVersion": "v1.31.0"}, "1.36", "ReleaseNearest"),
        ({"major": "1", "minor": "40", "gitVersion": "v1.40.0"}, "1.37", "ReleaseNearest"),
        ({}, "1.37", "ReleaseUnknown"),
        (None, "1.37", "ReleaseUnknown"),
    ],
)
def test_the_release_is_the_servers_or_the_nearest_judged_one(
    cluster: FakeCluster, version: dict[str, Any] | None, kubernetes: str, code: str
) -> None:
    cluster.version = version
    answer = answer_of(cluster)
    assert answer["explanation"]["kubernetes"] == kubernetes
    assert answer["live"]["assumptions"][0]["code"] == code


def test_another_release_is_taken_and_marked(cluster: FakeCluster) -> None:
    answer = answer_of(cluster, "--kubernetes", "1.34")
    assert (answer["explanation"]["kubernetes"], answer["explanation"]["judged"]) == ("1.34", False)
    assert "Kubernetes 1.34 (not judged against the original)" in text_of(cluster, "--kubernetes", "1.34")


def test_a_gate_that_the_status_gives_away_is_seen(cluster: FakeCluster) -> None:
    cluster.version = {"major": "1", "minor": "36", "gitVersion": "v1.36.3"}
    cluster.put_hpa(minimum=0)
    cluster.put_scale(0)
    cluster.put_pods(0)
    nothing = "-9223372036854775808m"  # upstream's average over no replica
    cluster.current_metrics = [
        {"type": "External", "external": {"metric": {"name": "load"}, "current": {"averageValue": nothing}}}
    ]
    cluster.put_status(desired=0, zero="ScaledToZero")
    cluster.put_external("50")
    answer = answer_of(cluster)
    assert answer["live"]["assumptions"][-1]["code"] == "GateSeen"
    assert answer["explanation"]["replicas_after"] == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--controller", "sync-period"], "write NAME=VALUE with one of sync-period"),
        (["--controller", "speed=1"], "write NAME=VALUE"),
        (["--controller", "sync-period=fast"], "must be a duration such as 15s"),
        (["--controller", "tolerance=-1"], "must be a number such as 0.1"),
        (["--controller", "feature-gates=HPAScaleToZero"], "must be NAME=true or NAME=false"),
        (["--controller", "feature-gates=Nonsense=true"], "has no feature gate 'Nonsense'"),
        (["--kubernetes", "0.9"], "'0.9' is not known here"),
        (["--set", "max=0"], "would be refused: spec.maxReplicas"),
        (["--at", "+1m"], "--at is for a record or a case"),
    ],
)
def test_what_is_wrong_with_the_question_is_said(cluster: FakeCluster, arguments: list[str], problem: str) -> None:
    assert problem in refused(ask(cluster, *arguments))


def question(**fields: Any) -> Question:
    given = {
        "name": "llm", "namespace": None, "kubeconfig": None, "context": None, "server": None, "watch": False,
        "record": None, "kubernetes": None, "flags": (), "settings": (), "changes": True, "output": "text",
    }  # fmt: skip
    return Question(**{**given, **fields})


def kubeconfig(tmp_path: Path, name: str = "config", **user: Any) -> Path:
    plain = {
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1:6443"}}],
        "users": [{"name": "u", "user": user or {"token": "t"}}],
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "shop"}},
            {"name": "there", "context": {"cluster": "c", "user": "u"}},
        ],
    }  # fmt: skip
    file = tmp_path / name
    file.write_text(json.dumps(plain))
    return file


def test_the_kubeconfig_is_found_as_kubectl_finds_it(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path)
    assert find_place(question(kubeconfig=file), {}).namespace == "shop"
    assert find_place(question(kubeconfig=file, context="there"), {}).namespace == ""
    empty = tmp_path / "empty"
    empty.write_text("apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\n")
    listed = {"KUBECONFIG": f"{tmp_path / 'missing'}:{empty}:{file}"}
    assert find_place(question(), listed).config.server == "https://192.0.2.1:6443"
    with pytest.raises(ConfigError, match="there is no kubeconfig"):
        find_place(question(), {"KUBECONFIG": str(tmp_path / "missing")})


def test_a_program_that_fetches_credentials_is_not_run_and_kubectl_proxy_is_named(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, exec={"command": "gke-gcloud-auth-plugin"})
    result = CliRunner().invoke(command, ["hpa/llm", "--kubeconfig", str(file)])
    said = refused(result)
    assert "exec: is not supported" in said
    assert "start `kubectl proxy`" in said
    assert "--server http://127.0.0.1:8001" in said


def test_two_places_are_one_too_many(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["hpa/llm", "--server", "http://x", "--context", "y"])
    assert "give one or the other" in refused(result)
    assert "must be a URL" in refused(CliRunner().invoke(command, ["hpa/llm", "--server", "x"]))


def test_a_metric_that_fails_for_one_of_several_reasons_is_noted_once(cluster: FakeCluster) -> None:
    del cluster.groups["external.metrics.k8s.io"]
    cluster.put_hpa(external(), external(name="more"), cpu(50))
    cluster.put_cpu({f"llm-{index}": "500m" for index in range(5)})
    assert list(notes(answer_of(cluster))) == ["MetricsAPI"]
