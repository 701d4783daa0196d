"""A collection on the fake API server, laid out by a test, and what follows it."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from inflight.cluster import Client, ClusterError, Reflector

PATH = "/api/v1/pods"


def pod(name: str, version: int, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "resourceVersion": str(version), "labels": labels}
    return {"metadata": metadata}


def event(kind: str, plain: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": plain}


def bookmark(version: int) -> dict[str, Any]:
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


EXPIRED = event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})


class Collection:
    """Lists and watches as a test lays them out, one after another; the last watch stays open."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.lists: list[Any] = []
        self.watches: list[Any] = []
        self.asked: list[dict[str, str]] = []
        server.answers["GET", PATH] = self.answer

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.asked.append(query)
        if "watch" not in query:
            page = self.lists.pop(0)
            return page if isinstance(page, web.Response) else web.json_response(page)
        script = self.watches.pop(0) if self.watches else [asyncio.Event()]
        if isinstance(script, web.Response):
            return script
        stream = web.StreamResponse()
        await stream.prepare(request)
        for step in script:
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, bytes):
                await stream.write(step)
            elif step == "cut":
                assert request.transport is not None
                request.transport.abort()
            else:
                await stream.write(json.dumps(step).encode() + b"\n")
        return stream

    def listed(self, version: int, *pods: dict[str, Any], more: str = "") -> None:
        self.lists.append({"metadata": {"resourceVersion": str(version), "continue": more}, "items": list(pods)})

    @property
    def times_listed(self) -> int:
        return sum("watch" not in query for query in self.asked)

    @property
    def versions_watched(self) -> list[str]:
        return [query["resourceVersion"] for query in self.asked if "watch" in query]


class Copy:
    def __init__(self, client: Client) -> None:
        self.states: list[dict[tuple[str, str], Any]] = []
        self.failures: list[ClusterError] = []
        self.recoveries = 0
        self.reflector: Reflector[dict[str, str]] = Reflector(
            client,
            PATH,
            decode=self.decode,
            changed=lambda objects: self.states.append(dict(objects)),
            failed=self.failures.append,
            recovered=self.recover,
            backoff_seconds=(0.001, 0.01),
            random_source=random.Random(1),
        )

    def decode(self, plain: dict[str, Any]) -> dict[str, str] | None:
        labels: dict[str, str] = plain["metadata"].get("labels") or {}
        if "broken" in labels:
            raise ValueError("it is broken")
        return None if "ignored" in labels else labels

    def recover(self) -> None:
        self.recoveries += 1

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.reflector.objects}

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.002)


@asynccontextmanager
async def running(copy: Copy) -> AsyncIterator[None]:
    task = asyncio.create_task(copy.reflector.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
