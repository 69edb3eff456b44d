from typing import Dict, List, NamedTuple, Optional

from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from kfp_hallmark.component import component


@component(environment="ml", idempotent=True, size="medium")
def robustness_gate(
    model: Input[Model],
    dataset: Input[Dataset],
    verdict: Output[Artifact],
    report: Output[HTML],
    target: str,
    limits: Dict,
    metric: Optional[str] = None,
    strengths: Optional[Dict] = None,
    categorical_features: List[str] = [],
    changeable_features: Optional[List[str]] = None,
    min_prediction_change: Optional[float] = None,
    max_rows: int = 2000,
    max_searched_rows: int = 200,
    bootstrap_samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    training: Input[Dataset] = None,
    retrainings: int = 10,
    retrained_models: Input[Artifact] = None,
) -> NamedTuple("Outputs", [("status", str)]):
    """Judge whether a model keeps its quality and its decisions when its inputs are poor, or changed on purpose.

    Args:
        model: MLflow model folder; it is run.
        dataset: Data with labels, such as the test side of a split.
        target: Label column.
        limits: Limit to value; what has none is not measured. Of the metric's drop: max_missing_drop, max_noise_drop,
            max_typo_drop, max_unseen_drop, max_unit_shift_drop. Of the share of rows: max_flip_rate, max_evasion_rate,
            max_retraining_flip_rate. Of a regression's change by retraining, as a share of the target's standard
            deviation: max_retraining_spread.
        metric: Metric that drops. Default: balanced_accuracy, or r2 for regression.
        strengths: Name of a limit without max_ and its ending (missing, noise, typo, unseen, unit_shift, flip, evasion)
            to a list of strengths: a share of the values; for noise, flip and evasion standard deviations of the
            column; for unit_shift factors.
        categorical_features: Columns of numbers that are codes of categories.
        changeable_features: Columns that an adversary can change. Default: all that hold numbers.
        min_prediction_change: Change of a regression's prediction that counts as another decision, in the target's
            unit. Default: the target's standard deviation.
        max_rows: Number of rows to perturb at the most; a sample is drawn when there are more.
        max_searched_rows: Number of these rows for which other decisions are searched.
        bootstrap_samples: Number of resamples behind the interval of a metric of counts.
        confidence: Confidence level of the intervals, between 0 and 1.
        seed: Seed of the samples, the perturbations, the resampling and the seeds of retrainings.
        training: Data that the model was trained on, to train it again; asked for by a limit of retraining alone, which
            takes this or retrained_models.
        retrainings: How often the model is trained again, each time with another seed, from 2 to 100.
        retrained_models: Folder of 2 to 100 MLflow model folders of the same training with other seeds, for a model
            that the gate cannot train again; they are run.

    Returns:
        verdict: JSON, hallmark/verdict/v1.
        report: HTML page.
        status: pass, warn, inconclusive or fail; a model that cannot predict what was perturbed fails.

    Raises:
        InputError: If a limit, strength, metric or column is unknown, the model cannot predict the data as it is, or
            retrained_models differ from it in more than the seed.
        IntegrityError: If an input was changed since it was written.
    """
    from kfp_hallmark.components.evaluation.robustness_gate.robustness import judge_robustness

    return judge_robustness(
        model,
        dataset,
        verdict,
        report,
        target,
        limits,
        metric,
        strengths,
        categorical_features,
        changeable_features,
        min_prediction_change,
        max_rows,
        max_searched_rows,
        bootstrap_samples,
        confidence,
        seed,
        training,
        retrainings,
        retrained_models,
    )
