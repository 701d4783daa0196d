"""`inflight decide`: decision cases in, decisions out, one JSON object a line; or records under several releases.

Answers go to stdout, complaints and progress to stderr (progress on a terminal only). Exit codes: 0 every line was
answered (and no decision differs), 1 decisions differ between the releases, 2 a line could not be read, or the file.
"""

import sys
import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import click
import msgspec

if TYPE_CHECKING:
    from inflight.hpa.record import Record
    from inflight.hpa.upgrade import Comparison, ReleaseDecision

PROGRESS_EVERY_SECONDS = 0.5


EXAMPLES = """\b
Examples:
  inflight decide cases.jsonl > answers.jsonl
  inflight decide - < cases.jsonl | jq -c 'select(.error)'
  inflight decide --kubernetes 1.34,1.37 record.jsonl
"""


@click.command("decide", epilog=EXAMPLES)
@click.argument("cases", type=click.File("rb"))
@click.option(
    "--architecture",
    type=click.Choice(["amd64", "arm64"]),
    help="Processor of the controller: decides what a number outside an integer's range becomes. arm64 was not judged."
    " [default: amd64, or what a record says]",
)
@click.option(
    "--kubernetes",
    "releases",
    metavar="1.36,1.37",
    help="The file is a record: print the decisions that differ between these releases.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Of --kubernetes; the answers to cases are JSON always.",
)
def command(cases: IO[bytes], architecture: str | None, releases: str | None, output: str) -> None:
    """Answer decision cases as the upstream HPA controller would.

    CASES has one case a line (`-` reads stdin): a story of one HPA told in steps, or one call of the replica
    calculator; docs/decision.md describes both. A case that cannot be played gets an answer with an `error`. A line
    that is no case is named on stderr, the rest goes on, and the exit code is 2.

    With --kubernetes CASES is a record (docs/explain.md). Each of its decisions is made again under each release, and
    those that differ are printed: what an upgrade of the cluster would change. Releases whose engine was not compared
    with the original are marked on each line. The exit code is 1 if any decision differs.
    """
    progress = _Progress()
    name = getattr(cases, "name", "-")
    try:
        if releases is None:
            code = _answer(cases, name, architecture or "amd64", progress)
        else:
            comparing = _Comparing(_releases(releases), output, architecture)
            code = comparing.run(cases, name, progress)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever read the answers has had enough.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        raise click.FileError(name, str(error)) from error
    if code:
        sys.exit(code)


def _answer(cases: IO[bytes], name: str, architecture: str, progress: "_Progress") -> int:
    from inflight.hpa.cases import MAX_LINE_BYTES, CaseError, answer_case, decode_line
    from inflight.objects import to_json

    broken = 0
    for number, line in numbered_lines(cases, MAX_LINE_BYTES):
        try:
            case = decode_line(line)
            if not isinstance(case.get("id"), str):
                raise CaseError("the case has no id; give each a text of its own")
        except CaseError as error:
            broken += 1
            progress.clear()
            click.echo(f"{name}:{number}: {error}", err=True)
            continue
        answer = answer_case(case, architecture)
        sys.stdout.buffer.write(to_json(answer) + b"\n")
        progress.count("cases", len(answer.get("syncs") or ()))
    progress.clear()
    if broken:
        click.echo(f"{broken} of {progress.lines + broken} lines were no cases", err=True)
    return 2 if broken else 0


def _releases(text: str) -> list[str]:
    from inflight.objects import ReleaseError, find_release

    releases = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    try:
        for release in releases:
            find_release(release)
    except ReleaseError as error:
        raise click.UsageError(f"--kubernetes: {error}") from error
    if len(releases) < 2:
        raise click.UsageError("--kubernetes compares releases: name at least two, such as 1.36,1.37")
    return releases


