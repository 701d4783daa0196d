"""No sum lacks a pod: what is said of a selector before the sum over it is, by a discovery that runs."""

import time

import pytest

from inflight.discovery import discovery as discovery_module
from inflight.discovery import namespace as namespace_module
from inflight.discovery import targets as targets_module
from inflight.objects import parse_selector

from .builders import autoscaler, external_metric, pod
from .fake_cluster import FakeCluster
from .looking import discovering
from .test_faults import fill


def asking(name: str, **labels: str) -> dict[str, object]:
    return autoscaler(name, external_metric({"matchLabels": labels}))


async def test_a_selector_that_no_hpa_asks_for_is_whole_only_where_its_pods_are_read_for_another(
    cluster: FakeCluster,
) -> None:
    await fill(cluster)
    await cluster.put("pods", pod("b", app="other"))
    await cluster.put("pods", pod("redis", app="redis", ports=(6379,)))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.incomplete("app=llm") == ""
        assert found.incomplete("pod-template-hash=7f9c,app!=other") == ""
        sentence = "1 pod that matches is not read: b: no HPA of the namespace asks for this selector"
        assert found.incomplete("app=other") == sentence
        assert found.incomplete("app in (llm,other)") == sentence
        assert found.incomplete() == sentence
        assert found.incomplete("app=redis") == "", "it shows no page, and belongs to no sum"
        assert found.incomplete(namespace="elsewhere") == "", "there are none"
        await cluster.put("horizontalpodautoscalers", asking("other", app="other"))
        await found.until(lambda: found.names == {"llm", "b"})
        assert found.targets["b"].settle
        assert (found.incomplete("app=other"), found.incomplete()) == ("", "")
        # Edited to another selector: those pods are told of again.
        await cluster.put("horizontalpodautoscalers", asking("other", app="nobody"))
        await found.until(lambda: found.names == {"llm"})
        assert found.incomplete("app=other") == sentence


async def test_pods_beyond_a_bound_are_missed_and_the_bound_is_named(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets_module, "MAX_SELECTIONS", 1)
    await cluster.put("horizontalpodautoscalers", asking("a", app="a"))
    await cluster.put("horizontalpodautoscalers", asking("b", app="b"))
    for name in "ab":
        await cluster.put("pods", pod(name, app=name))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.incomplete("app=a") == ""
        assert found.incomplete("app=b") == (
            "1 pod that matches is not read: b: there are 2 selectors in namespace llm, and at most 1 are followed:"
            " the first by name"
        )


async def test_pods_beyond_the_bound_of_all_targets_are_missed_in_each_namespace(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery_module, "MAX_TARGETS", 3)
    await fill(cluster, "llm", "other")
    for number in range(3):
        await cluster.put("pods", pod(f"more-{number}", "other"))
    async with discovering(cluster) as found:
        await found.ready()
        assert found.names == {"llm", "more-0", "more-1"}
        assert found.incomplete("app=llm") == ""
        assert found.incomplete("app=llm", "other") == (
            "2 pods that match are not read: more-2, other: there are 5 pods to scrape, and at most 3 are followed:"
            " the first by name"
        )
        # One that goes makes room for one that was left out.
        await cluster.remove("pods", "llm", "llm")
        await found.until(lambda: found.names == {"more-0", "more-1", "more-2"})
        assert "1 pod that matches is not read: other: there are 4" in found.incomplete("app=llm", "other")


async def test_a_pod_that_is_given_matching_labels_while_it_runs_settles(cluster: FakeCluster) -> None:
    await fill(cluster)
    await cluster.put("pods", pod("b", app="other"))
    async with discovering(cluster) as found:
        await found.ready()
        await cluster.put("pods", pod("b"))
        await found.until(lambda: found.names == {"llm", "b"})
        assert found.targets["b"].settle


async def test_a_right_to_pods_that_is_gone_for_long_leaves_no_sum_and_says_how_to_grant_it(
    cluster: FakeCluster,
) -> None:
    await fill(cluster, "llm", "other")
    async with discovering(cluster, current_seconds=0.05) as found:
        await found.ready()
        cluster.forbidden.add(("pods", "llm"))
        cluster.cut()
        await found.until(lambda: found.incomplete("app=llm"))
        sentence = found.incomplete("app=llm")
        assert sentence.startswith("which pods namespace llm has is not known any more, for ")
        assert "Grant it: kubectl create clusterrole inflight-pods --verb=list,watch --resource=pods" in sentence
        assert found.names == {"llm", "other"}, "what is scraped goes on"
        await cluster.put("pods", pod("new", "other"))
        await found.until(lambda: "new" in found.names)
        assert found.incomplete("app=llm", "other") == ""
        cluster.forbidden.clear()
        await cluster.put("pods", pod("newer"))
        await found.until(lambda: "newer" in found.names)
        assert found.incomplete("app=llm") == ""


