"""Readers of request traces: four formats, and everything that can be wrong with them."""

import gzip
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inflight.sim.traces as traces_module
from inflight.sim.traces import Trace, TraceError, read_trace, shipped_trace

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens\r
2023-11-16 18:15:46.6805900,374,44\r
2023-11-16 18:15:50.9951690,396,109\r
2023-11-16 18:15:51.2224670,879,55"""


def columns(trace: Trace) -> tuple[list[float], list[int], list[int]]:
    return list(trace.at_seconds), list(trace.prompt_tokens), list(trace.output_tokens)


def test_azure_times_count_from_the_first_request():
    at, prompt, output = columns(read_trace(AZURE, "conv.csv"))
    assert at == pytest.approx([0, 4.314579, 4.541877], abs=1e-6)
    assert (prompt, output) == ([374, 396, 879], [44, 109, 55])


def test_azure_2024_stamps_have_a_zone_and_may_lack_a_fraction():
    text = (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2024-05-10 00:00:00+00:00,1,2\n2024-05-10 00:00:00.009930+00:00,3,4\n2024-05-10 02:00:01.5+02:00,5,6\n"
    )
    assert columns(read_trace(text, "x"))[0] == pytest.approx([0, 0.00993, 1.5], abs=1e-6)


def test_mooncake_stamps_are_milliseconds_and_its_bins_are_spread():
    rows = [
        {"timestamp": 3_000 * (i // 10), "input_length": 100 + i, "output_length": 7, "hash_ids": [1]}
        for i in range(40)
    ]
    text = "\n".join(map(json.dumps, rows))
    trace = read_trace(text, "mooncake.jsonl")
    assert trace.requests == 40
    assert len(set(trace.at_seconds)) == 40
    assert list(trace.at_seconds) == sorted(trace.at_seconds)
    assert 9 < trace.at_seconds[-1] < 12
    for third in range(4):
        inside = [at for at in trace.at_seconds if 3 * third <= at + trace.at_seconds[0] < 3 * third + 3]
        assert 8 <= len(inside) <= 12
    assert columns(read_trace(text, "mooncake.jsonl")) == columns(trace)
    assert columns(read_trace(text, "mooncake.jsonl", seed=1)) != columns(trace)


def test_stamps_that_are_fine_already_are_left_alone():
    text = "\n".join(f'{{"timestamp": {at}, "input_length": 1, "output_length": 1}}' for at in (0, 0, 40, 277))
    assert list(read_trace(text, "synthetic.jsonl").at_seconds) == [0, 0, 0.04, 0.277]


def test_burstgpt_rows_of_failed_requests_are_counted_and_left_out():
    text = (
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,472,18,490,Conversation log\n45,GPT-4,1087,0,1087,API log\n"
        "118,ChatGPT,417,276,693,Conversation log\n"
    )
    trace = read_trace(text, "BurstGPT_1.csv")
    assert trace.skipped == 1
    assert columns(trace) == ([0, 113], [472, 417], [18, 276])


def test_a_plain_csv_may_have_its_columns_in_any_order_and_quotes():
    text = 'output_tokens,arrival_s,note,prompt_tokens\n10,1.5,"a, b",100\n20,2.25,,200.0\n\n'
    assert columns(read_trace(text, "own.csv")) == ([0, 0.75], [100, 200], [10, 20])


def test_a_byte_order_mark_is_no_part_of_the_header():
    assert read_trace("\ufeff" + AZURE, "conv.csv").requests == 3


@pytest.mark.parametrize("pack", [gzip.compress, lambda raw: gzip.compress(raw[:60]) + gzip.compress(raw[60:])])
def test_gzip_is_recognised_by_itself_in_one_member_or_several(pack):
    assert columns(read_trace(pack(AZURE.encode()), "conv.csv.gz")) == columns(read_trace(AZURE, "conv.csv"))


def test_the_shipped_trace_is_the_published_one():
    trace = shipped_trace()
    assert (trace.requests, trace.skipped) == (19_366, 0)
    assert trace.at_seconds[-1] == pytest.approx(3_501.72, abs=0.01)
    assert (min(trace.prompt_tokens), max(trace.prompt_tokens)) == (2, 14_050)
    assert (min(trace.output_tokens), max(trace.output_tokens)) == (7, 1_000)


PLAIN = "arrival_s,prompt_tokens,output_tokens\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"^t\.csv: not a trace that is known"),
        ("a,b\n1,2\n", r"^t\.csv:1: not a trace that is known.*'a,b'"),
        (PLAIN, r"^t\.csv: there is no request"),
        (PLAIN + "0,1,0\n", r"^t\.csv: there is no request"),
        (PLAIN + "0,1\n", r"^t\.csv:2: 2 fields where the header has 3"),
        (PLAIN + "0,1,2\nx,1,2\n", r"^t\.csv:3: arrival_s: 'x' is not a number of seconds"),
        (PLAIN + "nan,1,2\n", r"^t\.csv:2: arrival_s"),
        (PLAIN + "1e300,1,2\n", r"^t\.csv:2: arrival_s: 1e\+300 s is no time of arrival"),
        (PLAIN + "5,1,2\n4,1,2\n", r"^t\.csv:3: arrival_s: earlier than the line before; sort"),
        (PLAIN + "0,-1,2\n", r"^t\.csv:2: prompt_tokens: '-1' is not a number of tokens"),
        (PLAIN + "0,1,2.5\n", r"^t\.csv:2: output_tokens: '2.5' is not a number of tokens"),
        (PLAIN + "0,1,99999999999\n", r"^t\.csv:2: output_tokens: 99999999999 tokens"),
        (PLAIN + '0,"1,2\n', r"^t\.csv:2: not a line of a CSV file"),
        (AZURE.replace(":50.", ":61."), r"^t\.csv:3: TIMESTAMP: '2023-11-16 18:15:61.*' is not a time like"),
        ('{"timestamp": 0, "input_length": 1}', r"^t\.csv:1: .*missing required field `output_length`"),
        ('{"timestamp": "a", "input_length": 1, "output_length": 1}', r"^t\.csv:1: timestamp: expected `float`"),
        ('{"timestamp": 0, "input_length": 1, "output_length": 1}\n{', r"^t\.csv:2: not a JSON object"),
        ('{"timestamp": 0, "input_length": -1, "output_length": 1}', r"^t\.csv:1: input_length: -1 tokens"),
    ],
)
def test_a_wrong_trace_is_refused_with_file_line_and_field(text, complaint):
    with pytest.raises(TraceError, match=complaint):
        read_trace(text, "t.csv")


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"\xff\xfe\x00", r"t\.csv:1: not UTF-8"),
        (PLAIN.encode() + b"0,1,\xff\n", r"t\.csv:2: not UTF-8"),
        (gzip.compress(AZURE.encode())[:40], r"t\.csv: the gzip file ends too early"),
        (b"\x1f\x8b" + b"x" * 50, r"t\.csv: damaged"),
        (PLAIN.encode() + b"0" * (2 << 20), r"t\.csv:2: the line is longer than 1048576 bytes"),
    ],
)
def test_bytes_that_are_no_text_are_refused(raw, complaint):
    with pytest.raises(TraceError, match=complaint):
        read_trace(raw, "t.csv")


def test_a_compressed_bomb_is_refused_before_it_is_unpacked(monkeypatch):
    monkeypatch.setattr(traces_module, "MAX_BYTES", 1 << 20)
    bomb = gzip.compress((PLAIN + ("0,1,2" + " " * 500 + "\n") * 6_000).encode())
    with pytest.raises(TraceError, match="more than 1 MiB; use a shorter part"):
        read_trace(bomb, "bomb.csv.gz")


def test_too_many_rows_are_refused(monkeypatch):
    monkeypatch.setattr(traces_module, "MAX_ROWS", 3)
    with pytest.raises(TraceError, match=r"t\.csv:5: more than 3 requests"):
        read_trace(PLAIN + "0,1,2\n" * 4, "t.csv")


_moments = st.lists(st.integers(0, 10**9), min_size=1, max_size=20).map(sorted)
_lengths = st.integers(1, 100_000)


@settings(max_examples=50, deadline=None)
@given(_moments, st.data())
def test_what_is_written_is_read(moments, data):
    rows = [(moment, data.draw(_lengths), data.draw(_lengths)) for moment in moments]
    wanted = (
        [moment / 1e3 - moments[0] / 1e3 for moment in moments],
        [row[1] for row in rows],
        [row[2] for row in rows],
    )
    plain = PLAIN + "".join(f"{moment / 1e3!r},{prompt},{output}\n" for moment, prompt, output in rows)
    azure = "GeneratedTokens,TIMESTAMP,ContextTokens\n" + "".join(
        f"{output},{datetime.fromtimestamp(moment // 1000, UTC):%Y-%m-%d %H:%M:%S}.{moment % 1000:03},{prompt}\n"
        for moment, prompt, output in rows
    )
    for text in (plain, azure):
        at, prompt, output = columns(read_trace(gzip.compress(text.encode()), "t"))
        assert at == pytest.approx(wanted[0], abs=1e-6)
        assert (prompt, output) == wanted[1:]


_line = st.text(alphabet='0123456789,.-:"{} eTnax\n\r\x00é', max_size=60)
_headers = st.sampled_from(
    ["", PLAIN, "TIMESTAMP,ContextTokens,GeneratedTokens\n", '{"timestamp": 0, "input_length": 1, ']
)


@settings(max_examples=200, deadline=None)
@given(_headers, _line, st.booleans())
def test_no_text_makes_the_reader_fail_in_another_way(header, rest, packed):
    raw = (header + rest).encode()
    try:
        trace = read_trace(gzip.compress(raw) if packed else raw, "fuzz")
    except TraceError as error:
        assert str(error).startswith("fuzz:")
        return
    assert trace.requests == len(trace.prompt_tokens) == len(trace.output_tokens) > 0
    assert list(trace.at_seconds) == sorted(trace.at_seconds)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 3))
def test_no_bytes_make_the_reader_fail_in_another_way(raw, kind):
    prefixes = [b"", b"\x1f\x8b", gzip.compress(PLAIN.encode()), PLAIN.encode()]
    with pytest.raises(TraceError, match=r"^fuzz"):
        read_trace(prefixes[kind] + raw.replace(b"\n", b" ") + b"\n!", "fuzz")
