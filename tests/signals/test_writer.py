"""What is written is read back, by us and by the client library's parser."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from inflight.signals import Family, OutSample, WriteError, parse_page, render

NAMES = st.from_regex(r"[a-z_:][a-z0-9_:]{0,20}", fullmatch=True)
LABELS = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)  # the parser beside ours refuses a leading __
# the pages of this format are lines: what other parsers take for a line end or a blank is left to our own reader
TEXT = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp", "Zs")) | st.sampled_from('\n"\\{},= #'), max_size=20
)
SAMPLES = st.lists(st.tuples(st.dictionaries(LABELS, TEXT, max_size=4), st.floats()), max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    NAMES,
    st.text(st.characters(blacklist_categories=("Cs",)), max_size=30).filter(lambda text: "\0" not in text),
    SAMPLES,
)
def test_what_is_written_is_read_back(name: str, about: str, rows: list[tuple[dict[str, str], float]]) -> None:
    page = parse_page(
        render([Family(name, "gauge", about, [OutSample(name, value, labels) for labels, value in rows])])
    )
    assert page.problems == ()
    assert page.types == {name: "gauge"}
    assert [(sample.name, sample.labels) for sample in page.samples] == [(name, labels) for labels, _ in rows]
    assert all(
        sample.value == value or (math.isnan(sample.value) and math.isnan(value))
        for sample, (_, value) in zip(page.samples, rows, strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(st.from_regex(r"[a-z_][a-z0-9_]{0,10}", fullmatch=True), SAMPLES)
def test_the_client_librarys_parser_reads_the_same(name: str, rows: list[tuple[dict[str, str], float]]) -> None:
    name = f"x{name}x"
    body = render([Family(name, "gauge", "Help", [OutSample(name, value, labels) for labels, value in rows])])
    peer = [sample for family in text_string_to_metric_families(body.decode()) for sample in family.samples]
    ours = parse_page(body).samples
    # that parser loses the sign of -0, and adding 0 does the same
    assert [(sample.name, dict(sample.labels), repr(float(sample.value))) for sample in peer] == [
        (sample.name, sample.labels, repr(sample.value + 0.0)) for sample in ours
    ]


def test_a_page_as_go_writes_it() -> None:
    body = render(
        [
            Family("up", "gauge", 'Back\\slash, "quotes" and\na line feed.', [OutSample("up", 1.0)]),
            Family(
                "wait_seconds",
                "histogram",
                "Waits.",
                (
                    OutSample("wait_seconds_bucket", 1, {"le": "0.5"}),
                    OutSample("wait_seconds_bucket", 3, {"le": "+Inf"}),
                    OutSample("wait_seconds_sum", 2.5, {"pod": 'a"b\\c\nd'}),
                    OutSample("wait_seconds_count", 3, timestamp_ms=1700000000000),
                ),
            ),
        ]
    )
    assert body.decode() == (
        '# HELP up Back\\\\slash, "quotes" and\\na line feed.\n'
        "# TYPE up gauge\n"
        "up 1\n"
        "# HELP wait_seconds Waits.\n"
        "# TYPE wait_seconds histogram\n"
        'wait_seconds_bucket{le="0.5"} 1\n'
        'wait_seconds_bucket{le="+Inf"} 3\n'
        'wait_seconds_sum{pod="a\\"b\\\\c\\nd"} 2.5\n'
        "wait_seconds_count 3 1700000000000\n"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (0.1, "0.1"),
        (1e21, "1e+21"),
        (123456789.0, "123456789"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (5e-324, "5e-324"),
    ],
)
def test_numbers_are_written_so_that_they_read_back_equal(value: float, text: str) -> None:
    assert render([Family("x", "gauge", "", [OutSample("x", value)])]).splitlines()[-1] == f"x {text}".encode()


@pytest.mark.parametrize("name", ["", "1x", "a-b", "a b", "ä", "a\n"])
def test_a_name_that_the_format_cannot_carry_is_refused(name: str) -> None:
    with pytest.raises(WriteError, match="is no metric name"):
        render([Family(name, "gauge", "", [])])
    with pytest.raises(WriteError, match="is no label name"):
        render([Family("x", "gauge", "", [OutSample("x", 1, {name: "v"})])])


def test_no_families_make_an_empty_page() -> None:
    assert render([]) == b""