async def test_an_api_server_that_is_back_soon_makes_nothing_unknown(cluster: FakeCluster) -> None:
    await fill(cluster)
    clock = [time.monotonic()]
    async with discovering(cluster, now=lambda: clock[0]) as found:
        await found.ready()
        cluster.is_down = True
        cluster.cut()
        await found.until(lambda: "pods_unknown" in found.kinds)
        assert found.incomplete("app=llm") == ""
        broken_since = found.discovery._namespaces["llm"].pods.unknown_since
        assert broken_since is not None
        clock[0] = broken_since + 15.0
        assert found.incomplete("app=llm") == ""
        clock[0] = broken_since + 15.1
        assert "not known any more, for 15 s now: the pods of namespace llm cannot be watched" in found.incomplete()


async def test_a_namespace_that_cannot_be_listed_holds_up_itself_alone(cluster: FakeCluster) -> None:
    await fill(cluster, "llm", "sick")
    cluster.failing.add("sick")
    async with discovering(cluster) as found:
        await found.ready()
        assert found.names == {"llm"}
        assert (found.discovery.warming_up("llm"), found.incomplete("app=llm")) == ("", "")
        assert "the pods of namespace sick cannot be watched" in found.discovery.warming_up("sick")
        assert found.discovery.warming_up("elsewhere") == ""
        cluster.failing.clear()
        await found.until(lambda: found.names == {"llm", "sick"})
        assert (found.discovery.warming_up("sick"), found.incomplete("app=llm", "sick")) == ("", "")


async def test_where_all_namespaces_fail_it_is_not_ready(cluster: FakeCluster) -> None:
    await fill(cluster, "llm", "other")
    cluster.failing |= {"llm", "other"}
    async with discovering(cluster) as found:
        await found.until(lambda: found.discovery.stats.problems["pods_unknown"] == 2)
        assert "cannot be watched" in found.discovery.problem
        cluster.failing.remove("other")
        await found.ready()


async def test_no_sentence_for_one_namespace_names_another(cluster: FakeCluster) -> None:
    await fill(cluster, "llm", "tenant-two")
    cluster.failing.add("tenant-two")
    async with discovering(cluster) as found:
        for _ in range(20):
            said = [
                found.discovery.warming_up("llm"),
                found.discovery.why_unwatched("llm"),
                found.incomplete(),
                str(found.discovery.workload("llm", "deployments.apps", "none")),
            ]
            assert all("tenant-two" not in sentence for sentence in said)
            await cluster.put("pods", pod("a"))
        await found.ready()
        assert "tenant-two" not in found.discovery.why_unwatched("llm")


async def test_who_takes_long_comes_last_and_rests(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of its own, on which a namespace of somebody who writes objects without end takes ten seconds."""
    clock, resolved, hostile = [1000.0], [], set()
    honest = namespace_module.resolve

    def slowly(facts: targets_module.Facts, *others: object) -> object:
        resolved.append(facts.namespace)
        clock[0] += 10.0 if facts.namespace in hostile else 0.0
        return honest(facts, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(namespace_module, "resolve", slowly)
    await fill(cluster, "hostile", "llm")
    async with discovering(cluster, now=lambda: clock[0]) as found:
        await found.ready()
        await found.until(lambda: found.names == cluster.watched == {"hostile", "llm"})
        hostile.add("hostile")
        resolved.clear()
        await cluster.put("pods", pod("x0", "hostile"))
        await found.until(lambda: "x0" in found.names)
        for number in range(1, 4):
            await cluster.put("pods", pod(f"x{number}", "hostile"))
            await cluster.put("pods", pod(f"y{number}"))
            await found.until(lambda name=f"y{number}": name in found.names)  # type: ignore[misc]
        assert resolved == ["hostile", "llm", "llm", "llm"], "it rests for nine times as long as it took"
        clock[0] += 91.0
        resolved.clear()
        await cluster.put("pods", pod("last"))
        await found.until(lambda: {"x1", "x2", "x3", "last"} <= found.names)
        assert resolved == ["llm", "hostile"], "in one round the cheap one goes before"


async def test_a_fault_of_ours_leaves_no_sum_of_its_namespace(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, faulty = namespace_module.resolve, set()

    def sometimes(facts: targets_module.Facts, *others: object) -> object:
        if facts.namespace in faulty:
            raise ZeroDivisionError
        return honest(facts, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(namespace_module, "resolve", sometimes)
    await fill(cluster, "llm", "other")
    async with discovering(cluster) as found:
        await found.ready()
        faulty.add("llm")
        await cluster.put("pods", pod("b"))
        await found.until(lambda: "a fault of ours" in found.incomplete())
        assert found.incomplete(namespace="other") == ""
        faulty.clear()
        await cluster.put("pods", pod("c"))
        await found.until(lambda: found.names == {"llm", "b", "c", "other"})
        assert found.incomplete() == ""


async def test_what_is_asked_about_is_told_first(cluster: FakeCluster) -> None:
    for name in "abcde":
        await cluster.put("pods", pod(name, app=name, ports=(), owner=None))
        await cluster.put("horizontalpodautoscalers", asking(name, app=name))
    async with discovering(cluster) as found:
        await found.ready()
        for name in "abcde":
            sentence = found.discovery.why_unwatched("llm", [parse_selector("")])
            assert sentence.endswith("; and 2 more, which the log has")
            asked = found.discovery.why_unwatched("llm", [parse_selector(f"app={name}")])
            assert asked.startswith(f"the pod {name} is not scraped: it declares no port")
