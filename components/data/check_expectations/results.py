"""What Great Expectations (GX) found, as checks, and as its own result without values of records."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

from kfp_hallmark.components.data.check_expectations.suite import Suite
from kfp_hallmark.contracts.verdict import Check, Status, judge
from kfp_hallmark.errors import IntegrityError
from kfp_hallmark.reports import number

COUNTS = (
    "element_count",
    "missing_count",
    "missing_percent",
    "unexpected_count",
    "unexpected_percent",
    "unexpected_percent_nonmissing",
    "unexpected_percent_total",
)
"""What GX's results tell without values of records."""
AGGREGATES = (
    "expect_column_kl_divergence_to_be_less_than",
    "expect_column_mean_to_be_between",
    "expect_column_pair_cramers_phi_value_to_be_less_than",
    "expect_column_proportion_of_non_null_values_to_be_between",
    "expect_column_proportion_of_unique_values_to_be_between",
    "expect_column_stdev_to_be_between",
    "expect_column_sum_to_be_between",
    "expect_column_unique_value_count_to_be_between",
    "expect_table_column_count_to_be_between",
    "expect_table_column_count_to_equal",
    "expect_table_row_count_to_be_between",
    "expect_table_row_count_to_equal",
)
"""The expectations whose observed value is of many records; a least, greatest or most frequent value is of one."""
OF_VALUES = tuple(f"expect_column_{name}_to_be_between" for name in ("mean", "stdev", "sum"))
"""The aggregates that tell the values themselves where there are few."""
FEWEST = 5
"""Of fewer values no such aggregate is told."""
PRESENT = "expect_column_proportion_of_non_null_values_to_be_between"
"""The aggregate that is of the rows without a value too."""
COLUMN_SET = "expect_table_columns_to_match_set"
LIMITS = {"minimum": ("min_value", "value"), "maximum": ("max_value", "value", "threshold")}
"""Which arguments limit an aggregate."""
LONGEST = 300
"""How many characters of what is expected are told."""


@dataclass(frozen=True)
class Result:
    """What GX found of one expectation.

    Attributes:
        type: The expectation.
        kwargs: Its arguments, with the values of parameters.
        severity: `critical`, `warning` or `info`: how bad it is when the expectation does not hold.
        expected: What it asks for, in words.
        success: Whether it holds.
        raised: Whether it could not be computed.
        counts: Numbers of rows and shares in percent, by GX's names; nothing where no rows are counted.
        values: How many values an aggregate of a column is of; None for what is none.
        observed: The aggregate that was observed.
        mismatched: Names of columns that are not as expected, in words.
    """

    type: str
    kwargs: Mapping[str, Any]
    severity: str
    expected: str
    success: bool
    raised: bool
    counts: Mapping[str, float | None]
    values: int | None
    observed: float | None
    mismatched: str = ""

    @property
    def considered(self) -> int | None:
        """How many rows were looked at, those without a value left out; None where no rows are counted."""
        rows = self.counts.get("element_count")
        return None if rows is None else int(rows - (self.counts.get("missing_count") or 0))

    @property
    def valueless(self) -> bool:
        """Whether no row has a value to tell by."""
        return 0 in (self.considered, self.values)

    @property
    def columns(self) -> list[str]:
        """The columns that it is about."""
        named = [self.kwargs.get(name) for name in ("column", "column_A", "column_B")]
        return [str(name) for name in [*named, *(self.kwargs.get("column_list") or [])] if name is not None]


def counting(suite: Suite) -> list[dict[str, Any]]:
    """Return what else GX is asked: for each aggregate of a column, how many of the same rows have a value."""
    from great_expectations.expectations.expectation import ColumnAggregateExpectation
    from great_expectations.expectations.registry import get_expectation_impl

    return [
        {
            "type": "expect_column_values_to_not_be_null",
            "kwargs": {
                name: each["kwargs"][name]
                for name in ("column", "row_condition", "condition_parser")
                if name in each["kwargs"]
            },
            "id": _counting_id(each["id"]),
        }
        for each in suite.expectations
        if each["type"] != PRESENT and issubclass(get_expectation_impl(each["type"]), ColumnAggregateExpectation)
    ]


def _counting_id(place: str) -> str:
    return str(uuid.uuid5(uuid.UUID(place), "values"))


def results(found: Any, suite: Suite) -> list[Result]:
    """Return what GX found, in the suite's order; it tells first what it could not compute.

    Raises:
        IntegrityError: If it does not tell of every expectation once.
    """
    by_place = {each.expectation_config.id: each for each in found.results}
    places = [expectation["id"] for expectation in suite.expectations]
    asked = [*places, *(each["id"] for each in counting(suite))]
    if sorted(by_place) != sorted(asked) or len(found.results) != len(asked):
        raise IntegrityError(f"Great Expectations must tell of {len(asked)} expectations; it told of others.")
    return [_result(by_place[place], by_place.get(_counting_id(place))) for place in places]


def _result(found: Any, counted: Any) -> Result:
    config, told = found.expectation_config, found.result or {}
    values = None if counted is None else _present(counted.result or {})
    telling = config.type in AGGREGATES and (config.type not in OF_VALUES or (values or 0) >= FEWEST)
    return Result(
        config.type,
        config.kwargs,
        getattr(config.severity, "value", config.severity),
        _expected(config.to_domain_obj()),
        bool(found.success),
        _raised(found.exception_info),
        {name: _number(told[name]) for name in COUNTS if name in told},
        values,
        _number(told.get("observed_value")) if telling else None,
        _mismatched(told) if config.type == COLUMN_SET else "",
    )


