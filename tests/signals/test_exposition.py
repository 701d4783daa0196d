"""The grammar of metrics pages: what is a sample, what is a problem, what is no page at all."""

import math
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from inflight.signals import PageError, Sample, parse_page

PAGES = sorted((Path(__file__).parents[1] / "data" / "metrics-pages").glob("*.txt"))


def one(line: str | bytes) -> Sample:
    raw = line.encode() if isinstance(line, str) else line
    page = parse_page(raw + b"\n")
    assert page.problems == ()
    (sample,) = page.samples
    return sample


def problem(line: str | bytes) -> str:
    raw = line.encode() if isinstance(line, str) else line
    page = parse_page(b"before 1\n" + raw + b"\nafter 2\n")
    assert [sample.name for sample in page.samples] == ["before", "after"]
    (found,) = page.problems
    assert found.line == 2
    return found.problem


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("-1.5", -1.5),
        ("+2", 2.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("007", 7.0),
        ("1.091252e+06", 1091252.0),
        ("1E3", 1000.0),
        ("5e-324", 5e-324),
        ("1e400", math.inf),
        ("+Inf", math.inf),
        ("-Inf", -math.inf),
        ("inf", math.inf),
        ("Infinity", math.inf),
        ("9223372036854775794", 9223372036854775794.0),
    ],
)
def test_numbers(text: str, value: float) -> None:
    assert one(f"x {text}").value == value


@pytest.mark.parametrize("text", ["NaN", "nan", "NAN"])
def test_nan_is_a_value_of_the_page(text: str) -> None:
    assert math.isnan(one(f"x {text}").value)


@pytest.mark.parametrize("text", ["1_000", "0x10", "1,5", "12ab", "--1", "e5", "١", "True", "1e", "Inf1"])
def test_what_is_no_number(text: str) -> None:
    assert "is no number" in problem(f"x {text}")


def test_labels_with_every_escape() -> None:
    sample = one(r'x{a="quote \" end",b="line\nfeed",c="back\\slash",d="\\n",e="\t\q"} 1')
    assert sample.labels == {
        "a": 'quote " end',
        "b": "line\nfeed",
        "c": "back\\slash",
        "d": "\\n",
        "e": "\\t\\q",
    }


@pytest.mark.parametrize(
    "labels", ['a="} 5"', 'a="{"', 'a="b,c=\\"d\\""', 'a="x # {y} 1"', 'a="="', 'a=""', 'a="naïve 模型"', 'a=" "']
)
def test_label_values_may_hold_what_looks_like_syntax(labels: str) -> None:
    sample = one(f"x{{{labels}}} 7")
    assert sample.value == 7.0
    assert sample.labels == {"a": labels[3:-1].replace('\\"', '"')}


@pytest.mark.parametrize(
    "line",
    [
        'x{a="b",c="d"} 1',
        'x{a="b",c="d",} 1',
        'x { a = "b" , c = "d" } 1',
        ' \tx{a="b",c="d"}\t1 ',
        'x{a="b",c="d"}1',
        '{"x",a="b",c="d"} 1',
        '{a="b","x",c="d"} 1',
        'x{"a"="b",c="d"} 1',
        'x{a="b",c="d"} 1 1700000000000',
        'x{a="b",c="d"} 1\r',
    ],
)
def test_blanks_quotes_and_commas_that_the_formats_allow(line: str) -> None:
    sample = one(line)
    assert (sample.name, sample.labels, sample.value) == ("x", {"a": "b", "c": "d"}, 1.0)


def test_a_line_as_long_as_allowed_is_read() -> None:
    assert one('x{a="' + '\\"' * 30_000 + '"} 1').labels == {"a": '"' * 30_000}


def test_names_of_any_utf8_stand_in_quotes() -> None:
    sample = one("{\"vllm.läuft\",''}".replace(",''", "") + " 3")
    assert sample.name == "vllm.läuft"
    assert one('{"a.b","c.d"="e"} 3').labels == {"c.d": "e"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x", "the value is missing"),
        ("x{} ", "the value is missing"),
        ('x{a="b" 1', "closing brace"),
        ('x{a="b', "quote"),
        ("x{a=b} 1", "quote"),
        ('x{a="b" c="d"} 1', "comma or the closing brace"),
        ('x{a="b",a="c"} 1', "'a' stands twice"),
        ('x{1a="b"} 1', "label name"),
        ("x{,} 1", "label name"),
        ("x 1 2 3", "behind the value"),
        ("x 1 soon", "no time"),
        ("1x 2", "metric name"),
        ("-", "metric name"),
        ("x! 2", "metric name"),
        ('{a="b"} 1', "name is missing"),
        ('x{"y"} 1', "neither a name nor a label"),
        (b'x{a="\xff"} 1', "not UTF-8"),
        (b"\xff\xfe 1", "metric name"),
        ('x 1 # {a="b"}', "exemplar"),
        ('x{a="' + "b" * 70_000 + '"} 1', "at most 65536 are read"),
        ("x{" + ",".join(f'l{at}="v"' for at in range(129)) + "} 1", "more than 128 labels"),
    ],
)
def test_a_bad_line_is_a_problem_and_the_rest_goes_on(line: str | bytes, said: str) -> None:
    assert said in problem(line)


