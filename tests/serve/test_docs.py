"""docs/metrics.md is complete: a metric without its row fails here, and so does a row without its metric."""

import re
from pathlib import Path
from typing import Any, get_args

import yaml
from prometheus_client.parser import text_string_to_metric_families

from inflight.cli.serve import command
from inflight.serve.api.refusals import REASONS, DoorCause
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


def test_every_family_of_our_own_page_has_its_row(full_stats: Any, full_discovery: Any) -> None:
    page = own_metrics_page(Telemetry(), full_stats, 0.0, full_discovery).decode()
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


def test_every_cause_at_the_door_has_its_word() -> None:
    (row,) = [row for row in rows(section("metrics.md", "## Inflight's own metrics")) if "door_refusals" in row]
    causes = re.findall(r"`([a-z_]+)`", row)
    assert sorted(causes) == sorted(["inflight_door_refusals_total", "cause", *get_args(DoorCause)])


def test_the_example_of_a_workload_is_the_answer(cluster_get: Any, pods: Any, workloads: Any) -> None:
    pods.add("vllm-1", in_flight=40)
    pods.add("vllm-2", in_flight=30)
    workloads.add("vllm")
    text = section("metrics.md", "### One value of a workload")
    (path,) = re.findall(r"kubectl get --raw '(.*)'", text)
    (answer,) = re.findall(r"^    (\{.*\})$", text, re.MULTILINE)
    assert cluster_get(path).body.decode() == answer + "\n"


def test_the_example_hpa_asks_for_that_path() -> None:
    text = section("metrics.md", "### One value of a workload")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (metric,) = yaml.safe_load(example)["metrics"]
    described = metric["object"]["describedObject"]
    group = described["apiVersion"].partition("/")[0]
    assert f"/{described['kind'].lower()}s.{group}/{described['name']}/{metric['object']['metric']['name']}'" in text
