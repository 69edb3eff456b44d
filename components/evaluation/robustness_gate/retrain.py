"""How much the decisions depend on the seed: train a model again with other seeds and compare.

The **flip rate** is the share of rows that a retrained model decides otherwise than the model that is judged, called
churn by M. Milani Fard and others (Launch and Iterate: Reducing Prediction Churn, NIPS 2016). The share of rows that at
least one retraining decides otherwise is the ambiguity of C. Marx, F. Calmon and B. Ustun (Predictive Multiplicity in
Classification, ICML 2020). Of a regression the **spread** is the root mean squared difference of both predictions, as a
share of the target's standard deviation.

Both are means over rows and over seeds, and another draw of either would change them. So the variance has a part of
each, as in a two-way table of random effects, and the interval takes the degrees of freedom that F. Satterthwaite
(Biometrics Bulletin 2 (1946)) gives their sum. That of a rate is Wilson's at the sample size that would have this
variance, as E. Korn and B. Graubard take it (Survey Methodology 24 (1998)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.dataset import read_table
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, Predictions
from kfp_hallmark.errors import InputError
from kfp_hallmark.measures import Interval, normal_quantile, wilson_interval
from kfp_hallmark.modeling.columns import Column, feature_frame, read_label
from kfp_hallmark.modeling.loading import LoadedModel
from kfp_hallmark.modeling.prediction import interpret, predict_frame, require_classes
from kfp_hallmark.training.fitting import fit

if TYPE_CHECKING:
    import pyarrow
    from numpy import ndarray

SAME = 0.001
"""Up to this flip rate or spread a model trained as it was is the same: sums in another order may differ at the end."""
LEAST, MOST = 2, 100
"""How often a model can be trained again."""
LIMITS = {
    BINARY: "max_retraining_flip_rate",
    MULTICLASS: "max_retraining_flip_rate",
    REGRESSION: "max_retraining_spread",
}
"""The limit of each task."""


class CannotRetrain(InputError):
    """A model cannot be trained again here, so that nothing is measured."""


@dataclass(frozen=True)
class Retraining:
    """What models trained with other seeds say of the rows.

    Attributes:
        observed: The flip rate or the spread.
        interval: Its confidence interval; None where nothing can be told.
        each: The same of each retraining, shape (retrainings,).
        rows: The number of rows.
        ambiguous: The share of rows that at least one retraining decides otherwise; None of a regression.
    """

    observed: float
    interval: Interval | None
    each: ndarray
    rows: int
    ambiguous: float | None


def retrain(
    model: LoadedModel,
    columns: Sequence[Column],
    training: str | Path,
    tested: pyarrow.Table,
    clean: Predictions,
    meaning: Mapping[str, Any],
    retrainings: int,
    confidence: float,
    seed: int,
) -> Retraining:
    """Train a model again with other seeds and compare what each says of the tested rows.

    Args:
        model: The model.
        columns: The columns that it takes.
        training: The data that it was trained on.
        tested: The rows to decide.
        clean: What the model says of them.
        meaning: What its output means.
        retrainings: How often to train it.
        confidence: Confidence level of the interval, between 0 and 1.
        seed: Where the other seeds come from.

    Raises:
        CannotRetrain: If the model is no estimator, fails to be trained again, or is another one when it is trained as
            it was.
        InputError: If it was trained on other data, or the targets do not suit.
    """
    import numpy as np
    from sklearn.base import clone

    digests = model.metadata.get("datasets") or [artifact_digest(training)]
    if digests[0] != artifact_digest(training):
        raise InputError(
            f"training must be the data that the model {model.name!r} was trained on; its digest is another.",
            f"The model names {digests[0]}.",
        )
    original = _estimator(model)
    frame = feature_frame(read_table(training, [each.name for each in columns]), columns)
    label = read_label(training, clean.target)
    require_spread(clean)
    if clean.task != REGRESSION:
        require_classes(label, clean.classes, "The target of training")
    rows = feature_frame(tested, columns)
    method = model.function.__name__ if model.estimator is not None else _method(clean)

    def changed(estimator: Any) -> ndarray:
        try:
            fitted = fit(estimator, frame.copy(), label, type(original).__name__)
            output = predict_frame(replace(model, function=getattr(fitted, method)), rows.copy())
        except InputError as error:
            raise CannotRetrain(error.message, error.hint) from None
        return differences(interpret(model, output, meaning)[0], clean)

    seeds = [name for name in original.get_params() if name.endswith("random_state")]
    if all(isinstance(original.get_params()[name], int) for name in seeds):
        _require_same(model, float(changed(clone(original)).mean()))
    drawn = np.random.default_rng(seed).integers(2**31, size=retrainings).tolist()
    found = [changed(clone(original).set_params(**dict.fromkeys(seeds, each))) for each in drawn]
    return summarise(np.array(found), clean.task, confidence)


def require_spread(clean: Predictions) -> None:
    """Raise `InputError` if a regression's target does not vary, so that no change is a share of its deviation."""
    if clean.task == REGRESSION and not clean.label.astype(float).var():
        raise InputError(f"The target {clean.target!r} must vary in the tested rows to tell a spread; it does not.")


