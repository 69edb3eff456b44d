from typing import List, NamedTuple, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from kfp_hallmark.component import component


@component(environment="data", idempotent=True, size="medium")
def validate_dataset(
    dataset: Input[Dataset],
    verdict: Output[Artifact],
    report: Output[HTML],
    statistics: Output[Artifact],
    schema: Output[Artifact],
    baseline: Input[Dataset] = None,
    schema_uri: Optional[str] = None,
    excluded_columns: List[str] = [],
    max_stable_psi: float = 0.10,
    max_psi: float = 0.25,
    min_rows: int = 1000,
) -> NamedTuple("Outputs", [("status", str)]):
    """Judge a dataset by its schema and, when there is a baseline, by how far each feature has moved from it.

    Drift is the population stability index, sum((p - q) * ln(p / q)), over 10 equal-frequency bins of the baseline for
    numbers and over the categories as they are; of more than 20, the rare ones are taken together (Siddiqi 2006, Credit
    Risk Scorecards).

    Args:
        dataset: What to judge.
        baseline: What to compare with; the schema is inferred from it when none is given.
        schema_uri: Path or gs:// URI of a TFDV schema in text format. Default: inferred, allowing for 1 % of the rows.
        excluded_columns: Columns that are not judged: identifiers, and the time or group that the split went by.
        max_stable_psi: Greatest PSI of a stable feature; above it the feature warns.
        max_psi: Greatest PSI that does not fail.
        min_rows: Fewest rows, of the dataset and of the baseline, by which drift is judged; with fewer the verdict is
            inconclusive, or fail if the schema is broken. With the default and limits as they are, chance alone makes
            fewer than one in 1,000 stable features of up to 20 bins warn, and none fail.

    Returns:
        verdict: JSON, hallmark/verdict/v1.
        report: HTML page with a colour band for each feature.
        statistics: TFDV DatasetFeatureStatisticsList, binary protobuf.
        schema: TFDV schema that was applied, text protobuf.
        status: pass, warn, inconclusive or fail.

    Raises:
        InputError: If the dataset or the schema cannot be read, a column is absent, or a limit is out of range.
        IntegrityError: If an input was changed since it was written.
    """
    from kfp_hallmark.components.data.validate_dataset.validate import validate

    return validate(
        dataset,
        baseline,
        schema_uri,
        excluded_columns,
        max_stable_psi,
        max_psi,
        min_rows,
        verdict,
        report,
        statistics,
        schema,
    )
