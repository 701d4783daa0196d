"""Which pods a sum may not leave out: one namespace, without a cluster."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.discovery import namespace as namespace_module
from inflight.discovery.autoscalers import Autoscaler
from inflight.discovery.namespace import FollowedNamespace
from inflight.discovery.pods import PodRecord
from inflight.discovery.problems import Problem
from inflight.objects import NOTHING, Selector, parse_selector
from inflight.sources import Target

from .builders import external_metric
from .resolving import FINDER, hpa, record, starting

PORT = {"prometheus.io/port": "9400"}
APP = parse_selector("app=llm")


class Pods:
    """Stands where the watch of a namespace's pods stands."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], PodRecord] = {}
        self.is_synced = True
        self.problem: Problem | None = None
        self.unknown_since: float | None = None

    def why_not_synced(self) -> str:
        return "" if self.is_synced else "the pods have not been listed yet"


class World:
    """A namespace and its pods as the API server shows them; `resolve` is what happens a tenth of a second later."""

    def __init__(self, *autoscalers: Autoscaler) -> None:
        self.pods = Pods()
        self.clock = 100.0
        pods: Any = self.pods
        self.namespace = FollowedNamespace("llm", pods, FINDER, lambda: self.clock, 15.0)
        self.namespace.autoscalers = autoscalers or (hpa("llm", external_metric({"matchLabels": {"app": "llm"}})),)

    def show(self, *pods: PodRecord) -> None:
        for pod in pods:
            self.namespace.note_decoded(pod)
            self.pods.objects[pod.namespace, pod.name] = pod
            self.namespace.note_changed()

    def remove(self, name: str) -> None:
        del self.pods.objects["llm", name]
        self.namespace.note_changed()

    def resolve(self, room: int = 1_000_000) -> Mapping[str, Target]:
        self.namespace.resolve({})
        targets = self.namespace.resolution.targets[:room]
        self.namespace.note_told(targets)
        return {target.name: target for target in targets}

    def lacks(self, selector: Selector = APP, bounds: tuple[Problem, ...] = ()) -> str:
        return self.namespace.why_incomplete(selector, bounds)


def test_pods_that_are_read_leave_nothing_out() -> None:
    world = World()
    world.show(record("a"), record("b"))
    world.resolve()
    assert world.lacks() == ""
    assert world.lacks(parse_selector("")) == ""
    assert world.lacks(NOTHING) == ""


@pytest.mark.parametrize(
    ("fields", "lacks"),
    [
        ({}, "1 pod that matches is not read: b: no HPA of the namespace asks for this selector"),
        ({"ready": False}, "1 pod that matches is not read: b: no HPA of the namespace asks for this selector"),
        ({"terminating": True}, ""),
        ({"phase": "Pending"}, ""),
        ({"phase": "Failed"}, ""),
        ({"ip": ""}, ""),
        ({"ports": ()}, ""),
        ({"ports": (6379,)}, ""),
        ({"annotations": {"prometheus.io/scrape": "false"}}, ""),
        (
            {"annotations": {"prometheus.io/port": "94OO"}},
            "1 pod that matches is Ready and cannot be read: b: its annotation prometheus.io/port is '94OO', which is"
            " no port: write a number from 1 to 65535",
        ),
        ({"annotations": {"prometheus.io/port": "94OO"}, "ready": False}, ""),
        (
            {"ip": "evil.example"},
            "1 pod that matches is Ready and cannot be read: b: its address is none that a pod can have",
        ),
        ({"ip": "evil.example", "ready": False}, ""),
        ({"ip": "evil.example", "ports": ()}, ""),
    ],
)
def test_what_belongs_to_a_sum(fields: dict[str, Any], lacks: str) -> None:
    """Whatever could be read, and who is Ready and cannot be; not who shows no page, or is taken out."""
    world = World()
    world.show(record("a"), record("b", app="other", **fields))
    world.resolve()
    assert world.lacks(parse_selector("app=other")) == lacks
    assert world.lacks() == ""


