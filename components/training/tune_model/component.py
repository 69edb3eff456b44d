from typing import Dict, List, NamedTuple, Optional

from kfp.dsl import HTML, Dataset, Input, Metrics, Output

from kfp_hallmark.component import component


@component(environment="ml", pure=True, size="large")
def tune_model(
    dataset: Input[Dataset],
    metrics: Output[Metrics],
    report: Output[HTML],
    target: str,
    search_space: Dict,
    estimator: str = "sklearn.ensemble.HistGradientBoostingClassifier",
    estimator_parameters: Dict = {},
    excluded_columns: List[str] = [],
    positive_class: Optional[str] = None,
    metric: Optional[str] = None,
    trials: int = 40,
    parallel_trials: int = 4,
    sampler: str = "tpe",
    pruner: str = "median",
    folds: int = 5,
    outer_folds: int = 0,
    group_column: Optional[str] = None,
    time_column: Optional[str] = None,
    shard: int = 0,
    seed: int = 0,
    experiment: str = "hallmark",
    tracking_uri: Optional[str] = None,
) -> NamedTuple("Outputs", [("parameters", dict), ("score", float), ("run_id", str)]):
    """Search for an estimator's best parameters by cross-validation on training data, with Optuna.

    The same data, configuration, seed and environment give the same parameters, however many cores there are and
    whether or not the search was killed and run again: then it goes on from the trials that MLflow has.

    Args:
        dataset: Training data; no other is looked at.
        target: Label column.
        search_space: Parameter to {"type": "float" or "int", "low", "high", "log", "step"} or {"type": "choice",
            "choices"}. Both ends are included; log and step may be left out.
        estimator: Import path of a class with the scikit-learn API.
        estimator_parameters: Arguments that are not searched.
        excluded_columns: Columns that are not features.
        positive_class: The class that a score is the probability of. Default: the greater of two.
        metric: What to improve, as evaluate_model names it. Default: roc_auc, log_loss or root_mean_squared_error, by
            the task.
        trials: How many proposals to try, beside the estimator as it is given.
        parallel_trials: How many trials are on the way at once, each in a process where there are cores for it. More
            are faster, and each knows less of the others.
        sampler: What proposes: tpe (Bergstra and others 2011) or random.
        pruner: When to give a trial up between folds: median (its mean so far is worse than the median of the complete
            trials, once there are five), wilcoxon (it is worse than the best, fold by fold, at a level of 0.1) or none.
        folds: How many folds are scored, at least 2.
        outer_folds: Folds of a nested cross-validation, which tells what the whole search comes to on rows that it has
            not seen, and takes as many more searches; 0 is none.
        group_column: Column whose rows with the same value stay in one fold. Default: equal rows do.
        time_column: Column of dates or numbers; each fold is scored by what was trained on earlier rows.
        shard: Number of this search among several with the same seed: other proposals on the same folds.
        seed: Seed of everything random.
        experiment: MLflow experiment.
        tracking_uri: MLflow tracking server or store. Default: MLFLOW_TRACKING_URI.

    Returns:
        metrics: Best and default score, trials by outcome, seconds.
        report: HTML page with the best parameters, the progress, the best and the failed trials.
        parameters: The best parameters with the fixed ones, as train_model takes them for estimator_parameters.
        score: Their mean score over the folds.
        run_id: MLflow run, with one run a trial below it.

    Raises:
        InputError: If a parameter or the data cannot be used, or the estimator fails as it is given.
        IntegrityError: If an input was changed since it was written.
        EnvironmentFailure: If a process was killed, as for lack of memory.
    """
    from kfp_hallmark.components.training.tune_model.tune import run

    return run(
        dataset,
        metrics,
        report,
        target,
        search_space,
        estimator,
        estimator_parameters,
        excluded_columns,
        positive_class,
        metric,
        trials,
        parallel_trials,
        sampler,
        pruner,
        folds,
        outer_folds,
        group_column,
        time_column,
        shard,
        seed,
        experiment,
        tracking_uri,
    )
