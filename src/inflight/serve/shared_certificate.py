"""One serving certificate for all replicas, kept in a Secret of the cluster, and its authority in the APIServices.

Whichever replica finds the Secret empty, or something in it due, writes it: with the version that it read, so that of
several one wins and the others take what it wrote. What stands in the Secret is served from the next handshake on.
Nothing that goes wrong here takes away what is served already.
"""

import asyncio
import base64
import logging
import random
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from inflight.cluster import ApiError, Client, ClusterError, Reflector
from inflight.cluster.client import decode_plain
from inflight.serve.ca_bundle import APISERVICES, Authorities, CaBundle
from inflight.serve.certificates import ALWAYS_NAMED, CertificateError, ServingCertificate, load_certificate
from inflight.serve.chore import BACKOFF_SECONDS, LOOK_SECONDS, SLOW_SECONDS, Chore, Pace, Troubles, plain_object
from inflight.serve.renewal import Judgement, Renewal, judge, renew
from inflight.serve.secret_content import Content, data_of, read_content

_log = logging.getLogger(__name__)


def service_names(namespace: str, name: str) -> tuple[str, ...]:
    """What a leaf for this Service must name. First the one that kube-aggregator asks for."""
    inside = f"{name}.{namespace}"
    return (f"{inside}.svc", name, inside, f"{inside}.svc.cluster.local", *ALWAYS_NAMED)


