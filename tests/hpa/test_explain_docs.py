"""docs/explain.md says what is so: its example runs, its sample is what is printed, its tables are complete."""

import contextlib
import io
import re
from pathlib import Path

import msgspec
from click.testing import CliRunner

from inflight.cli.explain import command
from inflight.hpa.change import Input
from inflight.hpa.explanation import Certainty, Explanation
from inflight.hpa.record import Outcome, Record
from inflight.hpa.remembered import Source
from inflight.hpa.sentences import PodNote, Step
from inflight.hpa.settings import SETTINGS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "explain.md").read_text(encoding="utf-8")
FLAT = " ".join(TEXT.split())


def example() -> str:
    [*_, last] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    return str(last)


def test_the_notebook_example_prints_what_it_says() -> None:
    code = example()
    expected = [line.removeprefix("# ") for line in code.splitlines() if line.startswith("# ")]
    expected = [line for line in expected if not line.startswith(("A controller that", "Somebody else"))]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "docs/explain.md", "exec"), {})  # the documentation is ours
    assert printed.getvalue().splitlines() == expected


def test_every_code_setting_option_and_field_is_documented() -> None:
    words = set(re.findall(r"`([\w-]+)`", FLAT))
    for kind in (Input, Source, Certainty):
        assert {each.value for each in kind} <= words
    assert set(SETTINGS) <= words
    for struct in (Record, Outcome, Explanation, Step, PodNote):
        assert {field.name for field in msgspec.structs.fields(struct)} <= words | {"trace"}
    for parameter in command.params:
        option = max((*parameter.opts, *parameter.secondary_opts), key=len)
        assert option in FLAT or parameter.human_readable_name.upper() in FLAT


def test_the_sample_is_what_the_command_prints_of_the_example() -> None:
    scope: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(example(), "docs/explain.md", "exec"), scope)
    lines = scope["lines"]
    assert isinstance(lines, list)
    result = CliRunner().invoke(command, ["-"], input=b"".join(lines))
    [sample, *_] = re.findall(r"```\n(.*?)```", TEXT, re.DOTALL)
    assert sample.split() == result.stdout.split()
