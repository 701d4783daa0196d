"""The API as a function: a request in, a response out, no socket in sight.

Order of the checks: the target must be readable; the health paths are open to all, everything else needs the token;
then the path, the method, the representation, the parameters, and at last the question itself.
"""

import hmac
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from inflight import __version__
from inflight.serve.api import wire
from inflight.serve.api.asked import Asked, read_target
from inflight.serve.api.discovery import discovery_document
from inflight.serve.api.health import HealthCheck, HealthLog, always_well
from inflight.serve.api.messages import Request, Response
from inflight.serve.api.negotiation import Encoding, choose_encoding
from inflight.serve.api.options import check_timeout, read_options
from inflight.serve.api.outcomes import Knowledge, Outcome, SampleSource
from inflight.serve.api.questions import ask_custom, ask_external
from inflight.serve.api.refusals import Refused, not_found
from inflight.serve.api.release import to_semver
from inflight.serve.api.routes import (
    HEALTH_PATHS,
    PLAIN_PATHS,
    VERSIONS,
    CustomQuery,
    Discovery,
    ExternalQuery,
    Health,
    Plain,
    Route,
    api_of,
)
from inflight.serve.api.telemetry import Telemetry
from inflight.serve.api.verdicts import VerdictLog
from inflight.serve.api.workloads import WorkloadSource
from inflight.signals.metric_names import served_names
from inflight.sources.clock import Clock

_METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PRETTY_AGENTS = ("curl", "Wget", "Mozilla/5.0")


class Manner(msgspec.Struct, frozen=True):
    """How a document is written for this client."""

    encoding: Encoding = "application/json"
    pretty: bool = False


class MetricsApi:
    """Answers requests from one source of samples. `token` is None only where a door decides who may ask.

    `workloads` knows the cluster's Deployments and the like; without it metrics are served for pods only.
    """

    def __init__(
        self,
        source: SampleSource,
        clock: Clock,
        token: str | None,
        *,
        health: HealthCheck = always_well,
        warming_up: Callable[[str], str] = lambda _: "",
        workloads: WorkloadSource | None = None,
        own_metrics: Callable[[], bytes] = lambda: b"",
        telemetry: Telemetry | None = None,
    ) -> None:
        if token is not None and not token:
            raise ValueError("the token of the metrics API must not be empty")
        self._source = source
        self._clock = clock
        self._token = None if token is None else token.encode()
        self._health = health
        self._warming_up = warming_up
        self._workloads = workloads
        self._own_metrics = own_metrics
        self._telemetry = telemetry if telemetry is not None else Telemetry()
        self._verdicts = VerdictLog(clock.now)
        self._health_log = HealthLog()
        self._discovery: dict[tuple[Discovery, Manner], bytes] = {}

    def handle(
        self, request: Request, refusal_at_door: Refused | None = None, asked: Asked | Refused | None = None
    ) -> Response:
        """The response to a request; whatever the client sends, this does not raise.

        `asked` is what its target says, where that has been read already.
        """
        manner = Manner(choose_encoding(request.accept) or "application/json")
        asked = asked if asked is not None else read_target(request.target)
        is_let_in = False
        try:
            if isinstance(asked, Refused):
                raise asked
            manner = Manner(manner.encoding, _wants_pretty(asked.parameters, request.user_agent))
            if not asked.is_open:
                if refusal_at_door is not None:
                    raise refusal_at_door
                self._check_token(request.authorization)
                is_let_in = True
            if asked.refusal is not None:
                raise asked.refusal
            response = self._answer(request, asked.route, asked.parameters, manner)
        except Refused as refusal:
            if refusal.cause:
                self._telemetry.refusals[refusal.cause] += 1
            if refusal.at_door is not None:
                self._telemetry.door_refusals[refusal.at_door] += 1
            response = refusal_response(refusal, manner)
        api = api_of(asked.route if isinstance(asked, Asked) and (is_let_in or asked.is_open) else None)
        self._telemetry.requests[api, response.status] += 1
        return msgspec.structs.replace(response, api=api, is_let_in=is_let_in)

    def _check_token(self, authorization: str) -> None:
        """No credentials: 403, as for Kubernetes' anonymous user; credentials that are not ours: 401."""
        if self._token is None:
            return
        scheme, _, credentials = authorization.strip().partition(" ")
        if not scheme or (scheme.lower() == "bearer" and not credentials.strip()):
            raise Refused(
                403,
                "forbidden: the token of this server is needed, as in 'Authorization: Bearer TOKEN'",
                at_door="no_credentials",
            )
        given = credentials.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, self._token):
            raise Refused(
                401,
                "Unauthorized: the credentials are not the token that this server was started with",
                at_door="bad_token",
            )

    def _answer(self, request: Request, route: Route | None, parameters: Mapping[str, str], manner: Manner) -> Response:
        if request.has_body:
            raise Refused(400, "the metrics API takes no request body", close=True)
        if route is None:
            raise not_found("the server could not find the requested resource")
        if isinstance(route, Health) and request.method in {"GET", "HEAD"}:
            return self._health_page(route)
        if request.method != "GET":
            raise Refused(405, f"{request.method[:20]} is not supported: the metrics API is read only", allow="GET")
        check_timeout(parameters)
        if route == Plain("metrics"):
            return Response(200, self._own_metrics(), _METRICS_CONTENT_TYPE)
        if choose_encoding(request.accept, discovery=isinstance(route, Discovery)) is None:
            raise Refused(406, "only application/json and application/yaml can be had, and the request accepts neither")
        match route:
            case Discovery():
                return Response(200, self._discover(route, manner), manner.encoding)
            case CustomQuery() | ExternalQuery():
                return self._ask(route, parameters, manner)
            case _:
                return _document_response(_plain_document(route), manner)

    def _health_page(self, route: Health) -> Response:
        """Anybody may ask, so the reason is told to the log alone: it may name namespaces, objects and rights."""
        ailment = self._health(route.check)
        self._health_log.note(route.check, ailment)
        text = f"{route.check} failed: the log of this server says why\n" if ailment is not None else "ok"
        return Response(503 if ailment is not None else 200, text.encode(), "text/plain; charset=utf-8")

    def _discover(self, route: Discovery, manner: Manner) -> bytes:
        body = self._discovery.get((route, manner))
        if body is None:
            document = discovery_document(route, served_names(), has_workloads=self._workloads is not None)
            body = self._discovery[route, manner] = wire.encode(document, manner.encoding, pretty=manner.pretty)
        return body

    def _ask(self, query: CustomQuery | ExternalQuery, parameters: Mapping[str, str], manner: Manner) -> Response:
        known = Knowledge(self._source, self._clock.now(), self._workloads, self._warming_up(query.namespace))
        question = _describe(query, parameters)
        try:
            if isinstance(query, CustomQuery):
                outcome = ask_custom(query, read_options(parameters, external=False, name=query.name), known)
            else:
                outcome = ask_external(query, read_options(parameters, external=True), known)
        except Refused as refusal:
            if refusal.cause:
                self._verdicts.note(question, refusal.cause, refusal.message)
            raise
        return self._outcome_response(outcome, query, question, manner)

    def _outcome_response(
        self, outcome: Outcome, query: CustomQuery | ExternalQuery, question: str, manner: Manner
    ) -> Response:
        verdict = outcome.verdict
        state = "complete" if verdict.seen >= verdict.expected else "partial"
        self._verdicts.note(question, state, f"{verdict.seen} of {verdict.expected} pods have a fresh value")
        self._telemetry.answers[api_of(query), state] += 1
        return _document_response(outcome.document, manner)


