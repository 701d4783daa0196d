"""What happened in a run, as the page and the report show it: set-up, samples by column, decisions, results.

One Story is written by the run and read by any number of watchers. A watcher that falls behind is dropped: its
browser connects again and is given the whole story anew, so nobody's slowness fills the memory.
"""

import asyncio
from typing import Any

import msgspec

Message = tuple[str, bytes]  # the event's name, its data as JSON

_WATCHER_BACKLOG = 256


class Story:
    """The state of the page; `setup` is what does not change during the run (see lab.js for its fields)."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.setup = setup
        self.columns: dict[str, list[float | None]] = {"t": []}
        self.decisions: list[dict[str, Any]] = []
        self.now: dict[str, Any] | None = None
        self.results: dict[str, Any] | None = None
        self._watchers: set[asyncio.Queue[Message | None]] = set()

    def tick(self, sample: dict[str, Any]) -> None:
        """One sample of both fleets: {"t", "load", "speed", "slip", "policies": {name: {field: ...}}}."""
        self.now = sample
        self._put("t", sample["t"])
        self._put("load", sample["load"])
        for name, fields in sample["policies"].items():
            for field in ("ready", "replicas", "running", "waiting", "kv", "ttft_p95"):
                self._put(f"{name}.{field}", fields[field])
        self._tell("tick", sample)

    def decided(self, decision: dict[str, Any]) -> None:
        """{"t", "policy", "from", "to", "reason"}, each sync of each HPA."""
        self.decisions.append(decision)
        self._tell("decision", decision)

    def phase(self, text: str) -> None:
        """What the run does now, for the page's first line."""
        self._tell("phase", {"text": text})

    def finish(self, results: dict[str, Any]) -> None:
        self.results = results
        self._tell("results", results)

    def whole(self) -> dict[str, Any]:
        """Everything up to now, as the page's first event and the report's data."""
        return {
            "setup": self.setup,
            "columns": self.columns,
            "decisions": self.decisions,
            "now": self.now,
            "results": self.results,
        }

    def watch(self) -> asyncio.Queue[Message | None]:
        """A queue that begins with the whole story; None on it means: end the connection."""
        queue: asyncio.Queue[Message | None] = asyncio.Queue(_WATCHER_BACKLOG + 2)
        queue.put_nowait(("setup", msgspec.json.encode(self.whole())))
        self._watchers.add(queue)
        return queue

    def unwatch(self, queue: asyncio.Queue[Message | None]) -> None:
        self._watchers.discard(queue)

    def close(self) -> None:
        """Ends every watcher's connection after what is queued for it."""
        for queue in self._watchers:
            queue.put_nowait(None)
        self._watchers.clear()

    def _put(self, column: str, value: float | None) -> None:
        self.columns.setdefault(column, []).append(value)

    def _tell(self, name: str, data: dict[str, Any]) -> None:
        if not self._watchers:
            return
        message = (name, msgspec.json.encode(data))
        for queue in list(self._watchers):
            if queue.qsize() >= _WATCHER_BACKLOG:
                self._watchers.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(message)
