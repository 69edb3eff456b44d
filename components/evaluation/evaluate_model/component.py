from typing import Dict, List

from kfp.dsl import HTML, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from kfp_hallmark.component import component


@component(environment="ml", pure=True, size="medium")
def evaluate_model(
    model: Input[Model],
    dataset: Input[Dataset],
    predictions: Output[Dataset],
    metrics: Output[Metrics],
    classification: Output[ClassificationMetrics],
    report: Output[HTML],
    target: str,
    slices: List[str] = [],
    bootstrap_samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    costs: Dict = {},
    validation: Input[Dataset] = None,
    found_slices: int = 0,
):
    """Measure a model on data it was not trained on, overall and by slice, with confidence intervals.

    Args:
        model: MLflow model folder.
        dataset: Data with the label.
        target: Label column.
        slices: Columns by whose values to measure separately.
        bootstrap_samples: Number of resamples behind each interval.
        confidence: Confidence level of the intervals, between 0 and 1.
        seed: Seed of the resampling and of the division into halves.
        costs: Cost of a decision on one row, such as {"false_positive": 1, "false_negative": 5}; also true_positive and
            true_negative. Of several classes an object for each true class, such as {"bus": {"car": 2, "bicycle": 1},
            ...}. Default: costs are not measured.
        validation: Data, neither the dataset nor what the model was trained on, on which to choose the threshold that
            costs least; its cost is told of the dataset. The predictions keep the model's own threshold. Default: one
            half of the dataset chooses, and its cost is told of the other.
        found_slices: How many of the worst slices of one or two columns to search on one half of the rows and tell of
            the other. Default: none.

    Returns:
        predictions: One Parquet file: label, prediction and, for a classifier, score; rows as in the dataset; bound to
            the digests of model and dataset. What the gates judge.
        metrics: The metrics as numbers.
        classification: Confusion matrix and ROC curve.
        report: HTML page with metrics, slices, confusion matrix, ROC, lift, calibration and costs.

    Raises:
        InputError: If the target or a slice is absent, or the data holds fewer than two classes,
            or costs or validation cannot be used.
        IntegrityError: If an input was changed since it was written.
    """
    from kfp_hallmark.components.evaluation.evaluate_model.evaluate import evaluate

    evaluate(
        model,
        dataset,
        predictions,
        metrics,
        classification,
        report,
        target,
        slices,
        bootstrap_samples,
        confidence,
        seed,
        costs,
        validation,
        found_slices,
    )
