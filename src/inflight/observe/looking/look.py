"""One look at an HPA: the object, its target's scale, the pods and the metrics, in the order of a sync.

What the controller would meet as an error is kept as it would show it. What only keeps us from looking (missing
rights, an API server that is away) raises ObserveError.
Source: k8s.io/kubernetes pkg/controller/podautoscaler/horizontal.go (`reconcileAutoscaler`), 0.37.
"""

import difflib
from collections.abc import Callable
from urllib.parse import quote

import msgspec

from inflight.cluster import ApiError, Client, ClusterError
from inflight.hpa import FailedAnswer, MetricAnswer, Observation
from inflight.objects import (
    HorizontalPodAutoscaler,
    ObjectError,
    Pod,
    Scale,
    Selector,
    SelectorError,
    decode_hpa,
    decode_scale,
    parse_selector,
)
from inflight.observe.looking.client_texts import client_text
from inflight.observe.looking.errors import Failure, ObserveError, failure_of
from inflight.observe.looking.kinds import Kind, Kinds, NoMatchError
from inflight.observe.looking.lists import read_list
from inflight.observe.looking.metric_requests import MetricRequests
from inflight.observe.looking.neighbours import Neighbours

HPAS = "horizontalpodautoscalers"
PREFIX = "/apis/autoscaling/v2"
NOT_ASKED = FailedAnswer("the metric was not asked for: the target's scale or its selector cannot be used")
_MAX_NAMED = 5


class Look(msgspec.Struct, frozen=True):
    """What was seen, and when."""

    hpa: HorizontalPodAutoscaler
    observation: Observation
    now_ns: int
    target: Kind | None = None
    """What the HPA scales; None where the cluster knows no such kind."""
    unseen: tuple[str, ...] = ()
    """Sentences about what could not be read and is not needed for an answer."""


class Looker:
    """Looks at one HPA, as often as asked. `time_ns` is the wall clock, `now` seconds that only grow."""

    def __init__(
        self, client: Client, namespace: str, name: str, *, time_ns: Callable[[], int], now: Callable[[], float]
    ) -> None:
        self.client = client
        self.namespace = namespace
        self.name = name
        self.kinds = Kinds(client, now)
        self._neighbours = Neighbours(client, self.kinds, namespace, now)
        self._clock = time_ns

    @property
    def path(self) -> str:
        return f"{PREFIX}/namespaces/{quote(self.namespace, safe='')}/{HPAS}/{quote(self.name, safe='')}"

    async def look(self) -> Look:
        """Raises ObserveError; where it is rights that are missing, with what the controller last wrote."""
        hpa = await self.read_hpa()
        try:
            return await self._look_at(hpa)
        except ObserveError as error:
            if error.code is Failure.FORBIDDEN:
                error.hints = (*error.hints, *_last_words(hpa))
            raise

    async def _look_at(self, hpa: HorizontalPodAutoscaler) -> Look:
        scale = await self._scale(hpa)
        if isinstance(scale, str):
            count = hpa.status.current_replicas
            seen = Observation(count, count, "", (), _nothing(hpa), scale_get_error=scale)
            return Look(hpa, seen, self._now_ns())
        kind, found = scale
        selector = _selector(found)
        if selector is None:
            seen = Observation(found.spec.replicas, found.status.replicas, found.status.selector, (), _nothing(hpa))
            return Look(hpa, seen, self._now_ns(), kind)
        pods = await self._pods(selector)
        requests = MetricRequests(self.client, self.kinds, self.namespace, str(selector))
        answers = tuple([await requests.answer(metric) for metric in hpa.spec.metrics])
        now_ns = self._now_ns()
        others = await self._neighbours.selecting(hpa, pods) if pods else ()
        seen = Observation(
            replicas=found.spec.replicas,
            status_replicas=found.status.replicas,
            selector=found.status.selector,
            pods=pods,
            answers=answers,
            selecting_hpas=others,
        )
        return Look(hpa, seen, now_ns, kind, self._neighbours.unseen if pods else ())

    def _now_ns(self) -> int:
        """To the millisecond: no clock of a cluster is better, and people have to read it."""
        return self._clock() // 1_000_000 * 1_000_000

    async def read_hpa(self) -> HorizontalPodAutoscaler:
        """Raises ObserveError; where there is none, with the names that come near."""
        can_i = f"get {HPAS}.autoscaling -n {self.namespace}"
        try:
            return decode_hpa(await self.client.request("GET", self.path))
        except ObjectError as error:
            raise ObserveError(Failure.UNREADABLE, f"the HPA {self._shown} cannot be read: {error}") from error
        except ApiError as error:
            if error.code == 404:
                raise await self._not_found(error) from error
            raise failure_of(error, f"the HPA {self._shown}", can_i) from error
        except ClusterError as error:
            raise failure_of(error, f"the HPA {self._shown}", can_i) from error

    @property
    def _shown(self) -> str:
        return f"{self.namespace}/{self.name}"

    async def _not_found(self, error: ApiError) -> ObserveError:
        sentence = f"there is no HPA {self.name} in namespace {self.namespace}"
        try:
            hpas = await read_list(self.client, f"{PREFIX}/{HPAS}", HorizontalPodAutoscaler)
        except ClusterError:
            try:
                path = f"{PREFIX}/namespaces/{quote(self.namespace, safe='')}/{HPAS}"
                hpas = await read_list(self.client, path, HorizontalPodAutoscaler)
            except ClusterError:
                return ObserveError(Failure.NOT_FOUND, f"{sentence}: {error.status.message}")
        return ObserveError(Failure.NOT_FOUND, sentence, tuple(_near(hpas, self.namespace, self.name)))

    async def _scale(self, hpa: HorizontalPodAutoscaler) -> tuple[Kind, Scale] | str:
        """The first mapping of the kind that has a scale; else the controller's text of the first failure."""
        target = hpa.spec.scale_target_ref
        if target.api_version.count("/") > 1:
            return f"unexpected GroupVersion string: {target.api_version}"
        try:
            mappings = await self.kinds.find(target.group, target.kind)
        except NoMatchError as error:
            return str(error)
        except ClusterError as error:
            raise failure_of(error, "what kinds there are") from error
        first = ""
        for kind in {mapping.resource: mapping for mapping in reversed(mappings)}.values():
            found = await self._scale_of(kind, target.name)
            if not isinstance(found, str):
                return kind, found
            first = first or found
        return first

    async def _scale_of(self, kind: Kind, name: str) -> Scale | str:
        can_i = f"get {kind.resource}/{name} --subresource=scale -n {self.namespace}"
        what = f"the scale of {kind.resource}/{name}"
        try:
            content = await self.client.request("GET", kind.object_path(self.namespace, name, "scale"))
            return decode_scale(content)
        except ApiError as error:
            if error.code in {401, 403}:
                raise failure_of(error, what, can_i) from error
            return client_text(error, kind.plural, name)
        except ObjectError as error:
            return str(error)
        except ClusterError as error:
            raise failure_of(error, what, can_i) from error

    async def _pods(self, selector: Selector) -> tuple[Pod, ...]:
        path = f"/api/v1/namespaces/{quote(self.namespace, safe='')}/pods"
        try:
            return tuple(await read_list(self.client, path, Pod, {"labelSelector": str(selector)}))
        except ClusterError as error:
            raise failure_of(error, f"the pods {selector}", f"list pods -n {self.namespace}") from error


