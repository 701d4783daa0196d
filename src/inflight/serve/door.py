"""The door of a server in a cluster: who is asking and what they may is the cluster's to say.

Stands between the transport and the API function, which then asks for no token of its own. The health paths are open;
everything else needs a caller whom the cluster knows and lets read that path. Without the cluster nobody comes in.

Who shows no credentials reads no other path, whatever the cluster binds to `system:unauthenticated` for its own
`/version` and discovery (Kubernetes binds `system:public-info-viewer`): our release is nothing for strangers. Whether
they may read a metric is the cluster's to say, since nobody binds that by accident.
"""

import asyncio
import logging
import ssl
import time
from typing import Protocol

import msgspec

from inflight.cluster import (
    Attributes,
    Authenticator,
    Authorizer,
    Credentials,
    NotAuthenticatedError,
    Trust,
    User,
)
from inflight.cluster.authentication import bearer_token
from inflight.cluster.credentials import PeerCertificate, read_chain
from inflight.cluster.errors import ApiError
from inflight.cluster.tokens import ReviewError
from inflight.cluster.users import UNAUTHENTICATED_GROUP
from inflight.objects.status import forbidden, forbidden_path
from inflight.serve.api.asked import Asked
from inflight.serve.api.options import is_true
from inflight.serve.api.refusals import DoorCause, Refused
from inflight.serve.api.routes import CUSTOM, EXTERNAL, VERSIONS, CustomQuery, ExternalQuery

VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
LOG_SECONDS = 10.0
"""A sentence that repeats is written so often at most: strangers must not fill the log."""
SHORTEST_LOG_SECONDS = 1.0
"""Between two lines of one cause, also where each sentence is another."""

_log = logging.getLogger(__name__)


class Peer(msgspec.Struct, frozen=True):
    """The other end of a connection."""

    certificate: PeerCertificate | None = None
    has_unverified_certificate: bool = False


def peer_of(transport: asyncio.BaseTransport | None) -> Peer:
    """What the handshake found out."""
    certificate, unverified = read_chain(None if transport is None else transport.get_extra_info("ssl_object"))
    return Peer(certificate, unverified)


class Admission(msgspec.Struct, frozen=True):
    """The door's word on one request."""

    user: str = ""
    """Who is asking; "" where that is not known."""
    refusal: Refused | None = None
    """Why the request is not let in; None where it is."""


class Door(Protocol):
    """What the transport asks before it hands a request on."""

    async def admit(self, method: str, asked: Asked, headers: tuple[tuple[str, str], ...], peer: Peer) -> Admission:
        """Who is asking, and whether they may. Not to be asked about what is open to all."""
        ...

    def is_front_proxy(self, peer: Peer) -> bool:
        """Whether the other end is the one that speaks for others, the HPA among them."""
        ...


