"""Other HPAs of the namespace whose targets have pods in common with this one: the controller then stops for all.

Source: k8s.io/kubernetes pkg/controller/podautoscaler/hpa_selector_store.go, 0.37.
"""

import asyncio
from collections.abc import Callable
from urllib.parse import quote

from inflight.cluster import ApiError, Client, ClusterError
from inflight.objects import (
    CrossVersionObjectReference,
    HorizontalPodAutoscaler,
    ObjectError,
    Pod,
    Selector,
    SelectorError,
    decode_scale,
    parse_selector,
)
from inflight.observe.looking.kinds import Kinds, NoMatchError
from inflight.observe.looking.lists import read_list

MAX_SCALES = 300
"""Scales that are read for this; a namespace with more HPAs is not looked through to the end."""
AT_ONCE = 8
KEPT_SECONDS = 300.0
"""Selectors of workloads do not change; who watches need not ask a hundred of them every few seconds."""


class Neighbours:
    """Remembers the selectors of others for some minutes. `unseen` says afterwards what could not be looked at."""

    def __init__(self, client: Client, kinds: Kinds, namespace: str, now: Callable[[], float]) -> None:
        self._client = client
        self._kinds = kinds
        self._namespace = namespace
        self._now = now
        self._limit = asyncio.Semaphore(AT_ONCE)
        self._kept: dict[CrossVersionObjectReference, tuple[float, Selector | None]] = {}
        self.unseen: tuple[str, ...] = ()

    async def selecting(self, hpa: HorizontalPodAutoscaler, pods: tuple[Pod, ...]) -> tuple[str, ...]:
        """`namespace/name` of all HPAs that select one of the pods, `hpa` included; nothing where it is alone."""
        self.unseen = ()
        try:
            path = f"/apis/autoscaling/v2/namespaces/{quote(self._namespace, safe='')}/horizontalpodautoscalers"
            hpas = await read_list(self._client, path, HorizontalPodAutoscaler)
        except ClusterError as error:
            self.unseen = (f"whether another HPA selects the same pods is not known: {error}",)
            return ()
        others = [each for each in hpas if each.metadata.name != hpa.metadata.name]
        targets = {each.spec.scale_target_ref: None for each in others}
        same = {target for target in targets if target == hpa.spec.scale_target_ref}
        unread = [target for target in targets if target not in same]
        if len(unread) > MAX_SCALES:
            self.unseen = (f"only {MAX_SCALES} of {len(unread)} other targets were looked at for pods in common",)
        selectors = await asyncio.gather(*(self._selector(target) for target in unread[:MAX_SCALES]))
        labels = {tuple(sorted(pod.metadata.labels.items())) for pod in pods}
        for target, selector in zip(unread, selectors, strict=False):
            if selector is not None and any(selector.matches(dict(each)) for each in labels):
                same.add(target)
        found = [each for each in others if each.spec.scale_target_ref in same]
        return tuple(f"{self._namespace}/{each.metadata.name}" for each in (hpa, *found)) if found else ()

    async def _selector(self, target: CrossVersionObjectReference) -> Selector | None:
        kept = self._kept.get(target)
        if kept is None or self._now() - kept[0] > KEPT_SECONDS:
            kept = self._kept[target] = (self._now(), await self._read(target))
        return kept[1]

    async def _read(self, target: CrossVersionObjectReference) -> Selector | None:
        """None where the controller could not read one either, or we may not."""
        async with self._limit:
            try:
                [kind, *_] = await self._kinds.find(target.group, target.kind)
                content = await self._client.request("GET", kind.object_path(self._namespace, target.name, "scale"))
                text = decode_scale(content).status.selector
                return parse_selector(text) if text else None
            except (NoMatchError, ObjectError, SelectorError):
                return None
            except ClusterError as error:
                if not (isinstance(error, ApiError) and error.code == 404):
                    self.unseen = (f"not every other HPA's pods are known: {error}",)
                return None
