"""`inflight decide`: decision cases in, decisions out, one JSON object a line, streaming.

Answers go to stdout, complaints and progress to stderr (progress on a terminal only). Exit codes: 0 every line was
answered, 2 a line could not be read as a case, or the file could not be read.
"""

import sys
import time
from typing import IO, Any

import click

from inflight.cli.lines import numbered_lines

PROGRESS_EVERY_SECONDS = 0.5


EXAMPLES = """\b
Examples:
  inflight decide cases.jsonl > answers.jsonl
  inflight decide - < cases.jsonl | jq -c 'select(.error)'
"""


@click.command("decide", epilog=EXAMPLES)
@click.argument("cases", type=click.File("rb"))
@click.option(
    "--architecture",
    type=click.Choice(["amd64", "arm64"]),
    default="amd64",
    show_default=True,
    help="Processor of the controller: decides what a number outside an integer's range becomes. arm64 was not judged.",
)
def command(cases: IO[bytes], architecture: str) -> None:
    """Answer decision cases as the upstream HPA controller would.

    CASES has one case a line (`-` reads stdin): a story of one HPA told in steps, or one call of the replica
    calculator; docs/decision.md describes both. A case that cannot be played gets an answer with an `error`. A line
    that is no case is named on stderr, the rest goes on, and the exit code is 2.
    """
    from inflight.hpa.cases import MAX_LINE_BYTES, CaseError, answer_case, decode_line
    from inflight.objects import to_json

    progress = _Progress()
    name = getattr(cases, "name", "-")
    broken = 0
    try:
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
            progress.count(answer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever read the answers has had enough.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        raise click.FileError(name, str(error)) from error
    progress.clear()
    if broken:
        click.echo(f"{broken} of {progress.cases + broken} lines were no cases", err=True)
        sys.exit(2)


class _Progress:
    """One line on stderr that is written over, on a terminal only."""

    def __init__(self) -> None:
        self.cases = 0
        self._syncs = 0
        self._next = time.monotonic() + PROGRESS_EVERY_SECONDS
        self._shown = False

    def count(self, answer: dict[str, Any]) -> None:
        self.cases += 1
        self._syncs += len(answer.get("syncs") or ())
        if time.monotonic() >= self._next and sys.stderr.isatty():
            self._next = time.monotonic() + PROGRESS_EVERY_SECONDS
            self._shown = True
            sys.stderr.write(f"\r{self.cases:,} cases, {self._syncs:,} syncs")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            self._shown = False
