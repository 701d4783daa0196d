"""Which selectors are followed, and what they match."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.discovery.selections import MAX_INDEXED_KEYS, PodIndex
from inflight.objects import NOTHING, parse_selector

from .builders import external_metric, pods_metric
from .resolving import BOTH, ONE, hpa, look, record, scales, sentences, settles


def test_an_external_selector_that_cannot_be_used_is_said_and_the_rest_goes_on() -> None:
    bad = external_metric({"matchExpressions": [{"key": "app", "operator": "Near", "values": ["x"]}]})
    found = look([hpa("llm", bad, pods_metric())], BOTH, [record("a")])
    assert settles(found) == {"a": True}
    assert '"Near" is not a valid label selector operator' in sentences(found, "bad_selector")[0]


@pytest.mark.parametrize(("count", "values", "said"), [(51, 1, "51 requirements"), (2, 101, "202 values")])
def test_a_selector_of_too_many_parts_is_refused_with_its_count(count: int, values: int, said: str) -> None:
    many = [{"key": f"k{n}", "operator": "NotIn", "values": [f"v{v}" for v in range(values)]} for n in range(count)]
    found = look([hpa("greedy", external_metric({"matchExpressions": many}), pods_metric())], BOTH, [record("a")])
    assert settles(found) == {"a": True}
    sentence = sentences(found, "bad_selector")[0]
    assert "HPA greedy" in sentence
    assert said in sentence


def test_the_costliest_selectors_of_a_namespace_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inflight.discovery.targets.MAX_COMPARISONS", 10)
    many = [{"key": f"k{n}", "operator": "DoesNotExist"} for n in range(6)]
    hpas = [hpa("a-greedy", external_metric({"matchExpressions": many})), *ONE]
    found = look(hpas, BOTH, [record("a"), record("b"), record("other", app="other")])
    assert [target.name for target in found.targets] == ["a", "b"]
    assert "the 1 costliest are not followed" in sentences(found, "too_many")[0]
    assert look(hpas[:1], BOTH, [record("other", app="other")]).problems == ()


def test_pods_that_match_count_also_where_nothing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five hundred Deployments with one selector cost as much as it takes to look at each one's pods."""
    monkeypatch.setattr("inflight.discovery.targets.MAX_COMPARISONS", 100)
    pods = [record(f"p{number}") for number in range(10)]
    hpas = [hpa(f"h{number}", target=f"d{number}") for number in range(9)]
    found = look(hpas, scales(**{f"d{number}": "app=llm" for number in range(9)}), pods)
    assert len(found.targets) == 10
    assert len(found.selections) == 2
    assert "the 7 costliest are not followed" in sentences(found, "too_many")[0]


def test_labels_by_which_pods_are_looked_up_are_few() -> None:
    """Each takes a look at all pods, and the memory of them."""
    pods = [record(f"p{number}", **{f"k{number % 50}": "x"}) for number in range(100)]
    index = PodIndex(pods)
    for number in range(50):
        selector = parse_selector(f"k{number}=x")
        assert index.matching(selector) == [pod for pod in pods if selector.matches(pod.labels)]
    assert len(index._by_label) == MAX_INDEXED_KEYS


def test_the_selectors_of_a_namespace_are_bounded() -> None:
    selectors = [external_metric({"matchLabels": {"app": f"a{number}"}}) for number in range(600)]
    hpas = [hpa(f"h{at:03}", *selectors[at : at + 60]) for at in range(0, 600, 60)]
    found = look(hpas, {}, [record("first", app="a0"), record("last", app="a599")])
    assert settles(found) == {"first": True}
    assert sentences(found, "too_many") == [
        "there are 600 selectors in namespace llm, and at most 500 are followed: the first by name"
    ]


@settings(max_examples=60, deadline=None)
@given(
    pods=st.lists(st.dictionaries(st.sampled_from("ab"), st.sampled_from(["", "x", "y", "7"])), max_size=6),
    text=st.lists(
        st.sampled_from(["a=x", "a==y", "b=x", "a!=x", "b in (x,y)", "a notin (x)", "a", "!b", "b>6", "a="]), max_size=3
    ).map(",".join),
)
def test_the_index_finds_what_the_selector_matches(pods: list[dict[str, str]], text: str) -> None:
    records = [msgspec.structs.replace(record(str(at)), labels=labels) for at, labels in enumerate(pods)]
    selector = parse_selector(text)
    assert PodIndex(records).matching(selector) == [pod for pod in records if selector.matches(pod.labels)]
    assert PodIndex(records).matching(NOTHING) == []
