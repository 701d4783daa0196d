"""Which pods are found in a cluster, over HTTP: the shapes of HPAs, what comes, what changes and what goes."""

import logging

import pytest

from inflight.discovery import Workload
from inflight.objects import parse_selector

from .builders import autoscaler, external_metric, object_metric, pod, pods_metric
from .fake_cluster import FakeCluster
from .looking import discovering


async def test_the_pods_of_the_scale_target_are_found(cluster: FakeCluster) -> None:
    cluster.give_scale("llm", "llm", "app=llm")
    await cluster.put("horizontalpodautoscalers", autoscaler("llm"))
    await cluster.put("pods", pod("a"))
    await cluster.put("pods", pod("b", app="other"))
    await cluster.put("pods", pod("c", namespace="elsewhere"))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.names == {"a"}
        target = found.targets["a"]
        assert (target.url, target.uid) == ("http://10.0.0.1:8000/metrics", "uid-a")
        assert target.labels == {"app": "llm", "pod-template-hash": "7f9c"}
        assert target.alternatives == ("http://10.0.0.1:8000/prometheus/metrics", "http://10.0.0.1:8000/v1/metrics")
        stats = found.discovery.stats
        assert (stats.autoscalers, stats.workloads, stats.pods) == (1, 1, 2)
        assert set(stats.problems.values()) == {0}
        assert found.discovery.workload("llm", "deployments.apps", "llm") == Workload(
            "apps/v1", "Deployment", "llm", "llm", parse_selector("app=llm")
        )


async def test_the_pods_that_an_external_selector_matches_are_found(cluster: FakeCluster) -> None:
    selector = {
        "matchLabels": {"app": "llm"},
        "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}],
    }
    await cluster.put("horizontalpodautoscalers", autoscaler("llm", external_metric(selector)))
    await cluster.put("pods", pod("a", app="llm"))
    await cluster.put("pods", pod("b", app="llm", tier="x"))
    await cluster.put("pods", pod("c", app="other"))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.names == {"a"}
        assert found.discovery.stats.workloads == 0


async def test_external_without_a_selector_is_every_pod_of_the_namespace(cluster: FakeCluster) -> None:
    await cluster.put("horizontalpodautoscalers", autoscaler("llm", external_metric(None)))
    await cluster.put("pods", pod("a", app="llm"))
    await cluster.put("pods", pod("b", app="other"))
    await cluster.put("pods", pod("redis-0", app="redis", ports=(6379,)))
    await cluster.put("pods", pod("c", namespace="elsewhere"))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.names == {"a", "b"}
        assert "redis-0 is not scraped: it declares no port of a known engine, only 6379" in found.sentence("no_port")


async def test_the_pods_of_a_described_object_are_found(cluster: FakeCluster) -> None:
    cluster.give_scale("llm", "engine", "app=engine", plural="statefulsets")
    await cluster.put("horizontalpodautoscalers", autoscaler("llm", object_metric("engine", "StatefulSet")))
    await cluster.put("pods", pod("engine-0", app="engine", owner=("apps/v1", "StatefulSet", "engine")))
    await cluster.put("pods", pod("llm-0", app="llm"))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.names == {"engine-0"}
        assert isinstance(found.discovery.workload("llm", "statefulsets.apps", "engine"), Workload)
        assert "no HPA in namespace llm asks" in str(found.discovery.workload("llm", "deployments.apps", "llm"))


@pytest.mark.parametrize(
    "metric",
    [
        pods_metric("http_requests"),
        external_metric(None, "queue_length_of_somebody"),
        {"type": "Resource", "resource": {"name": "cpu"}},
        {"type": "ContainerResource", "containerResource": {"name": "inflight_requests", "container": "x"}},
        # The type says which source counts.
        {**pods_metric(), "type": "Resource"},
    ],
)
async def test_hpas_that_ask_for_nothing_of_ours_are_passed_over(
    cluster: FakeCluster, metric: dict[str, object]
) -> None:
    cluster.give_scale("llm", "llm", "app=llm")
    await cluster.put("horizontalpodautoscalers", autoscaler("llm", metric))
    await cluster.put("pods", pod("a"))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.lists == [[]]
        assert found.discovery.stats.autoscalers == 0
        assert cluster.watched == set()


async def test_an_hpa_of_a_guide_is_found_by_its_alias(cluster: FakeCluster) -> None:
    cluster.give_scale("llm", "llm", "app=llm")
    await cluster.put("horizontalpodautoscalers", autoscaler("llm", pods_metric("vllm:num_requests_waiting")))
    await cluster.put("pods", pod("a"))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.names == {"a"}


async def test_pods_come_and_go(cluster: FakeCluster) -> None:
    cluster.give_scale("llm", "llm", "app=llm")
    await cluster.put("horizontalpodautoscalers", autoscaler("llm"))
    await cluster.put("pods", pod("a"))
    async with discovering(cluster) as found:
        await found.ready()
        await cluster.put("pods", pod("b", ip="", phase="Pending"))
        await found.until(lambda: found.starting == {"b"})
        await cluster.put("pods", pod("b", ip="10.0.0.2"))
        await found.until(lambda: found.names == {"a", "b"})
        assert (found.targets["a"].settle, found.targets["b"].settle) == (True, False)
        await cluster.put("pods", pod("a", terminating=True))
        await found.until(lambda: found.targets["a"].terminating)
        await cluster.remove("pods", "llm", "a")
        await cluster.put("pods", pod("b", ip="10.0.0.2", restarts=3))
        await found.until(lambda: found.names == {"b"} and found.targets["b"].restarts == 3)
        await cluster.put("pods", pod("b", ip="10.0.0.2", phase="Failed"))
        await found.until(lambda: found.names == set())


