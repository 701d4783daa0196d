# ruff: noqa: INP001 - scripts of the conformance suite, not a package.
"""Work for the emulators of one workload: a number of requests that are always open, or so many new ones a second.

Each goes to the Ready pod with the fewest. When pods come the open ones are spread anew, a few a second: pages of
different pods are read up to a second apart, and what moves in between is counted twice.
"""

import asyncio
import contextlib
from collections import Counter
from typing import Self

import aiohttp
from pods import Kubelet

HELD_TOKENS = 4000
"""Minutes of generation: the number in flight is what is asked for, not what happens to be left."""
RETRY_SECONDS = 0.2


class Load:
    """Of the pods with this label `app`; in a block."""

    def __init__(
        self,
        kubelet: Kubelet,
        app: str,
        namespace: str = "",
        *,
        prompt_tokens: int = 8,
        moves_per_second: float = 5.0,
    ) -> None:
        self._kubelet = kubelet
        self._app = app
        self._namespace = namespace
        self._pause = 1 / moves_per_second
        self._moved_at = 0.0
        self._prompt = list(range(1, prompt_tokens + 1))
        self._held: dict[asyncio.Task[None], str] = {}
        """Each open request, and where it is."""
        self._asked: set[asyncio.Task[None]] = set()
        self._wanted = 0
        self._per_second, self._tokens = 0.0, 0
        self._steering: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None), connector=aiohttp.TCPConnector(limit=0)
        )
        self._steering = [asyncio.create_task(self._hold()), asyncio.create_task(self._ask())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (*self._steering, *self._held, *self._asked):
            task.cancel()
        await asyncio.gather(*self._steering, *self._held, *self._asked, return_exceptions=True)
        await self._session.close()

    def hold(self, count: int) -> None:
        """From now on so many requests are open."""
        self._wanted = count

    def rate(self, per_second: float, tokens: int) -> None:
        """From now on so many new requests a second, each for so many tokens, however many are open."""
        self._per_second, self._tokens = per_second, tokens

    def _urls(self) -> list[str]:
        return [pod.url for pod in self._kubelet.of(self._app, self._namespace) if pod.url]

    async def _hold(self) -> None:
        while True:
            urls = self._urls()
            self._drop_surplus(urls)
            while urls and len(self._held) < self._wanted:
                url = min(urls, key=Counter(self._held.values()).__getitem__)
                task = asyncio.create_task(self._post(url, HELD_TOKENS))
                self._held[task] = url
                task.add_done_callback(lambda done: self._held.pop(done, ""))
            await asyncio.sleep(RETRY_SECONDS)

    def _drop_surplus(self, urls: list[str]) -> None:
        """What is more than wanted or whose pod has gone, at once; of what exceeds a pod's share, one at a time."""
        share = -(-self._wanted // len(urls)) if urls else 0
        found: Counter[str] = Counter()
        now = asyncio.get_running_loop().time()
        may_move = now >= self._moved_at + self._pause
        for number, (task, url) in enumerate(list(self._held.items())):
            found[url] += 1
            moves = found[url] > share and may_move and len(self._held) <= self._wanted
            if number >= self._wanted or url not in urls or moves:
                if moves:
                    may_move, self._moved_at = False, now
                task.cancel()
                self._held.pop(task, "")

    async def _ask(self) -> None:
        loop, turn = asyncio.get_running_loop(), 0
        due = loop.time()
        while True:
            urls = self._urls()
            if not urls or not self._per_second:
                await asyncio.sleep(RETRY_SECONDS)
                due = loop.time()
                continue
            turn += 1
            task = asyncio.create_task(self._post(urls[turn % len(urls)], self._tokens))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)
            due += 1 / self._per_second
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _post(self, url: str, tokens: int) -> None:
        body = {"prompt": self._prompt, "max_tokens": tokens, "ignore_eos": True}
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with self._session.post(f"{url}/v1/completions", json=body) as answer:
                await answer.read()
