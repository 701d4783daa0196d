"""A fault of ours ends the run; whoever starts it again finds what was known, and what happened meanwhile."""

import asyncio
import random
from typing import Any

import pytest

from inflight.cluster import Client, ClusterConfig
from inflight.discovery import Discovery, Times
from inflight.signals import shipped

from .builders import autoscaler, pod
from .fake_cluster import FakeCluster
from .looking import Found

TIMES = Times(debounce_seconds=0.005, scale_seconds=60.0, shortest_scale_seconds=0.005, backoff_seconds=(0.002, 0.02))


async def test_after_a_fault_everything_is_followed_on(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for namespace in ("llm", "other"):
        cluster.give_scale(namespace, "llm", "app=llm")
        await cluster.put("horizontalpodautoscalers", autoscaler("llm", namespace=namespace))
        await cluster.put("pods", pod(namespace, namespace=namespace))
    async with Client(ClusterConfig(server=cluster.url, source="test")) as client:
        discovery = Discovery(client, shipped(), random_source=random.Random(1), times=TIMES)
        found = Found(discovery)
        run = asyncio.create_task(discovery.run())
        await found.ready()
        with monkeypatch.context() as patched:
            patched.setattr(discovery, "changed", fail)
            await cluster.put("pods", pod("while-it-fails"))
            with pytest.raises(ExceptionGroup):
                await run
        await cluster.put("pods", pod("while-it-rests"))
        told = len(found.lists)
        run = asyncio.create_task(discovery.run())
        await found.until(lambda: found.names == {"llm", "other", "while-it-fails", "while-it-rests"})
        assert all({"llm", "other"} <= {target.name for target in targets} for targets in found.lists[told:])
        await cluster.remove("horizontalpodautoscalers", "other", "llm")
        await found.until(lambda: "other" not in found.names)
        cluster.give_scale("llm", "other-name", "app=llm")
        await cluster.put("horizontalpodautoscalers", autoscaler("llm", target="other-name"))
        await found.until(lambda: not isinstance(discovery.workload("llm", "deployments.apps", "other-name"), str))
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run


def fail(_: Any) -> None:
    raise RuntimeError("a fault of ours")
