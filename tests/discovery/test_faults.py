"""A cluster that fails in every way: the rest goes on, and the sentence says what is missing and how to grant it."""

import logging

import pytest
from aiohttp import web

from inflight.discovery import Workload

from .builders import autoscaler, external_metric, object_metric, pod
from .fake_cluster import FakeCluster, resources, status
from .looking import Found, discovering

SCALE = "/apis/apps/v1/namespaces/llm/deployments/llm/scale"


async def fill(cluster: FakeCluster, *namespaces: str) -> None:
    """A Deployment, its HPA and one pod, called as the namespace, in each."""
    for namespace in namespaces or ("llm",):
        cluster.give_scale(namespace, "llm", "app=llm")
        await cluster.put("horizontalpodautoscalers", autoscaler("llm", namespace=namespace))
        await cluster.put("pods", pod(namespace, namespace=namespace))


def workload(found: Found, name: str = "llm", resource: str = "deployments.apps") -> str:
    """The sentence why it is not known."""
    answer = found.discovery.workload("llm", resource, name)
    assert isinstance(answer, str)
    return answer


async def test_an_api_server_that_is_away_at_the_start_is_waited_for(cluster: FakeCluster) -> None:
    await fill(cluster)
    cluster.is_down = True
    async with discovering(cluster) as found:
        assert found.discovery.problem == "the HPAs of all namespaces have not been listed yet"
        await found.until(lambda: found.kinds == {"autoscalers_unknown"})
        assert "the HPAs of all namespaces cannot be watched: GET /apis/autoscaling/v2" in found.discovery.problem
        assert "not known yet: the HPAs" in workload(found)
        assert found.lists == []
        cluster.is_down = False
        await found.ready()
        assert found.names == {"llm"}
        assert found.problems == ()


async def test_an_api_server_that_goes_away_in_the_middle_takes_nothing_along(cluster: FakeCluster) -> None:
    await fill(cluster)
    async with discovering(cluster) as found:
        await found.ready()
        cluster.is_down = True
        cluster.cut()
        await found.until(lambda: {"autoscalers_unknown", "pods_unknown"} <= found.kinds)
        assert found.names == {"llm"}
        assert found.discovery.problem == ""
        assert isinstance(found.discovery.workload("llm", "deployments.apps", "llm"), Workload)
        cluster.is_down = False
        await cluster.put("pods", pod("new"))
        await found.until(lambda: found.names == {"llm", "new"})
        await found.until(lambda: found.problems == ())