class ClusterDoor:
    """`trust` says at each request whom the cluster lets vouch for others."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer, trust: "TrustSource") -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._trust = trust
        self._said: dict[DoorCause, tuple[float, str]] = {}

    async def admit(self, method: str, asked: Asked, headers: tuple[tuple[str, str], ...], peer: Peer) -> Admission:
        credentials = Credentials(headers, peer.certificate, peer.has_unverified_certificate)
        try:
            user = await self._authenticator.identify(credentials, self._trust.trust, time.time())
        except NotAuthenticatedError as error:
            shown: DoorCause = "bad_token" if bearer_token(credentials.header("authorization")) else "bad_certificate"
            self._say(shown, str(error))
            return Admission(refusal=Refused(401, "Unauthorized", at_door=shown))
        except ReviewError as error:
            self._say(_why_unasked(error), str(error))
            sentence = "it cannot be found out who is asking: see the log of the metrics server"
            return Admission(refusal=Refused(503, sentence, at_door=_why_unasked(error)))
        return Admission(user.name, await self._not_allowed(user, attributes_of(method, asked)))

    def is_front_proxy(self, peer: Peer) -> bool:
        certificate = peer.certificate
        return certificate is not None and self._trust.trust.is_front_proxy(certificate, time.time())

    async def _not_allowed(self, user: User, attributes: Attributes) -> Refused | None:
        is_stranger = UNAUTHENTICATED_GROUP in user.groups
        if is_stranger and attributes.path:
            reason = "without credentials the health paths can be read and nothing else"
            return Refused(403, denial(user, attributes, reason), at_door="no_credentials")
        try:
            verdict = await self._authorizer.review(user, attributes)
        except ReviewError as error:
            self._say(_why_unasked(error), str(error))
            # The caller is known, and for the HPA this is the place where a person looks. A stranger is told nothing.
            why = "see the log of the metrics server" if is_stranger else str(error)
            sentence = f"it cannot be found out what {user.name[:200]!r} may do: {why}"
            return Refused(503, sentence, at_door=_why_unasked(error))
        if verdict.allowed:
            return None
        cause: DoorCause = "no_credentials" if is_stranger else "forbidden"
        return Refused(403, denial(user, attributes, verdict.reason), at_door=cause)

    def _say(self, cause: DoorCause, sentence: str) -> None:
        """At most one line a second for each cause, whatever callers send."""
        now = time.monotonic()
        said_at, said = self._said.get(cause, (float("-inf"), ""))
        if now - said_at >= (LOG_SECONDS if said == sentence else SHORTEST_LOG_SECONDS):
            self._said[cause] = (now, sentence)
            _log.warning("event=not_let_in cause=%s why=%r", cause, sentence[:1000])


class TrustSource(Protocol):
    """As TrustWatcher."""

    @property
    def trust(self) -> Trust: ...


def attributes_of(method: str, asked: Asked) -> Attributes:
    """What the generic API server would ask the authorizer about this request.

    Where a metric is asked for, from the question that will be answered and from nothing else; a list (every external
    metric) has the verb `list`, an object `get`. Source: k8s.io/apiserver 0.37 `pkg/endpoints/request/requestinfo.go`.
    """
    verb = VERBS.get(method, method.lower())
    route = asked.route
    if isinstance(route, CustomQuery):
        if route.resource == "namespaces" and not route.namespace:
            return Attributes(
                verb, group=CUSTOM, version=route.version, resource="metrics", namespace=route.name, name=route.metric
            )
        return Attributes(
            verb,
            group=CUSTOM,
            version=route.version,
            resource=route.resource,
            subresource=route.metric,
            namespace=route.namespace,
            name=route.name,
        )
    if isinstance(route, ExternalQuery):
        if verb == "get":
            verb = "watch" if is_true(asked.parameters, "watch") else "list"
        version = VERSIONS[EXTERNAL][0]
        return Attributes(verb, group=EXTERNAL, version=version, resource=route.metric, namespace=route.namespace)
    return Attributes(verb, path=asked.path)


def denial(user: User, attributes: Attributes, reason: str) -> str:
    """The sentence that kubectl users know."""
    if attributes.path:
        return forbidden_path(user.name, attributes.verb, attributes.path, reason).message
    return forbidden(
        user.name,
        attributes.verb,
        resource=attributes.resource,
        group=attributes.group,
        subresource=attributes.subresource,
        name=attributes.name,
        namespace=attributes.namespace,
        because=reason,
    ).message


def ask_for_certificates(context: ssl.SSLContext) -> None:
    """From the next handshake on a client may show a certificate; one that no known authority signed ends it.

    Tickets are off: a resumed session does not tell which authority its certificate was verified by.
    """
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET


def take_authorities(context: ssl.SSLContext, trust: Trust) -> None:
    """Adds the authorities of `trust`. None is ever taken out: whom they vouch for is asked at each request."""
    if trust.ca_pem.strip():
        context.load_verify_locations(cadata=trust.ca_pem)


def _why_unasked(error: ReviewError) -> DoorCause:
    """Whether the cluster does not let us ask about callers, or gives no answer."""
    answered = error.__cause__
    return "missing_grant" if isinstance(answered, ApiError) and answered.code in {401, 403} else "cluster_unreachable"
