"""docs/metrics.md is complete: a metric without its row fails here, and so does a row without its metric."""

import re
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from inflight.cli.serve import command
from inflight.serve.api.refusals import REASONS
from inflight.serve.api.telemetry import Telemetry
from inflight.serve.own_metrics import own_metrics_page
from inflight.signals.metric_names import METRICS, Metric

DOCS = Path(__file__).parents[2] / "docs"


def section(page: str, heading: str) -> str:
    """The text under a heading, up to the next of its level."""
    text = (DOCS / page).read_text()
    level = heading.split(" ", maxsplit=1)[0]
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^{level} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/{page} has no heading {heading!r}"
    return found[1]


def rows(text: str) -> list[str]:
    """The rows of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return lines[2:]


def expected_row(metric: Metric) -> str:
    combined = {"sum": "sum of the pods", "mean": "mean of the pods", "max": "largest of the pods"}[metric.across]
    return f"| `{metric.name}` | {metric.unit} | `{metric.signal}` | {combined} | {metric.meaning} |"


def test_every_api_metric_has_its_row() -> None:
    assert rows(section("metrics.md", "## Metrics of the API")) == [expected_row(metric) for metric in METRICS]


def test_every_alias_has_its_place() -> None:
    expected = [
        f"| `{metric.name}` | {', '.join(f'`{alias}`'.replace('|', chr(92) + '|') for alias in metric.aliases)} |"
        for metric in METRICS
        if metric.aliases
    ]
    assert rows(section("metrics.md", "## Aliases")) == expected


def test_every_family_of_our_own_page_has_its_row(full_stats: Any) -> None:
    page = own_metrics_page(Telemetry(), full_stats, 0.0).decode()
    families = re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE)
    documented = re.findall(
        r"^\| `([a-z_]+)` \| (\w+) \|",
        "\n".join(rows(section("metrics.md", "## Inflight's own metrics"))),
        re.MULTILINE,
    )
    assert sorted(documented) == sorted(families)
    assert [family.name for family in text_string_to_metric_families(page)]


def test_every_flag_has_its_row() -> None:
    documented = re.findall(
        r"`(--[a-z-]+)[ `]", "\n".join(row.split("|")[1] for row in rows(section("serve.md", "## Flags")))
    )
    flags = [option for parameter in command.params for option in parameter.opts]
    assert sorted(documented) == sorted(flags)


def test_every_code_has_its_row() -> None:
    codes = re.findall(r"\b\d{3}\b", "\n".join(row.split("|")[1] for row in rows(section("serve.md", "## Errors"))))
    assert sorted(map(int, codes)) == sorted(REASONS)
