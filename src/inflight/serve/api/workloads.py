"""What the API asks about workloads (a Deployment, a StatefulSet, anything with a scale), and of whom."""

from collections.abc import Iterable
from typing import Protocol

from inflight.objects import Selector


class Workload(Protocol):
    """An object of the cluster with the selector of its pods."""

    @property
    def api_version(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def namespace(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def selector(self) -> Selector: ...


class WorkloadSource(Protocol):
    """What is known of the cluster's objects, from memory: nothing is asked of the cluster while a client waits."""

    def workload(self, namespace: str, resource: str, name: str) -> Workload | str:
        """By its resource as in paths and in kubectl, such as `deployments.apps`; or a sentence why it is not known."""
        ...

    def why_incomplete(self, namespace: str, selectors: Iterable[Selector]) -> str:
        """What one value for the pods that match all `selectors` would lack, in a sentence; "" where it lacks none."""
        ...

    def why_unwatched(self, namespace: str, selectors: Iterable[Selector] = ()) -> str:
        """Why pods of a namespace are not watched, all or some, in sentences that say what to do, those about pods that
        match all `selectors` first; "" where nothing is known.
        """
        ...
