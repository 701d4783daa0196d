"""The recipe in docs/simulation.md runs as it stands, on a short ramp."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs" / "simulation.md"


def test_the_recipe_prints_a_row_for_each_policy(capsys):
    (recipe,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    short, found = re.subn(r'parse_ramp\("[^"]+"\)', 'parse_ramp("1:20,3:40")', recipe)
    assert found == 1
    exec(compile(short, str(DOCS), "exec"), {})
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["in-flight", "fixed-5"]
