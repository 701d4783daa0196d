"""The authority in an APIService: `spec.caBundle`, by which the aggregator knows the server behind it.

Only an APIService that points at our Service is touched, and of it the bundle alone (with `insecureSkipTLSVerify`
taken away where somebody set it: both together are not allowed, and one that skips verification talks to anybody).
It is watched and repaired at once. Both sides are read again before a patch, so that replicas that learn of a new
authority one after the other do not undo each other's work.
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from cryptography import x509

from inflight.cluster import ApiError, Client, ClusterError, Reflector
from inflight.cluster.client import decode_plain
from inflight.serve.chore import SLOW_SECONDS, Chore, Pace, Troubles, plain_object
from inflight.serve.secret_content import UNREADABLE, bundle_pem, read_certificates

APISERVICES = (
    "v1beta1.custom.metrics.k8s.io",
    "v1beta2.custom.metrics.k8s.io",
    "v1beta1.external.metrics.k8s.io",
)
PATH = "/apis/apiregistration.k8s.io/v1/apiservices"
HOW_TO_GRANT = (
    "the service account of this process needs get, list, watch and patch of it (ClusterRole inflight-apiservices of"
    " deploy/install.yaml, or: kubectl create clusterrole inflight-apiservices --verb=get,list,watch,patch"
    f" --resource=apiservices.apiregistration.k8s.io {' '.join(f'--resource-name={name}' for name in APISERVICES)};"
    " kubectl create clusterrolebinding inflight-apiservices --clusterrole=inflight-apiservices"
    " --serviceaccount=NAMESPACE:NAME)"
)

Authorities = tuple[x509.Certificate, ...]

_log = logging.getLogger(__name__)


class CaBundle:
    """Of one APIService. `known` are the authorities as they were last seen, `fresh` reads them again."""

    def __init__(
        self,
        client: Client,
        name: str,
        service: tuple[str, str],
        *,
        known: Callable[[], Authorities],
        fresh: Callable[[], Awaitable[None]],
        changed: Callable[[], None],
        troubles: Troubles,
        chore: Callable[..., Chore] = Chore,
        reflector: Callable[..., Reflector[dict[str, Any]]] = Reflector,
        slow_seconds: float = SLOW_SECONDS,
    ) -> None:
        self.name = name
        self._client = client
        self._service = service
        self._known = known
        self._fresh = fresh
        self._changed = changed
        self._troubles = troubles
        self._pace = Pace(slow_seconds)
        self._chore = chore(self._repair, partial(self._note, name))
        self._watch = f"{name}:watch"
        self._reflector = reflector(
            client,
            PATH,
            dict,
            self._take_all,
            params={"fieldSelector": f"metadata.name={name}"},
            failed=partial(self._note, self._watch),
            recovered=partial(troubles.end, self._watch),
        )
        self._looked = False
        self._object: Mapping[str, Any] | None = None

    async def run(self) -> None:
        """Watches and repairs until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reflector.run())
            group.create_task(self._chore.run())

    def wake(self) -> None:
        """The authorities are others."""
        self._chore.wake()

    def carries(self, authorities: Authorities) -> bool:
        """Whether nothing has to be done so that who trusts this APIService trusts exactly these; also where it is
        not ours, or not there.
        """
        if not self._looked:
            return False
        return not self._is_ours() or not authorities or _authorities_of(self._object) == frozenset(authorities)

    @property
    def problem(self) -> str:
        """A sentence while it is not known to carry our authority though it may be ours; "" else."""
        if self.carries(self._known()):
            return ""
        state = "does not carry the authority yet" if self._looked else "has not been read yet"
        said = self._troubles.about(self.name) or self._troubles.about(self._watch)
        return said or f"the APIService {self.name} {state}"

    async def _repair(self) -> None:
        if not self._looked or self._is_settled() or await self._is_settled_now():
            return
        if self._pace.is_fight:
            self._troubles.say(self.name, self._who_fights())
            await self._pace.pause()
            if await self._is_settled_now():
                return
        await self._patch()

    def _is_settled(self) -> bool:
        carries = self.carries(self._known())
        if carries and self._is_ours() and not self._pace.is_fight:
            self._troubles.end(self.name)
        return carries

    async def _is_settled_now(self) -> bool:
        await self._fresh()
        path = f"{PATH}/{self.name}"
        try:
            self._take(plain_object(await self._client.get(path), f"GET {path}"))
        except ApiError as error:
            if error.code != 404:
                raise
            self._take(None)
        return self._is_settled()

    async def _patch(self) -> None:
        """With the version that was read: an APIService that has become another's meanwhile stays as it is."""
        assert self._object is not None
        spec: dict[str, Any] = {"caBundle": base64.b64encode(bundle_pem(self._known())).decode()}
        if _spec(self._object).get("insecureSkipTLSVerify"):
            spec["insecureSkipTLSVerify"] = False
        version = (self._object.get("metadata") or {}).get("resourceVersion")
        path = f"{PATH}/{self.name}"
        answer = await self._client.request(
            "PATCH",
            path,
            body={"metadata": {"resourceVersion": version}, "spec": spec},
            content_type="application/merge-patch+json",
        )
        self._pace.mark()
        _log.info("event=ca_bundle_written apiservice=%s authorities=%d", self.name, len(self._known()))
        self._take(plain_object(decode_plain(answer, f"PATCH {path}"), f"PATCH {path}"))

    def _take_all(self, objects: Mapping[tuple[str, str], dict[str, Any]]) -> None:
        self._take(objects.get(("", self.name)))

    def _take(self, plain: Mapping[str, Any] | None) -> None:
        self._looked, self._object = True, plain
        if not self._is_ours():
            self._troubles.say(self.name, self._why_not_ours())
        elif not self._is_settled():
            self._chore.wake()
        self._changed()

    def _is_ours(self) -> bool:
        return self._object is not None and _service_of(self._object) == self._service

    def _why_not_ours(self) -> str:
        missing = "what Inflight would answer under it cannot be asked of this cluster"
        if self._object is None:
            return (
                f"there is no APIService {self.name}: {missing}; where it is wanted, apply deploy/install.yaml (again)"
            )
        service = _service_of(self._object)
        who = f"the Service {'/'.join(service)}" if service is not None else "the API server itself"
        return (
            f"the APIService {self.name} is answered by {who}, not by {'/'.join(self._service)}: it is left alone, and"
            f" {missing}. A cluster has one server for each such name: where it shall be Inflight, take the APIService"
            " out of the other's installation and apply deploy/install.yaml again; else there is nothing to do"
        )

    def _who_fights(self) -> str:
        return (
            f"the caBundle of the APIService {self.name} was overwritten {_last_writer(self._object)},"
            f" {self._pace.words}. Take caBundle out of what is written there (Argo CD: ignoreDifferences), and let"
            " only one installation of Inflight serve it"
        )

    def _note(self, topic: str, error: ClusterError) -> None:
        if isinstance(error, ApiError) and error.code == 404 and topic == self._watch:
            # An API server without aggregation has no such collection.
            self._take(None)
            return
        sentence = f"the authority in the APIService {self.name} cannot be kept right: {error}"
        if isinstance(error, ApiError) and error.code in {401, 403}:
            sentence += f"; {HOW_TO_GRANT}"
        self._troubles.say(topic, sentence)
        self._changed()


