"""Search for parameters by several steps at once, and train and evaluate with the best."""

from typing import Dict, List, Optional

from kfp import dsl

from kfp_hallmark import components


@dsl.pipeline(name="tuned-training", display_name="Tuned training")
def tuned_training(
    data_uri: str,
    target: str,
    search_space: Dict,
    metric: str,
    shards: List[int] = [0, 1, 2, 3],
    trials_per_shard: int = 20,
    parallel_trials: int = 4,
    sampler: str = "tpe",
    pruner: str = "median",
    folds: int = 5,
    estimator: str = "sklearn.ensemble.HistGradientBoostingClassifier",
    estimator_parameters: Dict = {},
    excluded_columns: List[str] = [],
    positive_class: Optional[str] = None,
    test_fraction: float = 0.3,
    group_column: Optional[str] = None,
    time_column: Optional[str] = None,
    slices: List[str] = [],
    seed: int = 0,
    experiment: str = "hallmark",
    tracking_uri: Optional[str] = None,
):
    """Search for an estimator's parameters on a cluster, and train and evaluate a model with the best.

    Each shard is a search of its own, in a step of its own, on the same folds; a failed step goes on where it was. The
    test side of the split is seen by evaluate_model alone.

    Args:
        data_uri: Path or fsspec URI of a CSV file, a Parquet file, or a folder of Parquet files.
        target: Label column.
        search_space: Where to search, as tune_model takes it.
        metric: What to improve, as evaluate_model names it, such as roc_auc.
        shards: Numbers of the searches; each is a step, and they run at once where there is room.
        trials_per_shard: How many proposals each search tries.
        parallel_trials: How many trials of a search are on the way at once.
        sampler: What proposes, tpe or random.
        pruner: When to give a trial up, median, wilcoxon or none.
        folds: How many folds are scored.
        estimator: Import path of a class with the scikit-learn API.
        estimator_parameters: Arguments of the estimator that are not searched.
        excluded_columns: Columns that are not features.
        positive_class: The class that a score is the probability of. Default: the greater of two.
        test_fraction: Share of the rows for the test, above 0 and below 1.
        group_column: Column whose rows with the same value stay on one side of the split and in one fold.
        time_column: Column by which the latest rows are the test, and each fold is scored by earlier rows.
        slices: Columns by whose values to evaluate separately.
        seed: Seed of everything random.
        experiment: MLflow experiment.
        tracking_uri: MLflow tracking server or store. Default: MLFLOW_TRACKING_URI.
    """
    load = components.load_dataset(uri=data_uri, required_columns=slices)
    split = components.split_dataset(
        dataset=load.outputs["dataset"],
        target=target,
        test_fraction=test_fraction,
        group_column=group_column,
        time_column=time_column,
        seed=seed,
    )
    with dsl.ParallelFor(shards, name="shards") as shard:
        tune = components.tune_model(
            dataset=split.outputs["train"],
            target=target,
            search_space=search_space,
            estimator=estimator,
            estimator_parameters=estimator_parameters,
            excluded_columns=excluded_columns,
            positive_class=positive_class,
            metric=metric,
            trials=trials_per_shard,
            parallel_trials=parallel_trials,
            sampler=sampler,
            pruner=pruner,
            folds=folds,
            group_column=group_column,
            time_column=time_column,
            shard=shard,
            seed=seed,
            experiment=experiment,
            tracking_uri=tracking_uri,
        )
    choose = components.choose_parameters(
        parameters=dsl.Collected(tune.outputs["parameters"]),
        scores=dsl.Collected(tune.outputs["score"]),
        metric=metric,
    )
    train = components.train_model(
        dataset=split.outputs["train"],
        target=target,
        estimator=estimator,
        estimator_parameters=choose.outputs["best_parameters"],
        excluded_columns=excluded_columns,
        positive_class=positive_class,
        seed=seed,
        experiment=experiment,
        tracking_uri=tracking_uri,
    )
    components.evaluate_model(
        model=train.outputs["model"], dataset=split.outputs["test"], target=target, slices=slices, seed=seed
    )
