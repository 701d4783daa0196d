"""What a serving pod's CPU does, and how metrics-server would report it.

No engine publishes a model of its CPU use; this one has four numbers, each with where it comes from, each to be changed
by whoever knows better. It is the emulated side of the comparison: the CPU autoscaler of the lab sees nothing else.

The report follows kubernetes-sigs/metrics-server (`pkg/storage/pod.go`): two points of the CPU counter per pod, a
resolution of 15 s, the usage is the slope between them, stamped with the later point's time, its window their
distance. A pod that has one point only is not listed, unless its container started 10 to 15 s before it: then the start
counts as the first point. The kubelet's own sampling interval is not modelled: points are taken at the scrape.
"""

from collections.abc import Iterable, Mapping

import msgspec

RESOLUTION_SECONDS = 15.0
"""`--metric-resolution=15s` in metrics-server's manifests and chart."""
_FRESH_SECONDS = 10.0


class CpuModel(msgspec.Struct, frozen=True):
    """Cores and core-seconds of one serving pod."""

    busy_cores: float = 1.0
    """While any request runs: the engine's loop plans, launches and waits for steps without pause. Seen at 99 to 100 %
    of one core per engine process (vllm-project/vllm issues 16968 and 19036, pull request 51950)."""
    seconds_per_output_token: float = 60e-6
    """Detokenising, serialising and sending one streamed token in the API process. Between the 46 us that BLIS fits to
    vLLM runs (inference-sim/inference-sim, `alpha`) and the several hundred us per token that profiles of long answers
    show (vllm-project/vllm pull request 24174)."""
    seconds_per_prompt_token: float = 1.5e-6
    """Tokenising: 2.7 MiB/s for Hugging Face tokenizers from Python, at about 4 bytes a token (IREE's tokenizer
    comparison of 2026-02)."""
    idle_cores: float = 0.02
    """Event loops and probes of a server without requests. An assumption: since vllm-project/vllm pull request 28053 an
    idle engine blocks instead of spinning; older ones burn a whole core (issue 16968)."""
    loading_cores: float = 1.0
    """While the model loads. Start-up is mostly CPU-bound and single-threaded in its long phases (arXiv 2606.07362).
    The HPA sets such a pod aside: it is not ready."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} of the CPU model is {getattr(self, name)}; it has to be a number from 0")

    def loading_core_seconds(self, seconds: float) -> float:
        return self.loading_cores * seconds

    def serving_core_seconds(
        self, seconds: float, busy_seconds: float, prompt_tokens: int, output_tokens: int
    ) -> float:
        """Core-seconds since the server came up: `seconds` of life, `busy_seconds` of them with requests running."""
        return (
            self.busy_cores * busy_seconds
            + self.idle_cores * max(0.0, seconds - busy_seconds)
            + self.seconds_per_prompt_token * prompt_tokens
            + self.seconds_per_output_token * output_tokens
        )


class CpuPoint(msgspec.Struct, frozen=True):
    """The CPU counter of one pod's container as the kubelet shows it: core-seconds since the container's start."""

    name: str
    started_at: float
    at: float
    core_seconds: float


class CpuUsage(msgspec.Struct, frozen=True):
    """One pod in metrics.k8s.io: the mean over `window_seconds` until `at`."""

    cores: float
    at: float
    window_seconds: float


class MetricsServer:
    """Keeps the last two points of each pod, and answers with the slope between them."""

    def __init__(self, resolution_seconds: float = RESOLUTION_SECONDS) -> None:
        self.resolution_seconds = resolution_seconds
        self._last: dict[str, CpuPoint] = {}
        self._previous: dict[str, CpuPoint] = {}

    def scrape(self, points: Iterable[CpuPoint]) -> None:
        """One round over all pods that run; a pod that is not among them is forgotten."""
        last: dict[str, CpuPoint] = {}
        previous: dict[str, CpuPoint] = {}
        for point in points:
            last[point.name] = point
            before = self._first_point(point) or self._last.get(point.name)
            if before is not None and before.at < point.at:
                previous[point.name] = before
        self._last, self._previous = last, previous

    def usage(self) -> Mapping[str, CpuUsage]:
        """What the metrics API lists now, by pod name."""
        return {name: _slope(before, self._last[name]) for name, before in self._previous.items()}

    def _first_point(self, point: CpuPoint) -> CpuPoint | None:
        if _FRESH_SECONDS <= point.at - point.started_at < self.resolution_seconds:
            return CpuPoint(point.name, point.started_at, point.started_at, 0.0)
        return None


def _slope(before: CpuPoint, after: CpuPoint) -> CpuUsage:
    window = after.at - before.at
    return CpuUsage((after.core_seconds - before.core_seconds) / window, after.at, window)
