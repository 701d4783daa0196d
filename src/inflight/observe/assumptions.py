"""The controller that is taken to be at work: its flags and gates cannot be read through the API, so they are assumed.

Each assumption is said, with how to give the right value: `--controller NAME=VALUE` takes the flags of
kube-controller-manager by their names, with or without `horizontal-pod-autoscaler-`.
"""

import re
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from inflight.hpa import JUDGED_RELEASES, NEWEST_JUDGED, Controller
from inflight.objects import HorizontalPodAutoscaler, ReleaseError, find_release, known_releases
from inflight.observe.looking.metric_requests import duration_ns

PREFIX = "horizontal-pod-autoscaler-"
_FLAGS = {
    "sync-period": "sync_period_seconds",
    "downscale-stabilization": "downscale_stabilization_seconds",
    "cpu-initialization-period": "cpu_initialization_period_seconds",
    "initial-readiness-delay": "initial_readiness_delay_seconds",
}
_NAMES = (*_FLAGS, "tolerance", "feature-gates", "architecture")
_DURATION = re.compile(r"(\d{1,9}(\.\d{1,9})?(h|m|s|ms))+")
_MAX_SHOWN = 80


class ControllerFlagError(ValueError):
    """A flag that cannot be taken, and why."""


class AssumptionCode(StrEnum):
    """Stable codes."""

    RELEASE_OF_SERVER = "ReleaseOfServer"
    RELEASE_NEAREST = "ReleaseNearest"
    """The API server's release was not judged: the nearest one that was is taken."""
    RELEASE_GIVEN = "ReleaseGiven"
    RELEASE_UNKNOWN = "ReleaseUnknown"
    FLAGS_DEFAULT = "FlagsDefault"
    FLAGS_GIVEN = "FlagsGiven"
    GATE_SEEN = "GateSeen"
    """A gate away from its default that the HPA's status gives away."""


class Assumption(msgspec.Struct, frozen=True):
    code: AssumptionCode
    text: str


class ServerVersion(msgspec.Struct, frozen=True, rename="camel"):
    """What `/version` says."""

    major: str = ""
    minor: str = ""
    git_version: str = ""


class Assumed(msgspec.Struct, frozen=True):
    controller: Controller
    assumptions: tuple[Assumption, ...]


def assume(
    version: ServerVersion | None, kubernetes: str | None, flags: Sequence[str], hpa: HorizontalPodAutoscaler
) -> Assumed:
    """Raises ControllerFlagError. `version` is None where it could not be read."""
    release, first = _release(version, kubernetes)
    controller = msgspec.structs.replace(given_controller(flags), kubernetes=release)
    try:
        gates = find_release(release, controller.feature_gates)
    except ReleaseError as error:
        raise ControllerFlagError(f"--controller feature-gates: {error}") from error
    assumptions = [first, _of_flags(controller, flags)]
    if _has_condition(hpa, "ScaledToZero") and not gates.enabled("HPAScaleToZero") and "HPAScaleToZero" in gates.gates:
        controller = _with_gate(controller, "HPAScaleToZero", True)
        text = "the feature gate HPAScaleToZero is on: the HPA has the condition ScaledToZero"
        assumptions.append(Assumption(AssumptionCode.GATE_SEEN, text))
    return Assumed(controller, tuple(assumptions))


def given_controller(flags: Sequence[str]) -> Controller:
    """The flags alone, for what is to be known before anything was read. Raises ControllerFlagError."""
    controller = Controller()
    for flag in flags:
        controller = _with_flag(controller, flag)
    return controller