def differences(prediction: ndarray, clean: Predictions) -> ndarray:
    """Return how another training's prediction differs; see `summarise`, shape (rows,)."""
    import numpy as np

    if clean.task == REGRESSION:
        return np.asarray((prediction - clean.prediction) ** 2 / clean.label.astype(float).var())
    return np.asarray(prediction != clean.prediction, dtype=float)


def _estimator(model: LoadedModel) -> Any:
    """Return what was fitted, with scikit-learn's API, as MLflow's flavors of sklearn, xgboost and lightgbm keep it.

    Raises:
        CannotRetrain: If a model has none.
    """
    raw = getattr(getattr(model.function, "__self__", None), "get_raw_model", None)
    found = model.estimator if model.estimator is not None or raw is None else raw()
    if not all(hasattr(found, name) for name in ("fit", "get_params", "set_params")):
        raise CannotRetrain(
            f"The model {model.name!r} must be an estimator with scikit-learn's API to be trained again; it is not.",
            "Train it with other seeds yourself, and give these as retrained_models.",
        )
    return found


def _method(clean: Predictions) -> str:
    """Return the method that gives what MLflow's flavor gives."""
    return "predict" if clean.score is None else "predict_proba"


def _require_same(model: LoadedModel, difference: float) -> None:
    """Raise `CannotRetrain` unless a model trained as it was is the same: then its training is known."""
    if difference > SAME:
        raise CannotRetrain(
            f"The model {model.name!r} must be the same when it is trained as it was; it is another.",
            "It was trained with weights, on other rows or in another way, such as by a mitigation. Train it with "
            "other seeds yourself, and give these as retrained_models.",
        )


def summarise(differences: ndarray, task: str, confidence: float) -> Retraining:
    """Return the flip rate or the spread with its interval.

    Args:
        differences: Whether each retraining decides each row otherwise, or the squared difference of both predictions
            by the target's variance, shape (retrainings, rows).
        task: The task.
        confidence: Confidence level, between 0 and 1.
    """
    import numpy as np

    mean, rows = float(differences.mean()), differences.shape[1]
    error, freedom = _standard_error(differences)
    reach = _quantile(confidence, freedom)
    if task == REGRESSION:
        factor = math.exp(reach * error / mean / 2) if mean else 1.0
        spread, each = math.sqrt(mean), np.sqrt(differences.mean(axis=1))
        return Retraining(spread, (spread / factor, spread * factor), each, rows, None)
    size: float = rows
    if error:
        size = mean * (1 - mean) / error**2 * (normal_quantile(confidence) / reach) ** 2
    interval = wilson_interval(mean * size, size, confidence)
    return Retraining(mean, interval, differences.mean(axis=1), rows, float(differences.any(axis=0).mean()))


def _standard_error(differences: ndarray) -> tuple[float, float]:
    """Return the standard error of a mean over rows and seeds, and its degrees of freedom."""
    import numpy as np

    times, rows = differences.shape
    by_row, by_seed = differences.mean(axis=0), differences.mean(axis=1)
    of_rows, of_seeds = float(by_row.var(ddof=1)) / rows, float(by_seed.var(ddof=1)) / times
    rest = differences - by_row - by_seed[:, None] + differences.mean()
    shared = float((rest**2).sum()) / ((times - 1) * (rows - 1)) / (times * rows)
    variance = max(of_rows, of_seeds, of_rows + of_seeds - shared)
    if not variance:
        return 0.0, math.inf
    freedom = variance**2 / (of_rows**2 / (rows - 1) + of_seeds**2 / (times - 1))
    return float(np.sqrt(variance)), freedom


def _quantile(confidence: float, freedom: float) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, freedom)) if math.isfinite(freedom) else normal_quantile(confidence)
