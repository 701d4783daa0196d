"""Lays a vLLM page out once: a list of pieces in which every second one is a value, to be put in at each rendering."""

import platform
from collections.abc import Mapping, Sequence

from inflight.lab.emulator.cache_config import cache_labels
from inflight.lab.emulator.families import Buckets, Scalars
from inflight.lab.emulator.text import header, histogram_names, label_set, number
from inflight.sim.engine import EngineConfig
from inflight.sim.stats import Histogram


class Layout:
    """Builds the list of pieces in which every second one is a value."""

    def __init__(self, model_name: str, engines: int, ready_at: float) -> None:
        self._base = [{"model_name": model_name, "engine": str(engine)} for engine in range(engines)]
        self._shared = {"model_name": model_name}
        self._ready = number(ready_at)
        self._parts: list[str] = []
        self._text = ""

    def finish(self) -> list[str]:
        parts, self._parts = [*self._parts, self._text], []
        return parts

    def _value(self, sample: str) -> None:
        """A sample whose value is put in at each rendering."""
        self._parts += [f"{self._text}{sample} ", ""]
        self._text = "\n"

    def _fixed(self, sample: str, value: str) -> None:
        self._text += f"{sample} {value}\n"

    def process(self, started_at: float) -> None:
        """The families of the Python client library; its garbage collector is not emulated."""
        generations = ("0", "1", "2")
        for name, text in (
            ("python_gc_objects_collected_total", "Objects that the garbage collector freed."),
            ("python_gc_objects_uncollectable_total", "Objects that it could not free."),
            ("python_gc_collections_total", "Its runs by generation."),
        ):
            self._text += header(name, "counter", text)
            for generation in generations:
                self._fixed(f'{name}{{generation="{generation}"}}', "0.0")
        self._text += header("python_info", "gauge", "The Python that runs the server.")
        self._fixed(f"python_info{label_set(_python())}", "1.0")
        for name, kind, text in (
            ("process_virtual_memory_bytes", "gauge", "Size of the address space in bytes."),
            ("process_resident_memory_bytes", "gauge", "Memory in use in bytes."),
            ("process_start_time_seconds", "gauge", "When the process began, Unix seconds."),
            ("process_cpu_seconds_total", "counter", "CPU time spent in seconds."),
            ("process_open_fds", "gauge", "Open files."),
            ("process_max_fds", "gauge", "Files that may be open."),
        ):
            self._text += header(name, kind, text)
            if name == "process_start_time_seconds":
                self._fixed(name, number(started_at))
            else:
                self._value(name)

    def scalars(self, family: Scalars) -> None:
        bases = self._base if family.per_engine else [self._shared]
        rows = [
            label_set({**base, family.label: value} if family.label else base)
            for value in family.label_values
            for base in bases
        ]
        name = f"{family.name}_total" if family.type == "counter" else family.name
        self._text += header(name, family.type, family.help)
        for row in rows:
            self._value(name + row)
        if family.type == "counter":
            self._created(family.name, family.help, rows)

    def histograms(self, family: Buckets, empty: Sequence[Histogram]) -> None:
        self._text += header(family.name, "histogram", family.help)
        for base, kept in zip(self._base, empty, strict=True):
            for sample in histogram_names(family.name, base, kept.edges):
                self._value(sample)
        self._created(family.name, family.help, [label_set(base) for base in self._base])

    def _created(self, name: str, text: str, rows: Sequence[str]) -> None:
        self._text += header(f"{name}_created", "gauge", text)
        for row in rows:
            self._fixed(f"{name}_created{row}", self._ready)

    def cache_config(self, configs: Sequence[EngineConfig]) -> None:
        name = "vllm:cache_config_info"
        self._text += header(name, "gauge", "How the engine's cache is set up.")
        for base, config in zip(self._base, configs, strict=True):
            self._fixed(name + label_set({**cache_labels(config), "engine": base["engine"]}), "1.0")


def _python() -> Mapping[str, str]:
    major, minor, patchlevel = platform.python_version_tuple()
    return {
        "implementation": platform.python_implementation(),
        "major": major,
        "minor": minor,
        "patchlevel": patchlevel,
        "version": platform.python_version(),
    }
