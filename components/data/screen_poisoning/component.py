from typing import Dict, List, NamedTuple, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from kfp_hallmark.component import component


@component(environment="ml", idempotent=True, size="medium")
def screen_poisoning(
    dataset: Input[Dataset],
    verdict: Output[Artifact],
    report: Output[HTML],
    suspects: Output[Dataset],
    target: str,
    baseline: Input[Dataset] = None,
    limits: Optional[Dict] = None,
    excluded_columns: List[str] = [],
    min_rows: int = 1000,
    min_class_rows: int = 100,
    confidence: float = 0.95,
    seed: int = 0,
) -> NamedTuple("Outputs", [("status", str)]):
    """Judge whether a training dataset shows traces of poisoning, before a model learns from it.

    Suspect labels (cleanlab), near-duplicates that contradict each other, values that go with one label as a backdoor's
    trigger does, and, against a baseline, labels whose share has changed in a region of the features.

    Args:
        dataset: What to judge.
        target: Column of the labels: classes of text, booleans, or numbers with at most 20 values. Rows without one
            are not screened.
        baseline: Data that are trusted, such as those of the span before; they must have the same columns.
        limits: Limit to value: max_label_noise, max_label_issues, max_conflict_excess, max_trigger_strength; with a
            baseline max_label_noise_increase, max_label_issue_increase and max_label_shift;
            docs/gates/poisoning.md says what each is and what was measured. What has no limit is not looked for.
            Default: 0.005, none, 0.005, 0.4; with a baseline also 0.005 in place of the first, 0.02 and 0.2.
        excluded_columns: Columns that rows are not compared by: identifiers, and the time or group that a split
            went by.
        min_rows: Fewest rows of each side by which data are judged, at least 100; with fewer the verdict is
            inconclusive.
        min_class_rows: Fewest rows of each side by which a class is judged, at least 10; a smaller one is named and
            makes the verdict inconclusive.
        confidence: Confidence level of the intervals, between 0 and 1.
        seed: Seed of folds, samples and models.

    Returns:
        verdict: JSON, hallmark/verdict/v1.
        report: HTML page.
        suspects: Parquet; row (position in the dataset, from 0), check, score, and the number of the finding in the
            report.
        status: pass, warn, inconclusive or fail.

    Raises:
        InputError: If a column is absent, the target holds no classes, or a limit is unknown or takes a baseline.
        IntegrityError: If an input was changed since it was written.
    """
    from kfp_hallmark.components.data.screen_poisoning.screen import screen_dataset

    return screen_dataset(
        dataset,
        baseline,
        verdict,
        report,
        suspects,
        target,
        limits,
        excluded_columns,
        min_rows,
        min_class_rows,
        confidence,
        seed,
    )