@pytest.mark.parametrize("fields", [{"annotations": {"prometheus.io/port": "x"}}, {"ip": "evil.example"}])
def test_a_pod_that_cannot_be_read_is_missed_also_where_an_hpa_asks(fields: dict[str, Any]) -> None:
    world = World()
    world.show(record("a"), record("b", **fields))
    world.resolve()
    assert world.lacks().startswith("1 pod that matches is Ready and cannot be read: b: its ")


def test_a_pod_with_endless_labels_may_match_everything() -> None:
    world = World()
    world.show(record("a"), record("b", **{f"label-{number}": "x" for number in range(300)}))
    assert "b" not in world.resolve()
    for text in ("app=llm", "app=other", ""):
        assert "b: it has 302 labels, more than are read" in world.lacks(parse_selector(text))
    world.show(record("b", ports=(), **{f"label-{number}": "x" for number in range(300)}))
    world.resolve()
    assert world.lacks() == ""


def test_a_pod_that_is_read_on_with_spoilt_annotations_is_not_missed() -> None:
    world = World()
    world.show(record("a", annotations=PORT))
    world.resolve()
    world.show(record("a", annotations={"prometheus.io/port": "x"}))
    assert world.lacks() == ""
    world.resolve()
    assert world.lacks() == ""


def test_many_are_counted_and_few_named() -> None:
    world = World()
    world.show(*(record(f"pod-{number:02}", app="other") for number in range(12)))
    world.resolve()
    assert world.lacks(parse_selector("app=other")).startswith(
        "12 pods that match are not read: pod-00, pod-01, pod-02 and 9 more: "
    )


def test_between_an_event_and_the_next_resolution_nothing_is_left_out() -> None:
    world = World()
    world.show(record("a"), record("b", app="other"))
    world.resolve()
    world.show(record("b"))
    assert world.lacks() == "1 pod that matches is not read: b: they have just been found"
    # It is read, but not under these labels yet.
    both = World(hpa("all", external_metric(None)))
    both.show(record("a"), record("b", app="other"))
    both.resolve()
    both.show(record("b"))
    assert both.lacks() != ""
    assert both.lacks(parse_selector("app")) == ""
    for each in (world, both):
        each.resolve()
        assert each.lacks() == ""
    world.show(record("a", terminating=True), record("b", phase="Failed"))
    assert world.lacks() == ""
    world.remove("b")
    assert world.lacks() == ""


def test_a_pod_that_was_seen_to_start_is_not_missed_when_it_runs() -> None:
    world = World()
    world.show(record("a"), starting("b"))
    world.resolve()
    world.show(record("b"))
    assert world.lacks() == ""
    successor = msgspec.structs.replace(record("b"), uid="another")
    world.show(successor)
    assert world.lacks() != ""


def test_pods_that_were_found_and_not_told_of_yet_are_missed() -> None:
    world = World()
    world.show(record("a"))
    assert world.namespace.resolve({})
    assert world.lacks() == "the pods of namespace llm have just changed, and are being put together"
    assert world.namespace.resolve({}), "it is still news"
    world.namespace.note_told(world.namespace.resolution.targets)
    assert world.lacks() == ""
    assert not world.namespace.resolve({})


def test_a_list_that_brings_thousands_at_once_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace_module, "MAX_NEWS", 3)
    world = World()
    world.show(*(record(f"r{number}", app="other", ports=()) for number in range(4)))
    assert world.lacks() == "the pods of namespace llm have just changed, and are being put together"
    world.resolve()
    assert world.lacks() == ""
    # What is shown again as it was is no news.
    world.show(*(record(f"r{number}", app="other", ports=()) for number in range(4)))
    assert world.lacks() == ""


def test_the_pods_that_a_list_has_shown_but_not_brought_yet_stay_news() -> None:
    world = World()
    world.show(record("a"))
    world.resolve()
    world.namespace.note_decoded(record("b", app="other"))
    world.resolve()
    world.show(record("a", restarts=1))
    world.pods.objects["llm", "b"] = record("b")
    assert "b" in world.lacks()


