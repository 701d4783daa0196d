"""Answers of the cluster are kept for seconds, within a bound, and asked for once at a time."""

import asyncio
from typing import Any

import pytest

from inflight.cluster import Attributes, Authorizer, Client, TokenReviewer, User, Verdict
from inflight.cluster.access import PATH
from inflight.cluster.reviews import Reviews
from inflight.cluster.tokens import ReviewError

ALICE = User("alice", ("dev",), "42", {"scope": ("a",)})
EXTERNAL = Attributes(
    "list", group="external.metrics.k8s.io", version="v1beta1", resource="inflight_requests", namespace="ns"
)


class Ticks:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


async def test_an_answer_holds_for_ten_seconds() -> None:
    ticks = Ticks()
    reviews: Reviews[str, int] = Reviews(now=ticks)
    answers = iter(range(10))

    async def ask() -> int:
        return next(answers)

    assert await reviews.get("a", ask) == 0
    ticks.time += 9.9
    assert await reviews.get("a", ask) == 0
    ticks.time += 0.2
    assert await reviews.get("a", ask) == 1


async def test_no_more_than_the_bound_is_kept() -> None:
    reviews: Reviews[int, int] = Reviews(max_kept=3)

    asked: list[int] = []

    async def get(key: int) -> None:
        async def ask() -> int:
            asked.append(key)
            return 1

        await reviews.get(key, ask)

    for key in (1, 2, 3, 1, 4):
        await get(key)
    assert len(reviews) == 3
    await get(1)
    assert asked == [1, 2, 3, 4]
    await get(2)
    assert asked == [1, 2, 3, 4, 2]


async def test_the_same_question_is_asked_once_at_a_time_and_failures_are_not_kept() -> None:
    reviews: Reviews[str, int] = Reviews()
    gate = asyncio.Event()
    asked = []

    async def fail() -> int:
        asked.append(1)
        await gate.wait()
        raise ReviewError("away")

    callers = [asyncio.create_task(reviews.get("a", fail)) for _ in range(20)]
    await asyncio.sleep(0)
    callers[0].cancel()
    gate.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert all(isinstance(outcome, ReviewError) for outcome in outcomes[1:])
    assert asked == [1]

    async def answer() -> int:
        return 5

    assert await reviews.get("a", answer) == 5


async def test_the_cluster_is_asked_about_user_and_resource(server: Any, client: Client) -> None:
    server.give("POST", PATH, {"status": {"allowed": True, "reason": "RBAC"}})
    authorizer = Authorizer(client)
    assert await authorizer.review(ALICE, EXTERNAL) == Verdict(allowed=True, reason="RBAC")
    assert await authorizer.review(ALICE, EXTERNAL) == Verdict(allowed=True, reason="RBAC")
    assert [body["spec"] for body in server.bodies] == [
        {
            "user": "alice",
            "groups": ["dev"],
            "uid": "42",
            "extra": {"scope": ["a"]},
            "resourceAttributes": {
                "verb": "list",
                "group": "external.metrics.k8s.io",
                "version": "v1beta1",
                "resource": "inflight_requests",
                "namespace": "ns",
            },
        }
    ]


async def test_users_that_differ_in_anything_do_not_share_an_answer(server: Any, client: Client) -> None:
    server.give("POST", PATH, {"status": {"allowed": True}})
    authorizer = Authorizer(client)
    others = [User("alice"), User("alice", ("dev",)), User("alice", ("dev",), "43"), User("alice", ("dev", "ops"))]
    for user in [ALICE, *others]:
        await authorizer.review(user, EXTERNAL)
    await authorizer.review(ALICE, Attributes("get", path="/metrics"))
    assert len(server.requests) == 6
    assert server.bodies[-1]["spec"]["nonResourceAttributes"] == {"verb": "get", "path": "/metrics"}


async def test_masters_are_not_asked_about(server: Any, client: Client) -> None:
    assert (await Authorizer(client).review(User("root", ("system:masters",)), EXTERNAL)).allowed
    assert server.requests == []


async def test_a_huge_question_is_not_kept(server: Any, client: Client) -> None:
    server.give("POST", PATH, {"status": {"allowed": False}})
    authorizer = Authorizer(client)
    user = User("x" * 12_000)
    for _ in range(2):
        assert not (await authorizer.review(user, EXTERNAL)).allowed
    assert len(server.requests) == 2
    assert len(authorizer._reviews) == 0


async def test_a_cluster_that_fails_allows_nothing_and_is_asked_again(server: Any, client: Client) -> None:
    server.give("POST", PATH, server.status(500, "InternalError", "etcd"), status=500)
    authorizer = Authorizer(client)
    for _ in range(2):
        with pytest.raises(ReviewError, match="etcd"):
            await authorizer.review(ALICE, EXTERNAL)
    assert len(server.requests) == 2


async def test_tokens_are_kept_by_a_hash_alone(server: Any, client: Client) -> None:
    server.give("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"status": {"authenticated": False}})
    reviewer = TokenReviewer(client)
    for _ in range(2):
        assert await reviewer.identify("a-secret-token") is None
    assert len(server.requests) == 1
    assert "a-secret-token" not in repr(vars(reviewer._reviews))
