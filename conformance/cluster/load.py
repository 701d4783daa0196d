# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""Work in flight: a number of requests that are always open, spread over the emulators of one workload."""

import asyncio
from collections import Counter

import aiohttp
from pods import PodRunner

REQUEST_TOKENS = 4000
"""Minutes of generation: the number in flight is what is asked for, not what happens to be left."""


class Load:
    """`set` changes the number; requests whose server goes away are sent to another."""

    def __init__(self, runner: PodRunner, app: str) -> None:
        self._runner = runner
        self._app = app
        self._requests: list[asyncio.Task[None]] = []
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None), connector=aiohttp.TCPConnector(limit=0)
        )
        self._open: Counter[str] = Counter()

    async def set(self, count: int) -> None:
        while len(self._requests) < count:
            self._requests.append(asyncio.create_task(self._keep_open()))
        while len(self._requests) > count:
            task = self._requests.pop()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        await self.set(0)
        await self._session.close()

    async def _keep_open(self) -> None:
        body = {"prompt": "Once upon a time", "max_tokens": REQUEST_TOKENS, "ignore_eos": True}
        while True:
            urls = [each.url for each in self._runner.running.values() if each.pod.labels.get("app") == self._app]
            if not urls:
                await asyncio.sleep(0.2)
                continue
            url = min(urls, key=lambda each: self._open[each])
            self._open[url] += 1
            try:
                async with self._session.post(f"{url}/v1/completions", json=body) as answer:
                    async for _ in answer.content.iter_any():
                        pass
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.2)
            finally:
                self._open[url] -= 1
