"""When a watch that fails is worth a sentence."""

import random

import pytest

from inflight.cluster import ApiError, Client, ClusterConfig, UnreachableError
from inflight.cluster.errors import LeftOutError
from inflight.discovery.watches import MAX_TOLD_NAMESPACES, MAX_TOLD_OBJECTS, FollowedCollection, pods_of
from inflight.objects import Status

REFUSAL = Status(kind="Status", api_version="v1", metadata={}, status="Failure", code=403, message="you may not")
FORBIDDEN = ApiError("GET /pods", REFUSAL)
BROKE_OFF = UnreachableError("GET /pods: the watch broke off")


class Followed:
    def __init__(self) -> None:
        self.changes = 0
        client = Client(ClusterConfig(server="http://127.0.0.1:1", source="test"))
        self.collection: FollowedCollection[str] = FollowedCollection(
            client, pods_of("llm", ""), str, dict, changed=self._change, random_source=random.Random(1)
        )

    def _change(self) -> None:
        self.changes += 1

    def sync(self) -> None:
        self.collection._reflector.synced.set()

    def fail(self, error: UnreachableError | ApiError, in_a_row: int = 1) -> str:
        """The kind of the problem that there is then."""
        self.collection._reflector.failures_in_a_row = in_a_row
        self.collection._fail(error)
        return "" if self.collection.problem is None else self.collection.problem.kind


def test_a_watch_that_breaks_off_is_no_problem_until_it_cannot_be_resumed() -> None:
    followed = Followed()
    followed.sync()
    assert followed.fail(BROKE_OFF) == ""
    assert followed.changes == 0
    assert followed.fail(BROKE_OFF, in_a_row=2) == "pods_unknown"
    assert followed.fail(BROKE_OFF, in_a_row=3) == "pods_unknown"
    assert followed.changes == 1
    followed.collection._recover()
    assert (followed.collection.problem, followed.changes) == (None, 2)
    followed.collection._recover()
    assert followed.changes == 2


def test_before_the_first_list_every_failure_is_a_problem() -> None:
    followed = Followed()
    assert followed.collection.why_not_synced() == "the pods of namespace llm have not been listed yet"
    assert followed.fail(BROKE_OFF) == "pods_unknown"
    assert followed.collection.why_not_synced() == (
        "the pods of namespace llm cannot be watched: GET /pods: the watch broke off"
    )


def test_a_refusal_is_a_problem_at_once() -> None:
    followed = Followed()
    followed.sync()
    assert followed.fail(FORBIDDEN) == "pods_forbidden"
    assert followed.collection.is_refused
    # The API server is away: that is what is wrong now.
    assert followed.fail(BROKE_OFF, in_a_row=2) == "pods_unknown"


def test_an_object_that_is_left_out_is_no_problem_of_the_collection(caplog: pytest.LogCaptureFixture) -> None:
    followed = Followed()
    for _ in range(3):
        followed.collection._fail(LeftOutError("the object llm/a cannot be read", "llm", "a"))
    assert followed.collection.problem is None
    assert caplog.text.count("event=object_left_out") == 1


def test_a_namespace_where_many_objects_are_left_out_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    followed = Followed()
    for number in range(1000):
        followed.collection._fail(LeftOutError("it is too large", "noisy", f"a{number}"))
    followed.collection._fail(LeftOutError("it is broken\nevent=forged\x1b[2J", "quiet", "b"))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == MAX_TOLD_OBJECTS + 1
    assert "more=not_logged_of_this_namespace" in lines[MAX_TOLD_OBJECTS - 1]
    assert "namespace=quiet why=" in lines[-1]
    assert lines[-1].isprintable()
    for number in range(10_000):
        followed.collection._fail(LeftOutError("it is too large", f"n{number}", "a"))
    assert len(followed.collection._told_of) == MAX_TOLD_NAMESPACES
