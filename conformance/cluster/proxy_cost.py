# ruff: noqa: ASYNC110, INP001 - scripts of the conformance suite, not a package.
"""What the recording proxy costs the controller: the same requests and the same watch, with it and without."""

import asyncio
import json
import ssl
import time
from statistics import median

import aiohttp
from control_plane import ControlPlane

REQUESTS = 100
CHANGES = 20
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


async def proxy_cost(plane: ControlPlane) -> str:
    """In a sentence. Measured beside whatever else the machine does, one after the other in turn."""
    context = ssl.create_default_context(cafile=str(plane.folder / "cluster-ca.pem"))
    context.load_cert_chain(plane.folder / "admin.pem", plane.folder / "admin.key")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        path, (direct, through) = "/version", ([], [])  # type: tuple[str, tuple[list[float], list[float]]]
        for _ in range(REQUESTS):
            for url, found in ((plane.url, direct), (plane.proxy_url, through)):
                begun = time.perf_counter()
                async with session.get(url + path) as answer:
                    await answer.read()
                found.append(time.perf_counter() - begun)
        late = await _watch_delay(plane, session)
    with_it, without = (
        f"{_at(each, 0.5) * 1e3:.1f} ms (p99 {_at(each, 0.99) * 1e3:.1f})" for each in (through, direct)
    )
    return (
        f"through the recording proxy a request takes {with_it}, without it {without};"
        f" a watch's news comes {late * 1e3:.1f} ms later"
    )


async def _watch_delay(plane: ControlPlane, session: aiohttp.ClientSession) -> float:
    """How much later a change is told through the proxy, in the middle of some."""
    token = {"Authorization": f"Bearer {plane.controllers_token}"}
    seen: dict[str, dict[str, float]] = {plane.url: {}, plane.proxy_url: {}}

    async def watch(url: str) -> None:
        async with session.get(url + CONFIG_MAPS, params={"watch": "1"}, headers=token) as answer:
            async for line in answer.content:
                name = json.loads(line)["object"]["metadata"].get("name", "")
                seen[url].setdefault(name, time.perf_counter())

    watching = [asyncio.create_task(watch(url)) for url in seen]
    await asyncio.sleep(0.2)
    names = [f"proxy-cost-{number}" for number in range(CHANGES)]
    try:
        for name in names:
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
            async with session.post(plane.url + CONFIG_MAPS, json=body) as answer:
                answer.raise_for_status()
        async with asyncio.timeout(10):
            while not all(name in each for each in seen.values() for name in names):
                await asyncio.sleep(0.05)
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        for name in names:
            async with session.delete(f"{plane.url}{CONFIG_MAPS}/{name}") as answer:
                await answer.read()
    return median(seen[plane.proxy_url][name] - seen[plane.url][name] for name in names)


def _at(found: list[float], share: float) -> float:
    return sorted(found)[int(len(found) * share)]
