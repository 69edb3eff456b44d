"""The importances: the document that `explain_model` writes, and `explanation_gate` judges.

The page `docs/contracts/importances.md` describes every field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kfp_hallmark.contracts.digest import is_digest
from kfp_hallmark.contracts.documents import read_json, require_form, write_json
from kfp_hallmark.errors import IntegrityError

SCHEMA = "hallmark/importances/v1"


@dataclass(frozen=True)
class Cohort:
    """Some of the explained rows.

    Attributes:
        column: What they share: a column, or `predicted class`.
        value: Its value, as text.
        rows: The number of rows.
        importances: Feature to mean absolute SHAP value, the greatest first.
    """

    column: str
    value: str
    rows: int
    importances: Mapping[str, float]


@dataclass(frozen=True)
class Importances:
    """How much each feature moves a model's predictions.

    Attributes:
        model: The model's digest.
        dataset: The digest of the data it was explained on.
        target: Label column.
        explained: The output that is explained, in words.
        method: How the SHAP values were found, in words.
        unit: What they are measured in, in words.
        rows: The number of rows that were explained.
        seed: Seed of the sample.
        importances: Feature to mean absolute SHAP value, the greatest first.
        cohorts: The same for some of the rows.
        part_rows: The number of rows of each part.
        parts: Feature to its mean absolute SHAP value in each of some random parts of the rows: what intervals rest on.
    """

    model: str
    dataset: str
    target: str
    explained: str
    method: str
    unit: str
    rows: int
    seed: int
    importances: Mapping[str, float]
    cohorts: Sequence[Cohort]
    part_rows: int
    parts: Mapping[str, Sequence[float]]

    def to_json(self) -> dict[str, Any]:
        """Return the importances as a JSON value."""
        return {"schema": SCHEMA, **asdict(self)}

    def write(self, path: str | Path) -> None:
        """Write the importances as a JSON file."""
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: str | Path) -> Importances:
        """Read importances.

        Raises:
            MissingInputError: If there is no such file.
            IntegrityError: If they are not whole, or a number is none or negative.
        """
        value = read_json(path, SCHEMA)
        try:
            fields = {name: entry for name, entry in value.items() if name != "schema"}
            found = cls(**fields | {"cohorts": [Cohort(**cohort) for cohort in fields["cohorts"]]})
            require_form(value, found.to_json())
            found._require_numbers()
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise IntegrityError(f"The importances {str(path)!r} must be a whole {SCHEMA}; {error}.") from error
        return found

    def _require_numbers(self) -> None:
        """Raise ValueError unless every number is one that SHAP values can give, and the parts are of the features."""
        if not is_digest(self.model) or not is_digest(self.dataset):
            raise ValueError("a digest is none")
        if not self.importances or self.importances.keys() != self.parts.keys():
            raise ValueError("its parts are not of its features")
        counts = {len(values) for values in self.parts.values()}
        if self.part_rows < 1 or counts != {self.rows // self.part_rows}:
            raise ValueError("its parts are not of its rows")
        for value in (*self.importances.values(), *(each for values in self.parts.values() for each in values)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ValueError("a mean absolute value is none")
