"""Whose bearer token this is, asked of the cluster with a TokenReview."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Any

import msgspec

from inflight.cluster.client import Client
from inflight.cluster.errors import ApiError, UnreachableError
from inflight.cluster.reviews import Reviews
from inflight.cluster.users import User

PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
MAX_TOKEN_BYTES = 8 << 10
MAX_KEPT = 1024
HOW_TO_GRANT = (
    "bind the ClusterRole system:auth-delegator to the service account that this process runs as"
    " (kubectl create clusterrolebinding inflight-auth-delegator --clusterrole=system:auth-delegator"
    " --serviceaccount=NAMESPACE:NAME)"
)


class ReviewError(Exception):
    """The cluster could not be asked about a caller; the sentence says how to let us."""


class _UserInfo(msgspec.Struct, frozen=True):
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] | None = None
    extra: dict[str, tuple[str, ...]] | None = None


class _TokenStatus(msgspec.Struct, frozen=True):
    authenticated: bool = False
    user: _UserInfo = _UserInfo()
    error: str = ""


class TokenReviewer:
    """Remembers answers by a keyed hash, so that no token lies about in memory for longer than its request."""

    def __init__(self, client: Client, *, now: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._key = secrets.token_bytes(32)
        self._reviews: Reviews[bytes, User | None] = Reviews(max_kept=MAX_KEPT, now=now)

    async def identify(self, token: str) -> User | None:
        """The user, or None where the cluster does not know the token. Raises ReviewError."""
        if len(token) > MAX_TOKEN_BYTES:
            return None
        digest = hmac.digest(self._key, token.encode("utf-8", "replace"), hashlib.sha256)
        return await self._reviews.get(digest, lambda: self._ask(token))

    async def _ask(self, token: str) -> User | None:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status = await review(self._client, PATH, body, _TokenStatus, "whose a token is")
        if not status.authenticated or not status.user.username:
            return None
        user = status.user
        return User(user.username, user.groups or (), user.uid, user.extra or {})


async def review(client: Client, path: str, body: Any, wanted: type[Any], what: str) -> Any:
    """The `status` of a review object. Raises ReviewError."""
    try:
        answer = await client.create(path, body, repeatable=True)
        return msgspec.convert(answer["status"], wanted)
    except ApiError as error:
        grant = f"; {HOW_TO_GRANT}" if error.code in {401, 403} else ""
        raise ReviewError(f"the cluster does not say {what}: {error}{grant}") from error
    except UnreachableError as error:
        raise ReviewError(f"the cluster cannot be asked {what}: {error}") from error
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise ReviewError(f"the cluster's answer about {what} cannot be read") from error