async def test_a_watch_that_is_dropped_goes_on_where_it_was(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(cluster)
    async with discovering(cluster) as found:
        await found.ready()
        await found.until(lambda: cluster.watched == {"llm"})
        before = len(found.lists)
        cluster.cut()
        await cluster.put("pods", pod("new"))
        await found.until(lambda: found.names == {"llm", "new"})
        assert found.problems == ()
        # Resumed, not listed again.
        lists = [query for path, query in cluster.requests if path.endswith("/pods") and "watch" not in query]
        assert (len(lists), len(found.lists)) == (1, before + 1)
    # It happens every few minutes: nothing to speak of.
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_versions_that_are_gone_mean_new_lists_in_which_nothing_is_lost(cluster: FakeCluster) -> None:
    await fill(cluster)
    await cluster.put("pods", pod("old"))
    async with discovering(cluster) as found:
        await found.ready()
        await found.until(lambda: cluster.watched == {"llm"})
        cluster.is_down = True
        cluster.cut()
        await cluster.remove("pods", "llm", "old")
        await cluster.put("pods", pod("new"))
        cluster.expire()
        cluster.is_down = False
        await found.until(lambda: found.names == {"llm", "new"})
        assert [sorted(target.name for target in targets) for targets in found.lists[-2:]] == [
            ["llm", "old"],
            ["llm", "new"],
        ]


async def test_a_right_to_pods_that_is_taken_away_keeps_what_was_known(cluster: FakeCluster) -> None:
    await fill(cluster, "llm", "other")
    async with discovering(cluster) as found:
        await found.ready()
        cluster.forbidden.add(("pods", "llm"))
        cluster.cut()
        await found.until(lambda: found.kinds == {"pods_forbidden"})
        sentence = found.sentence("pods_forbidden")
        assert "the pods of namespace llm may not be watched" in sentence
        assert "what was known stays in use" in sentence
        assert (
            "kubectl create clusterrole inflight-pods --verb=list,watch --resource=pods && kubectl create"
            " clusterrolebinding inflight-pods --clusterrole=inflight-pods"
            " --serviceaccount=inflight-system:inflight" in sentence
        )
        assert found.discovery.why_unwatched("llm") == sentence
        assert found.discovery.why_unwatched("other") == ""
        # The other namespace goes on.
        await cluster.put("pods", pod("new", namespace="other"))
        await found.until(lambda: found.names == {"llm", "other", "new"})
        cluster.forbidden.clear()
        await cluster.put("pods", pod("newer"))
        await found.until(lambda: "newer" in found.names)
        assert found.problems == ()


async def test_no_right_to_the_pods_of_one_namespace_holds_up_no_other(cluster: FakeCluster) -> None:
    await fill(cluster, "llm", "other")
    cluster.forbidden.add(("pods", "llm"))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.names == {"other"}
        assert found.kinds == {"pods_forbidden"}


async def test_no_right_to_any_pods_is_not_ready(cluster: FakeCluster) -> None:
    await fill(cluster)
    cluster.forbidden.add(("pods", ""))
    async with discovering(cluster) as found:
        await found.until(lambda: found.kinds == {"pods_forbidden"})
        assert "--verb=list,watch --resource=pods" in found.discovery.problem
        cluster.forbidden.clear()
        await found.ready()
        assert found.names == {"llm"}


async def test_no_right_to_hpas_is_not_ready(cluster: FakeCluster) -> None:
    await fill(cluster)
    cluster.forbidden.add(("horizontalpodautoscalers", ""))
    async with discovering(cluster) as found:
        await found.until(lambda: found.kinds == {"autoscalers_forbidden"})
        assert "--verb=list,watch --resource=horizontalpodautoscalers.autoscaling" in found.discovery.problem
        assert found.discovery.why_unwatched("llm") == found.discovery.problem
        cluster.forbidden.clear()
        await found.ready()
        assert found.names == {"llm"}


async def test_no_right_to_the_hpas_of_one_namespace_holds_up_no_other(cluster: FakeCluster) -> None:
    await fill(cluster, "llm", "other")
    cluster.forbidden.add(("horizontalpodautoscalers", "llm"))
    async with discovering(cluster, "llm", "other") as found:
        await found.ready()
        assert found.names == {"other"}
        assert found.kinds == {"autoscalers_forbidden"}
        # Rights for one namespace are enough.
        assert "kubectl create role inflight-horizontalpodautoscalers-autoscaling -n llm" in found.sentence(
            "autoscalers_forbidden"
        )


async def test_a_right_to_hpas_that_is_taken_away_keeps_what_was_known(cluster: FakeCluster) -> None:
    await fill(cluster)
    async with discovering(cluster) as found:
        await found.ready()
        cluster.forbidden.add(("horizontalpodautoscalers", ""))
        cluster.cut()
        await found.until(lambda: found.kinds == {"autoscalers_forbidden"})
        await cluster.put("pods", pod("new"))
        await found.until(lambda: found.names == {"llm", "new"})
        assert found.discovery.problem == ""


async def test_no_right_to_a_scale_names_the_grant_and_is_tried_again(cluster: FakeCluster) -> None:
    await fill(cluster)
    cluster.forbidden.add(("scale", "llm"))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.kinds == {"scale_forbidden"}
        assert "--verb=get --resource=deployments.apps/scale" in found.sentence("scale_forbidden")
        assert workload(found) == found.sentence("scale_forbidden")
        assert found.names == set()
        cluster.forbidden.clear()
        await found.until(lambda: found.names == {"llm"})
        await found.until(lambda: found.problems == ())


async def test_a_scale_that_fails_later_keeps_the_selector(cluster: FakeCluster) -> None:
    await fill(cluster)
    async with discovering(cluster) as found:
        await found.ready()
        cluster.forbidden.add(("scale", "llm"))
        # Asked again because of the new metric.
        await cluster.put("horizontalpodautoscalers", autoscaler("llm", object_metric("llm")))
        await found.until(lambda: found.kinds == {"scale_forbidden"})
        assert "the selector that was read before stays in use" in found.sentence("scale_forbidden")
        assert found.names == {"llm"}
        assert isinstance(found.discovery.workload("llm", "deployments.apps", "llm"), Workload)


async def test_a_workload_that_is_not_there_is_named_and_found_when_it_comes(cluster: FakeCluster) -> None:
    await cluster.put("horizontalpodautoscalers", autoscaler("llm"))
    await cluster.put("pods", pod("a"))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.sentence("scale_missing") == "Deployment llm in namespace llm is not there; HPA llm names it"
        assert workload(found) == found.sentence("scale_missing")
        cluster.give_scale("llm", "llm", "app=llm")
        await found.until(lambda: found.names == {"a"})
        del cluster.scales[SCALE]
        await cluster.put("horizontalpodautoscalers", autoscaler("llm", object_metric("llm")))
        await found.until(lambda: found.kinds == {"scale_missing"})
        # Its pods may go on; of the workload nothing more is said.
        assert found.names == {"a"}
        assert workload(found) == found.sentence("scale_missing")


@pytest.mark.parametrize(
    ("kind", "api_version", "sentence"),
    [
        ("Nonsense", "apps/v1", "the cluster has no kind 'Nonsense' in apps/v1"),
        ("Deployment", "extensions/v1beta1", "the cluster has no kind 'Deployment' in extensions/v1beta1"),
        ("Pod", "v1", "pods have no scale"),
        ("Pod", "", "pods have no scale"),
        ("Deployment", "../../api/v1", "the apiVersion '../../api/v1' of Deployment it is none"),
        ("Deployment", "apps/v1?x=", "the apiVersion 'apps/v1?x=' of Deployment it is none"),
        ("Deploy\nment", "apps/v1", "the cluster has no kind 'Deploy\\\\nment' in apps/v1"),
    ],
)
async def test_what_has_no_scale_is_said(cluster: FakeCluster, kind: str, api_version: str, sentence: str) -> None:
    await cluster.put("horizontalpodautoscalers", autoscaler("llm", object_metric("it", kind, api_version)))
    async with discovering(cluster) as found:
        await found.ready()
        assert sentence in found.sentence("scale_missing")
        assert "HPA llm names it" in found.sentence("scale_missing")
    assert not [path for path, _ in cluster.requests if ".." in path or "?" in path]


@pytest.mark.parametrize("name", ["", ".", "..", "a/../b", "a?b", "x\n"])
async def test_a_name_leads_to_no_other_object(cluster: FakeCluster, name: str) -> None:
    await cluster.put("horizontalpodautoscalers", autoscaler("llm", object_metric(name)))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.kinds == {"scale_missing"}
    begin = "/apis/apps/v1/namespaces/llm/deployments/"
    allowed = {f"{begin}{name}/scale"}
    assert {path for path, _ in cluster.requests if path.endswith("scale")} <= allowed


@pytest.mark.parametrize(
    ("selector", "kind", "sentence"),
    [
        ("", "bad_selector", "its status names no selector"),
        ("a in (", "bad_selector", "cannot be read"),
    ],
)
async def test_a_scale_without_a_selector_is_said(
    cluster: FakeCluster, selector: str, kind: str, sentence: str
) -> None:
    await fill(cluster)
    cluster.give_scale("llm", "llm", selector)
    async with discovering(cluster) as found:
        await found.ready()
        assert sentence in found.sentence(kind)
        assert found.names == set()


@pytest.mark.parametrize("text", ["{}", '{"status":{"selector":7}}', "[]", "not json"])
async def test_a_scale_that_is_none_is_said(cluster: FakeCluster, text: str) -> None:
    await fill(cluster)
    cluster.scales[SCALE] = web.Response(text=text)
    async with discovering(cluster) as found:
        await found.ready()
        assert found.kinds == {"bad_selector"}


async def test_a_scale_that_fails_in_another_way_is_said(cluster: FakeCluster) -> None:
    await fill(cluster)
    cluster.scales[SCALE] = web.json_response(status(500, "InternalError", "etcd is\naway"), status=500)
    async with discovering(cluster) as found:
        await found.ready()
        assert "cannot be read" in found.sentence("scale_unknown")
        assert "etcd is\\naway" in found.sentence("scale_unknown")
        cluster.give_scale("llm", "llm", "app=llm")
        await found.until(lambda: found.names == {"llm"})


async def test_the_version_that_an_hpa_names_is_a_hint(cluster: FakeCluster) -> None:
    await fill(cluster)
    old = object_metric("llm", api_version="apps/v1beta2")
    await cluster.put("horizontalpodautoscalers", autoscaler("llm", old))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.names == {"llm"}
        assert cluster.asked("/apis/apps") == 1


async def test_a_kind_of_somebody_is_found_by_its_discovery_document(cluster: FakeCluster) -> None:
    document = resources("LeaderWorkerSet", "leaderworkersets", "Other", "others")
    cluster.documents["/apis/leaderworkerset.x-k8s.io/v1"] = document
    path = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/llm/leaderworkersets/llm/scale"
    cluster.scales[path] = {"metadata": {"uid": "u"}, "spec": {"replicas": 1}, "status": {"selector": "role=leader"}}
    described = object_metric("llm", "LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1")
    await cluster.put("horizontalpodautoscalers", autoscaler("llm", described))
    await cluster.put("pods", pod("llm-0", role="leader", owner=("apps/v1", "StatefulSet", "llm")))
    await cluster.put("pods", pod("llm-0-1", role="worker", owner=("apps/v1", "StatefulSet", "llm-0")))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.names == {"llm-0"}
        assert found.problems == ()
        known = found.discovery.workload("llm", "leaderworkersets.leaderworkerset.x-k8s.io", "llm")
        assert isinstance(known, Workload)
        assert known.kind == "LeaderWorkerSet"


async def test_many_hpas_of_one_kind_ask_for_its_document_once(cluster: FakeCluster) -> None:
    for name in ("a", "b", "c", "d"):
        cluster.give_scale("llm", name, f"app={name}")
        await cluster.put("horizontalpodautoscalers", autoscaler(name, target=name))
        await cluster.put("pods", pod(f"{name}-0", app=name, owner=("apps/v1", "ReplicaSet", f"{name}-7f9c")))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.names == {"a-0", "b-0", "c-0", "d-0"}
        assert cluster.asked("/apis/apps/v1") == 1


async def test_a_namespace_that_is_deleted_takes_its_pods_along(cluster: FakeCluster) -> None:
    await fill(cluster, "llm", "other")
    async with discovering(cluster) as found:
        await found.ready()
        assert found.names == {"llm", "other"}
        await cluster.remove_namespace("llm")
        await found.until(lambda: found.names == {"other"})
        await found.until(lambda: cluster.watched == {"other"} and found.problems == ())
        assert found.discovery.stats.autoscalers == 1


async def test_a_selector_that_matches_no_pod_is_read_again_sooner(cluster: FakeCluster) -> None:
    await fill(cluster)
    cluster.give_scale("llm", "llm", "app=typo")
    async with discovering(cluster) as found:
        await found.ready()
        await found.until(lambda: found.kinds == {"selects_nothing"})
        assert "the selector app=typo of Deployment llm (asked for by HPA llm) matches no pod" in found.sentence(
            "selects_nothing"
        )
        # The Deployment is made anew with the right one; the HPA is as it was.
        cluster.give_scale("llm", "llm", "app=llm")
        await found.until(lambda: found.names == {"llm"})
        assert found.problems == ()


async def test_a_workload_that_is_scaled_to_zero_is_no_problem(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(cluster)
    async with discovering(cluster) as found:
        await found.ready()
        reads = cluster.asked(SCALE)
        cluster.give_scale("llm", "llm", "app=llm", replicas=0)
        await cluster.remove("pods", "llm", "llm")
        await found.until(lambda: cluster.asked(SCALE) > reads + 2)
        assert found.names == set()
        assert found.problems == ()
        await cluster.put("pods", pod("again", ip="", phase="Pending"))
        await found.until(lambda: found.starting == {"again"})
        await cluster.put("pods", pod("again"))
        await found.until(lambda: found.names == {"again"})
        assert not found.targets["again"].settle
    assert "selects_nothing" not in caplog.text


async def test_a_workload_that_was_empty_before_it_had_pods_may_be_scaled_to_zero_too(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.give_scale("llm", "llm", "app=llm")
    await cluster.put("horizontalpodautoscalers", autoscaler("llm"))
    async with discovering(cluster) as found:
        await found.ready()
        await found.until(lambda: found.kinds == {"selects_nothing"})
        await cluster.put("pods", pod("a"))
        await found.until(lambda: found.names == {"a"})
        reads = cluster.asked(SCALE)
        cluster.give_scale("llm", "llm", "app=llm", replicas=0)
        await cluster.remove("pods", "llm", "a")
        await found.until(lambda: cluster.asked(SCALE) > reads + 2)
        assert found.problems == ()
    assert caplog.text.count("event=problem kind=selects_nothing") == 1


async def test_overlapping_workloads_and_foreign_pods_are_told_and_scraped(cluster: FakeCluster) -> None:
    await fill(cluster)
    cluster.give_scale("llm", "canary", "app=llm,track=canary")
    await cluster.put("horizontalpodautoscalers", autoscaler("canary", target="canary"))
    await cluster.put("pods", pod("canary", track="canary", owner=("apps/v1", "ReplicaSet", "canary-7f9c")))
    await cluster.put("pods", pod("bare", owner=None))
    async with discovering(cluster) as found:
        await found.ready()
        await found.until(lambda: found.names == {"llm", "canary", "bare"})
        assert found.kinds == {"overlap", "foreign_owner"}
        assert "1 of ReplicaSet canary-7f9c, 1 of no controller" in found.sentence("foreign_owner")
        # They are no reason why a value is missing.
        assert found.discovery.why_unwatched("llm") == ""


async def test_an_object_that_cannot_be_read_holds_up_no_other(cluster: FakeCluster) -> None:
    await fill(cluster)
    strange = pod("strange")
    strange["spec"] = "none"
    await cluster.put("pods", strange)
    odd = autoscaler("odd", external_metric(None))
    odd["spec"]["metrics"] = {"not": "a list"}
    await cluster.put("horizontalpodautoscalers", odd)
    async with discovering(cluster) as found:
        await found.ready()
        assert found.names == {"llm"}
        assert found.problems == ()


async def test_a_workload_is_answered_for_under_the_one_name_that_was_authorised(cluster: FakeCluster) -> None:
    cluster.give_scale("llm", "llm", "app=llm")
    await cluster.put("horizontalpodautoscalers", autoscaler("llm"))
    async with discovering(cluster) as found:
        await found.ready()
        assert isinstance(found.discovery.workload("llm", "deployments.apps", "llm"), Workload)
        for other in ("deployment.apps", "Deployments.apps", "deployments.APPS", "deployments", "deployments.apps."):
            assert not isinstance(found.discovery.workload("llm", other, "llm"), Workload), other
