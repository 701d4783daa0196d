"""`inflight explain`: a decision, step by step, with what would change it: of a record, of a case, or of a live HPA.

The explanation goes to stdout, complaints to stderr. Exit codes: 0 explained, 1 explained, but the record (or the
controller of the cluster) says something else than the engine computes, 2 could not run, or a line of the record could
not be read. What is asked of a cluster is in `explain_live`.
"""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
import msgspec

from inflight.cli.decide import numbered_lines

if TYPE_CHECKING:
    from inflight.hpa.cases import CallTrace, StoryLine
    from inflight.hpa.explanation import Explanation
    from inflight.hpa.record import Record
    from inflight.hpa.remembered import Remembered

_RELATIVE = re.compile(r"\+(\d{1,9}(?:\.\d{1,9})?)(s|m|h)?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, None: 1}
_MAX_NAMED = 10
_LIVE = re.compile(r"(?:hpa|horizontalpodautoscalers?)(?:\.[a-z0-9.]+)?/([^/]+)")
_OF_FILES = frozenset({"case", "case_id", "at", "sync", "hpa"})
_OF_CLUSTERS = frozenset(
    {"namespace", "kubeconfig", "cluster_context", "server", "watch", "record_file", "kubernetes", "flags"}
)

EXAMPLES = """\b
Examples:
  inflight explain hpa/llm -n shop
  inflight explain hpa/llm -n shop --watch --record llm.jsonl
  inflight explain record.jsonl --at 2026-11-24T22:41:00Z
  inflight explain record.jsonl --at +10m --hpa shop/llm
  inflight explain record.jsonl --set target=40 --set max=20
  inflight explain --case case.json --sync 3 -o json | jq .explanation.changes
"""


class Answer(msgspec.Struct, frozen=True):
    """What `-o json` prints."""

    explanation: "Explanation"
    settings: tuple[str, ...] = ()
    recorded: "Explanation | None" = None
    """Without the settings; None where there are none."""


class _Chosen(msgspec.Struct, frozen=True):
    record: "Record"
    known: "Remembered"


@click.command("explain", epilog=EXAMPLES)
@click.argument("what", metavar="[hpa/NAME | RECORD]", required=False)
@click.option("--case", "case", type=click.File("rb"), help="Explain a decision case instead of a record.")
@click.option("--id", "case_id", help="Which case, where the file has several.")
@click.option("--at", "at", help="The last sync at or before this time: 2026-11-24T22:41:00Z, or +10m after the first.")
@click.option("--sync", "sync", type=click.IntRange(min=1), help="The sync with this number, from 1.")
@click.option("--hpa", "hpa", help="Which HPA, as namespace/name, where the record has several.")
@click.option("--set", "texts", multiple=True, metavar="NAME=VALUE", help="What if: target, value, max, min, ...")
@click.option("--changes/--no-changes", default=True, help="Look for the nearest changes that give another count.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("-n", "--namespace", help="hpa/NAME: its namespace. [default: that of the kubeconfig's context]")
@click.option(
    "--kubeconfig", type=click.Path(dir_okay=False, path_type=Path), help="hpa/NAME: [default: as kubectl has it]"
)
@click.option(
    "--context", "cluster_context", help="hpa/NAME: the context of the kubeconfig. [default: the current one]"
)
@click.option("--server", help="hpa/NAME: instead of a kubeconfig, as http://127.0.0.1:8001 of a `kubectl proxy`.")
@click.option("-w", "--watch", is_flag=True, help="hpa/NAME: follow it, sync by sync, until Ctrl-C.")
@click.option(
    "--record",
    "record_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="hpa/NAME: append what is seen to this record, and take the controller's memory from it.",
)
@click.option("--kubernetes", metavar="1.37", help="hpa/NAME: the controller's release. [default: from the API server]")
@click.option(
    "--controller",
    "flags",
    multiple=True,
    metavar="NAME=VALUE",
    help="hpa/NAME: a flag of its kube-controller-manager, such as sync-period=30s, tolerance=0.05.",
)
@click.pass_context
def command(
    context: click.Context,
    *,
    what: str | None,
    case: IO[bytes] | None,
    case_id: str | None,
    at: str | None,
    sync: int | None,
    hpa: str | None,
    texts: tuple[str, ...],
    changes: bool,
    output: str,
    namespace: str | None,
    kubeconfig: Path | None,
    cluster_context: str | None,
    server: str | None,
    watch: bool,
    record_file: Path | None,
    kubernetes: str | None,
    flags: tuple[str, ...],
) -> None:
    """Why an HPA is at N: every step from the raw value to the final count, and what would change it.

    hpa/NAME is one of a running cluster: what its controller reads is read through the same APIs, and decided and
    explained as of now. RECORD has one decision a line (`-` reads stdin); docs/explain.md describes it. Without --at or
    --sync the last sync is explained. With --set NAME=VALUE the decision is made that would be made: target, value
    (with :METRIC where there are several), max, min, replicas, tolerance, up-window, down-window, kubernetes,
    memory=empty.
    """
    from inflight.hpa.explanation import explain
    from inflight.hpa.remembered import remembered_for
    from inflight.hpa.settings import SettingError, apply_settings, parse_setting

    if (what is None) == (case is None):
        raise click.UsageError("give an HPA as hpa/NAME, a record, or a case with --case")
    live = None if what is None else _LIVE.fullmatch(what)
    _refuse_mixed(context, is_live=live is not None)
    if live is not None:
        from inflight.cli.explain_live import Question, run

        question = Question(
            name=live[1],
            namespace=namespace,
            kubeconfig=kubeconfig,
            context=cluster_context,
            server=server,
            watch=watch,
            record=record_file,
            kubernetes=kubernetes,
            flags=flags,
            settings=texts,
            changes=changes,
            output=output,
        )
        context.exit(run(question))
    record = what
    if at is not None and sync is not None:
        raise click.UsageError("--at and --sync both say which sync; give one")
    if case_id is not None and case is None:
        raise click.UsageError("--id says which case; it goes with --case")
    problems: list[str] = []
    if case is not None:
        played = _read_case(case, case_id)
        if not isinstance(played, _Story):
            if at is not None or sync is not None or hpa is not None or texts:
                raise click.UsageError("this case is one call of the calculator: it has no syncs, no HPA, no settings")
            _print_call(played, output)
            return
        chosen = _choose(played.records(), at, sync, hpa)
    else:
        assert record is not None
        with _open(record) as file:
            chosen = _choose(_from_record(file, record, problems), at, sync, hpa)
    try:
        settings = [parse_setting(text) for text in texts]
        changed = apply_settings(chosen.record, settings)
    except SettingError as error:
        raise click.UsageError(str(error)) from error
    known = remembered_for(chosen.known, chosen.record, changed)
    answer = Answer(
        explanation=explain(changed, known, with_changes=changes),
        settings=tuple(map(str, settings)),
        recorded=explain(chosen.record, chosen.known, with_changes=False) if settings else None,
    )
    _print(answer, output)
    if problems:
        click.echo(f"{len(problems)} lines of {record} were no records", err=True)
        context.exit(2)
    if (answer.recorded or answer.explanation).differs_from_record:
        context.exit(1)


def _refuse_mixed(context: click.Context, *, is_live: bool) -> None:
    """Options of the other kind of source would be passed over in silence."""
    foreign = _OF_FILES if is_live else _OF_CLUSTERS
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        if parameter.name in foreign and given:
            kind = "a record or a case" if is_live else "an HPA of a cluster (hpa/NAME)"
            raise click.UsageError(f"{max(parameter.opts, key=len)} is for {kind}")


def _open(name: str) -> IO[bytes]:
    if name == "-":
        return sys.stdin.buffer
    try:
        return open(name, "rb")
    except OSError as error:
        raise click.UsageError(f"{name} cannot be read: {error.strerror}") from error


def _from_record(file: IO[bytes], name: str, problems: list[str]) -> "Iterator[Record]":
    from inflight.hpa.record import MAX_LINE_BYTES, RecordError, read_records

    for number, found in read_records(numbered_lines(file, MAX_LINE_BYTES)):
        if isinstance(found, RecordError):
            problems.append(str(found))
            click.echo(f"{name}:{number}: {found}", err=True)
        else:
            yield found


class _Story:
    """A story whose syncs are played one after the other."""

    def __init__(self, name: str, line: "StoryLine") -> None:
        self._name = name
        self._line = line

    def records(self) -> "Iterator[Record]":
        from inflight.hpa.cases import CaseError, story_records

        try:
            yield from story_records(self._line)
        except CaseError as error:
            raise click.UsageError(f"{self._name}: {error}") from error


def _read_case(file: IO[bytes], case_id: str | None) -> "_Story | CallTrace":
    from inflight.hpa.cases import CallLine, CaseError, read_case, trace_call

    name = getattr(file, "name", "-")
    try:
        case = read_case(_one_case(file, case_id))
        return trace_call(case) if isinstance(case, CallLine) else _Story(name, case)
    except CaseError as error:
        raise click.UsageError(f"{name}: {error}") from error


def _print_call(call: "CallTrace", output: str) -> None:
    """One step is all there is: the metric's."""
    from inflight.hpa.sentences import metric_step
    from inflight.objects import to_json

    step = metric_step(call.metric, call.tolerances)
    if output == "json":
        plain = {
            "version": 1,
            "kubernetes": call.kubernetes,
            "judged": call.judged,
            "step": step,
            "calculation": call.metric.calculation,
        }
        sys.stdout.buffer.write(to_json(plain) + b"\n")
        sys.stdout.buffer.flush()
        return
    proposal = "no proposal" if step.replicas is None else f"{step.replicas} proposed"
    click.echo(f"one call of the calculator, Kubernetes {call.kubernetes}{_judged(call.judged)}: {proposal}")
    for wrapped in _wrapped(f"  - {step.text}", _width()):
        click.echo(wrapped)


def _width() -> int:
    return max(60, min(shutil.get_terminal_size((110, 24)).columns, 140))


def _judged(judged: bool) -> str:
    return "" if judged else " (not judged against the original)"


def _one_case(file: IO[bytes], case_id: str | None) -> dict[str, Any]:
    """The case of a file with a single JSON object, spread over lines or not, or that of one line of many."""
    from inflight.hpa.cases import MAX_LINE_BYTES, CaseError, decode_line

    data = file.read(MAX_LINE_BYTES + 1)
    try:
        plain = decode_line(data)
    except CaseError as error:
        lines = [line for line in data.splitlines() if line.strip()]
        if len(data) > MAX_LINE_BYTES or len(lines) < 2 or not lines[0].rstrip().endswith(b"}"):
            raise
        if case_id is None:
            raise CaseError(f"the file has {len(lines)} lines, each a case; say with --id which") from error
        for line in lines:
            plain = decode_line(line)
            if plain.get("id") == case_id:
                return plain
        raise CaseError(f"there is no case {case_id[:80]!r}") from error
    if case_id is not None and plain.get("id") != case_id:
        raise CaseError(f"there is no case {case_id[:80]!r}; the only one is {str(plain.get('id'))[:80]!r}")
    return plain


def _choose(records: "Iterable[Record]", at: str | None, sync: int | None, hpa: str | None) -> _Chosen:
    """Follows the HPA through all its records up to the one asked for."""
    from inflight.hpa.remembered import Follower
    from inflight.hpa.sentences import moment

    follower, chosen, number = Follower(), None, 0
    names: dict[str, None] = {}
    until_ns = first_ns = None
    for record in records:
        if len(names) < _MAX_NAMED:
            names.setdefault(record.name)
        if hpa is not None and record.name != hpa:
            continue
        if hpa is None and len(names) > 1:
            raise click.UsageError(f"the record has several HPAs; choose one with --hpa: {', '.join(names)}, ...")
        number += 1
        if first_ns is None:
            first_ns = record.now_ns
            until_ns = None if at is None else _moment(at, first_ns)
        known = follower.follow(record)
        fits = until_ns is None or record.now_ns <= until_ns
        later = chosen is None or sync is not None or record.now_ns >= chosen.record.now_ns or until_ns is None
        if fits and later:
            chosen = _Chosen(record, known)
        if sync is not None and number == sync:
            break
    if first_ns is None:
        what = "no record" if hpa is None else f"no record of {hpa}"
        others = f"; it has {', '.join(names)}" if names and hpa is not None else ""
        raise click.UsageError(f"there is {what} in it{others}")
    if sync is not None and number < sync:
        raise click.UsageError(f"there are {number} syncs, not {sync}")
    if chosen is None:
        raise click.UsageError(f"the first sync is at {moment(first_ns)}, later than {at}")
    return chosen


def _moment(text: str, first_ns: int) -> int:
    from inflight.objects import TimeError, parse_time

    relative = _RELATIVE.fullmatch(text)
    if relative is not None:
        return first_ns + round(float(relative[1]) * _SECONDS[relative[2]] * 1e9)
    try:
        return int(parse_time(text))
    except TimeError as error:
        raise click.UsageError(f"--at: {error}, or +10m for ten minutes after the first sync") from error


def _print(answer: Answer, output: str) -> None:
    from inflight.objects import to_json

    if output == "json":
        sys.stdout.buffer.write(to_json(answer) + b"\n")
        sys.stdout.buffer.flush()
        return
    echo_wrapped(_lines(answer))


def echo_wrapped(lines: Iterable[str]) -> None:
    """Each line within the width of the terminal. What an adapter said must not steer it."""
    from inflight.signals.foreign import printable

    for line in lines:
        for wrapped in _wrapped(printable(line), _width()):
            click.echo(wrapped)


def _wrapped(line: str, width: int) -> list[str]:
    """Long lines go on under their own text: behind the columns of a step, behind the dash of a list."""
    column = re.match(r"[ *] \S+(?: \d+)? +(?:-?\d+|-)  |  - |  |", line)
    indent = " " * (column.end() if column else 0)
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]


def _lines(answer: Answer) -> Iterator[str]:
    yield from explanation_lines(answer.explanation, answer.settings, answer.recorded)
    differing = (answer.recorded or answer.explanation).differs_from_record
    if differing:
        yield ""
        yield "The record says something else than is computed"
        for text in differing:
            yield f"  - {text}"


def explanation_lines(
    explanation: "Explanation",
    settings: tuple[str, ...] = (),
    recorded: "Explanation | None" = None,
    before: str = "as recorded",
) -> Iterator[str]:
    """Sentence, steps, memory and changes. `recorded` is what it is without the settings, `before` its name."""
    yield f"{explanation.hpa} at {explanation.at}, Kubernetes {explanation.kubernetes}{_judged(explanation.judged)}"
    if recorded is not None:
        yield f"{before}: {recorded.sentence}"
        yield f"with {', '.join(settings)}: {explanation.sentence}"
    else:
        yield explanation.sentence
    yield ""
    yield "Step by step" + _condition(explanation)
    several = len(explanation.trace.metrics) > 1
    for step in explanation.steps:
        name = f"{step.step} {step.metric}" if step.step == "metric" and several else step.step
        count = "-" if step.replicas is None else str(step.replicas)
        yield f"{'*' if step.bound else ' '} {name:<14} {count:>4}  {step.text}"
    if any(step.bound for step in explanation.steps):
        yield "  (* changed the count)"
    yield ""
    yield "Memory"
    yield f"  {explanation.memory.text}"
    if explanation.changes:
        yield ""
        yield "What would change it (one step less would not)" + _condition(explanation)
        for change in explanation.changes:
            yield f"  - {change.text}"


def _condition(explanation: "Explanation") -> str:
    return ", if nothing unknown holds the count" if explanation.memory.certainty == "Range" else ""
