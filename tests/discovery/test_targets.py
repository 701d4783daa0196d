"""From HPAs, selectors and pods to targets: values in, values out."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.discovery.pods import Sharing, WirePod, to_record
from inflight.discovery.selections import KnownWorkload
from inflight.discovery.targets import Remembered
from inflight.objects import parse_selector

from .builders import external_metric, object_metric, pod
from .resolving import BOTH, LLM, ONE, hpa, look, record, scales, sentences, settles, starting


def test_a_target_says_all_that_is_known() -> None:
    found = look(ONE, BOTH, [record("a", ip="fd00::1", restarts=4, ports=(8000, 30000))])
    (target,) = found.targets
    assert target.url == "http://[fd00::1]:8000/metrics"
    assert target.alternatives[0] == "http://[fd00::1]:30000/metrics"
    assert (target.namespace, target.name, target.uid, target.restarts) == ("llm", "a", "uid-a", 4)
    assert (target.terminating, target.settle) == (False, True)
    assert found.problems == ()


@pytest.mark.parametrize("fields", [{"phase": "Succeeded"}, {"phase": "Failed"}, {"ip": ""}])
def test_pods_that_do_not_run_are_no_targets_and_no_problem(fields: dict[str, Any]) -> None:
    found = look(ONE, BOTH, [record("a"), record("b", **fields)])
    assert settles(found) == {"a": True}
    assert found.problems == ()


def test_targets_are_sorted_and_each_is_there_once() -> None:
    hpas = [
        hpa("one"),
        hpa("two", external_metric({"matchLabels": {"app": "llm"}})),
        hpa("three", external_metric(None)),
    ]
    found = look(hpas, BOTH, [record("c"), record("a"), record("b")])
    assert [target.name for target in found.targets] == ["a", "b", "c"]


def test_pods_that_are_not_known_yet_are_no_pods() -> None:
    found = look(ONE, BOTH, None)
    assert (found.targets, found.remembered, found.without_pods) == ((), Remembered(), frozenset())


def test_a_selector_that_is_not_known_yet_selects_nothing() -> None:
    found = look(ONE, {}, [record("a")])
    assert (found.targets, found.problems) == ((), ())
    later = look(ONE, BOTH, [record("a")], found)
    assert settles(later) == {"a": True}


# What settles.


def test_who_is_there_at_first_settles_and_who_is_seen_to_start_does_not() -> None:
    first = look(ONE, BOTH, [record("a"), starting("b")])
    second = look(ONE, BOTH, [record("a"), record("b")], first)
    third = look(ONE, BOTH, [record("a", restarts=1), record("b")], second)
    assert [settles(found) for found in (first, second, third)] == [
        {"a": True},
        {"a": True, "b": False},
        {"a": True, "b": False},
    ]


def test_a_pod_that_gets_its_address_later_is_seen_to_start() -> None:
    first = look(ONE, BOTH, [record("a", ip="")])
    assert settles(look(ONE, BOTH, [record("a")], first)) == {"a": False}
    # With an address while its init containers run.
    assert settles(look(ONE, BOTH, [record("a", phase="Pending")])) == {"a": False}


def test_a_pod_that_runs_when_it_is_first_seen_settles() -> None:
    """It started while the watch was broken, say."""
    first = look(ONE, BOTH, [record("a")])
    assert settles(look(ONE, BOTH, [record("a"), record("b")], first)) == {"a": True, "b": True}


def test_a_pod_that_is_given_labels_that_match_while_it_runs_settles() -> None:
    first = look(ONE, BOTH, [starting("b", app="other")])
    second = look(ONE, BOTH, [record("b", app="other")], first)
    assert settles(look(ONE, BOTH, [record("b")], second)) == {"b": True}


def test_a_pod_whose_page_is_said_while_it_runs_settles() -> None:
    first = look(ONE, BOTH, [starting("b", ports=())])
    second = look(ONE, BOTH, [record("b", ports=())], first)
    assert second.targets == ()
    third = look(ONE, BOTH, [record("b", ports=(), annotations={"prometheus.io/port": "9000"})], second)
    assert settles(third) == {"b": True}


def test_a_successor_under_the_same_name_is_seen_to_start_itself() -> None:
    first = look(ONE, BOTH, [record("a")])
    successor = msgspec.structs.replace(starting("a"), uid="another")
    second = look(ONE, BOTH, [successor], first)
    running = msgspec.structs.replace(record("a"), uid="another")
    assert settles(look(ONE, BOTH, [running], second)) == {"a": False}
    # It went too fast, or its predecessor was the one that was seen to start.
    assert settles(look(ONE, BOTH, [running], look(ONE, BOTH, [starting("a")]))) == {"a": True}


def test_the_pods_of_a_new_hpa_settle_and_those_of_others_stay_as_they_were() -> None:
    both = scales(llm="app=llm", new="app=new")
    pods = [record("a"), record("n", app="new")]
    first = look(ONE, both, [starting("a"), starting("n", app="new")])
    second = look(ONE, both, pods, first)
    third = look([*ONE, hpa("new", target="new")], both, pods, second)
    assert settles(third) == {"a": False, "n": True}


def test_a_pod_that_an_older_selection_saw_start_is_new() -> None:
    """Of two selections one was in force before the pod ran."""
    first = look(ONE, BOTH, [starting("a")])
    hpas = [hpa("aaa", external_metric(None)), *ONE]
    assert settles(look(hpas, BOTH, [record("a")], first)) == {"a": False}
    assert settles(look([*hpas[::-1]], BOTH, [record("a")], first)) == {"a": False}


def test_an_edited_selector_makes_the_pods_it_brings_settle() -> None:
    pods = [record("a", app="a"), record("b", app="b")]
    first = look(ONE, scales(llm="app=a"), pods)
    second = look(ONE, scales(llm="app in (a,b)"), pods, first)
    assert settles(second) == {"a": True, "b": True}
    third = look(ONE, scales(llm="app in (a,b)"), [*pods, starting("c", app="b")], second)
    assert settles(look(ONE, scales(llm="app in (a,b)"), [*pods, record("c", app="b")], third))["c"] is False


def test_an_hpa_that_is_taken_away_and_given_back_settles_again() -> None:
    first = look(ONE, BOTH, [])
    second = look(ONE, BOTH, [record("a")], first)
    gone = look([], BOTH, [record("a")], second)
    assert gone.targets == ()
    assert settles(look(ONE, BOTH, [record("a")], gone)) == {"a": True}


def test_nothing_waits_for_a_pod_that_goes() -> None:
    (target,) = look(ONE, BOTH, [record("a", terminating=True)]).targets
    assert (target.terminating, target.settle) == (True, False)


NAMES = ("a", "b", "c")
STEP = st.tuples(
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["Pending", "Running"])),
    st.sets(st.sampled_from(("pods", "all", "b"))),
)


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(STEP, max_size=8))
def test_settle_is_decided_when_a_pod_becomes_a_target_and_by_whether_it_was_seen_to_start(
    steps: list[tuple[dict[str, str], set[str]]],
) -> None:
    """Against the rule told in another way: look back at the last step."""
    asks = {
        "pods": (hpa("pods"), {"a", "b"}),
        "all": (hpa("all", external_metric(None)), set(NAMES)),
        "b": (hpa("b", external_metric({"matchLabels": {"app": "b"}})), {"b"}),
    }
    labels = {"a": {"app": "a"}, "b": {"app": "b"}, "c": {"app": "c"}}
    known = scales(llm="app in (a,b)")
    found, seen_to_start, expected = None, set(), {}
    for there, wanted in steps:
        # Pods that start have no address yet, or one while init containers run: by their names.
        pods = [
            record(name, phase=phase, ip="" if phase == "Pending" and name == "a" else "10.0.0.1", **labels[name])
            for name, phase in there.items()
        ]
        found = look([asks[each][0] for each in sorted(wanted)], known, pods, found)
        matched = {name for name in there if any(name in asks[each][1] for each in wanted)}
        starting_now = {name for name in matched if there[name] == "Pending"}
        expected = {
            name: expected.get(name, name not in starting_now | seen_to_start)
            for name in matched
            if name != "a" or name not in starting_now
        }
        seen_to_start = starting_now
        assert settles(found) == expected


# What stands in the way.


def test_a_pod_with_three_containers_and_no_port() -> None:
    plain = pod("a")
    plain["spec"]["containers"] = [{"name": name} for name in ("engine", "proxy", "logs")]
    found = look(ONE, BOTH, [to_record(msgspec.json.decode(json.dumps(plain), type=WirePod), Sharing()), record("b")])
    assert settles(found) == {"b": True}
    assert sentences(found, "no_port") == [
        "the pod a is not scraped: it declares no port; annotate it with prometheus.io/port"
    ]


def test_the_pods_of_one_controller_are_told_of_together() -> None:
    found = look(ONE, BOTH, [record(f"a-{number:03}", ports=(80,)) for number in range(300)])
    (problem,) = found.problems
    assert (problem.kind, problem.namespace, problem.object) == ("no_port", "llm", "ReplicaSet/llm-7f9c")
    assert problem.sentence == (
        "the pod a-000 is not scraped: it declares no port of a known engine, only 80;"
        " annotate it with prometheus.io/port; so it is with 299 more of ReplicaSet llm-7f9c"
    )


def test_pods_without_a_port_under_a_selection_of_everything_are_told_of_in_one_sentence() -> None:
    everything = hpa("all", external_metric(None))
    others = [record(f"redis-{number}", app="redis", owner=None, ports=(6379,)) for number in range(3)]
    found = look([everything], BOTH, [record("a"), *others])
    (problem,) = found.problems
    assert (problem.kind, problem.object) == ("no_port", "Namespace/llm")
    assert "the pod redis-0 is not scraped: it declares no port of a known engine, only 6379" in problem.sentence
    assert "2 more pods are left out" in problem.sentence
    assert "the External metric without a selector of HPA all" in problem.sentence
    # Who is wanted by name too is told of by name.
    named = look([everything, *ONE], BOTH, [record("a", ports=(80,)), *others])
    assert [problem.object for problem in named.problems] == ["ReplicaSet/llm-7f9c", "Namespace/llm"]


@pytest.mark.parametrize(
    ("annotations", "kind"),
    [
        ({"prometheus.io/scrape": "false"}, "not_scraped"),
        ({"prometheus.io/port": "abc"}, "bad_annotation"),
        ({"prometheus.io/scheme": "https"}, "bad_annotation"),
    ],
)
def test_annotations_that_keep_a_pod_out_are_said(annotations: dict[str, str], kind: str) -> None:
    found = look(ONE, BOTH, [record("a", annotations=annotations)])
    assert found.targets == ()
    assert [problem.kind for problem in found.problems] == [kind]


def test_an_address_that_is_none_is_said() -> None:
    found = look(ONE, BOTH, [record("a", ip="evil.example\n")])
    assert found.targets == ()
    assert sentences(found, "bad_pod") == [
        "the pod a is not scraped: its address 'evil.example\\\\n' is none that a pod can have"
    ]


def test_a_pod_with_endless_labels_is_not_followed() -> None:
    labels = {f"label-{number}": "x" for number in range(300)}
    found = look([hpa("all", external_metric(None))], BOTH, [record("a", **labels), record("b")])
    assert settles(found) == {"b": True}
    assert sentences(found, "bad_pod") == ["the pod a has 302 labels, more than are read: it is not followed"]


def test_a_selector_that_matches_nothing_is_said() -> None:
    found = look([*ONE, hpa("ext", external_metric({"matchLabels": {"app": "nobody"}}))], BOTH, [record("x", app="x")])
    assert found.without_pods == {LLM}
    assert [(problem.kind, problem.object) for problem in found.problems] == [
        ("selects_nothing", "Deployment/llm"),
        ("selects_nothing", "HorizontalPodAutoscaler/ext"),
    ]
    assert "the selector app=llm of Deployment llm (asked for by HPA llm) matches no pod" in found.problems[0].sentence
    assert "kubectl get pods -n llm --show-labels" in found.problems[1].sentence


def test_a_workload_at_zero_is_no_problem() -> None:
    at_zero = {LLM: msgspec.structs.replace(BOTH[LLM], may_be_empty=True)}
    found = look(ONE, at_zero, [])
    assert (found.problems, found.without_pods) == ((), {LLM})


# Whose the pods are.


def test_two_workloads_whose_selectors_overlap_are_named() -> None:
    both = scales(llm="app=llm", canary="app=llm,track=canary")
    canary = record("c", track="canary", owner=("apps/v1", "ReplicaSet", "canary-7f9c"))
    found = look([*ONE, hpa("canary", target="canary")], both, [record("a"), canary])
    (sentence,) = sentences(found, "overlap")
    assert "the selectors of Deployment llm and Deployment canary overlap: both match 1 pod (c)" in sentence
    (foreign,) = sentences(found, "foreign_owner")
    assert "the selector app=llm of Deployment llm" in foreign
    assert "1 of ReplicaSet canary-7f9c" in foreign


def test_selectors_that_could_overlap_and_do_not_are_left_in_peace() -> None:
    both = scales(llm="app=llm", canary="track=canary")
    canary = record("c", app="canary", track="canary", owner=("apps/v1", "ReplicaSet", "canary-7f9c"))
    assert look([*ONE, hpa("canary", target="canary")], both, [record("a"), canary]).problems == ()


def test_one_workload_named_twice_does_not_overlap_itself() -> None:
    beta = object_metric("llm", api_version="apps/v1beta1")
    found = look([*ONE, hpa("two"), hpa("three", beta)], BOTH, [record("a")])
    assert found.problems == ()


def test_many_overlaps_are_bounded() -> None:
    many = [f"d{number:03}" for number in range(400)]
    hpas = [hpa(name, target=name) for name in many]
    found = look(hpas, scales(**dict.fromkeys(many, "app=llm")), [record("a")])
    assert len(found.problems) == 200


@pytest.mark.parametrize(
    ("owner", "shown"),
    [
        (("apps/v1", "ReplicaSet", "llm-7f9c"), ""),
        # A rollout: another hash, and with it another ReplicaSet.
        (("apps/v1", "ReplicaSet", "llm-other-7f9c"), "1 of ReplicaSet llm-other-7f9c"),
        (("apps/v1", "ReplicaSet", "llm"), "1 of ReplicaSet llm"),
        (("apps/v1", "StatefulSet", "llm-7f9c"), "1 of StatefulSet llm-7f9c"),
        (("batch/v1", "Job", "llm"), "1 of Job llm"),
        (("example.org/v1", "ReplicaSet", "llm-7f9c"), "1 of ReplicaSet llm-7f9c"),
        (None, "1 of no controller"),
    ],
)
def test_pods_of_other_owners_under_a_deployments_labels(owner: tuple[str, str, str] | None, shown: str) -> None:
    found = look(ONE, BOTH, [record("a", owner=owner)])
    # They are scraped all the same: the HPA counts them.
    assert settles(found) == {"a": True}
    assert bool(sentences(found, "foreign_owner")) == bool(shown)
    if shown:
        assert shown in sentences(found, "foreign_owner")[0]


@pytest.mark.parametrize(
    ("kind", "api_version", "owner", "is_foreign"),
    [
        ("StatefulSet", "apps/v1", ("apps/v1", "StatefulSet", "llm"), False),
        ("StatefulSet", "apps/v1", ("apps/v1", "StatefulSet", "llm-2"), True),
        ("StatefulSet", "apps/v1", ("apps.kruise.io/v1", "StatefulSet", "llm"), True),
        ("ReplicaSet", "apps/v1", ("apps/v1", "ReplicaSet", "llm"), False),
        ("ReplicationController", "v1", ("v1", "ReplicationController", "llm"), False),
        ("ReplicationController", "v1", ("apps/v1", "ReplicaSet", "llm"), True),
        # Who stands between these and their pods is not known here.
        ("LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1", ("apps/v1", "StatefulSet", "llm-1"), False),
        ("Rollout", "argoproj.io/v1alpha1", ("apps/v1", "ReplicaSet", "another-7f9c"), False),
    ],
)
def test_pods_of_other_owners_under_the_labels_of_other_kinds(
    kind: str, api_version: str, owner: tuple[str, str, str], is_foreign: bool
) -> None:
    group = api_version.rpartition("/")[0]
    known = {("llm", group, kind, "llm"): KnownWorkload(parse_selector("app=llm"), "uid-llm")}
    found = look([hpa("llm", object_metric("llm", kind, api_version))], known, [record("a", owner=owner)])
    assert settles(found) == {"a": True}
    assert bool(sentences(found, "foreign_owner")) == is_foreign


def test_the_pods_of_a_predecessor_under_the_same_name_are_another_owners() -> None:
    known = {("llm", "apps", "StatefulSet", "llm"): KnownWorkload(parse_selector("app=llm"), "uid-of-today")}
    owner = ("apps/v1", "StatefulSet", "llm")
    found = look([hpa("llm", object_metric("llm", "StatefulSet"))], known, [record("a", owner=owner)])
    assert sentences(found, "foreign_owner")


PORT = {"prometheus.io/port": "9400"}


@pytest.mark.parametrize("annotations", [{"prometheus.io/port": "94OO"}, {**PORT, "prometheus.io/scheme": "https"}, {}])
def test_a_pod_that_was_read_is_read_on_when_its_annotations_are_spoilt(annotations: dict[str, str]) -> None:
    """A typing error must not make sums smaller."""
    first = look(ONE, BOTH, [record("a", ports=(80,), annotations=PORT)])
    second = look(ONE, BOTH, [record("a", ports=(80,), annotations=annotations, restarts=2, ip="10.0.0.9")], first)
    third = look(ONE, BOTH, [record("a", ports=(80,), annotations=annotations, restarts=2, ip="10.0.0.9")], second)
    for found in (second, third):
        (target,) = found.targets
        assert (target.url, target.restarts) == ("http://10.0.0.9:9400/metrics", 2)
        assert "the pod a is read where it was before, not as it says now: it" in found.problems[0].sentence
    again = look(ONE, BOTH, [record("a", ports=(80,), annotations={"prometheus.io/port": "9500"})], third)
    assert again.targets[0].url == "http://10.0.0.1:9500/metrics"
    assert again.problems == ()
    # A successor has never been read.
    successor = msgspec.structs.replace(record("a", ports=(80,), annotations=annotations), uid="another")
    assert look(ONE, BOTH, [successor], third).targets == ()


def test_a_pod_that_is_not_to_be_scraped_any_more_is_not() -> None:
    first = look(ONE, BOTH, [record("a")])
    second = look(ONE, BOTH, [record("a", annotations={"prometheus.io/scrape": "false"})], first)
    assert second.targets == ()
    assert sentences(second, "not_scraped") == [
        "the pod a is not scraped: its annotation prometheus.io/scrape is 'false'"
    ]


def test_what_is_said_of_a_spoilt_pod_is_said_as_long_as_it_is() -> None:
    pods = [record("a", annotations={"prometheus.io/port": "x"})]
    first = look(ONE, BOTH, [record("a", annotations=PORT)])
    second = look(ONE, BOTH, pods, first)
    assert look(ONE, BOTH, pods, second).problems == second.problems != ()


def test_unchanged_pods_keep_their_targets() -> None:
    pods = [record("a"), record("b")]
    first = look(ONE, BOTH, pods)
    second = look(ONE, BOTH, [pods[0], record("b", restarts=1)], first)
    assert second.targets[0] is first.targets[0]
    assert second.targets[1].restarts == 1
