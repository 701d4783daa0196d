"""A small API server in this process, over HTTP: lists, watches, scales and discovery documents, and every fault."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from aiohttp import web

ACCOUNT = "system:serviceaccount:inflight-system:inflight"
Plain = dict[str, Any]


def status(code: int, reason: str, message: str) -> Plain:
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}


class FakeCluster:
    """Holds objects as the API server does; a test changes them, takes rights away, and cuts what is open."""

    def __init__(self) -> None:
        self.url = ""
        self.version = 100
        self.objects: dict[str, dict[tuple[str, str], Plain]] = {"pods": {}, "horizontalpodautoscalers": {}}
        self.events: list[tuple[int, str, str, Plain]] = []
        self.first_version = 0
        self.forbidden: set[tuple[str, str]] = set()
        """Resource and namespace ("" for all of them)."""
        self.failing: set[str] = set()
        """Namespaces of which nothing is listed or watched, for a reason of the server's own."""
        self.is_down = False
        self.requests: list[tuple[str, Plain]] = []
        self.scales: dict[str, Plain | web.Response] = {}
        self.documents: dict[str, Plain] = {
            "/api/v1": resources("Pod", "pods"),
            "/apis/apps/v1": resources("Deployment", "deployments", "StatefulSet", "statefulsets"),
            "/apis/apps": {"versions": [{"version": "v1"}], "preferredVersion": {"version": "v1"}},
        }
        self._news = asyncio.Condition()
        self._open: list[web.BaseRequest] = []

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Self]:
        """On a free port of this machine; `url` says where."""
        runner = web.ServerRunner(web.Server(self.handle, handler_cancellation=True), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield self
        await runner.cleanup()

    # What a test does.

    async def put(self, resource: str, plain: Plain) -> None:
        """Creates or replaces an object."""
        key = _key(plain)
        kind = "MODIFIED" if key in self.objects[resource] else "ADDED"
        await self._happen(resource, kind, plain)
        self.objects[resource][key] = plain

    async def remove(self, resource: str, namespace: str, name: str) -> None:
        await self._happen(resource, "DELETED", self.objects[resource].pop((namespace, name)))

    async def remove_namespace(self, namespace: str) -> None:
        for resource in ("pods", "horizontalpodautoscalers"):
            for key in [key for key in self.objects[resource] if key[0] == namespace]:
                await self.remove(resource, *key)
        for path in [path for path in self.scales if f"/namespaces/{namespace}/" in path]:
            del self.scales[path]

    def give_scale(self, namespace: str, name: str, selector: str, *, replicas: int = 1, plural: str = "") -> None:
        path = f"/apis/apps/v1/namespaces/{namespace}/{plural or 'deployments'}/{name}/scale"
        self.scales[path] = {
            "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"},
            "spec": {"replicas": replicas},
            "status": {"replicas": replicas, "selector": selector},
        }

    def cut(self) -> None:
        """Every open watch breaks off."""
        for request in [*self._open]:
            if request.transport is not None:
                request.transport.abort()

    def expire(self) -> None:
        """No version before now is known any more."""
        self.first_version = self.version
        self.cut()

    def asked(self, path: str) -> int:
        return sum(asked == path for asked, _ in self.requests)

    @property
    def watched(self) -> set[str]:
        """Namespaces whose pods are being watched now."""
        return {request.path.split("/")[4] for request in self._open if request.path.endswith("/pods")}

    # What the server does.

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        query = dict(request.query)
        self.requests.append((request.path, query))
        if self.is_down:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        parts = request.path.strip("/").split("/")
        if parts[-1] in self.objects:
            namespace = parts[-2] if parts[-3] == "namespaces" else ""
            return await self._collection(request, parts[-1], namespace, query)
        if parts[-1] == "scale":
            return self._scale(request.path, namespace=parts[4], resource=parts[5])
        if request.path in self.documents:
            return web.json_response(self.documents[request.path])
        return web.json_response(
            status(404, "NotFound", "the server could not find the requested resource"), status=404
        )

    def _scale(self, path: str, namespace: str, resource: str) -> web.Response:
        if self._is_forbidden("scale", namespace):
            return _forbidden(f"{resource}.apps/scale", "get")
        scale = self.scales.get(path)
        if isinstance(scale, dict):
            return web.json_response(scale)
        if scale is not None:
            return web.Response(status=scale.status, text=scale.text, content_type="application/json")
        return web.json_response(status(404, "NotFound", "not found"), status=404)

    def _is_forbidden(self, resource: str, namespace: str) -> bool:
        return bool({(resource, ""), (resource, namespace)} & self.forbidden)

    async def _collection(
        self, request: web.BaseRequest, resource: str, namespace: str, query: dict[str, str]
    ) -> web.StreamResponse:
        if self._is_forbidden(resource, namespace):
            return _forbidden(resource, "watch" if "watch" in query else "list")
        if namespace in self.failing:
            return web.json_response(status(500, "InternalError", "etcdserver: no leader"), status=500)
        if "watch" not in query:
            items = [plain for key, plain in self.objects[resource].items() if _is_in(key, namespace)]
            found = [_with_version(plain, self.version) for plain in items if _is_chosen(plain, query)]
            return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": found})
        return await self._watch(request, resource, namespace, query)

    async def _watch(
        self, request: web.BaseRequest, resource: str, namespace: str, query: dict[str, str]
    ) -> web.StreamResponse:
        seen = int(query["resourceVersion"])
        stream = web.StreamResponse()
        await stream.prepare(request)
        if seen < self.first_version:
            gone = {"type": "ERROR", "object": status(410, "Expired", "too old resource version")}
            await stream.write(json.dumps(gone).encode() + b"\n")
            return stream
        self._open.append(request)
        position = sum(version <= seen for version, *_ in self.events)
        try:
            while True:
                while position < len(self.events):
                    version, of, kind, plain = self.events[position]
                    position += 1
                    if of == resource and _is_in(_key(plain), namespace):
                        kind = kind if _is_chosen(plain, query) else "DELETED"
                        event = {"type": kind, "object": _with_version(plain, version)}
                        await stream.write(json.dumps(event).encode() + b"\n")
                async with self._news:
                    while len(self.events) <= position:
                        await self._news.wait()
        finally:
            self._open.remove(request)

    async def _happen(self, resource: str, kind: str, plain: Plain) -> None:
        async with self._news:
            self.version += 1
            self.events.append((self.version, resource, kind, json.loads(json.dumps(plain))))
            self._news.notify_all()


