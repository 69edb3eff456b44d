"""The conditions of a pipeline's branches, in the few forms of CEL that KFP's compiler writes.

kfp.local 2.17 pastes a step's outputs into the condition and has Python evaluate the text; here they are only compared.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from typing import Any

from kfp_hallmark.errors import InputError

_COMPARISONS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_CONVERSIONS = {"int": int, "double": float}
_CONSTANTS = {"true": True, "false": False}


def holds(condition: str, values: Mapping[str, Any]) -> bool:
    """Return whether a condition holds.

    Args:
        condition: Comparisons joined by `&&`, each as it is or inside `!( )`.
        values: What the inputs that the condition names are.

    Raises:
        InputError: If it has another form, an input has no value, or two values cannot be compared.
    """
    try:
        return _holds(condition, values)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"The condition {readable(condition)} must compare values of one kind; {error}.") from error


def readable(condition: str) -> str:
    """Return a condition with its inputs named as the pipeline's author named them."""
    return re.sub(r"inputs\.parameter_values\['(?:pipelinechannel--)?([^']+)'\]", r"\1", condition)


def _holds(condition: str, values: Mapping[str, Any]) -> bool:
    quoted: list[str] = []

    def number(match: re.Match[str]) -> str:
        quoted.append(match[1])
        return f"'{len(quoted) - 1}'"

    # Without what stands in quotes, an operator is an operator.
    masked = re.sub(r"'([^']*)'", number, condition)
    return all(_compare(term.strip(), quoted, values) for term in masked.split("&&"))


def _compare(term: str, quoted: list[str], values: Mapping[str, Any]) -> bool:
    if negated := re.fullmatch(r"!\((.*)\)", term):
        return not _compare(negated[1], quoted, values)
    sides = re.fullmatch(r"([^<>=!]+) (==|!=|<=|>=|<|>) ([^<>=!]+)", term)
    if sides is None:
        raise ValueError("it is not a comparison")
    left, right = (_operand(side, quoted, values) for side in (sides[1], sides[3]))
    if _kind(left) is not _kind(right):
        raise TypeError(f"it compares {_kind(left).__name__} with {_kind(right).__name__}")
    return bool(_COMPARISONS[sides[2]](left, right))


def _operand(text: str, quoted: list[str], values: Mapping[str, Any]) -> Any:
    if converted := re.fullmatch(r"(int|double)\((.*)\)", text):
        return _CONVERSIONS[converted[1]](_operand(converted[2], quoted, values))
    if reference := re.fullmatch(r"inputs\.parameter_values\['(\d+)'\]", text):
        name = quoted[int(reference[1])]
        if values.get(name) is None:
            raise ValueError(f"{name.removeprefix('pipelinechannel--')} has no value")
        return values[name]
    if literal := re.fullmatch(r"'(\d+)'", text):
        return quoted[int(literal[1])]
    return _CONSTANTS[text] if text in _CONSTANTS else float(text)


def _kind(value: Any) -> type:
    return float if type(value) is int else type(value)