def test_what_is_known_counts_for_some_seconds_after_the_watch_broke() -> None:
    world = World()
    world.pods.unknown_since = 100.0
    world.clock = 115.0
    assert world.namespace.why_not_current() == ""
    world.clock = 115.1
    assert world.namespace.why_not_current() == "which pods namespace llm has is not known any more, for 15 s now"
    world.pods.problem = Problem("pods_forbidden", "llm", "Namespace/llm", "they may not be watched")
    assert world.namespace.why_not_current().endswith("15 s now: they may not be watched")
    world.pods.unknown_since = None
    assert world.namespace.why_not_current() == ""


def test_pods_that_have_not_been_listed_are_not_known() -> None:
    world = World()
    world.pods.is_synced = False
    assert world.namespace.why_not_known() == "the pods have not been listed yet"
    world.resolve()
    world.pods.is_synced = True
    assert "are being put together" in world.namespace.why_not_known()
    world.resolve()
    assert world.namespace.why_not_known() == ""


NAMES = ("a", "b", "c", "d")
POD = st.fixed_dictionaries(
    {
        "app": st.sampled_from(["x", "y"]),
        "phase": st.sampled_from(["Pending", "Running", "Running"]),
        "ip": st.sampled_from(["", "10.0.0.1", "10.0.0.1", "bad"]),
        "ports": st.sampled_from([(8000,), (8000,), (80,)]),
        "annotations": st.sampled_from([{}, {}, {"prometheus.io/port": "x"}, {"prometheus.io/scrape": "no"}]),
        "ready": st.booleans(),
        "terminating": st.sampled_from([False, False, True]),
    }
)
EVENT = st.one_of(
    st.tuples(st.just("show"), st.sampled_from(NAMES), POD),
    st.tuples(st.just("show"), st.sampled_from(NAMES), POD),
    st.tuples(st.just("remove"), st.sampled_from(NAMES), st.none()),
    st.tuples(st.just("resolve"), st.integers(0, 4), st.none()),
    st.tuples(st.just("ask"), st.none(), st.none()),
)
SELECTORS = [parse_selector(text) for text in ("app=x", "app=y", "app!=x", "")]


@settings(max_examples=200, deadline=None)
@given(events=st.lists(EVENT, max_size=12), asks=st.sampled_from([{"matchLabels": {"app": "x"}}, None]))
def test_a_sum_is_whole_or_it_is_said_what_it_lacks(events: list[Any], asks: dict[str, Any] | None) -> None:
    """Against the rule told pod by pod: whatever happens, in whatever order, and whenever it is asked."""
    world = World(hpa("llm", external_metric(asks)))
    told: Mapping[str, Target] = world.resolve()
    seen_to_start: frozenset[tuple[str, str]] = frozenset()
    for what, which, fields in events:
        if what == "show":
            world.show(record(which, **fields))
        elif what == "remove" and ("llm", which) in world.pods.objects:
            world.remove(which)
        elif what == "resolve":
            told = world.resolve(which)
            seen_to_start = world.namespace.resolution.remembered.starting
        if what == "ask":
            for selector in SELECTORS:
                if _missed(world, selector, told, seen_to_start):
                    assert world.lacks(selector) != ""
    told = world.resolve()
    for selector in SELECTORS:
        missed = _missed(world, selector, told, frozenset())
        assert bool(world.lacks(selector)) == bool(missed), missed


def _missed(
    world: World, selector: Selector, told: Mapping[str, Target], seen_to_start: frozenset[tuple[str, str]]
) -> list[str]:
    return [
        pod.name
        for pod in world.pods.objects.values()
        if selector.matches(pod.labels)
        and _belongs(pod)
        and (pod.name, pod.uid) not in seen_to_start
        and not (pod.name in told and selector.matches(told[pod.name].labels))
    ]


def _belongs(pod: PodRecord) -> bool:
    if pod.phase != "Running" or pod.terminating or not (pod.host or pod.bad_address):
        return False
    if pod.annotations.scrape or (not pod.annotations.port and pod.ports == (80,)):
        return False
    return pod.ready or not (pod.bad_address or pod.annotations.port)