def _release(version: ServerVersion | None, kubernetes: str | None) -> tuple[str, Assumption]:
    if kubernetes is not None:
        try:
            find_release(kubernetes)
        except ReleaseError as error:
            raise ControllerFlagError(f"--kubernetes: {error}") from error
        return kubernetes, Assumption(AssumptionCode.RELEASE_GIVEN, f"Kubernetes {kubernetes}, as given")
    minor = _minor(version)
    if version is None or minor is None:
        text = f"Kubernetes {NEWEST_JUDGED}: the API server does not say its version (--kubernetes gives another)"
        return NEWEST_JUDGED, Assumption(AssumptionCode.RELEASE_UNKNOWN, text)
    release = f"1.{minor}"
    server = f"the API server is {version.git_version or release}"
    if release in JUDGED_RELEASES:
        text = f"Kubernetes {release}: {server}, and its controller manager is taken to be of the same release"
        return release, Assumption(AssumptionCode.RELEASE_OF_SERVER, text)
    nearest = min(JUDGED_RELEASES, key=lambda each: abs(int(each.removeprefix("1.")) - minor))
    own = f"; --kubernetes {release} takes its own rules, which were not judged" if release in known_releases() else ""
    text = f"Kubernetes {nearest}: {server}, and {nearest} is the nearest release judged against the original{own}"
    return nearest, Assumption(AssumptionCode.RELEASE_NEAREST, text)


def _minor(version: ServerVersion | None) -> int | None:
    """Providers write `28+`; the major version is 1."""
    if version is None or version.major != "1":
        return None
    digits = re.match(r"\d{1,4}", version.minor)
    return int(digits[0]) if digits else None


def _of_flags(controller: Controller, given: Sequence[str]) -> Assumption:
    text = (
        f"the controller manager's flags: sync period {controller.sync_period_seconds:g} s, downscale stabilization"
        f" {controller.downscale_stabilization_seconds:g} s, tolerance {controller.tolerance:g}, CPU initialization"
        f" {controller.cpu_initialization_period_seconds:g} s, initial readiness delay"
        f" {controller.initial_readiness_delay_seconds:g} s"
    )
    if given:
        return Assumption(AssumptionCode.FLAGS_GIVEN, f"{text}: the defaults with what --controller gave")
    return Assumption(AssumptionCode.FLAGS_DEFAULT, f"{text}: the defaults (--controller NAME=VALUE gives others)")


def _with_flag(controller: Controller, flag: str) -> Controller:
    name, equals, value = flag.strip().lstrip("-").partition("=")
    name = name.removeprefix(PREFIX)
    if not equals or name not in _NAMES:
        raise ControllerFlagError(
            f"--controller {flag[:_MAX_SHOWN]!r}: write NAME=VALUE with one of {', '.join(_NAMES)}"
        )
    if name == "tolerance":
        if not re.fullmatch(r"\d{1,6}(\.\d{1,9})?", value):
            raise ControllerFlagError(f"--controller {flag[:_MAX_SHOWN]}: must be a number such as 0.1")
        return msgspec.structs.replace(controller, tolerance=float(value))
    if name == "feature-gates":
        return _with_gates(controller, value)
    if name == "architecture":
        if value not in {"amd64", "arm64"}:
            raise ControllerFlagError(f"--controller {flag[:_MAX_SHOWN]}: must be amd64 or arm64")
        return msgspec.structs.replace(controller, architecture=value)
    if not _DURATION.fullmatch(value):
        raise ControllerFlagError(f"--controller {flag[:_MAX_SHOWN]}: must be a duration such as 15s or 5m0s")
    seconds = duration_ns(value) / 1e9
    if name == "sync-period" and seconds <= 0:
        raise ControllerFlagError(f"--controller {flag[:_MAX_SHOWN]}: must be longer than 0")
    return msgspec.structs.replace(controller, **{_FLAGS[name]: seconds})


def _with_gates(controller: Controller, text: str) -> Controller:
    for part in text.split(","):
        gate, equals, value = part.strip().partition("=")
        if not equals or value.lower() not in {"true", "false"}:
            shown = part[:_MAX_SHOWN]
            raise ControllerFlagError(f"--controller feature-gates: {shown!r} must be NAME=true or NAME=false")
        controller = _with_gate(controller, gate, value.lower() == "true")
    return controller


def _with_gate(controller: Controller, gate: str, wanted: bool) -> Controller:
    gates = {**controller.feature_gates, gate: wanted}
    return msgspec.structs.replace(controller, feature_gates=gates)


def _has_condition(hpa: HorizontalPodAutoscaler, kind: str) -> bool:
    return any(condition.type == kind for condition in hpa.status.conditions)
