"""What a caller may do, asked of the cluster with a SubjectAccessReview."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from inflight.cluster.client import Client
from inflight.cluster.reviews import Reviews
from inflight.cluster.tokens import review
from inflight.cluster.users import MASTERS_GROUP, User

PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
MAX_CACHED_BYTES = 10_000
"""A request whose names are longer than this is asked for each time, as in k8s.io/apiserver's webhook authorizer."""


class Attributes(msgspec.Struct, frozen=True):
    """What is wanted: of a resource, or a `path` that is none."""

    verb: str
    path: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    def to_spec(self) -> dict[str, Any]:
        if self.path:
            return {"nonResourceAttributes": {"verb": self.verb, "path": self.path}}
        fields = {field: getattr(self, field) for field in self.__struct_fields__ if field != "path"}
        return {"resourceAttributes": {field: value for field, value in fields.items() if value}}


class Verdict(msgspec.Struct, frozen=True):
    allowed: bool = False
    denied: bool = False
    reason: str = ""


class Authorizer:
    """Members of system:masters may everything; the rest is the cluster's to say."""

    def __init__(self, client: Client, *, now: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._reviews: Reviews[bytes, Verdict] = Reviews(now=now)

    async def review(self, user: User, attributes: Attributes) -> Verdict:
        """Raises ReviewError where the cluster cannot be asked."""
        if MASTERS_GROUP in user.groups:
            return Verdict(allowed=True)
        body = msgspec.json.encode(_review_object(user, attributes), order="deterministic")
        if len(body) > MAX_CACHED_BYTES:
            return await self._ask(body)
        return await self._reviews.get(body, lambda: self._ask(body))

    async def _ask(self, body: bytes) -> Verdict:
        verdict: Verdict = await review(self._client, PATH, msgspec.Raw(body), Verdict, "what a caller may do")
        return verdict


def _review_object(user: User, attributes: Attributes) -> Mapping[str, Any]:
    who = {
        "user": user.name,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {key: list(values) for key, values in user.extra.items()},
    }
    spec = {**{key: value for key, value in who.items() if value}, **attributes.to_spec()}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