def test_a_problem_names_the_series_it_speaks_of() -> None:
    page = parse_page(b'good 1\nbad{a="b"} x\n?! 1\n')
    assert [(found.line, found.name) for found in page.problems] == [(2, "bad"), (3, None)]


def test_a_time_is_in_milliseconds_in_text_and_in_seconds_in_open_metrics() -> None:
    assert parse_page(b"x 1 1700000000500\n").samples[0].timestamp_seconds == 1700000000.5
    assert parse_page(b"x 1 1700000000.5\n# EOF\n").samples[0].timestamp_seconds == 1700000000.5


def test_open_metrics_is_told_by_its_end_mark() -> None:
    assert parse_page(b"x 1\n# EOF\n").open_metrics
    assert parse_page(b"x 1\n# EOF").open_metrics
    assert parse_page(b"x 1\r\n# EOF\r\n").open_metrics
    assert parse_page(b"# EOF").open_metrics
    assert not parse_page(b"x 1\n").open_metrics
    assert not parse_page(b"# EOF\nx 1\n").open_metrics
    assert not parse_page(b"x 1\n# not EOF\n").open_metrics


def test_exemplars_are_passed_over() -> None:
    page = parse_page(b'x_bucket{le="1"} 5 # {trace_id="a} 9",span="b"} 0.67 1700000000.1\ny 2 3 # {} 1\n# EOF\n')
    assert [(sample.value, sample.timestamp_seconds) for sample in page.samples] == [(5.0, None), (2.0, 3.0)]
    assert page.problems == ()


def test_types_are_kept_by_family() -> None:
    page = parse_page(b"# HELP x Help # TYPE y z\n# TYPE x gauge\n#TYPE q gauge\n#\n# TYPE late histogram\n")
    assert page.types == {"x": "gauge", "late": "histogram"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"x 12", "line 1, its last, does not end with a newline"),
        (b"x 1\ny 12", "line 2"),
        (b"# UNIT x seconds\nx 1\n", "does not end with # EOF"),
        (b"# TYPE x info\nx_info 1\n", "does not end with # EOF"),
        (b"\x1f\x8b\x08rest", "gzip"),
        (b"x 1\n\0\0\n", "NUL"),
        (b"<!DOCTYPE html><html></html>\n", "HTML"),
        (b'[{"iter": 1}]\n', "JSON"),
        (b'{"status": "ok"}\n', "JSON"),
        (b"{}\n", "JSON"),
        (b"x 1\n" * 300_000, "200000 lines"),
        (b"# " + b"x" * (8 << 20) + b"\n", "at most 8388608"),
    ],
)
def test_what_is_no_usable_page(body: bytes, said: str) -> None:
    with pytest.raises(PageError, match=said):
        parse_page(body)


def test_the_content_type_decides_before_the_content() -> None:
    with pytest.raises(PageError, match="# EOF"):
        parse_page(b"x 1\n", open_metrics=True)
    assert parse_page(b"# UNIT x seconds\nx 1\n", open_metrics=False).samples[0].value == 1.0


def test_a_limit_of_bytes_can_be_set() -> None:
    with pytest.raises(PageError, match="has 4 bytes; at most 3"):
        parse_page(b"x 1\n", max_bytes=3)


def test_problems_are_bounded() -> None:
    assert len(parse_page(b"?\n" * 5000).problems) == 1000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_real_pages_hold_what_another_parser_finds(page: Path) -> None:
    body = page.read_bytes()
    ours = [(sample.name, sample.labels, sample.value) for sample in parse_page(body).samples]
    peer = [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    ]

    def key(row: tuple[str, dict[str, str], float]) -> str:
        # that parser appends _total to counters that lack it
        return repr((row[0].removesuffix("_total"), sorted(row[1].items()), float(row[2])))

    assert sorted(map(key, ours)) == sorted(map(key, peer))
