"""Kubernetes releases and feature gates, as far as they decide what an autoscaler may say and what becomes of it.

Source: kubernetes pkg/features/kube_features.go of 1.32 to 1.37.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

NEWEST: Final = "1.37"

HPA_SCALE_TO_ZERO: Final = "HPAScaleToZero"
HPA_CONFIGURABLE_TOLERANCE: Final = "HPAConfigurableTolerance"
POD_LEVEL_RESOURCES: Final = "PodLevelResources"

_FIRST_MINOR: Final = 32
_LAST_MINOR: Final = 37

# Gate: the minor release (of 1.x) it came with or changed in, and what it was from then on. "locked" cannot be set off.
_HISTORY: Final[dict[str, tuple[tuple[int, str], ...]]] = {
    HPA_SCALE_TO_ZERO: ((16, "off"), (37, "on")),
    HPA_CONFIGURABLE_TOLERANCE: ((33, "off"), (35, "on"), (37, "locked")),
    POD_LEVEL_RESOURCES: ((32, "off"), (34, "on")),
    "HPAGeneration": ((37, "on"),),
    "HPAOptimizedSelectorStore": ((37, "on"),),
    "StaleControllerConsistencyHPA": ((37, "on"),),
}


class ReleaseError(ValueError):
    """A release that is not known here, or a gate that the release does not have or does not let be set."""


class Release(msgspec.Struct, frozen=True):
    """One minor release with its gates as they stand, defaults and settings together."""

    name: str
    minor: int
    gates: Mapping[str, bool]

    def enabled(self, gate: str) -> bool:
        """False too for a gate that the release does not have."""
        return self.gates.get(gate, False)


def known_releases() -> tuple[str, ...]:
    return tuple(f"1.{minor}" for minor in range(_FIRST_MINOR, _LAST_MINOR + 1))


def find_release(kubernetes: str = NEWEST, feature_gates: Mapping[str, bool] | None = None) -> Release:
    """The release called `1.37` (no patch number) with some gates set away from their defaults. Raises ReleaseError."""
    names = known_releases()
    if kubernetes not in names:
        raise ReleaseError(f"Kubernetes {kubernetes[:20]!r} is not known here; one of {', '.join(names)} is")
    minor = int(kubernetes.removeprefix("1."))
    states = {gate: state for gate in _HISTORY if (state := _state(gate, minor)) is not None}
    gates = {gate: state != "off" for gate, state in states.items()}
    for gate, wanted in (feature_gates or {}).items():
        if gate not in states:
            raise ReleaseError(
                f"Kubernetes {kubernetes} has no feature gate {gate[:60]!r} that matters here;"
                f" it has {', '.join(states)}"
            )
        if states[gate] == "locked" and not wanted:
            raise ReleaseError(f"the feature gate {gate} is locked on in Kubernetes {kubernetes}")
        gates[gate] = wanted
    return Release(kubernetes, minor, MappingProxyType(gates))


def _state(gate: str, minor: int) -> str | None:
    state = None
    for since, then in _HISTORY[gate]:
        if since <= minor:
            state = then
    return state
