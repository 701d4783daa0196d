"""Sorting the target's pods for one metric, and what they request.

Rules of Kubernetes pkg/controller/podautoscaler/replica_calculator.go (groupPods, calculateRequests): readiness
matters to the cpu resource only; for all other metrics a running pod that reports counts, ready or not.
"""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from inflight.hpa.controller import Rules
from inflight.hpa.numbers import wrap_int64
from inflight.hpa.observation import PodMetric
from inflight.hpa.trace import PodGroups, PodSetAside, Reason
from inflight.objects import ZERO_TIME_NS, Container, Pod, PodCondition, Quantity, Selector, parse_selector

_POD_LEVEL = ("cpu", "memory")
_EXPONENTS = {
    "n": "e-9", "u": "e-6", "m": "e-3", "k": "e3", "M": "e6", "G": "e9", "T": "e12", "P": "e15", "E": "e18",
}  # fmt: skip


class RequestError(ValueError):
    """A pod whose request cannot be known; the text is the controller's."""

    def __init__(self, reason: Reason, text: str) -> None:
        self.reason = reason
        super().__init__(text)


def select_pods(pods: Sequence[Pod], namespace: str, selector: str) -> list[Pod]:
    """The pods of the namespace that the selector's text matches. Raises SelectorError."""
    parsed, equalities = _parsed(selector)
    if equalities is not None and len(equalities) == 1:
        [(key, value)] = equalities
        return [
            pod
            for pod in pods
            if pod.metadata.labels.get(key) == value and (pod.metadata.namespace or namespace) == namespace
        ]
    chosen = []
    for pod in pods:
        metadata = pod.metadata
        if metadata.namespace and metadata.namespace != namespace:
            continue
        labels = metadata.labels
        if equalities is None:
            if parsed.matches(labels):
                chosen.append(pod)
            continue
        for key, value in equalities:
            if labels.get(key) != value:
                break
        else:
            chosen.append(pod)
    return chosen


@lru_cache(maxsize=1024)
def _parsed(text: str) -> tuple[Selector, tuple[tuple[str, str], ...] | None]:
    """The selector, and its requirements where all are `key=value`, which is what workloads have."""
    selector = parse_selector(text)
    if all(requirement.operator in {"=", "=="} for requirement in selector.requirements):
        return selector, tuple((requirement.key, requirement.values[0]) for requirement in selector.requirements)
    return selector, None


def group_pods(
    pods: Sequence[Pod], values: Mapping[str, PodMetric], resource: str, rules: Rules, now_ns: int
) -> PodGroups:
    """Ready, unready, missing, ignored; `resource` is empty for Pods metrics."""
    is_cpu = resource == "cpu"
    ready: list[str] = []
    unready: list[PodSetAside] = []
    missing: list[str] = []
    ignored: list[PodSetAside] = []
    known = 0
    for pod in pods:
        name = pod.metadata.name
        phase = pod.status.phase
        metric = values.get(name)
        if metric is not None:
            known += 1
        if pod.metadata.deletion_timestamp is not None:
            ignored.append(PodSetAside(name, Reason.DELETING))
        elif phase == "Failed":
            ignored.append(PodSetAside(name, Reason.FAILED))
        elif phase == "Pending":
            unready.append(PodSetAside(name, Reason.PENDING))
        elif metric is None:
            missing.append(name)
        elif is_cpu and (why := _unready_for_cpu(pod, metric, rules, now_ns)) is not None:
            unready.append(PodSetAside(name, why))
        else:
            ready.append(name)
    unknown: tuple[str, ...] = ()
    if known != len(values):
        names = {pod.metadata.name for pod in pods}
        unknown = tuple(name for name in values if name not in names)
    return PodGroups(
        ready=tuple(ready), unready=tuple(unready), missing=tuple(missing), ignored=tuple(ignored), unknown=unknown
    )


def ready_condition(pod: Pod) -> PodCondition | None:
    """The first condition of type Ready."""
    for condition in pod.status.conditions:
        if condition.type == "Ready":
            return condition
    return None


def is_running_and_ready(pod: Pod) -> bool:
    """What Value targets multiply with: running and ready, terminating pods included."""
    if pod.status.phase != "Running":
        return False
    condition = ready_condition(pod)
    return condition is not None and condition.status == "True"


