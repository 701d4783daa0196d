"""Who is asking, decided as the aggregated API servers of Kubernetes decide it.

In this order, the first that knows the caller wins: the front proxy (a certificate of its own authority, with one of
its allowed names; who it speaks for stands in its headers), a client certificate of the cluster's authority, a bearer
token. Who shows nothing is anonymous; who shows only what nobody accepts is not. Source: k8s.io/apiserver 0.37,
`pkg/authentication/authenticatorfactory/delegating.go` and `request/headerrequest`, `request/x509`, `request/union`.
"""

import re
from urllib.parse import unquote_to_bytes

from inflight.cluster.credentials import Credentials, PeerCertificate
from inflight.cluster.tokens import TokenReviewer
from inflight.cluster.trust import Trust
from inflight.cluster.users import ANONYMOUS, User

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"

_NO_UTF8 = re.compile("[\ud800-\udfff]")
_BROKEN_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


class NotAuthenticatedError(Exception):
    """Credentials were shown, and none was accepted. The message is for our log: the caller learns nothing from it."""


class Authenticator:
    def __init__(self, tokens: TokenReviewer) -> None:
        self._tokens = tokens

    async def identify(self, credentials: Credentials, trust: Trust, now: float) -> User:
        """`now` in Unix seconds. Raises NotAuthenticatedError, or ReviewError where the cluster cannot be asked."""
        problems = []
        if credentials.has_unverified_certificate:
            problems.append("a client certificate of a resumed TLS session, or of a kind that cannot be read")
        certificate = credentials.certificate
        if certificate is not None:
            user, problem = _by_certificate(credentials, certificate, trust, now)
            if user is not None:
                return user.among_the_authenticated()
            problems.append(problem)
        token = bearer_token(credentials.header("authorization"))
        if token:
            known = await self._tokens.identify(token)
            if known is not None:
                return known.among_the_authenticated()
            problems.append("a token that the cluster does not know")
        if problems:
            raise NotAuthenticatedError("not accepted: " + ", ".join(problems))
        return ANONYMOUS


def bearer_token(authorization: str) -> str:
    """The token, "" where there is none: other schemes are no credentials here."""
    scheme, _, rest = authorization.strip().partition(" ")
    return rest.split(" ")[0] if scheme.lower() == "bearer" else ""


def _by_certificate(
    credentials: Credentials, certificate: PeerCertificate, trust: Trust, now: float
) -> tuple[User | None, str]:
    if not certificate.is_valid_at(now):
        return None, f"the certificate of {certificate.common_name[:100]!r}, which has ended or not begun"
    if trust.is_front_proxy(certificate, now):
        user = _spoken_for(credentials, trust)
        if user is not None:
            return user, ""
    if certificate.issuers & trust.client_anchors and certificate.common_name:
        extra = {CREDENTIAL_ID: (f"X509SHA256={certificate.fingerprint}",)}
        return User(certificate.common_name, certificate.organizations, extra=extra), ""
    return None, f"the certificate of {certificate.common_name[:100]!r}"


def _spoken_for(credentials: Credentials, trust: Trust) -> User | None:
    """Whom the front proxy names in its headers; None where it names nobody."""
    name = _first(credentials, trust.username_headers)
    if not name:
        return None
    groups = tuple(value for header in trust.group_headers for value in credentials.header_values(header) if value)
    return User(name, groups, _first(credentials, trust.uid_headers), _extra(credentials, trust))


def _first(credentials: Credentials, headers: tuple[str, ...]) -> str:
    return next((value for header in headers if (value := credentials.header(header))), "")


def _extra(credentials: Credentials, trust: Trust) -> dict[str, tuple[str, ...]]:
    """Keys are in lower case, then percent-decoded, all of a key or nothing of it, as Go's `PathUnescape` does: what
    was written as an escape keeps its case.
    """
    extra: dict[str, tuple[str, ...]] = {}
    for prefix in (each.lower() for each in trust.extra_prefixes):
        for header, value in credentials.headers:
            if header.startswith(prefix):
                key = _unescaped(header[len(prefix) :].lower())
                extra[key] = (*extra.get(key, ()), value)
    return extra


def _unescaped(key: str) -> str:
    """What is no UTF-8 then becomes U+FFFD, byte for byte, as when Go writes it into a review."""
    if _BROKEN_ESCAPE.search(key):
        return key
    return _NO_UTF8.sub("\ufffd", unquote_to_bytes(key).decode("utf-8", "surrogateescape"))
