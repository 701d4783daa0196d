"""docs/discovery.md says what there is: the ports of the catalogue, every kind of problem, the bounds."""

from pathlib import Path

from inflight.cluster.client import MAX_ANSWER_BYTES
from inflight.cluster.listing import MAX_OBJECTS, PAGE_LIMIT
from inflight.discovery import KINDS
from inflight.discovery.autoscalers import (
    MAX_ASKS,
    MAX_BYTES,
    MAX_PARTS,
    MAX_REQUIREMENTS,
    MAX_SELECTOR_TEXT,
    MAX_VALUES,
)
from inflight.discovery.pages import MAX_PAGES, MAX_PATH, default_pages
from inflight.discovery.pods import MAX_LABELS, MAX_PORTS
from inflight.discovery.problems import LINES_PER_MINUTE
from inflight.discovery.selections import MAX_COMPARISONS
from inflight.discovery.targets import MAX_SELECTIONS
from inflight.discovery.wanted import MAX_AUTOSCALERS, MAX_NAMESPACES, MAX_WORKLOADS
from inflight.signals import shipped
from inflight.sources.targets import MAX_TARGETS

TEXT = (Path(__file__).parents[2] / "docs/discovery.md").read_text()
FLAT = " ".join(TEXT.split())


def rows(head: str) -> list[str]:
    lines = TEXT[TEXT.index(head) :].splitlines()[2:]
    return lines[: lines.index("")]


def test_the_table_of_ports_is_that_of_the_catalogue() -> None:
    engines = shipped().engines.values()
    assert rows("| port | path | engines |") == [
        f"| {port} | `{path}` | {', '.join(each.name for each in engines if (each.port, each.path) == (port, path))} |"
        for port, path in default_pages(shipped())
    ]


def test_every_kind_of_problem_has_its_row() -> None:
    assert [row.split("`")[1] for row in rows("| kind | meaning |")] == list(KINDS)


def test_the_bounds_are_those_of_the_code() -> None:
    for words in (
        f"{MAX_NAMESPACES} namespaces; in each {MAX_AUTOSCALERS:,} HPAs with {MAX_ASKS} metrics",
        f"{MAX_WORKLOADS} workloads, {MAX_SELECTIONS} selectors and {MAX_OBJECTS:,} pods",
        f"{MAX_TARGETS:,} pods that are scraped",
        f"up to {MAX_SELECTOR_TEXT:,} characters, {MAX_REQUIREMENTS} requirements and {MAX_VALUES} values",
        f"together {MAX_PARTS:,} requirements and values",
        f"at most {MAX_COMPARISONS:,} comparisons",
        f"Of an HPA {MAX_BYTES >> 10} KiB of JSON are read, of another object {MAX_ANSWER_BYTES >> 20} MiB",
        f"in pages of {PAGE_LIMIT}",
        f"at most {MAX_PORTS} of a pod, and at most {MAX_PAGES} places",
        f"at most {MAX_PATH} characters",
        f"more than {MAX_LABELS} labels",
        f"at most {LINES_PER_MINUTE} lines a minute",
    ):
        assert words in FLAT
