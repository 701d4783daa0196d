"""Rules of the house that no linter knows: size of modules, and that the project speaks of itself alone."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def source_files() -> list[Path]:
    return sorted((ROOT / "src").rglob("*.py"))


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_a_module_stays_below_500_lines_and_opens_with_its_idea(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 500
    assert text.startswith('"""')


def test_no_path_of_a_machine_stands_in_the_project() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    pattern = re.compile(rb"(^|[^A-Za-z0-9_.~/])/(work|root|home/[a-z]+|Users)/", re.MULTILINE)
    found = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.is_file() and path.suffix not in {".gz", ".png", ".jsonl"} and path != Path(__file__).resolve():
            found += [f"{name}: {match.group(0)!r}" for match in pattern.finditer(path.read_bytes())]
    assert found == []


def test_every_verb_of_the_makefile_is_in_its_help() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for verb in ("setup", "lab", "test", "lint", "bench"):
        assert f"make {verb} " in shown


def test_every_relative_link_of_the_docs_leads_somewhere() -> None:
    broken = []
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if "://" not in link and not (page.parent / link).exists():
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert broken == []


def test_every_command_of_the_package_can_be_called(capsys: pytest.CaptureFixture[str]) -> None:
    modules = (ROOT / "src" / "inflight" / "cli").glob("*.py")
    commands = {path.stem for path in modules if "@click.command" in path.read_text(encoding="utf-8")}
    from inflight.cli.main import COMMANDS, group

    assert {module.rpartition(".")[2] for module, _ in COMMANDS.values()} == commands
    for name in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            group.main([name, "--help"], prog_name="inflight")
        assert ended.value.code == 0
        assert "\\" + "b" not in capsys.readouterr().out, "an example that click has reflowed"
