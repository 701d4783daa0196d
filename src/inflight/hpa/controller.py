"""The controller that is imitated: its Kubernetes release, feature gates, flags and processor.

What changed between releases was read from the sources of 1.32.9, 1.33.5, 1.34.2, 1.35.0, 1.36.3 and 1.37.2
(pkg/controller/podautoscaler, pkg/features). Only 1.36.3 and 1.37.2 were judged: run against the upstream
controller itself, case for case.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

import msgspec

from inflight.objects import find_release

JUDGED_RELEASES = ("1.36", "1.37")
NEWEST_JUDGED = JUDGED_RELEASES[-1]


class Controller(msgspec.Struct, frozen=True):
    """Release, gates and flags of the controller manager. The defaults are upstream's."""

    kubernetes: str = NEWEST_JUDGED
    sync_period_seconds: float = 15
    downscale_stabilization_seconds: float = 300
    cpu_initialization_period_seconds: float = 300
    initial_readiness_delay_seconds: float = 30
    tolerance: float = 0.1
    feature_gates: Mapping[str, bool] = {}
    architecture: Literal["amd64", "arm64"] = "amd64"
    """What a float outside an integer's range becomes. arm64 is from the instruction's definition, not judged."""

    @property
    def judged(self) -> bool:
        """Whether this release and processor were compared with the upstream controller."""
        return self.kubernetes in JUDGED_RELEASES and self.architecture == "amd64"


class Rules(msgspec.Struct, frozen=True):
    """What the release and the gates decide about the arithmetic, and the flags in nanoseconds."""

    kubernetes: str
    scale_to_zero: bool
    """Gate HPAScaleToZero together with the condition ScaledToZero (1.36)."""
    remembers_zero: bool
    """1.36: from zero metrics are computed only where the HPA itself went to zero. Before: where minReplicas is 0."""
    configurable_tolerance: bool
    pod_level_requests: bool
    tolerance_by_bounds: bool
    """1.33: `1 - down <= ratio <= 1 + up`. Before: `|1 - ratio| <= tolerance`, which differs at exactly 1.1."""
    caps_external_average: bool
    """1.34: External AverageValue sums and proposals saturate."""
    caps_value: bool
    """1.35: External and Object Value sums and proposals saturate."""
    names_absent_container: bool
    """1.35: a pod without the named container is an error of its own; before, its request was 0."""
    binary_memory: bool
    """1.34: memory is reported with Ki, Mi and so on."""
    object_average_named: bool
    """1.33: the status of an Object AverageValue metric names the described object."""
    object_error_in_order: bool
    """1.37: the text of a failed Object request has its parts in the right places."""
    ambiguous_by_example: bool
    """1.37: the text about several HPAs on the same pods speaks of examples."""
    names_two_hpas: bool
    """1.37, gate HPAOptimizedSelectorStore: it names two of them, else all."""
    observes_generation: bool
    """1.37, gate HPAGeneration: the status says which generation it is about."""
    saturate: bool
    tolerance: float
    downscale_stabilization_ns: int
    cpu_initialization_ns: int
    initial_readiness_ns: int


def to_nanoseconds(seconds: float) -> int:
    """Seconds with a fraction as integer nanoseconds; a half goes away from zero."""
    nanoseconds = seconds * 1_000_000_000
    whole = math.trunc(nanoseconds)
    if abs(nanoseconds - whole) < 0.5:
        return whole
    return whole + (1 if nanoseconds > 0 else -1)


def rules_of(controller: Controller) -> Rules:
    """The rules that this controller follows. Raises ReleaseError for a release or a gate that does not exist."""
    gates = controller.feature_gates
    return _rules(
        controller.kubernetes,
        tuple(sorted(gates.items())) if gates else (),
        controller.architecture,
        controller.tolerance,
        (
            controller.downscale_stabilization_seconds,
            controller.cpu_initialization_period_seconds,
            controller.initial_readiness_delay_seconds,
        ),
    )


@lru_cache(maxsize=256)
def _rules(
    kubernetes: str,
    gates: tuple[tuple[str, bool], ...],
    architecture: str,
    tolerance: float,
    seconds: tuple[float, float, float],
) -> Rules:
    release = find_release(kubernetes, dict(gates))
    minor = release.minor
    downscale_stabilization, cpu_initialization, initial_readiness = seconds
    return Rules(
        kubernetes=kubernetes,
        scale_to_zero=minor >= 36 and release.enabled("HPAScaleToZero"),
        remembers_zero=minor >= 36,
        configurable_tolerance=release.enabled("HPAConfigurableTolerance"),
        pod_level_requests=minor >= 34 and release.enabled("PodLevelResources"),
        tolerance_by_bounds=minor >= 33,
        caps_external_average=minor >= 34,
        caps_value=minor >= 35,
        names_absent_container=minor >= 35,
        binary_memory=minor >= 34,
        object_average_named=minor >= 33,
        object_error_in_order=minor >= 37,
        ambiguous_by_example=minor >= 37,
        names_two_hpas=release.enabled("HPAOptimizedSelectorStore"),
        observes_generation=release.enabled("HPAGeneration"),
        saturate=architecture == "arm64",
        tolerance=tolerance,
        downscale_stabilization_ns=to_nanoseconds(downscale_stabilization),
        cpu_initialization_ns=to_nanoseconds(cpu_initialization),
        initial_readiness_ns=to_nanoseconds(initial_readiness),
    )