class SharedCertificate:
    """`secret` and `service` are each a namespace and a name. `now` is Unix time: not the server's own clock, which
    keeps the step that a wrong clock was set right by, while years of validity count by the calendar. `served` is told
    when the certificate ends that is served from now on.
    """

    def __init__(
        self,
        client: Client,
        secret: tuple[str, str],
        service: tuple[str, str],
        *,
        now: Callable[[], float] = time.time,
        served: Callable[[float], None] = lambda _: None,
        look_seconds: float = LOOK_SECONDS,
        backoff_seconds: tuple[float, float] = BACKOFF_SECONDS,
        slow_seconds: float = SLOW_SECONDS,
        random_source: random.Random | None = None,
    ) -> None:
        self._client = client
        self._namespace, self._name = secret
        self._where = "/".join(secret)
        self._path = f"/api/v1/namespaces/{self._namespace}/secrets"
        self._names = service_names(*service)
        self._now = now
        self._served = served
        self._context: ssl.SSLContext | None = None
        self._troubles = Troubles("shared_certificate_trouble")
        chore = partial(Chore, look_seconds=look_seconds, backoff_seconds=backoff_seconds, random_source=random_source)
        reflector = partial(Reflector, backoff_seconds=backoff_seconds, random_source=random_source)
        self._pace = Pace(slow_seconds)
        self._chore = chore(self._write_what_is_due, partial(self._note, "written"))
        self._reflector: Reflector[dict[str, Any]] = reflector(
            client,
            self._path,
            dict,
            self._take_all,
            params={"fieldSelector": f"metadata.name={self._name}"},
            failed=partial(self._note, "watched"),
            recovered=partial(self._troubles.end, "watched"),
        )
        self.bundles = tuple(
            CaBundle(
                client,
                apiservice,
                service,
                known=lambda: self.authorities,
                fresh=self._be_sure,
                changed=self._judge_readiness,
                troubles=self._troubles,
                chore=chore,
                reflector=reflector,
                slow_seconds=slow_seconds,
            )
            for apiservice in APISERVICES
        )
        self._looked = False
        self._secret: Mapping[str, Any] | None = None
        self._content: Content | None = None
        self._renewal: Renewal | None = None
        self._loaded: ServingCertificate | None = None
        self.authorities: Authorities = ()
        """What a client has to trust; empty where it is not known."""
        self.problem = f"the Secret {self._where} has not been read yet"
        """A sentence until the shared certificate is served and known to every APIService of ours; "" from then on."""

    def __repr__(self) -> str:
        return f"SharedCertificate({self._where})"

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong at the moment, also once it is served."""
        return self._troubles.sentences

    async def run(self, context: ssl.SSLContext) -> None:
        """Watches and serves until cancelled."""
        self._context = context
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reflector.run())
            group.create_task(self._chore.run())
            for bundle in self.bundles:
                group.create_task(bundle.run())

    async def _write_what_is_due(self) -> None:
        """Time alone makes things due, so this looks at what is known before it asks."""
        self._consider()
        if self._due() is None:
            return
        await self._read_again()
        renewal = self._due()
        if renewal is not None and self._pace.is_fight:
            self._troubles.say("fight", self._who_fights(renewal.why))
            await self._pace.pause()
            await self._read_again()
            renewal = self._due()
        if renewal is not None and self._secret is not None:
            await self._write(self._secret, renewal)

    def _due(self) -> Renewal | None:
        return self._renewal

    async def _write(self, secret: Mapping[str, Any], renewal: Renewal) -> None:
        """With the version that was read: of two who write at once, one is told that he came too late."""
        values = renew(renewal, self._names, self._moment())
        data = {key: base64.b64encode(value).decode() for key, value in values.items()}
        path = f"{self._path}/{self._name}"
        body = {"apiVersion": "v1", "kind": "Secret", **secret, "data": {**data_of(secret), **data}}
        answer = await self._client.request("PUT", path, body=body)
        self._pace.mark()
        _log.info("event=shared_certificate_written secret=%s because=%r", self._where, renewal.why)
        self._take(plain_object(decode_plain(answer, f"PUT {path}"), f"PUT {path}"))

    async def _read_again(self) -> None:
        """Raises as the client does."""
        path = f"{self._path}/{self._name}"
        try:
            secret = plain_object(await self._client.get(path), f"GET {path}")
        except ApiError as error:
            if error.code != 404:
                raise
            self._take(None)
            return
        self._take(secret)

    async def _be_sure(self) -> None:
        """Before an authority is written anywhere. Raises ClusterError without the cause, which is said here."""
        try:
            await self._read_again()
        except ClusterError as error:
            self._note("read", error)
            raise ClusterError(f"the Secret {self._where} cannot be read again to be sure of it") from error
        self._troubles.end("read")

    def _take_all(self, objects: Mapping[tuple[str, str], dict[str, Any]]) -> None:
        self._take(objects.get((self._namespace, self._name)))

    def _take(self, secret: Mapping[str, Any] | None) -> None:
        self._looked, self._secret = True, secret
        self._content = read_content(secret) if secret is not None else None
        self._consider()

    def _consider(self) -> None:
        """Of what is known now, at this moment."""
        if self._content is None:
            self._renewal = None
            if self._looked:
                self._troubles.say("content", self._how_to_make_it())
        else:
            authorities = self._content.authorities
            carried = not isinstance(authorities, str) and all(each.carries(authorities) for each in self.bundles)
            self._follow(judge(self._content, self._names, self._moment(), carried=carried))
        self._judge_readiness()

    def _follow(self, judgement: Judgement) -> None:
        self._renewal = judgement.renewal
        if judgement.renewal is not None:
            self._chore.wake()
        else:
            self._troubles.end("written")
            if not self._pace.is_fight:
                self._troubles.end("fight")
        said = judgement.refusal or "; ".join(judgement.warnings)
        if judgement.certificate is not None and judgement.leaf is not None:
            said = self._load(judgement.certificate, judgement.leaf) or said
            if self._loaded == judgement.certificate:
                self._trust(judgement.authorities)
        if said:
            self._troubles.say("content", f"the Secret {self._where}: {said}")
        else:
            self._troubles.end("content")

    def _load(self, certificate: ServingCertificate, leaf: x509.Certificate) -> str:
        """Why it cannot be served; "" where it is from now on."""
        if certificate == self._loaded or self._context is None:
            return ""
        try:
            load_certificate(self._context, certificate)
        except (CertificateError, ssl.SSLError, ValueError) as error:
            return f"what it holds cannot be served: {error}"
        self._loaded = certificate
        self._served(leaf.not_valid_after_utc.timestamp())
        fingerprint = leaf.fingerprint(hashes.SHA256()).hex()
        _log.info("event=certificate_served sha256=%s until=%s", fingerprint, leaf.not_valid_after_utc.isoformat())
        return ""

    def _trust(self, authorities: Authorities) -> None:
        if authorities != self.authorities:
            self.authorities = authorities
            for bundle in self.bundles:
                bundle.wake()

    def _judge_readiness(self) -> None:
        if not self.problem:
            return
        if self._loaded is None:
            about = (self._troubles.about(topic) for topic in ("written", "content", "watched", "read"))
            self.problem = next(filter(None, about), self.problem)
            return
        self.problem = next(filter(None, (bundle.problem for bundle in self.bundles)), "")
        if not self.problem:
            _log.info("event=shared_certificate_ready secret=%s", self._where)

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)

    def _how_to_make_it(self) -> str:
        return (
            f"there is no Secret {self._where} for the serving certificate: make an empty one, and it is filled"
            f" (kubectl -n {self._namespace} create secret generic {self._name})"
        )

    def _who_fights(self, why: str) -> str:
        return (
            f"the Secret {self._where} has to be written because {why}, {self._pace.words}. Do two installations of"
            " Inflight with different Services name the same Secret, or are the clocks of two nodes years apart?"
        )

    def _note(self, what: str, error: ClusterError) -> None:
        sentence = f"the Secret {self._where} cannot be {what}: {error}"
        if isinstance(error, ApiError) and error.code in {401, 403}:
            sentence += f"; {self._how_to_grant()}"
        self._troubles.say(what, sentence)
        self._judge_readiness()

    def _how_to_grant(self) -> str:
        return (
            f"the service account of this process needs get, list, watch and update of it (a Role in"
            f" {self._namespace}, as in deploy/install.yaml: kubectl -n {self._namespace} create role {self._name}"
            f" --verb=get,list,watch,update --resource=secrets --resource-name={self._name};"
            f" kubectl -n {self._namespace} create rolebinding {self._name} --role={self._name}"
            " --serviceaccount=NAMESPACE:NAME)"
        )
