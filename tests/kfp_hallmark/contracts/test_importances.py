import json
from dataclasses import asdict

import pytest

from kfp_hallmark.contracts.importances import Cohort, Importances
from kfp_hallmark.errors import IntegrityError, MissingInputError

GIVEN = Importances(
    model="sha256:" + "1" * 64,
    dataset="sha256:" + "2" * 64,
    target="bought",
    explained="bought = yes",
    method="the coefficients, exactly",
    unit="log-odds",
    rows=25,
    seed=3,
    importances={"town": 0.5, "age": 0.25},
    cohorts=[Cohort("town", "Ulm", 20, {"age": 0.1, "town": 0.0})],
    part_rows=10,
    parts={"town": [0.4, 0.6], "age": [0.2, 0.3]},
)


def test_it_is_read_as_it_was_written(tmp_path):
    GIVEN.write(tmp_path / "importances.json")
    found = Importances.read(tmp_path / "importances.json")
    assert found == GIVEN
    assert list(found.importances) == ["town", "age"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "sha256:1"}, "a digest is none"),
        ({"importances": {}, "parts": {}}, "its parts are not of its features"),
        ({"parts": {"town": [0.4, 0.6]}}, "its parts are not of its features"),
        ({"parts": {"town": [0.4], "age": [0.2, 0.3]}}, "its parts are not of its rows"),
        ({"rows": 30}, "its parts are not of its rows"),
        ({"part_rows": 0}, "its parts are not of its rows"),
        ({"importances": {"town": -0.5, "age": 0.25}}, "a mean absolute value is none"),
        ({"parts": {"town": [0.4, True], "age": [0.2, 0.3]}}, "a mean absolute value is none"),
        ({"importances": {"town": "much", "age": 0.25}}, "a mean absolute value is none"),
        ({"cohorts": [{"column": "town"}]}, "missing 3 required"),
        ({"more": 1}, "unexpected keyword"),
        ({"parts": None}, "has no attribute"),
    ],
)
def test_what_is_not_whole_is_refused(tmp_path, change, message):
    path = tmp_path / "importances.json"
    path.write_text(json.dumps({"schema": "hallmark/importances/v1"} | asdict(GIVEN) | change))
    with pytest.raises(IntegrityError, match=f"must be a whole hallmark/importances/v1; .*{message}"):
        Importances.read(path)


def test_another_schema_and_none_at_all(tmp_path):
    with pytest.raises(MissingInputError):
        Importances.read(tmp_path / "importances.json")
    (tmp_path / "importances.json").write_text('{"schema": "hallmark/importances/v9"}')
    with pytest.raises(IntegrityError, match="must have the schema"):
        Importances.read(tmp_path / "importances.json")
