"""docs/decision.md says what is so: its example runs, and it names every reason code and every releases' row."""

import contextlib
import io
import re
from pathlib import Path

from inflight.hpa import JUDGED_RELEASES, Reason
from inflight.hpa.cases import METHODS
from inflight.objects import known_releases

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "decision.md").read_text(encoding="utf-8")


def test_the_example_prints_what_it_says() -> None:
    [example] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    [expected] = re.findall(r"^# (.*)$", example, re.MULTILINE)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example, "docs/decision.md", "exec"), {})  # the documentation is ours
    assert printed.getvalue() == f"{expected}\n"


def test_every_reason_code_is_documented() -> None:
    section = TEXT.partition("### Reason codes")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`(\w+)`", section))
    assert {reason.value for reason in Reason} <= documented
    assert documented - {reason.value for reason in Reason} <= {"verdict", "failure", "why", "bound_by"}


def test_every_release_and_method_is_documented() -> None:
    for release in known_releases():
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| {release} |"))
        assert row.rstrip("| ").endswith("no") == (release not in JUDGED_RELEASES)
    for method in METHODS:
        assert f"`{method}`" in TEXT
