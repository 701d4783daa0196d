"""The objects that HPAs name: what is scaled, and what a metric describes."""

import msgspec

from inflight.objects import Selector
from inflight.signals.foreign import printable

MAX_SHOWN = 120

WorkloadKey = tuple[str, str, str, str]
"""Namespace, API group, kind, name: what makes it one object, whatever version it is named in."""


class WorkloadRef(msgspec.Struct, frozen=True):
    """As an HPA names it; HPAs name objects of their own namespace alone."""

    namespace: str
    api_version: str
    kind: str
    name: str

    @property
    def group(self) -> str:
        """`apps` of `apps/v1`; "" for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def key(self) -> WorkloadKey:
        return (self.namespace, self.group, self.kind, self.name)

    @property
    def label(self) -> str:
        """`Deployment/llm`."""
        return f"{self._shown_kind}/{self._shown_name}"

    def __str__(self) -> str:
        """`Deployment llm`; the API server lets nearly every character stand here."""
        return f"{self._shown_kind} {self._shown_name}"

    @property
    def _shown_kind(self) -> str:
        return printable(self.kind[:MAX_SHOWN])

    @property
    def _shown_name(self) -> str:
        return printable(self.name[:MAX_SHOWN])


class Workload(msgspec.Struct, frozen=True):
    """A workload with the selector of its pods."""

    api_version: str
    kind: str
    namespace: str
    name: str
    selector: Selector
