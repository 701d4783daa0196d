"""The catalogue file: what is shipped holds together, and a file with a mistake is refused with its line."""

import pytest

from inflight.documents import DocumentError
from inflight.signals import Missing, PageReader, load_catalogue, shipped
from inflight.signals.catalogue.records import Combination, Nowhere, Record

HEAD = """schema: 1
signals:
  running: {unit: requests, most: 1000}
  waiting: {unit: requests}
  total: {unit: requests}
engines:
"""
ENGINE = """  mine:
    detect: {prefix: "mine_"}
    signals:
      running: [{series: mine_running, type: gauge, fold: sum, across: sum, derive: value}]
"""


def test_the_shipped_catalogue_is_loaded_once() -> None:
    assert shipped() is shipped()


def test_the_shipped_catalogue_has_every_engine_in_the_order_of_detection() -> None:
    assert list(shipped().engines) == [
        "vllm",
        "vllm_ray",
        "sglang",
        "tgi",
        "triton_trtllm",
        "triton",
        "trtllm_serve",
        "dynamo_frontend",
        "dynamo_worker",
        "nim_1",
        "llamacpp",
        "lmdeploy",
        "tei",
        "ollama",
        "gaie_epp",
        "llmd_epp",
        "litellm",
        "dcgm",
    ]


def test_units_of_rates_say_per_second_and_ratios_are_bounded() -> None:
    catalogue = shipped()
    for engine in catalogue.engines.values():
        for signal, ways in engine.signals.items():
            unit = catalogue.signals[signal].unit
            for way in ways:
                if isinstance(way, Record) and way.derive == "rate":
                    assert unit.endswith("/s"), (engine.name, signal)
                if isinstance(way, Record) and way.derive in ("quantile", "mean"):
                    assert unit == "seconds", (engine.name, signal)
                if isinstance(way, Nowhere):
                    assert way.reason


def test_every_shipped_record_is_read_from_its_own_series() -> None:
    catalogue = shipped()
    for engine in catalogue.engines.values():
        for ways in engine.signals.values():
            for way in ways:
                if isinstance(way, Record):
                    for series in way.series:
                        assert any(name.startswith(series) for name in engine.wanted.values())
                elif isinstance(way, Combination):
                    assert set(way.parts) <= set(engine.signals)


def test_the_paths_of_pages_begin_with_the_usual_one() -> None:
    assert shipped().paths() == ("/metrics", "/prometheus/metrics", "/v1/metrics")


def test_a_catalogue_of_ones_own() -> None:
    catalogue = load_catalogue(HEAD + ENGINE, "mine.yaml")
    found = PageReader(catalogue).read(b"mine_running 7\n").signals["running"]
    assert getattr(found, "value", None) == 7.0
    assert isinstance(PageReader(catalogue).read(b"mine_running 1001\n").signals["running"], Missing)


def test_an_engine_like_another_under_other_names() -> None:
    text = (
        HEAD
        + ENGINE
        + '  other:\n    detect: {prefix: "other_"}\n    like: {engine: mine, replace: {"mine_": "other_"}}\n'
    )
    found = PageReader(load_catalogue(text, "x")).read(b"other_running 7\n").signals["running"]
    assert getattr(found, "value", None) == 7.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "x: a catalogue is one document, this file has 0"),
        (HEAD.replace("schema: 1", "schema: 2") + ENGINE, "x:1: schema: schema 2 is not known"),
        (HEAD.replace("total:", "arrival_rate:") + ENGINE, "x:5: signals.arrival_rate: this name is taken"),
        (HEAD + ENGINE.replace("detect", "detects"), "x:7: engines.mine: unknown field `detects`"),
        (HEAD + ENGINE.replace('{prefix: "mine_"}', "{}"), "x:8: engines.mine.detect: either `prefix` or `any_of`"),
        (HEAD + ENGINE.replace('    detect: {prefix: "mine_"}\n', ""), "engines.mine: the field `detect` is missing"),
        (HEAD + ENGINE.replace("running: [", "runing: ["), "x:10: engines.mine.signals.runing: no such signal"),
        (HEAD + ENGINE.replace("type: gauge", "type: gage"), "x:10"),
        (HEAD + ENGINE.replace(", derive: value", ""), "running[0]: type, derive and across are needed"),
        (HEAD + ENGINE.replace("fold: sum, ", ""), "running[0]: the field `fold` is missing"),
        (HEAD + ENGINE.replace("derive: value", "derive: rate"), "derive: rate cannot be had from a gauge"),
        (HEAD + ENGINE.replace("type: gauge", "type: counter").replace("derive: value", "derive: ratio"), "two series"),
        (
            HEAD + ENGINE.replace("type: gauge", "type: info").replace("derive: value", "derive: label"),
            "needs the name",
        ),
        (
            HEAD + ENGINE.replace("derive: value", 'derive: value, match: {a: "~("}'),
            "match.a: not a regular expression",
        ),
        (HEAD + ENGINE.replace("series: mine_running, ", ""), "one of series, sum_of"),
        (HEAD + ENGINE.replace("derive: value", "derive: value, none: x"), "one of series, sum_of"),
        (HEAD + ENGINE + "      waiting: []\n", "x:11: engines.mine.signals.waiting: the list is empty"),
        (
            HEAD + ENGINE + "      total: {sum_of: [running, waiting]}\n",
            "the part 'waiting' is no signal of this engine",
        ),
        (HEAD + ENGINE + "      total: {by_role: {unified: {sum_of: [running]}}}\n", "identity_labels.role"),
        (
            HEAD + ENGINE + "      waiting: {sum_of: [running]}\n      total: {sum_of: [waiting]}\n",
            "the part 'waiting' is itself made of parts",
        ),
        (HEAD + ENGINE + "    dedupe: {group_by: [a], pick: highest b}\n", "only `lowest LABEL` is known"),
        (
            HEAD + '  o:\n    detect: {prefix: "o_"}\n    like: {engine: nope, replace: {}}\n',
            "'nope' is no engine above",
        ),
        (HEAD + ENGINE + ENGINE, "stands here twice"),
        ("schema: [1", "not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_field(text: str, said: str) -> None:
    with pytest.raises(DocumentError) as caught:
        load_catalogue(text, "x")
    assert said in str(caught.value)