def refusal_response(refusal: Refused, manner: Manner) -> Response:
    """The Status of a refusal, with the headers that belong to its code."""
    headers = []
    if refusal.allow:
        headers.append(("Allow", refusal.allow))
    if refusal.code == 401:
        headers.append(("WWW-Authenticate", "Bearer"))
    body = wire.encode(wire.status_of(refusal), manner.encoding, pretty=manner.pretty)
    return Response(refusal.code, body, manner.encoding, tuple(headers), refusal.close)


def _document_response(document: Any, manner: Manner) -> Response:
    return Response(200, wire.encode(document, manner.encoding, pretty=manner.pretty), manner.encoding)


def _plain_document(route: Route) -> dict[str, Any]:
    if route == Plain("version"):
        return {"major": "1", "minor": "0", "gitVersion": f"v{to_semver(__version__)}"}
    groups = [f"/apis/{group}" for group in VERSIONS]
    versions = [f"/apis/{group}/{version}" for group in VERSIONS for version in VERSIONS[group]]
    return {"paths": sorted(["/apis", *groups, *versions, *(f"/{page}" for page in (*HEALTH_PATHS, *PLAIN_PATHS))])}


def _wants_pretty(parameters: Mapping[str, str], user_agent: str) -> bool:
    """`pretty=true`, or a person's tool without the parameter, as in the generic API server."""
    pretty = parameters.get("pretty", "")
    if pretty:
        return pretty in {"1", "t", "T", "true", "TRUE", "True"}
    return user_agent.startswith(_PRETTY_AGENTS)


def _describe(query: CustomQuery | ExternalQuery, parameters: Mapping[str, str]) -> str:
    selectors = "&".join(
        f"{key}={parameters[key][:100]}" for key in ("labelSelector", "metricLabelSelector") if parameters.get(key)
    )
    name = f"{query.resource[:40]}/{query.name[:100]} " if isinstance(query, CustomQuery) else ""
    return f"{query.namespace[:63]} {name}{query.metric[:100]} {selectors}".rstrip()
