"""Whether a pod that matches a workload's selector is that workload's own.

The autoscaler does not look at owners: it counts every pod that the selector matches, so pods of others bend its
numbers. What is said here is what the pod itself shows; of kinds whose pods are made by objects in between, other than
Deployments, nothing is said.
Source: k8s.io/kubernetes 1.37 pkg/controller/deployment/sync.go (`getNewReplicaSet`: a ReplicaSet of a Deployment is
named after it and the hash in the label `pod-template-hash`) and pkg/controller/podautoscaler/replica_calculator.go.
"""

from collections import Counter
from collections.abc import Iterable

from inflight.discovery.pods import PodRecord
from inflight.discovery.problems import Problem
from inflight.discovery.selections import SHOWN_NAMES, Selection
from inflight.discovery.workloads import WorkloadRef

_DIRECT = frozenset({("apps", "StatefulSet"), ("apps", "ReplicaSet"), ("", "ReplicationController")})
"""Kinds that are the controller of their pods themselves."""


def foreign_owner(pod: PodRecord, workload: WorkloadRef, uid: str = "") -> str:
    """Whose a pod is that is not the workload's; "" where it is its own, or where that cannot be told.

    `uid` is the workload's, where it is known: a successor under the same name is another object.
    """
    kind = (workload.group, workload.kind)
    if kind != ("apps", "Deployment") and kind not in _DIRECT:
        return ""
    owner = pod.owner
    if owner is None:
        return "of no controller"
    if kind in _DIRECT:
        is_own = (owner.group, owner.kind, owner.name) == (*kind, workload.name) and uid in {"", owner.uid}
    else:
        # That it belongs to the Deployment of this name is as good as certain; that another one does not is likely,
        # since Deployments adopt ReplicaSets too.
        is_replica_set = (owner.group, owner.kind) == ("apps", "ReplicaSet")
        is_own = is_replica_set and owner.name == f"{workload.name}-{pod.labels.get('pod-template-hash', '')}"
    return "" if is_own else f"of {owner.kind} {owner.name}"


def foreign_owner_problem(namespace: str, selection: Selection, pods: Iterable[PodRecord], uid: str) -> Problem | None:
    """The pods of others among those that a workload's selector matches."""
    workload = selection.workload
    if workload is None:
        return None
    owners = Counter(owner for pod in pods if (owner := foreign_owner(pod, workload, uid)))
    if not owners:
        return None
    shown = ", ".join(f"{count} {owner}" for owner, count in sorted(owners.items())[:SHOWN_NAMES])
    more = ", ..." if len(owners) > SHOWN_NAMES else ""
    sentence = (
        f"of the pods that match {selection} some do not look like its own: {shown}{more}."
        f" Its HPA counts them too: give them other labels, or {workload} a selector that leaves them out"
    )
    return Problem("foreign_owner", namespace, workload.label, sentence)


def overlap_problems(
    namespace: str, matched: Iterable[tuple[WorkloadRef, Iterable[PodRecord]]], most: int
) -> list[Problem]:
    """Pairs of workloads whose selectors match the same pods, as far as there are such pods; at most `most`."""
    first_of: dict[str, WorkloadRef] = {}
    shared: dict[tuple[str, str], tuple[WorkloadRef, WorkloadRef, list[str]]] = {}
    for workload, pods in matched:
        for pod in pods:
            first = first_of.setdefault(pod.name, workload)
            if first is workload:
                continue
            pair = (first.label, workload.label)
            if len(shared) < most or pair in shared:
                shared.setdefault(pair, (first, workload, []))[2].append(pod.name)
    return [_overlap(namespace, first, second, names) for first, second, names in shared.values()]


def _overlap(namespace: str, first: WorkloadRef, second: WorkloadRef, names: list[str]) -> Problem:
    pods = f"{len(names)} pods" if len(names) > 1 else "1 pod"
    sentence = (
        f"the selectors of {first} and {second} overlap: both match {pods} ({min(names)}"
        f"{', ...' if len(names) > 1 else ''}). The HPA of each counts the pods of both: make their labels differ"
    )
    return Problem("overlap", namespace, f"{first.label},{second.label}", sentence)
