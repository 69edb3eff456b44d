"""How data do not fit a schema."""

import pyarrow
import pytest

from kfp_hallmark.components.data.validate_dataset.schema import (
    AT_ONCE,
    anomalies_at_once,
    find_anomalies,
    infer_schema,
)
from kfp_hallmark.profiles.profile import type_name
from kfp_hallmark.profiles.statistics import compute_statistics


def wide(columns, changes=()):
    table = {f"c{index}": [index, index + 1] * 20 for index in range(columns)}
    table |= {f"t{index}": ["a", "b"] * 20 for index in range(columns)} | dict(changes)
    return pyarrow.table({name: values for name, values in table.items() if values is not None})


def inferred(table, path):
    return infer_schema(compute_statistics(path), {field.name: type_name(field.type) for field in table.schema})


@pytest.mark.parametrize("columns", [AT_ONCE // 2, AT_ONCE // 2 + 1, AT_ONCE])
def test_many_columns_are_held_against_the_schema_a_few_at_a_time(stored, columns):
    last = columns - 1
    changes = {
        "c0": [0.5] * 40,
        "c1": None,
        f"c{last}": ["x"] * 40,
        f"t{last}": ["z"] * 40,
        "t0": None,
        "new": [1] * 40,
    }
    schema = inferred(wide(columns), stored(wide(columns), "before").path)
    found = compute_statistics(stored(wide(columns, changes)).path)
    schema.dataset_constraints.min_examples_count = 41
    anomalies = find_anomalies(found, schema)
    assert len(anomalies) == 7
    assert {each.feature for each in anomalies} == {*changes, None}
    assert sorted(anomalies, key=repr) == sorted(anomalies_at_once(found, schema), key=repr)


def test_data_that_fit_have_no_anomalies(stored):
    path = stored(wide(AT_ONCE)).path
    assert find_anomalies(compute_statistics(path), inferred(wide(AT_ONCE), path)) == []