def _present(told: Mapping[str, Any]) -> int | None:
    """Return how many rows have a value; None if that could not be computed."""
    rows, missing = told.get("element_count"), told.get("unexpected_count")
    return None if rows is None or missing is None else int(rows - missing)


def _mismatched(told: Mapping[str, Any]) -> str:
    """Return which columns are not as expected."""
    found = (told.get("details") or {}).get("mismatched", {})
    return "; ".join(f"{word} {', '.join(map(str, names))}" for word, names in found.items())


def _number(value: Any) -> float | None:
    """Return a number as Python's own; None for what is none, or not finite."""
    import numbers

    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        return None
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def _raised(info: Any) -> bool:
    """Return whether something was raised; GX tells of it for the expectation, or for each measure that it needs."""
    if not isinstance(info, dict):
        return False
    return info.get("raised_exception") is True or any(map(_raised, info.values()))


def _expected(expectation: Any) -> str:
    """Return what an expectation asks for, as GX says it."""
    expectation.render()
    for content in expectation.rendered_content or ():
        if template := getattr(content.value, "template", None):
            values = {name: _word(each.get("value")) for name, each in (content.value.params or {}).items()}
            text = " ".join(Template(template).safe_substitute(values).split()).rstrip(".")
            return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return _title(expectation)


def _word(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _title(expectation: Any) -> str:
    words = expectation.expectation_type.removeprefix("expect_").replace("_", " ")
    column = getattr(expectation, "column", None)
    return f"{column}: {words.removeprefix('column ')}" if column else words


def check_of(result: Result, suite: str, columns: Sequence[str], rows: int) -> Check:
    """Return the check of an expectation.

    Args:
        result: What GX found.
        suite: The suite's name.
        columns: The dataset's columns.
        rows: How many rows it has.
    """
    absent = [name for name in result.columns if name not in columns]
    status = _status(result, bool(absent))
    observed, limits = _measured(result)
    if status.passed and limits and judge(observed, **limits) is not Status.PASS:
        limits = {}
    about = {"feature": result.columns[0]} if len(result.columns) == 1 else {"columns": ", ".join(result.columns)}
    return Check(
        result.type,
        status,
        observed=observed,
        **limits,
        samples=next((count for count in (result.considered, result.values) if count is not None), rows),
        scope={"suite": suite} | (about if result.columns else {}),
        message=f"{result.expected}: {_found(result, absent)}.",
    )


def _status(result: Result, absent: bool) -> Status:
    """Return what an expectation comes to: what cannot be computed, or of which no row tells, is no pass."""
    if result.raised:
        return Status.FAIL if absent else Status.INCONCLUSIVE
    if not result.success and result.severity == "critical":
        return Status.FAIL
    if result.valueless:
        return Status.INCONCLUSIVE
    return Status.PASS if result.success else Status.WARN


def _measured(result: Result) -> tuple[float | None, dict[str, float]]:
    """Return what was observed, and what limits it: the share of rows as expected, distinct values, or an aggregate."""
    unexpected = result.counts.get("unexpected_count")
    if result.considered and unexpected is not None:
        return (float(result.considered) - float(unexpected)) / result.considered, {"minimum": _mostly(result)}
    if result.considered is None and unexpected is not None:
        return unexpected, {"maximum": 0}
    if result.observed is None:
        return None, {}
    given = {end: [_number(result.kwargs.get(name)) for name in names] for end, names in LIMITS.items()}
    return result.observed, {end: value for end, values in given.items() for value in values if value is not None}


def _mostly(result: Result) -> float:
    mostly = _number(result.kwargs.get("mostly"))
    return 1.0 if mostly is None else mostly


def _found(result: Result, absent: Sequence[str]) -> str:
    unexpected, considered = result.counts.get("unexpected_count"), result.considered
    if result.raised and absent:
        return f"the dataset has no column {', '.join(absent)}"
    if result.raised:
        return "this cannot be computed of a column of its type, or of a table in memory"
    if result.valueless:
        return "no row has a value to tell by"
    if considered is not None and unexpected is not None:
        told = f"{unexpected:,} of {considered:,} rows are not so" if unexpected else f"so it is in {considered:,} rows"
    elif unexpected is not None:
        told = f"{unexpected:,} distinct values are not so" if unexpected else "so it is"
    elif result.observed is not None:
        told = f"it is {number(result.observed)}"
    else:
        told = "so it is" if result.success else result.mismatched or "it is not so"
    return told if result.success or result.severity == "critical" else f"{told} (severity {result.severity})"


def stripped(suite: Suite, found: Sequence[Result]) -> dict[str, Any]:
    """Return GX's validation result as its JSON, without values of records."""
    held = sum(each.success for each in found)
    return {
        "success": held == len(found),
        "results": [_entry(expectation, each) for expectation, each in zip(suite.expectations, found, strict=True)],
        "suite_name": suite.name,
        "suite_parameters": {},
        "statistics": {
            "evaluated_expectations": len(found),
            "successful_expectations": held,
            "unsuccessful_expectations": len(found) - held,
            "success_percent": 100 * held / len(found),
        },
        "meta": {},
        "id": None,
    }


def _entry(expectation: Mapping[str, Any], result: Result) -> dict[str, Any]:
    observed = {} if result.observed is None else {"observed_value": result.observed}
    return {
        "success": result.success,
        "expectation_config": dict(expectation),
        "result": dict(result.counts) | observed,
        "meta": {},
        "exception_info": {
            "raised_exception": result.raised,
            "exception_message": None,
            "exception_traceback": None,
        },
    }
