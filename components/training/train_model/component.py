from typing import Dict, List, NamedTuple, Optional

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from kfp_hallmark.component import component


@component(environment="ml", pure=True, size="large")
def train_model(
    dataset: Input[Dataset],
    model: Output[Model],
    metrics: Output[Metrics],
    target: str,
    estimator: str = "sklearn.ensemble.HistGradientBoostingClassifier",
    estimator_parameters: Dict = {},
    excluded_columns: List[str] = [],
    positive_class: Optional[str] = None,
    mitigation: Dict = {},
    privacy: Dict = {},
    seed: int = 0,
    experiment: str = "hallmark",
    tracking_uri: Optional[str] = None,
    required_features: List[str] = [],
) -> NamedTuple("Outputs", [("digest", str), ("experiment_hash", str), ("run_id", str)]):
    """Train an estimator with preprocessing that fits the column types, and log the run to MLflow.

    The same data, configuration, seed and environment give the same model, to the digest, unless it is private.

    Args:
        dataset: Training data.
        target: Label column.
        estimator: Import path of a class with the scikit-learn API, such as xgboost.XGBClassifier.
        estimator_parameters: Arguments of the estimator.
        excluded_columns: Columns that are not features: identifiers, sensitive features that must not be used.
        positive_class: The class that a score is the probability of. Default: the greater of two.
        mitigation: How a binary classifier is made to treat groups alike, by Fairlearn, such as {"method":
            "exponentiated_gradient", "constraint": "equalized_odds", "sensitive_features": ["SEX"]}; docs/mitigation.md
            has all. With the method threshold_optimizer the model takes the sensitive features to predict. Default: not
            at all.
        privacy: How private a binary classifier or a regression is for the people in the data: epsilon, delta, and what
            is public of each feature, such as {"epsilon": 1.0, "delta": 1e-6, "bounds": {"AGEP": [0, 99]},
            "categories": {"SEX": [1, 2]}}, and of a regression's target; docs/privacy.md has all. The noise is not
            seeded, so each training gives another model. Default: not at all.
        seed: Seed of everything random.
        experiment: MLflow experiment.
        tracking_uri: MLflow tracking server or store. Default: MLFLOW_TRACKING_URI.
        required_features: Features that later steps name; nothing is trained if one of them is none.

    Returns:
        model: MLflow model folder with signature, input example and lineage.
        metrics: Training time in seconds, rows, features.
        digest: The model's digest.
        experiment_hash: SHA-256 over data, environment, code, seed and configuration.
        run_id: MLflow run.

    Raises:
        InputError: If the target or a required feature is absent, the target is constant, a feature holds infinities,
            or the estimator is unknown.
        IntegrityError: If an input, or the privacy ledger, was changed since it was written.
    """
    from kfp_hallmark.components.training.train_model.train import train

    return train(
        dataset,
        model,
        metrics,
        target,
        estimator,
        estimator_parameters,
        excluded_columns,
        positive_class,
        mitigation,
        privacy,
        seed,
        experiment,
        tracking_uri,
        required_features,
    )