def numbered_lines(file: IO[bytes], max_line_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Lines with something on them, numbered from 1; one that is too long is cut right behind the limit."""
    number = 0
    while line := file.readline(max_line_bytes + 2):
        number += 1
        if not line.endswith(b"\n"):
            while (rest := file.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
        if line.strip():
            yield number, line


class _Comparing:
    """A record read through once, each decision made under every release."""

    def __init__(self, releases: list[str], output: str, architecture: str | None) -> None:
        self._releases = releases
        self._output = output
        self._architecture = architecture

    def run(self, file: IO[bytes], name: str, progress: "_Progress") -> int:
        """The exit code."""
        from inflight.hpa.record import MAX_LINE_BYTES, RecordError, read_records
        from inflight.hpa.remembered import Followers
        from inflight.hpa.upgrade import compare_releases

        broken = counts = texts = 0
        followers = Followers()
        for number, found in read_records(numbered_lines(file, MAX_LINE_BYTES)):
            if isinstance(found, RecordError):
                broken += 1
                progress.clear()
                click.echo(f"{name}:{number}: {found}", err=True)
                continue
            record = self._on_processor(found)
            comparison = compare_releases(record, followers.follow(record).memory, self._releases)
            progress.count("decisions", 1)
            if comparison.kind:
                counts += comparison.kind == "count"
                texts += comparison.kind == "texts"
                progress.clear()
                self._write(number, record, comparison)
        progress.clear()
        total = progress.lines
        differ = f"{counts} of {total} decisions differ in their count, {texts} more only in what is reported"
        click.echo(differ, err=True)
        if broken:
            click.echo(f"{broken} of {total + broken} lines were no records", err=True)
            return 2
        return 1 if counts or texts else 0

    def _on_processor(self, record: "Record") -> "Record":
        if self._architecture is None:
            return record
        controller = msgspec.structs.replace(record.controller, architecture=self._architecture)
        return msgspec.structs.replace(record, controller=controller)

    def _write(self, number: int, record: "Record", comparison: "Comparison") -> None:
        from inflight.hpa.sentences import moment
        from inflight.objects import to_json

        at = moment(record.now_ns)
        if self._output == "json":
            plain = {
                "line": number,
                "hpa": record.name,
                "at": at,
                "now_ns": record.now_ns,
                "kind": comparison.kind,
                "differs": comparison.differs,
                "releases": [_plain(each) for each in comparison.releases],
            }
            sys.stdout.buffer.write(to_json(plain) + b"\n")
            return
        groups = comparison.groups()
        texts = (
            _differing_texts(comparison) if comparison.kind == "texts" else [g[0].decision.summary() for g in groups]
        )
        click.echo(f"line {number}, {record.name} at {at}: {', '.join(comparison.differs)} differ")
        for group, text in zip(groups, texts, strict=True):
            click.echo(f"  {', '.join(map(_marked, group))}: {text}")


def _plain(each: "ReleaseDecision") -> dict[str, Any]:
    decision = each.decision
    return {
        "kubernetes": each.kubernetes,
        "judged": each.judged,
        "without_gates": each.without_gates,
        "replicas": decision.replicas,
        "desired_replicas": decision.desired_replicas,
        "rescaled": decision.rescaled,
        "reason": decision.reason,
        "sentence": decision.summary(),
        "conditions": decision.conditions,
        "events": decision.events,
        "current_metrics": decision.current_metrics,
    }


def _marked(each: "ReleaseDecision") -> str:
    notes = [] if each.judged else ["not judged"]
    if each.without_gates:
        notes.append(f"without the gate {', '.join(each.without_gates)}")
    return f"{each.kubernetes} ({'; '.join(notes)})" if notes else each.kubernetes


def _differing_texts(comparison: "Comparison") -> list[str]:
    """For each group of releases what it reports and not all others do."""
    reported = [_reported(group[0], comparison.differs) for group in comparison.groups()]
    common = set(reported[0]).intersection(*reported)
    return ["; ".join(each for each in texts if each not in common) or "nothing of it" for texts in reported]


def _reported(each: "ReleaseDecision", fields: tuple[str, ...]) -> list[str]:
    from inflight.objects import to_json

    decision = each.decision
    texts = []
    if "reason" in fields:
        texts.append(f"reason {decision.reason}")
    if "conditions" in fields:
        texts += [f"{each.type}={each.status} {each.reason}: {each.message}" for each in decision.conditions]
    if "events" in fields:
        texts += [f"event {event}" for event in decision.events]
    if "current_metrics" in fields:
        texts += [f"current metric {to_json(metric).decode()}" for metric in decision.current_metrics]
    return texts


class _Progress:
    """One line on stderr that is written over, on a terminal only."""

    def __init__(self) -> None:
        self.lines = 0
        self._syncs = 0
        self._next = time.monotonic() + PROGRESS_EVERY_SECONDS
        self._shown = False

    def count(self, word: str, syncs: int) -> None:
        """One more line is done, which had so many syncs."""
        self.lines += 1
        self._syncs += syncs
        if time.monotonic() >= self._next and sys.stderr.isatty():
            self._next = time.monotonic() + PROGRESS_EVERY_SECONDS
            self._shown = True
            sys.stderr.write(f"\r{self.lines:,} {word}, {self._syncs:,} syncs")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            self._shown = False
