"""The table, the JSON and the report say the same, and say it when the claim does not hold."""

import json
import re

from inflight.lab.report import render_report
from inflight.lab.results import PolicyRow, Quantiles, Replicas, Tail, cells, headline, render_table, to_json
from inflight.lab.story import Story


def row(name: str, attainment: float | None, source: str = "live", label: str = "") -> PolicyRow:
    return PolicyRow(
        name=name,
        label=label or name,
        source=source,
        requests=100,
        slo_attainment=attainment,
        gave_up=3,
        ttft_seconds=Quantiles(0.123, 1.5, 61.0),
        itl_seconds=Tail(0.045),
        longest_queue=17,
        replicas=Replicas(3.25, 5),
        replica_hours=1.625,
        first_decision_seconds=45.0,
        direction_changes=2,
    )


ROWS = [row("cpu", 0.413), row("in-flight", 0.998), row("fixed-4", 0.929, "simulated", "4 replicas, fixed")]


def test_the_json_has_the_two_policies_first_and_ratios_between_0_and_1() -> None:
    document = json.loads(to_json(ROWS, {"speed": 10}))
    assert [policy["name"] for policy in document["policies"]] == ["cpu", "in-flight", "fixed-4"]
    first = document["policies"][0]
    assert first["slo_attainment"] == 0.413
    assert first["ttft_seconds"] == {"p50": 0.123, "p95": 1.5, "p99": 61.0}
    assert first["replica_hours"] == 1.625


def test_the_table_shows_every_figure_of_every_row() -> None:
    text = render_table(ROWS)
    for one in ROWS:
        line = next(line for line in text.splitlines() if line.startswith(one.label))
        for cell in cells(one)[1:]:
            assert cell in line


def test_the_headline_says_so_when_the_work_in_flight_loses_or_nothing_was_measured() -> None:
    assert headline(ROWS) == "Within the SLO: 99.8 % of requests by the work in flight, 41.3 % by CPU"
    assert "did not win" in headline([row("cpu", 0.9), row("in-flight", 0.9)])
    assert "before anything" in headline([row("cpu", None), row("in-flight", None)])


def test_missing_figures_are_dashes() -> None:
    empty = PolicyRow(
        name="cpu",
        label="cpu",
        source="live",
        requests=0,
        slo_attainment=None,
        gave_up=0,
        ttft_seconds=Quantiles(None, None, None),
        itl_seconds=Tail(None),
        longest_queue=0,
        replicas=Replicas(1.0, 1),
        replica_hours=0.0,
        first_decision_seconds=None,
        direction_changes=0,
    )
    assert cells(empty)[1:6] == ("-", "-", "-", "-", "-")
    assert cells(empty)[-1] == "-"


def test_the_report_needs_nothing_but_itself_and_its_table_needs_no_script() -> None:
    story = Story({"title": "A run", "lead": "l", "slo": {}, "policies": [], "notes": []})
    text = render_report(story, ROWS, headline(ROWS), "caption", {"CPU": "kind: x"})
    assert not re.search(r'(src|href)="(?!data:)', text)
    table = text[text.index("<table>") : text.index("</table>")]
    assert "99.8 %" in table and "4 replicas, fixed" in table
    assert text.index("<table>") < text.index("<script")


def test_no_text_of_a_user_can_leave_its_place_in_the_report() -> None:
    evil = "</script><script>alert(1)</script>"
    story = Story({"title": evil, "lead": evil, "slo": {}, "policies": [], "notes": [evil]})
    story.decided({"t": 0, "policy": "cpu", "from": 1, "to": 1, "reason": evil})
    text = render_report(story, [row("cpu", 1.0, label=evil)], evil, evil, {evil: evil})
    assert "<script>alert" not in text
    data = json.loads(re.search(r'id="lab-data">(.*?)</script>', text, re.DOTALL).group(1))  # type: ignore[union-attr]
    assert data["decisions"][0]["reason"] == evil