def _selector(scale: Scale) -> Selector | None:
    """None where there is none that selects: the decision says what the controller says of it."""
    try:
        return parse_selector(scale.status.selector) if scale.status.selector else None
    except SelectorError:
        return None


def _last_words(hpa: HorizontalPodAutoscaler) -> tuple[str, ...]:
    status = hpa.status
    if not status.conditions:
        return ()
    reasons = ", ".join(condition.reason for condition in status.conditions)
    messages = [f"{each.type}: {each.message}" for each in status.conditions if each.status == "False" and each.message]
    return (f"the controller's last sync left {status.desired_replicas} ({reasons})", *messages)


def _nothing(hpa: HorizontalPodAutoscaler) -> tuple[MetricAnswer, ...]:
    return (NOT_ASKED,) * len(hpa.spec.metrics)


def _near(hpas: list[HorizontalPodAutoscaler], namespace: str, name: str) -> list[str]:
    here = sorted(hpa.metadata.name for hpa in hpas if hpa.metadata.namespace == namespace)
    elsewhere = sorted(hpa.metadata.namespace for hpa in hpas if hpa.metadata.name == name)
    hints = [f"inflight explain hpa/{name} -n {other}" for other in elsewhere[:_MAX_NAMED]]
    near = difflib.get_close_matches(name, here, n=_MAX_NAMED, cutoff=0.5) or here[:_MAX_NAMED]
    if near:
        more = f" and {len(here) - len(near)} more" if len(here) > len(near) else ""
        hints.append(f"HPAs of {namespace}: {', '.join(near)}{more}")
    elif not elsewhere:
        spaces = sorted({hpa.metadata.namespace for hpa in hpas})[:_MAX_NAMED]
        hints.append(f"namespaces with HPAs: {', '.join(spaces)}" if spaces else "there is no HPA in any namespace")
    return hints
