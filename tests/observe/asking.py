"""The command as a person calls it, and what it says."""

import json
from typing import Any

from click.testing import CliRunner, Result

from inflight.cli.explain import command

from .fake_cluster import FakeCluster

Plain = dict[str, Any]


def ask(cluster: FakeCluster, *arguments: str, name: str = "llm", namespace: str = "shop") -> Result:
    runner = CliRunner(env={"COLUMNS": "140"})
    return runner.invoke(command, [f"hpa/{name}", "-n", namespace, "--server", cluster.url, *arguments])


def text_of(cluster: FakeCluster, *arguments: str, code: int = 0) -> str:
    """The answer as one line of words, so that where it wraps does not matter."""
    result = ask(cluster, *arguments)
    assert result.exit_code == code, result.output
    return " ".join(result.stdout.split())


def answer_of(cluster: FakeCluster, *arguments: str, code: int = 0) -> Plain:
    """Without the changes, which take most of the time and are in the text."""
    result = ask(cluster, "-o", "json", "--no-changes", *arguments)
    assert result.exit_code == code, result.output
    plain: Plain = json.loads(result.stdout)
    return plain


def notes(answer: Plain) -> dict[str, str]:
    return {note["code"]: note["text"] for note in answer["live"]["notes"]}
