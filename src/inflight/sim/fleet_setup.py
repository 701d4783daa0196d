"""What a fleet is made of, as one value: engine, pod template, cold start, CPU model, patience of clients, seed."""

from collections.abc import Mapping

import msgspec

from inflight.sim.cold_start import ColdStart
from inflight.sim.cpu import CpuModel
from inflight.sim.engine import EngineConfig


class PodTemplate(msgspec.Struct, frozen=True):
    """The part of a Deployment's pod template that an HPA can see."""

    namespace: str = "inference"
    deployment: str = "vllm"
    labels: Mapping[str, str] = msgspec.field(default_factory=lambda: {"app": "vllm"})
    container: str = "vllm"
    cpu_request: str = "6"
    """The production stack's quick start asks for six cores (vllm-project/production-stack, `requestCPU: 6`)."""

    @property
    def selector(self) -> str:
        """The Deployment's selector as the scale subresource shows it."""
        return ",".join(f"{key}={value}" for key, value in sorted(self.labels.items()))


class FleetSetup(msgspec.Struct, frozen=True):
    """Everything but the requests."""

    engine: EngineConfig
    template: PodTemplate = PodTemplate()
    cold_start: ColdStart = ColdStart()
    cpu: CpuModel = CpuModel()
    replicas: int = 1
    """Ready at the start, long enough for the HPA to take them for settled."""
    seed: int = 0
    patience_seconds: float = 60.0
    """How long a client waits for its first token."""
    grace_seconds: float = 120.0
    """`terminationGracePeriodSeconds`: enough for the longest answer of the trace (1,000 tokens) at 100 ms a token. A
    pod without requests goes at once, so that a long grace costs nothing."""
    sample_seconds: float = 1.0
    """How often the gauges are noted for plots and for the longest queue."""
    epoch_seconds: int = 1_700_000_000
    """Unix time of the start of the run, for the stamps of Kubernetes objects."""

    def __post_init__(self) -> None:
        if self.replicas < 0:
            raise ValueError(f"a fleet cannot start with {self.replicas} replicas; give 0 or more")
        for name in ("patience_seconds", "grace_seconds", "sample_seconds"):
            value = getattr(self, name)
            if not 0 <= value < float("inf") or (name == "sample_seconds" and not value):
                raise ValueError(f"{name} of a fleet is {value}; it has to be a number of seconds above 0")
