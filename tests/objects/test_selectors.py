"""Selectors against apimachinery: vectors of its own answers (data/selectors.json), and what must hold for any text."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inflight.objects import (
    EVERYTHING,
    NOTHING,
    LabelSelector,
    LabelSelectorRequirement,
    Selector,
    SelectorError,
    format_label_selector,
    parse_selector,
    to_selector,
)
from inflight.objects.selector_text import MAX_TEXT_LENGTH

# Made with k8s.io/apimachinery 0.37.2: canonical text and matches, or the error's text.
VECTORS = json.loads((Path(__file__).parent / "data" / "selectors.json").read_text())
LABELS = VECTORS["labels"]

NAMES = st.sampled_from(["a", "b", "app", "in", "notin", "x.y/z", "k-1", "A_b.c"])
VALUES = st.sampled_from(["", "1", "2", "10", "x", "in", "v_1", "a.b-c", "9223372036854775807"])


@st.composite
def requirements(draw: st.DrawFn) -> str:
    key = draw(NAMES)
    match draw(st.integers(0, 5)):
        case 0:
            return key
        case 1:
            return f"!{key}"
        case 2:
            return f"{key}{draw(st.sampled_from(['>', '<']))}{draw(st.integers(0, 2**63 - 1))}"
        case 3:
            listed = ",".join(draw(st.lists(VALUES, min_size=1, max_size=4)))
            return f"{key} {draw(st.sampled_from(['in', 'notin']))} ({listed})"
        case _:
            return f"{key}{draw(st.sampled_from(['=', '==', '!=']))}{draw(VALUES)}"


def outcome(text: str) -> dict[str, object]:
    try:
        selector = parse_selector(text)
    except SelectorError as error:
        return {"text": text, "refused": error.upstream}
    return {"text": text, "canonical": str(selector), "matches": [selector.matches(labels) for labels in LABELS]}


def outcome_of_object(plain: dict[str, object]) -> dict[str, object]:
    label_selector = msgspec.convert(plain, LabelSelector)
    printed = {"object": plain, "printed": format_label_selector(label_selector)}
    try:
        selector = to_selector(label_selector)
    except SelectorError as error:
        return {**printed, "refused": error.upstream}
    matches = [selector.matches(labels) for labels in LABELS]
    return {**printed, "canonical": str(selector), "matches": matches}


def test_texts_select_and_are_refused_as_apimachinery_does() -> None:
    assert [outcome(vector["text"]) for vector in VECTORS["texts"]] == VECTORS["texts"]


def test_objects_select_and_print_as_apimachinery_does() -> None:
    assert [outcome_of_object(vector["object"]) for vector in VECTORS["objects"]] == VECTORS["objects"]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("h,g notin (z),!f,e in (y,x),c!=d,a=b", "a=b,c!=d,e in (x,y),!f,g notin (z),h"),
        (" b == 2 ,a=1", "a=1,b==2"),
        ("a in (,x)", "a in (,x)"),
        ("a>5,b<7", "a>5,b<7"),
        ("a=", "a="),
    ],
)
def test_it_is_written_as_kubectl_writes_it(text: str, canonical: str) -> None:
    assert str(parse_selector(text)) == canonical


def test_a_refusal_shows_the_text() -> None:
    with pytest.raises(SelectorError, match=r"^the label selector 'a=b=c' cannot be read: found '=', expected"):
        parse_selector("a=b=c")


def test_an_absent_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert to_selector(None) is NOTHING
    assert not NOTHING.matches({"a": "1"})
    assert not NOTHING.is_empty
    assert to_selector(LabelSelector()) == EVERYTHING == parse_selector("") == parse_selector(" \t\n ")
    assert EVERYTHING.matches({})
    assert EVERYTHING.is_empty
    assert format_label_selector(None) == "nil"


def test_an_object_prints_as_conditions_and_events_have_it() -> None:
    label_selector = LabelSelector(
        match_labels={"b": "2", "a": "1"},
        match_expressions=(LabelSelectorRequirement(key="k", operator="In", values=("b", "a")),),
    )
    assert str(label_selector) == (
        "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]LabelSelectorRequirement"
        "{LabelSelectorRequirement{Key:k,Operator:In,Values:[b a],},},}"
    )


@pytest.mark.parametrize("operator", ["=", "in", "", "Gt"])
def test_an_object_knows_four_operators(operator: str) -> None:
    label_selector = LabelSelector(match_expressions=(LabelSelectorRequirement(key="k", operator=operator),))
    with pytest.raises(SelectorError, match="write In, NotIn, Exists or DoesNotExist"):
        label_selector.to_selector()


@given(st.lists(requirements(), max_size=5))
@settings(max_examples=80)
def test_the_canonical_text_is_the_same_selector(parts: list[str]) -> None:
    selector = parse_selector(",".join(parts))
    again = parse_selector(str(selector))
    assert again == selector
    assert str(again) == str(selector)


@given(st.lists(requirements(), max_size=4), st.dictionaries(NAMES, VALUES, max_size=4))
@settings(max_examples=80)
def test_it_matches_when_each_requirement_does(parts: list[str], labels: dict[str, str]) -> None:
    together = parse_selector(",".join(parts)).matches(labels)
    assert together == all(parse_selector(part).matches(labels) for part in parts)


@given(NAMES, st.lists(VALUES, min_size=1, max_size=4), st.dictionaries(NAMES, VALUES, max_size=4))
@settings(max_examples=60)
def test_notin_is_not_in(key: str, values: list[str], labels: dict[str, str]) -> None:
    listed = ",".join(values)
    inside, outside = parse_selector(f"{key} in ({listed})"), parse_selector(f"{key} notin ({listed})")
    assert inside.matches(labels) != outside.matches(labels)


@given(st.text("ab=!<>(), \tinot1/é\0", max_size=20) | st.text(max_size=20))
@settings(max_examples=120)
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    try:
        selector = parse_selector(text)
    except SelectorError as error:
        assert error.upstream
    else:
        assert isinstance(selector, Selector)
        assert parse_selector(str(selector)) == selector


@pytest.mark.parametrize("text", ["a" * (MAX_TEXT_LENGTH + 1), "a=\0b"])
def test_what_could_hurt_is_refused(text: str) -> None:
    with pytest.raises(SelectorError, match="a label selector has"):
        parse_selector(text)


def test_a_long_list_is_read() -> None:
    values = ",".join(f"pod-{number}" for number in range(5000))
    selector = parse_selector(f"name in ({values})")
    assert selector.matches({"name": "pod-4999"})
    assert not selector.matches({"name": "pod-5000"})