def _unready_for_cpu(pod: Pod, metric: PodMetric, rules: Rules, now_ns: int) -> Reason | None:
    """Why a pod's cpu value does not count, or None. A Ready condition of `Unknown` is not `False`."""
    condition = ready_condition(pod)
    if condition is None:
        return Reason.NO_READY_CONDITION
    start_ns = pod.status.start_time
    if start_ns is None:
        return Reason.NO_START_TIME
    transition_ns = ZERO_TIME_NS if condition.last_transition_time is None else condition.last_transition_time
    not_ready = condition.status == "False"
    if start_ns + rules.cpu_initialization_ns > now_ns:
        if not_ready:
            return Reason.NOT_READY
        if metric.timestamp_ns < transition_ns + metric.window_ns:
            return Reason.SAMPLE_BEFORE_READY
        return None
    if not_ready and start_ns + rules.initial_readiness_ns > transition_ns:
        return Reason.NEVER_READY
    return None


def requests_of(pods: Sequence[Pod], container: str, resource: str, rules: Rules) -> dict[str, int]:
    """Milli-units by pod name, of all pods, set aside or not. Raises RequestError for the first that has none."""
    requests = {}
    for pod in pods:
        spec = pod.spec
        containers = spec.containers
        if len(containers) == 1 and not (container or spec.init_containers or spec.resources):
            # Most pods: one container, no wrapping, no sidecars.
            quantity = containers[0].resources.requests.get(resource)
            if quantity is not None:
                requests[pod.metadata.name] = quantity.milli_value()
                continue
        requests[pod.metadata.name] = _request_of(pod, container, resource, rules)
    return requests


def _request_of(pod: Pod, container: str, resource: str, rules: Rules) -> int:
    if rules.pod_level_requests and not container and pod.spec.resources is not None:
        requests = pod.spec.resources.requests
        if any(_is_pod_level(name) for name in requests):
            return _pod_level_request(pod, requests, resource)
    total = 0
    for candidate in _running_containers(pod):
        if container and candidate.name != container:
            continue
        request = candidate.resources.requests.get(resource)
        if request is None:
            raise RequestError(
                Reason.MISSING_REQUEST,
                f"missing request for {resource} in container {candidate.name} of Pod {pod.metadata.name}",
            )
        total += request.milli_value()
        if candidate.name == container and rules.names_absent_container:
            # Names are unique, upstream holds, and ends here: without a wanted container at one without a name.
            return wrap_int64(total)
    if container and rules.names_absent_container:
        raise RequestError(Reason.CONTAINER_NOT_FOUND, f"container {container} not found in Pod {pod.metadata.name}")
    return wrap_int64(total)


def _pod_level_request(pod: Pod, requests: Mapping[str, Quantity], resource: str) -> int:
    """The pod's own request, or what its containers make up where it has none for this resource.

    As the scheduler counts (k8s.io/component-helpers resource.PodRequests): containers and sidecars together, but not
    less than any init container needs beside the sidecars started before it.
    """
    if resource in requests and _is_pod_level(resource):
        return requests[resource].milli_value()
    running = [_exact(each.resources.requests.get(resource)) for each in _running_containers(pod)]
    needs = [sum((each for each in running if each is not None), Fraction(0))]
    sidecars = Fraction(0)
    found = any(each is not None for each in running)
    for container in pod.spec.init_containers:
        own = _exact(container.resources.requests.get(resource))
        found = found or own is not None
        needs.append(sidecars + (own or 0))
        if container.restart_policy == "Always":
            sidecars += own or 0
    if not found:
        name = pod.metadata.name
        raise RequestError(Reason.MISSING_REQUEST, f"missing pod-level request for {resource} in Pod {name}")
    milli = max(needs) * 1000
    return wrap_int64(math.ceil(milli) if milli > 0 else math.floor(milli))


def _exact(quantity: Quantity | None) -> Fraction | None:
    """The number that a quantity's canonical text means."""
    if quantity is None:
        return None
    text = str(quantity)
    if text.endswith("i"):
        power: int = 1024 ** (1 + "KMGTPE".index(text[-2]))
        return Fraction(text[:-2]) * power
    exponent = _EXPONENTS.get(text[-1])
    return Fraction(text) if exponent is None else Fraction(text[:-1] + exponent)


def _running_containers(pod: Pod) -> tuple[Container, ...]:
    """Containers, then the init containers that go on running beside them (sidecars)."""
    spec = pod.spec
    if not spec.init_containers:
        return spec.containers
    return (*spec.containers, *(each for each in spec.init_containers if each.restart_policy == "Always"))


def _is_pod_level(resource: str) -> bool:
    return resource in _POD_LEVEL or resource.startswith("hugepages-")
