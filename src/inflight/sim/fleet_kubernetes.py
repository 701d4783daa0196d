"""The fleet's pods as the Kubernetes API shows them to an autoscaler.

Stamps are whole seconds, cut off, as metav1.Time is stored. A pod that is told to go keeps its Ready condition while it
drains and has a deletionTimestamp; a pod that is gone is not there any more.
"""

import math

from inflight.objects import (
    Container,
    Pod,
    PodCondition,
    PodMetadata,
    PodSpec,
    PodStatus,
    ResourceRequirements,
    Time,
    parse_quantity,
)
from inflight.sim.fleet_pod import FleetPod
from inflight.sim.fleet_setup import FleetSetup

_NANOSECONDS = 1_000_000_000


def pod_objects(pods: list[FleetPod], setup: FleetSetup) -> tuple[Pod, ...]:
    """All pods that there are, in the order given."""
    template = setup.template
    requests = {"cpu": parse_quantity(template.cpu_request)}
    spec = PodSpec(containers=(Container(name=template.container, resources=ResourceRequirements(requests=requests)),))
    return tuple(_pod_object(pod, spec, setup) for pod in pods)


def stamp(at: float, epoch_seconds: int) -> Time:
    """A moment of the run as the API stores it."""
    return Time((epoch_seconds + math.floor(at)) * _NANOSECONDS)


def _pod_object(pod: FleetPod, spec: PodSpec, setup: FleetSetup) -> Pod:
    epoch = setup.epoch_seconds
    ready = pod.ready_at is not None
    changed_at = pod.created_at if pod.ready_at is None else pod.ready_at
    return Pod(
        metadata=PodMetadata(
            name=pod.name,
            namespace=setup.template.namespace,
            uid=pod.uid,
            labels=dict(setup.template.labels),
            creation_timestamp=stamp(pod.created_at, epoch),
            deletion_timestamp=None if pod.deleted_at is None else stamp(pod.deleted_at + setup.grace_seconds, epoch),
        ),
        spec=spec,
        status=PodStatus(
            phase="Pending" if pod.running_at is None else "Running",
            conditions=(
                PodCondition(
                    type="Ready", status="True" if ready else "False", last_transition_time=stamp(changed_at, epoch)
                ),
            ),
            start_time=stamp(pod.created_at, epoch),
        ),
    )
