"""A discovery that runs against a cluster, and what it has told."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from inflight.cluster import Client, ClusterConfig
from inflight.discovery import Discovery, Problem, Times
from inflight.objects import parse_selector
from inflight.signals import shipped
from inflight.sources import Target

from .fake_cluster import FakeCluster


class Found:
    """A discovery and what it has told."""

    def __init__(self, discovery: Discovery) -> None:
        self.discovery = discovery
        self.lists: list[list[Target]] = []
        discovery.changed = self.lists.append

    @property
    def targets(self) -> dict[str, Target]:
        return {target.name: target for target in self.lists[-1]} if self.lists else {}

    @property
    def names(self) -> set[str]:
        return set(self.targets)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.discovery._problems.current

    @property
    def starting(self) -> set[str]:
        """Pods that are wanted and have been seen not to run yet."""
        namespaces = self.discovery._namespaces.values()
        return {name for namespace in namespaces for name, _ in namespace.resolution.remembered.starting}

    @property
    def kinds(self) -> set[str]:
        return {problem.kind for problem in self.problems}

    def sentence(self, kind: str) -> str:
        (found,) = [problem.sentence for problem in self.problems if problem.kind == kind]
        return found

    def incomplete(self, selector: str = "", namespace: str = "llm") -> str:
        """What a sum over a selector would lack."""
        return self.discovery.why_incomplete(namespace, [parse_selector(selector)])

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.002)

    async def ready(self) -> None:
        await self.until(lambda: not self.discovery.problem)


@asynccontextmanager
async def discovering(
    cluster: FakeCluster,
    *namespaces: str,
    current_seconds: float = 15.0,
    now: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Found]:
    """A discovery that runs, with short times."""
    times = Times(
        debounce_seconds=0.005,
        scale_seconds=60.0,
        shortest_scale_seconds=0.005,
        backoff_seconds=(0.002, 0.02),
        current_seconds=current_seconds,
    )
    async with Client(ClusterConfig(server=cluster.url, source="test")) as client:
        discovery = Discovery(
            client, shipped(), namespaces=namespaces, now=now, random_source=random.Random(1), times=times
        )
        found = Found(discovery)
        task = asyncio.create_task(discovery.run())
        try:
            yield found
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
