"""The page lists every field of the statement, as it is checked."""

import re
from pathlib import Path

from kfp_hallmark.components.data.write_datasheet.fields import FIELDS, SECTIONS
from kfp_hallmark.statement import read_statement

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "datasheet.md").read_text(encoding="utf-8")


def test_every_field_is_on_the_page():
    rows = re.findall(r"^\| `(\w+)` \| (texts?|date \(YYYY-MM-DD\)) \| ([^|]*) \|$", PAGE, re.MULTILINE)
    assert [(name, meaning) for name, _, meaning in rows] == [(name, meaning) for name, (_, meaning) in FIELDS.items()]
    for name, form, _ in rows:
        assert form == FIELDS[name][0].removeprefix("a list of ").removeprefix("a ")
    assert re.findall(r"^\*\*(.*)\*\*$", PAGE, re.MULTILINE) == list(SECTIONS)


def test_the_example_is_read(tmp_path):
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
    (tmp_path / "statement.yaml").write_text(example, encoding="utf-8")
    said = read_statement(str(tmp_path / "statement.yaml"), FIELDS).said
    assert said["release_date"] == "2016-10-19"
    assert len(said) == 5
