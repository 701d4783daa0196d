"""vLLM's metrics page from the replica model: a remembered text into which the values of the moment are put.

A page of one engine has about 600 lines, of which a third never changes, and the rest but in its last word. They are
laid out once; rendering joins them with the values.
"""

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from inflight.lab.emulator.families import HISTOGRAMS, SCALARS, Scalars, View, view
from inflight.lab.emulator.layout import Layout
from inflight.lab.emulator.text import number
from inflight.sim.engine import EngineConfig
from inflight.sim.replica import Replica
from inflight.sim.stats import Histogram

# Most values of a page are counts that stay small or repeat: a text is looked up far faster than it is made.
_number = lru_cache(maxsize=16384)(number)


class Process(msgspec.Struct, frozen=True):
    """What the page says of the server's process: seconds of CPU since its start, bytes, open files."""

    cpu_seconds: float = 0.0
    resident_memory_bytes: int = 0
    virtual_memory_bytes: int = 0
    open_files: int = 0
    most_open_files: int = 1048576


class VllmPage:
    """The page of one server with one engine or several (data-parallel ranks, `engine="0"` and up)."""

    def __init__(self, model_name: str, configs: Sequence[EngineConfig], *, started_at: float, ready_at: float) -> None:
        """`started_at` is when the process began, `ready_at` when the engines were up; both Unix seconds."""
        if not configs:
            raise ValueError("a page needs at least one engine")
        layout = Layout(model_name, len(configs), ready_at)
        layout.process(started_at)
        for scalars in SCALARS:
            layout.scalars(scalars)
        empty = [view(Replica(config, 0.0)) for config in configs]
        for buckets in HISTOGRAMS:
            layout.histograms(buckets, [buckets.read(engine) for engine in empty])
        layout.cache_config(configs)
        self._engines = len(configs)
        self._parts = layout.finish()

    def render(self, replicas: Sequence[Replica], process: Process | None = None, http: str = "") -> bytes:
        """The page of now. The replicas stand in the order of the configurations and have been advanced to now.

        `http` is the text of the web framework's own families, which stand at the end.
        """
        if len(replicas) != self._engines:
            raise ValueError(f"the page was laid out for {self._engines} engines, not {len(replicas)}")
        engines = [view(replica) for replica in replicas]
        values = _process_values(process or Process())
        for scalars in SCALARS:
            values += _scalar_values(scalars, engines)
        for buckets in HISTOGRAMS:
            for engine in engines:
                values += _histogram_values(buckets.read(engine))
        parts = self._parts.copy()
        parts[1::2] = map(_number, values)
        parts.append(http)
        return "".join(parts).encode()


def _process_values(process: Process) -> list[float]:
    return [
        process.virtual_memory_bytes,
        process.resident_memory_bytes,
        process.cpu_seconds,
        process.open_files,
        process.most_open_files,
    ]


def _scalar_values(family: Scalars, engines: Sequence[View]) -> list[float]:
    rows = [family.read(engine) for engine in engines]
    columns = zip(*rows, strict=True)
    if not family.per_engine:
        return [sum(column) for column in columns]
    return [value for column in columns for value in column]


def _histogram_values(kept: Histogram) -> list[float]:
    buckets = kept.cumulative()
    return [*buckets, buckets[-1], kept.sum]