def resources(*kinds_and_plurals: str, without_scale: bool = False) -> Plain:
    """A discovery document."""
    found: list[Plain] = []
    for kind, plural in zip(kinds_and_plurals[::2], kinds_and_plurals[1::2], strict=True):
        found.append({"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": True})
        if kind != "Pod" and not without_scale:
            found.append({"name": f"{plural}/scale", "kind": "Scale", "group": "autoscaling", "namespaced": True})
    return {"kind": "APIResourceList", "resources": found}


def _key(plain: Plain) -> tuple[str, str]:
    return plain["metadata"]["namespace"], plain["metadata"]["name"]


def _is_in(key: tuple[str, str], namespace: str) -> bool:
    return namespace in {"", key[0]}


def _is_chosen(plain: Plain, query: dict[str, str]) -> bool:
    """By the field selector, of which the phase alone is known here."""
    phase = plain.get("status", {}).get("phase", "")
    return all(f"status.phase!={phase}" != part for part in query.get("fieldSelector", "").split(","))


def _with_version(plain: Plain, version: int) -> Plain:
    return {**plain, "metadata": {**plain["metadata"], "resourceVersion": str(version)}}


def _forbidden(resource: str, verb: str) -> web.Response:
    message = f'{resource} is forbidden: User "{ACCOUNT}" cannot {verb} resource "{resource}"'
    return web.json_response(status(403, "Forbidden", message), status=403)
