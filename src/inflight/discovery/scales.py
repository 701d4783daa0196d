"""The selectors of workloads, read from their `scale`: at once, and again about every minute.

A scale cannot be watched. While it cannot be read, or its selector matches no pod, it is read sooner, waiting longer
each time. What was read last stays: a break is no news about pods.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from inflight.cluster import ApiError, Client, ClusterError
from inflight.discovery.autoscalers import MAX_SELECTOR_TEXT, check_size
from inflight.discovery.grants import how_to_grant
from inflight.discovery.problems import Problem, ProblemKind
from inflight.discovery.resources import Resource, Resources, UnknownKindError
from inflight.discovery.selections import KnownWorkload, names_of
from inflight.discovery.workloads import WorkloadRef
from inflight.objects import ObjectError, SelectorError, decode_scale, parse_selector
from inflight.signals.foreign import printable

READ_SECONDS = 60.0
SHORTEST_SECONDS = 1.0
JITTER = 0.2
AT_ONCE = 8
"""Reads at the same time: half of the connections of a client."""
SILENT_AT_ONCE = 2
"""Of groups that gave no answer the last time, as an aggregated API that hangs: the others do not wait for these."""
MAX_SILENT = 200
"""Groups that are remembered as such."""

_log = logging.getLogger(__name__)


class ScaleReader:
    """What the readers of all scales share."""

    def __init__(
        self,
        client: Client,
        now: Callable[[], float],
        random_source: random.Random,
        *,
        read_seconds: float = READ_SECONDS,
        shortest_seconds: float = SHORTEST_SECONDS,
        is_limited: bool = False,
    ) -> None:
        """`is_limited`: to namespaces, so that rights are wanted in these alone."""
        self.client = client
        self.resources = Resources(client, now)
        self.random = random_source
        self.read_seconds = read_seconds
        self.shortest_seconds = shortest_seconds
        self.is_limited = is_limited
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._turns_of_silent = asyncio.Semaphore(SILENT_AT_ONCE)
        self._silent: dict[str, None] = {}

    @asynccontextmanager
    async def turn(self, group: str) -> AsyncIterator[None]:
        """One at a time of those that there are, for a question about a group."""
        while True:
            is_silent = self.is_silent(group)
            async with self._turns_of_silent if is_silent else self._turns:
                # It may have been found to be the other while this one waited.
                if self.is_silent(group) == is_silent:
                    yield
                    return

    def is_silent(self, group: str) -> bool:
        """Whether the last question about it had no answer."""
        return group in self._silent

    def note(self, group: str, *, answered: bool) -> None:
        """How a question about a group ended."""
        self._silent.pop(group, None)
        if not answered:
            while len(self._silent) >= MAX_SILENT:
                del self._silent[next(iter(self._silent))]
            self._silent[group] = None


class FollowedScale:
    """One workload, read until cancelled. `changed` is called when what is known of it, or the problem, has changed."""

    def __init__(self, reader: ScaleReader, workload: WorkloadRef, changed: Callable[[str], None]) -> None:
        self.workload = workload
        self.askers: tuple[str, ...] = ()
        """Names of the HPAs, for sentences."""
        self.resource: Resource | None = None
        self.problem: Problem | None = None
        self.was_read = False
        """Whether an attempt has ended, with or without a selector."""
        self.is_missing = False
        """The API server says that it is not there."""
        self._has_pods = True
        self._said: KnownWorkload | None = None
        self._was_read_without_pods = False
        self._reader = reader
        self._changed = changed
        self._soon = asyncio.Event()

    @property
    def known(self) -> KnownWorkload | None:
        """What the scale said last. That a selector matches no pod is no finding until the scale was read since:
        the workload may have been scaled to zero.
        """
        if self._said is None or self._was_read_without_pods or self._said.may_be_empty:
            return self._said
        return msgspec.structs.replace(self._said, may_be_empty=True)

    def read_soon(self) -> None:
        """Something has changed that this workload may have to do with."""
        self._soon.set()

    def note_pods(self, has_pods: bool) -> None:
        """Whether the selector matches any. If none, the scale is read soon: it may say another one, or no replicas."""
        if self._has_pods and not has_pods:
            self.read_soon()
        self._has_pods = has_pods
        self._was_read_without_pods &= not has_pods

    async def run(self) -> None:
        wait = self._reader.shortest_seconds
        task = asyncio.current_task()
        # A deadline that ends in the same instant as a cancellation can swallow it; the count remains.
        while task is None or not task.cancelling():
            self._soon.clear()
            async with self._reader.turn(self.workload.group):
                await self._look()
            usual = self._reader.read_seconds
            if self.problem is None and self._has_pods:
                wait = self._reader.shortest_seconds
                await self._pause(usual)
            else:
                await self._pause(wait)
                wait = min(2 * wait, usual)

    async def _pause(self, seconds: float) -> None:
        """Until it is time, or earlier when asked to; never less than the shortest pause."""
        shortest = min(seconds, self._reader.shortest_seconds)
        await asyncio.sleep(shortest)
        rest = seconds * (1 + JITTER * (2 * self._reader.random.random() - 1)) - shortest
        try:
            async with asyncio.timeout(max(rest, 0.0)):
                await self._soon.wait()
        except TimeoutError:
            pass

    async def _look(self) -> None:
        before = (self.known, self.problem, self.was_read)
        had_pods = self._has_pods
        resource, answered = None, True
        try:
            self.resource = resource = await self._reader.resources.find(self.workload)
            self._said = await self._read(resource)
            self.problem, self.is_missing = None, False
        except UnknownKindError as error:
            self._fail("scale_missing", f"{error}; {self._wanted_by}")
        except (ObjectError, SelectorError) as error:
            self._fail("bad_selector", f"the scale of {self._name} cannot be used: {str(error)[:300]}")
        except ApiError as error:
            self._refused(error, resource)
        except ClusterError as error:
            answered = False
            self._fail("scale_unknown", f"the scale of {self._name} cannot be read: {error}")
        except Exception:  # noqa: BLE001 - a fault of ours that one object brings to light must not stop the others
            _log.exception("event=discovery_fault namespace=%s", self.workload.namespace)
            self._fail("scale_unknown", f"the scale of {self._name}: a fault of Inflight; its log has the details")
        self._reader.note(self.workload.group, answered=answered)
        self.was_read = True
        self._was_read_without_pods = not had_pods
        if (self.known, self.problem, self.was_read) != before:
            self._changed(self.workload.namespace)

    async def _read(self, resource: Resource) -> KnownWorkload:
        if not resource.has_scale:
            raise UnknownKindError(f"{resource.name} have no scale, so the pods of {self._name} cannot be found")
        path = resource.scale_path(self.workload)
        scale = decode_scale(await self._reader.client.request("GET", path))
        if not scale.status.selector:
            problem = "its status names no selector, so the HPA cannot use it either"
            raise SelectorError(problem, problem)
        length = len(scale.status.selector)
        if length > MAX_SELECTOR_TEXT:
            problem = f"the selector has {length} characters; at most {MAX_SELECTOR_TEXT} are followed"
            raise SelectorError(problem, problem)
        selector = parse_selector(scale.status.selector)
        check_size(len(selector.requirements), sum(len(each.values) for each in selector.requirements))
        return KnownWorkload(selector, scale.metadata.uid, may_be_empty=scale.spec.replicas == 0)

    def _refused(self, error: ApiError, resource: Resource | None) -> None:
        """`resource` is None where the question was about kinds."""
        if error.code == 404 and resource is not None:
            self._reader.resources.forget(resource)
            self._fail("scale_missing", f"{self._name} is not there; {self._wanted_by}")
        elif error.code == 403 and resource is not None:
            where = self.workload.namespace if self._reader.is_limited else ""
            grant = how_to_grant("get", f"{resource.name}/scale", str(error), where)
            why = f"Grant it: {grant}. The API server says: {error}"
            self._fail("scale_forbidden", f"the scale of {self._name} may not be read. {why}")
        else:
            self._fail("scale_unknown", f"the scale of {self._name} cannot be read: {error}")

    def _fail(self, kind: ProblemKind, sentence: str) -> None:
        self.is_missing = kind == "scale_missing"
        kept = "" if self._said is None else "; the selector that was read before stays in use"
        label = self.workload.label
        self.problem = Problem(kind, self.workload.namespace, label, printable(f"{sentence}{kept}"))

    @property
    def _name(self) -> str:
        return f"{self.workload} in namespace {self.workload.namespace}"

    @property
    def _wanted_by(self) -> str:
        return f"{names_of(self.askers)} names it"