def _spec(plain: Mapping[str, Any] | None) -> Mapping[str, Any]:
    spec = plain.get("spec") if plain is not None else None
    return spec if isinstance(spec, Mapping) else {}


def _service_of(plain: Mapping[str, Any] | None) -> tuple[str, str] | None:
    service = _spec(plain).get("service")
    if not isinstance(service, Mapping):
        return None
    return str(service.get("namespace") or ""), str(service.get("name") or "")


def _authorities_of(plain: Mapping[str, Any] | None) -> frozenset[x509.Certificate] | None:
    """None where there are none that could be read, or where nothing is verified.

    Certificates are compared, not texts: a tool that writes the same ones with comments does no harm.
    """
    spec = _spec(plain)
    if spec.get("insecureSkipTLSVerify"):
        return None
    try:
        return frozenset(read_certificates(base64.b64decode(str(spec.get("caBundle") or ""), validate=True)))
    except (binascii.Error, *UNREADABLE):
        return None


def _last_writer(plain: Mapping[str, Any] | None) -> str:
    """As the managed fields tell, where they do."""
    metadata = plain.get("metadata") if plain is not None else None
    entries = metadata.get("managedFields") if isinstance(metadata, Mapping) else None
    writers = [entry for entry in entries or () if isinstance(entry, Mapping) and "f:caBundle" in str(entry)]
    if not writers:
        return "by somebody whom its managed fields do not name"
    last = max(writers, key=lambda entry: str(entry.get("time") or ""))
    return f"by {str(last.get('manager'))!r} ({last.get('operation')}, {last.get('time')})"