async def test_an_hpa_that_comes_brings_its_pods_and_takes_them_along(cluster: FakeCluster) -> None:
    cluster.give_scale("llm", "llm", "app=llm")
    await cluster.put("pods", pod("a"))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.lists == [[]]
        await cluster.put("horizontalpodautoscalers", autoscaler("llm"))
        await found.until(lambda: found.names == {"a"})
        assert found.targets["a"].settle
        assert cluster.watched == {"llm"}
        await cluster.remove("horizontalpodautoscalers", "llm", "llm")
        await found.until(lambda: found.names == set())
        await found.until(lambda: cluster.watched == set())
        stats = found.discovery.stats
        assert (stats.autoscalers, stats.workloads, stats.pods) == (0, 0, 0)
        assert "no HPA" in str(found.discovery.workload("llm", "deployments.apps", "llm"))


async def test_an_edited_selector_counts_at_once(cluster: FakeCluster) -> None:
    await cluster.put("horizontalpodautoscalers", autoscaler("llm", external_metric({"matchLabels": {"app": "a"}})))
    await cluster.put("pods", pod("a", app="a"))
    await cluster.put("pods", pod("b", app="b"))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.names == {"a"}
        await cluster.put("horizontalpodautoscalers", autoscaler("llm", external_metric({"matchLabels": {"app": "b"}})))
        await found.until(lambda: found.names == {"b"})
        assert found.targets["b"].settle


async def test_an_edited_hpa_reads_the_scale_again(cluster: FakeCluster) -> None:
    cluster.give_scale("llm", "llm", "app=llm")
    await cluster.put("horizontalpodautoscalers", autoscaler("llm"))
    await cluster.put("pods", pod("a"))
    await cluster.put("pods", pod("b", app="new"))
    async with discovering(cluster) as found:
        await found.ready()
        cluster.give_scale("llm", "llm", "app=new")
        await cluster.put("horizontalpodautoscalers", autoscaler("llm", pods_metric("inflight_requests_waiting")))
        await found.until(lambda: found.names == {"b"})


async def test_a_status_of_an_hpa_is_no_news(cluster: FakeCluster) -> None:
    cluster.give_scale("llm", "llm", "app=llm")
    await cluster.put("horizontalpodautoscalers", autoscaler("llm"))
    await cluster.put("pods", pod("a"))
    async with discovering(cluster) as found:
        await found.ready()
        reads, lists = cluster.asked("/apis/apps/v1/namespaces/llm/deployments/llm/scale"), len(found.lists)
        for replicas in range(5):
            await cluster.put("horizontalpodautoscalers", autoscaler("llm", replicas=replicas))
        await cluster.put("pods", pod("b"))
        await found.until(lambda: found.names == {"a", "b"})
        assert cluster.asked("/apis/apps/v1/namespaces/llm/deployments/llm/scale") == reads
        assert len(found.lists) == lists + 1


async def test_only_the_namespaces_that_were_given_are_looked_at(cluster: FakeCluster) -> None:
    for namespace in ("one", "two", "three"):
        cluster.give_scale(namespace, "llm", "app=llm")
        await cluster.put("horizontalpodautoscalers", autoscaler("llm", namespace=namespace))
        await cluster.put("pods", pod(namespace, namespace=namespace))
    async with discovering(cluster, "one", "two", "one") as found:
        await found.ready()
        await found.until(lambda: found.names == {"one", "two"})
        assert cluster.asked("/apis/autoscaling/v2/horizontalpodautoscalers") == 0
        sentence = str(found.discovery.workload("three", "deployments.apps", "llm"))
        # Whose asks is not told which others there are.
        assert "it is none of the namespaces that this Inflight follows (--namespace)" in sentence
        assert "one" not in sentence.replace("none", "").split()


async def test_a_problem_is_logged_when_it_begins_and_when_it_ends(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "inflight.discovery")
    cluster.give_scale("llm", "llm", "app=llm")
    await cluster.put("horizontalpodautoscalers", autoscaler("llm"))
    await cluster.put("pods", pod("a", ports=()))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.kinds == {"no_port"}
        assert found.discovery.stats.problems["no_port"] == 1
        assert found.discovery.why_unwatched("llm") == found.sentence("no_port")
        assert found.discovery.why_unwatched("other") == "no HPA in it asks for a metric of Inflight"
        many = [autoscaler(name, external_metric({"matchLabels": {"app": name}})) for name in "abcd"]
        for each in many:
            await cluster.put("horizontalpodautoscalers", each)
        await found.until(lambda: found.discovery.stats.problems["selects_nothing"] == 4)
        assert found.discovery.why_unwatched("llm").endswith("; and 2 more, which the log has")
        for name in "abcd":
            await cluster.remove("horizontalpodautoscalers", "llm", name)
        await cluster.put("pods", pod("a", ports=(), restarts=1))
        await cluster.put("pods", pod("b"))
        await found.until(lambda: found.names == {"b"})
        await cluster.put("pods", pod("a", ports=(), annotations={"prometheus.io/port": "9000"}))
        await found.until(lambda: found.names == {"a", "b"})
        assert found.problems == ()
    lines = [record.getMessage() for record in caplog.records if "no_port" in record.getMessage()]
    assert [line.split()[0] for line in lines] == ["event=problem", "event=problem_ended"]
    assert "the pod a is not scraped: it declares no port; annotate it with prometheus.io/port" in lines[0]
