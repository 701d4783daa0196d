"""The fast reader against the complete one: the same result on every page, however it was cut, mixed or mangled."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inflight.signals import Gauge, LayoutCache, Missing, PageError, PageReader, PageReading, parse_page, shipped
from inflight.signals.exposition.scanner import MAX_WANTED
from inflight.signals.reader import read_page

PAGES = Path(__file__).parents[1] / "data" / "metrics-pages"
SMALL = [
    (PAGES / name).read_bytes() for name in ("llamacpp.txt", "nim-1.txt", "trtllm-serve-1.x.txt", "gaie-epp-1.x.txt")
]

VLLM = b"""# HELP vllm:num_requests_running Number of requests {in} batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 24.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
process_start_time_seconds 1.79e+09
vllm:num_requests_waiting{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 3.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
http_requests_total{path="/"} 99
vllm:generation_tokens_total{engine="0",model_name="m"} 12345.0
vllm:generation_tokens_created{engine="0",model_name="m"} 1.79e+09
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="m"} 1.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="1.0",model_name="m"} 2.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 4.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 4.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 3.5
"""


def by_fast(reader: PageReader, body: bytes) -> str:
    try:
        return repr(reader.read(body))
    except PageError as error:
        return f"PageError: {error}"


def by_complete(body: bytes) -> str:
    try:
        return repr(read_page(shipped(), parse_page(body), body))
    except PageError as error:
        return f"PageError: {error}"


def running(reading: PageReading) -> float | str:
    found = reading.signals["running"]
    assert isinstance(found, Gauge | Missing)
    return found.value if isinstance(found, Gauge) else found.reason


Mutation = Callable[[random.Random, bytes], bytes]


def _lines(change: Callable[[random.Random, list[bytes]], None]) -> Mutation:
    def mutate(luck: random.Random, body: bytes) -> bytes:
        lines = body.split(b"\n")
        change(luck, lines)
        return b"\n".join(lines)

    return mutate


def _delete(luck: random.Random, lines: list[bytes]) -> None:
    del lines[luck.randrange(len(lines))]


def _double(luck: random.Random, lines: list[bytes]) -> None:
    at = luck.randrange(len(lines))
    lines.insert(luck.randrange(len(lines)), lines[at])


def _swap(luck: random.Random, lines: list[bytes]) -> None:
    one, other = luck.randrange(len(lines)), luck.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def _shuffle(luck: random.Random, lines: list[bytes]) -> None:
    luck.shuffle(lines)


VALUES = (b"0", b"5", b"7.5", b"-1", b"NaN", b"+Inf", b"1e300", b"1e400", b"1_0", b"", b"12 1700000000000", b"3 # {} 1")
ODD_VALUES = (
    b"007",
    b"[1]",
    b"1,2",
    b"null",
    b"9223372036854775794",
    b"0.1",
    b" 4 ",
    b"5\r",
    b"\r5",
    b"6\t",
    b"1.5E+3",
    b" " * 70_000 + b"1",
)


def _value(luck: random.Random, lines: list[bytes]) -> None:
    at = luck.randrange(len(lines))
    lines[at] = lines[at].rpartition(b" ")[0] + b" " + luck.choice(VALUES + ODD_VALUES)


def _byte(luck: random.Random, body: bytes) -> bytes:
    at = luck.randrange(len(body))
    new = luck.choice(
        [b"", b"\n", b" ", b"\t", b"\r", b"\\", b'"', b"{", b"}", b"#", b",", b"=", b"\xff", b"\0", b"7", b"a"]
    )
    return body[:at] + new + body[at + luck.randrange(2) :]


def _cut(luck: random.Random, body: bytes) -> bytes:
    return body[: luck.randrange(len(body))]


def _prefix(luck: random.Random, lines: list[bytes]) -> None:
    at = luck.randrange(len(lines))
    lines[at] = luck.choice([b" ", b"\t", b"# ", b"x_", b"vllm:"]) + lines[at]


def _label(luck: random.Random, lines: list[bytes]) -> None:
    at = luck.randrange(len(lines))
    new = luck.choice(
        [
            b'pid="1",',
            b'server="http://a",',
            b'priority="0",',
            b'a="\\"} 5",',
            b'a="} 5",',
            b'"b.c"="d",',
            b' e = "f" , ',
            b",",
        ]
    )
    lines[at] = lines[at].replace(b"{", b"{" + new, 1)


def _insert(luck: random.Random, lines: list[bytes]) -> None:
    new = luck.choice(
        [
            b"",
            b"# EOF",
            b"# UNIT x seconds",
            b'{"vllm:num_requests_running",engine="9"} 3',
            b'vllm:num_requests_running {engine="8"} 3',
            b"vllm:num_requests_running 5{",
            b"vllm:num_requests_running",
            b"vllm:num_requests_running  4",
            b'vllm:num_requests_running 4 # {a="b"} 1',
            b"vllm:num_requests_running{} 6",
            b" vllm:num_requests_waiting 2",
            b'vllm:num_requests_running{engine="' + b"x" * 70_000 + b'"} 1',
            b"vllm:num_requests_running " + b" " * 70_000 + b"1",
            b"llamacpp:requests_processing 1",
            b"vllm:num_requests_running_created 1",
        ]
    )
    lines.insert(luck.randrange(len(lines)), new)


MUTATIONS: list[Mutation] = [
    _lines(_delete),
    _lines(_double),
    _lines(_swap),
    _lines(_shuffle),
    _lines(_value),
    _lines(_value),
    _lines(_prefix),
    _lines(_label),
    _lines(_insert),
    _byte,
    _byte,
    _cut,
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.sampled_from([VLLM, VLLM, *SMALL]), st.integers(1, 4))
def test_a_mangled_page_is_read_as_the_complete_reader_reads_it(luck: random.Random, body: bytes, changes: int) -> None:
    reader = PageReader(shipped())
    assert by_fast(reader, body) == by_complete(body)
    for _ in range(3):
        mangled = body
        for _ in range(changes):
            mangled = luck.choice(MUTATIONS)(luck, mangled) or b"\n"
        assert by_fast(reader, mangled) == by_complete(mangled)
        assert by_fast(PageReader(shipped()), mangled) == by_complete(mangled)
    assert by_fast(reader, body) == by_complete(body)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats() | st.integers(-(2**70), 2**70).map(float), min_size=14, max_size=14))
def test_new_values_on_a_known_layout_are_read_to_the_last_bit(values: list[float]) -> None:
    reader = PageReader(shipped())
    reader.read(VLLM)
    numbers = iter(values)
    lines = [
        line if line.startswith(b"#") or not line else line.rpartition(b" ")[0] + b" " + repr(next(numbers)).encode()
        for line in VLLM.split(b"\n")
    ]
    body = b"\n".join(lines)
    assert by_fast(reader, body) == by_complete(body)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_bytes_of_any_kind_never_crash_the_reader(body: bytes) -> None:
    reader = PageReader(shipped())
    assert by_fast(reader, body) == by_complete(body)
    mixed = VLLM + body
    assert by_fast(reader, mixed) == by_complete(mixed)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.text(max_size=20))
def test_labels_of_any_text_come_back(text: str, other: str) -> None:
    def written(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    line = f'vllm:num_requests_running{{engine="{written(text)}",model_name="{written(other)}"}} 4\n'
    if "\0" in line:
        return
    found = PageReader(shipped()).read(line.encode()).signals["running"]
    assert isinstance(found, Gauge)
    assert dict(found.source.rows[0]) == {"engine": text, "model_name": other}


def test_a_page_cut_inside_a_number_gives_no_value() -> None:
    whole = b'vllm:num_requests_running{engine="0"} 1234\n'
    reader = PageReader(shipped())
    assert running(reader.read(whole)) == 1234.0
    for end in range(1, len(whole)):
        with pytest.raises(PageError, match="cut off"):
            reader.read(whole[:end])


def test_an_open_metrics_page_without_its_end_mark_gives_no_value() -> None:
    whole = b'vllm:num_requests_running{engine="0"} 1\nvllm:num_requests_running{engine="1"} 2\n# EOF\n'
    cut = whole[: whole.index(b'vllm:num_requests_running{engine="1"')]
    reader = PageReader(shipped())
    assert running(reader.read(whole, open_metrics=True)) == 3.0
    with pytest.raises(PageError, match="# EOF"):
        reader.read(cut, open_metrics=True)


def test_a_row_that_takes_the_place_of_an_unwanted_line_is_seen() -> None:
    reader = PageReader(shipped())
    assert running(reader.read(VLLM)) == 25.0
    changed = VLLM.replace(
        b'http_requests_total{path="/"} 99', b'vllm:num_requests_running{engine="2",model_name="m"} 99'
    )
    assert running(reader.read(changed)) == 124.0


def test_a_line_of_a_wanted_series_that_cannot_be_read_takes_its_signal_only() -> None:
    body = VLLM.replace(b'engine="1",model_name="m"} 1.0', b'engine="1",model_name="m"} one')
    reading = PageReader(shipped()).read(body)
    reason = running(reading)
    assert reason == "vllm:num_requests_running: line 4: 'one' is no number"
    assert isinstance(reading.signals["waiting"], Gauge)
    in_flight = reading.signals["in_flight"]
    assert isinstance(in_flight, Missing)
    assert "line 4" in in_flight.reason


def test_pods_of_one_layout_share_what_is_remembered() -> None:
    layouts = LayoutCache()
    first = PageReader(shipped(), layouts=layouts)
    second = PageReader(shipped(), layouts=layouts)
    first.read(VLLM)
    assert running(second.read(VLLM.replace(b"24.0", b"30.0"))) == 31.0
    assert len(layouts) == 1


def a_page_like_no_other(index: int) -> bytes:
    extra = b"".join(b'x%d{a="b"} 1\n' % row for row in range(index % 13))
    return VLLM + extra + b"y%d 1\n" % index


def room_for(pages: int) -> int:
    layouts = LayoutCache()
    PageReader(shipped(), layouts=layouts).read(a_page_like_no_other(12))
    return pages * layouts.size_bytes


def test_what_is_remembered_is_bounded() -> None:
    layouts = LayoutCache(room_for(8))
    reader = PageReader(shipped(), layouts=layouts)
    for index in range(40):
        assert running(reader.read(a_page_like_no_other(index))) == 25.0
        assert 0 < layouts.size_bytes <= room_for(8)
    assert 7 <= len(layouts) < 10


def test_who_writes_another_page_each_time_drives_out_only_their_own() -> None:
    layouts = LayoutCache(room_for(8))
    honest = PageReader(shipped(), layouts=layouts, owner="honest")
    honest.read(VLLM)
    for index in range(40):
        PageReader(shipped(), layouts=layouts, owner=f"hostile-{index % 2}").read(a_page_like_no_other(index))
    assert layouts.size_bytes <= room_for(8)
    assert honest.remembered(VLLM) is not None


def test_a_namespace_with_little_is_taken_up_where_others_have_filled_the_room() -> None:
    layouts = LayoutCache(room_for(8))
    for index in range(40):
        PageReader(shipped(), layouts=layouts, owner="hostile").read(a_page_like_no_other(index))
    honest = PageReader(shipped(), layouts=layouts, owner="honest")
    honest.read(VLLM)
    assert honest.remembered(VLLM) is not None


def test_pages_that_come_in_turn_and_are_more_than_fit_are_remembered_in_part() -> None:
    layouts = LayoutCache(room_for(8))
    pages = [a_page_like_no_other(index) for index in range(12)]
    readers = [PageReader(shipped(), layouts=layouts) for _ in pages]
    for _ in range(3):
        for reader, page in zip(readers, pages, strict=True):
            reader.read(page)
    known = sum(reader.remembered(page) is not None for reader, page in zip(readers, pages, strict=True))
    assert known >= len(layouts) - 1 > 1


def test_a_page_read_elsewhere_is_remembered_when_it_is_kept() -> None:
    reader = PageReader(shipped())
    assert reader.remembered(VLLM) is None
    learned = reader.read_by(reader.candidates(VLLM), VLLM)
    assert reader.remembered(VLLM) is None
    assert running(reader.keep(learned)) == 25.0
    again = reader.remembered(VLLM.replace(b"24.0", b"30.0"))
    assert again is not None
    assert running(again) == 31.0


def test_a_forced_engine_is_not_looked_for() -> None:
    layouts = LayoutCache()
    body = (PAGES / "llamacpp.txt").read_bytes()
    assert PageReader(shipped(), layouts=layouts).read(body).engine == "llamacpp"
    forced = PageReader(shipped(), engine="tgi", layouts=layouts).read(body)
    assert forced.engine == "tgi"
    assert isinstance(forced.signals["running"], Missing)
    with pytest.raises(ValueError, match="no engine 'vlm' in the catalogue; it has vllm"):
        PageReader(shipped(), engine="vlm")


def test_a_page_of_no_known_engine_names_what_was_seen() -> None:
    reading = PageReader(shipped()).read(b"go_goroutines 5\nnginx_up 1\nnginx_requests_total 5\n")
    assert reading.engine is None
    assert reading.prefixes == ("go_", "nginx_")
    assert dict(reading.signals) == {}


def test_too_many_samples_of_the_catalogue_are_refused() -> None:
    line = b'vllm:num_requests_running{engine="%d"} 1\n'
    body = b"".join(line % index for index in range(MAX_WANTED + 1))
    with pytest.raises(PageError, match="more than 20000 samples"):
        PageReader(shipped()).read(body)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'a {b="%d"} 1\n', "more than 20000 lines or 1048576 bytes that are written in an unusual form"),
        (b'vllm:num_requests_running {a="%d"} 1\n', "more than 20000 samples|unusual form"),
        (b"vllm:num_requests_running{" + b"x" * 500 + b' ="%d"} 1\n', "unusual form"),
        (
            b"vllm:num_requests_running{" + b",".join(b'a%d="b"' % label for label in range(100)) + b',z="%d"} 1\n',
            "more than 100000 labels",
        ),
    ],
    ids=["not wanted", "wanted", "long", "labels"],
)
def test_what_takes_long_to_read_is_refused_before_it_was_read(line: bytes, words: str) -> None:
    body = VLLM + b"".join(line % index for index in range(20_100 if len(line) < 100 else 2_200))
    with pytest.raises(PageError, match=words):
        PageReader(shipped()).read(body)


def test_explicit_times_are_kept_as_the_age_of_the_page() -> None:
    body = b"llamacpp:requests_processing 3 1700000005000\nllamacpp:requests_deferred 4 1700000001000\n"
    reader = PageReader(shipped())
    for _ in range(2):
        assert reader.read(body).sampled_at == 1700000001.0
    assert reader.read(SMALL[0]).sampled_at is None
