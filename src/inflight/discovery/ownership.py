"""Whether a pod that matches a workload's selector is that workload's own.

The autoscaler does not look at owners: it counts every pod that the selector matches, so pods of others bend its
numbers. What is said here is what the pod itself shows; of kinds whose pods are made by objects in between, other than
Deployments, nothing is said.
Source: k8s.io/kubernetes 1.37 pkg/controller/deployment/sync.go (`getNewReplicaSet`: a ReplicaSet of a Deployment is
named after it and the hash in the label `pod-template-hash`) and pkg/controller/podautoscaler/replica_calculator.go.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from heapq import nsmallest

from inflight.discovery.pods import Owner, PodRecord
from inflight.discovery.problems import Problem
from inflight.discovery.selections import SHOWN_NAMES, Selection
from inflight.discovery.workloads import MAX_SHOWN, WorkloadRef

_DIRECT = frozenset({("apps", "StatefulSet"), ("apps", "ReplicaSet"), ("", "ReplicationController")})
"""Kinds that are the controller of their pods themselves."""
_DEPLOYMENT = ("apps", "Deployment")
_NOBODY = ("no", "controller")


def foreign_owners(pods: Iterable[PodRecord], workload: WorkloadRef, uid: str = "") -> Mapping[tuple[str, str], int]:
    """Kind and name of those whose the pods are that are not the workload's, with the number of their pods; those of
    which that cannot be told are left out.

    `uid` is the workload's, where it is known: a successor under the same name is another object.
    """
    kind = (workload.group, workload.kind)
    found: Counter[tuple[str, str]] = Counter()
    for pod in pods if kind in _DIRECT or kind == _DEPLOYMENT else ():
        owner = pod.owner
        if owner is None:
            found[_NOBODY] += 1
            continue
        if kind in _DIRECT:
            same = owner.name == workload.name and owner.kind == workload.kind and owner.group == workload.group
            is_own = same and uid in {"", owner.uid}
        else:
            is_own = _is_of_deployment(pod, owner, workload.name)
        if not is_own:
            found[owner.kind, owner.name] += 1
    return found


def _is_of_deployment(pod: PodRecord, owner: Owner, name: str) -> bool:
    """That it belongs to the Deployment of this name is then as good as certain; that another one does not is likely,
    since Deployments adopt ReplicaSets too.
    """
    if not owner.name.startswith(name) or owner.name != f"{name}-{pod.labels.get('pod-template-hash', '')}":
        return False
    return owner.kind == "ReplicaSet" and owner.group == "apps"


def foreign_owner_problem(namespace: str, selection: Selection, pods: Iterable[PodRecord], uid: str) -> Problem | None:
    """The pods of others among those that a workload's selector matches."""
    workload = selection.workload
    if workload is None:
        return None
    owners = foreign_owners(pods, workload, uid)
    if not owners:
        return None
    first = nsmallest(SHOWN_NAMES, owners)
    shown = ", ".join(f"{owners[who]} of {who[0][:MAX_SHOWN]} {who[1][:MAX_SHOWN]}" for who in first)
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
        names: dict[int, list[str]] = {}
        firsts: dict[int, WorkloadRef] = {}
        for pod in pods:
            first = first_of.setdefault(pod.name, workload)
            if first is not workload:
                firsts[id(first)] = first
                names.setdefault(id(first), []).append(pod.name)
        for number, first in firsts.items():
            pair = (first.label, workload.label)
            if len(shared) < most or pair in shared:
                shared.setdefault(pair, (first, workload, []))[2].extend(names[number])
    return [_overlap(namespace, first, second, names) for first, second, names in shared.values()]


def _overlap(namespace: str, first: WorkloadRef, second: WorkloadRef, names: list[str]) -> Problem:
    pods = f"{len(names)} pods" if len(names) > 1 else "1 pod"
    sentence = (
        f"the selectors of {first} and {second} overlap: both match {pods} ({min(names)}"
        f"{', ...' if len(names) > 1 else ''}). The HPA of each counts the pods of both: make their labels differ"
    )
    return Problem("overlap", namespace, f"{first.label},{second.label}", sentence)
