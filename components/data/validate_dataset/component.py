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
    profile: Output[Artifact],
    baseline: Input[Dataset] = None,
    baseline_profile: Input[Artifact] = None,
    previous: Input[Artifact] = None,
    serving: Input[Dataset] = None,
    delivered: Input[Dataset] = None,
    expectations: Input[Artifact] = None,
    contract_uri: Optional[str] = None,
    excluded_columns: List[str] = [],
    max_stable_psi: float = 0.10,
    max_psi: float = 0.25,
    max_domain_auc: float = 0.65,
    min_rows: int = 1000,
    seed: int = 0,
) -> NamedTuple("Outputs", [("status", str)]):
    """Judge a dataset by its contract, and by how far its columns, each and together, have moved from what came before.

    Drift is the population stability index, sum((p - q) * ln(p / q)), over 10 equal-frequency bins of the reference for
    numbers and over the categories as they are; of more than 20, the rare ones are taken together (Siddiqi 2006, Credit
    Risk Scorecards). A feature has moved only if chance does not explain it: by the Kolmogorov-Smirnov and chi-squared
    tests at 1 %, adjusted for the number of features (Benjamini and Hochberg 1995).

    Args:
        dataset: What to judge.
        baseline: What to compare with; the schema is inferred from it when none is given.
        baseline_profile: The profile of the baseline, in place of it: as fast as reading the dataset.
        previous: The profile of the span before.
        serving: A sample of what a model is asked; it may lack columns, such as the label.
        delivered: The whole dataset of which this is a part: what the contract is about.
        expectations: The verdict of check_expectations on the dataset, or on the delivered one; its checks are added.
        contract_uri: Path or gs:// URI of a data contract (.yaml), or of a TFDV schema in text format. Its limits of
            drift go before those given here. Default: a schema inferred, allowing for 1 % of the rows.
        excluded_columns: Columns that are not judged: identifiers, and the time or group that the split went by. A
            column whose gaps the contract limits is judged all the same.
        max_stable_psi: Greatest PSI of a stable feature; above it the feature warns.
        max_psi: Greatest PSI that does not fail; one above it that chance may explain is inconclusive.
        max_domain_auc: Greatest ROC AUC, 0.5 to 1, by which a classifier may tell rows of the dataset from those of the
            baseline or the serving sample; fails if the 95 % interval is above. A PSI of 0.25 of one feature is 0.64.
        min_rows: Fewest rows of each side by which drift is judged; with fewer the verdict is inconclusive, or fail if
            the schema is broken.
        seed: Seed of the classifier's sample.

    Returns:
        verdict: JSON, hallmark/verdict/v1.
        report: HTML page with a colour band for each feature, the worst first.
        statistics: TFDV DatasetFeatureStatisticsList, binary protobuf.
        schema: TFDV schema that was applied, text protobuf.
        profile: JSON, hallmark/profile/v1, of the dataset: what later ones are compared with.
        status: pass, warn, inconclusive or fail.

    Raises:
        InputError: If an input cannot be read, a column is absent, or a limit is out of range.
        IntegrityError: If an input was changed since it was written, or the expectations are about other data.
    """
    from kfp_hallmark.components.data.validate_dataset.validate import validate

    return validate(
        dataset,
        baseline,
        baseline_profile,
        previous,
        serving,
        delivered,
        expectations,
        contract_uri,
        excluded_columns,
        max_stable_psi,
        max_psi,
        max_domain_auc,
        min_rows,
        seed,
        verdict,
        report,
        statistics,
        schema,
        profile,
    )
