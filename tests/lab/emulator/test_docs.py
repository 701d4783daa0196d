"""The page of documentation names what there is."""

from pathlib import Path

import click
import pytest

from inflight.cli.emulate import command
from inflight.lab.emulator.faults import MODES

DOCS = (Path(__file__).parents[3] / "docs" / "emulator.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "flag", [flag for option in command.params if isinstance(option, click.Option) for flag in option.opts]
)
def test_every_option_is_explained(flag: str) -> None:
    assert f"{flag}`" in DOCS or f"`{flag}" in DOCS or f" {flag} " in DOCS


@pytest.mark.parametrize("mode", MODES)
def test_every_fault_has_its_row(mode: str) -> None:
    assert f"| `{mode}`" in DOCS
