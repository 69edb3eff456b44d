"""The page lists every field of the statement, as it is checked."""

import re
from pathlib import Path

import yaml

from kfp_hallmark.components.governance.write_model_card.fields import FIELDS
from kfp_hallmark.statement import GROUPS, PARTS, RISKS, read_statement

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "model_card.md").read_text(encoding="utf-8")


def test_every_field_is_on_the_page():
    rows = re.findall(r"^\| `(\w+)` \| (text|texts|list of [^|]*) \| ([^|]*) \|$", PAGE, re.MULTILINE)
    assert {name: meaning for name, _, meaning in rows} == {name: meaning for name, (_, meaning) in FIELDS.items()}
    for name, form, _ in rows:
        if FIELDS[name][0] in (RISKS, GROUPS):
            assert tuple(re.findall(r"`(\w+)`", form)) == PARTS[FIELDS[name][0]]
        else:
            assert form == FIELDS[name][0].removeprefix("a list of ")


def test_the_example_is_read(tmp_path):
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
    (tmp_path / "statement.yaml").write_text(example, encoding="utf-8")
    assert read_statement(str(tmp_path / "statement.yaml"), FIELDS).said == yaml.safe_load(example)
