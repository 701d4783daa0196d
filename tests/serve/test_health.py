"""What the health pages say, and how often the log repeats it."""

import logging
from collections import Counter
from typing import Any

import pytest

from inflight.serve.api.handler import MetricsApi
from inflight.serve.api.health import Ailment
from inflight.serve.api.messages import Request
from inflight.serve.health import Health
from inflight.serve.parts import Parts
from inflight.serve.vitals import STILL_SECONDS, Vitals

NOW = 1_800_000_000.25


def test_the_log_says_when_it_begins_to_fail_when_for_another_reason_and_when_it_is_over(
    pods: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    wrong: list[Ailment | None] = []
    api = MetricsApi(pods, clock, "t", health=lambda check: wrong[-1] if check == "livez" else None)
    for second in range(61, 90):
        wrong.append(Ailment("standstill", f"no scrape has come to an end for {second} s"))
        for check in ("livez", "readyz"):
            api.handle(Request("GET", f"/{check}"))
    wrong.append(Ailment("part_scraping", "it has failed"))
    assert api.handle(Request("GET", "/livez")).status == 503
    wrong.append(None)
    for _ in range(3):
        assert api.handle(Request("GET", "/livez")).status == 200
    said = [line for line in caplog.messages if "event=health" in line]
    assert said == [
        "event=health check=livez ok=False kind=standstill why='no scrape has come to an end for 61 s'",
        "event=health check=livez ok=False kind=part_scraping why='it has failed'",
        "event=health check=livez ok=True",
    ]


@pytest.fixture
def vitals() -> Vitals:
    vitals = Vitals(None)
    vitals.note_targets(3, NOW)
    return vitals


def test_ready_when_nothing_is_missing(vitals: Vitals, full_stats: Any) -> None:
    unknown: list[Ailment | None] = [Ailment("trust", "it has not been read yet")]
    health = Health(Parts(Counter()), vitals, lambda: full_stats, lambda: NOW, lambda: unknown[0])
    assert health("livez") is None
    assert health("readyz") == unknown[0]
    unknown[0] = None
    assert health("readyz") == Ailment("warming_up", "just started")
    vitals.look([], NOW)
    assert health("readyz") is None


def test_a_standstill_is_the_end_of_both(vitals: Vitals, full_stats: Any) -> None:
    health = Health(Parts(Counter()), vitals, lambda: full_stats, lambda: NOW + STILL_SECONDS + 1)
    for check in ("livez", "healthz", "readyz"):
        ailment = health(check)
        assert ailment is not None
        assert ailment.kind == "standstill"
