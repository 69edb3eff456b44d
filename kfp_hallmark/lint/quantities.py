"""Processors and memory as Kubernetes reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from kfp_hallmark.lint.spec import Part

FIELDS = ("cpuRequest", "cpuLimit", "memoryRequest", "memoryLimit")

_QUANTITY = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)(?:([numkMGTPE]|[KMGTPE]i)?|[eE]([+-]?[0-9]{1,3}))")
_UNITS = {unit: Decimal(1000) ** power for power, unit in enumerate(("n", "u", "m", "", *"kMGTPE"), start=-3)}
_UNITS |= {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)}
"""https://github.com/kubernetes/apimachinery/blob/v0.33.0/pkg/api/resource/quantity.go"""


@dataclass(frozen=True)
class Quantity:
    """An amount that a container asks for.

    Attributes:
        field: One of `FIELDS`.
        key: The key in the spec: the field's, or that of the newer field, which goes before it.
        text: What is there.
        value: Processors or bytes; None when Kubernetes cannot read it.
    """

    field: str
    key: str
    text: str
    value: Decimal | None


def quantities(container: Part) -> dict[str, Quantity]:
    """Return the amounts that a spec gives for a container, by field, without those that only a run knows."""
    return {found.field: found for found in _given(container.get("resources", {})) if "{{" not in found.text}


def _given(resources: Part) -> Iterator[Quantity]:
    for field in FIELDS:
        newer = f"resource{field[0].upper()}{field[1:]}"
        if newer in resources:
            yield Quantity(field, newer, resources[newer], read(resources[newer]))
        elif field in resources:
            number = Decimal(str(resources[field]))
            value = number * (10**9 if field.startswith("memory") else 1)
            readable = number.is_finite() and number >= 0
            yield Quantity(field, field, str(resources[field]), value if readable else None)


def read(text: str) -> Decimal | None:
    """Return a quantity as a number, or None when Kubernetes cannot read it or it is negative."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return None
    number, unit, exponent = found.groups()
    return Decimal(number) * _UNITS[unit or ""] * Decimal(10) ** int(exponent or 0)
