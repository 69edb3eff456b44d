"""Compute SHAP values: how much each feature moves each prediction away from the mean one.

Source: S. Lundberg, S. Lee, A Unified Approach to Interpreting Model Predictions, NeurIPS (2017); for trees S. Lundberg
et al., Nature Machine Intelligence 2 (2020); for linear models corollary 1 of the former.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_hallmark.errors import InputError
from kfp_hallmark.explanation.trees import tree_values

if TYPE_CHECKING:
    import pandas
    from numpy import ndarray

TREES = (
    "HistGradientBoosting",
    "GradientBoosting",
    "RandomForest",
    "ExtraTrees",
    "DecisionTree",
    "XGB",
    "LGBM",
)
"""How the names of the estimators begin whose trees are explained by their structure."""

FORESTS = ("RandomForest", "ExtraTrees", "DecisionTree")
"""Those of them whose output is a mean, not a sum of margins."""

LOG_ODDS, PROBABILITY, TARGET, LINEAR = "log-odds", "probability", "units of the target", "linear predictor"
LOG_TARGET = "the logarithm of the target"

CHECKED_ROWS = 20
"""In how many rows values are held against the output that they must add up to."""

BACKGROUND_ROWS = 25
"""How many rows stand for the data when a model is explained by its predictions alone."""

AGNOSTIC_ROWS = 200
"""How many rows are explained at the most by predictions alone: each takes thousands of predictions."""

PERMUTATIONS = 3
"""Over how many orders of the features, each there and back, such a contribution is averaged."""

FOREST_BUDGET = 2e10
"""How many steps exact values of a forest may take (some ten seconds): rows times leaves times squared depth."""


@dataclass(frozen=True)
class Attribution:
    """SHAP values of some rows; those of a row and its base together are the model's output for it.

    Attributes:
        method: How they were computed, as a reader is told.
        unit: What they are measured in.
        values: Contribution of each feature, shape (rows, features).
        base: What the contributions of each row start from, shape (rows,).
    """

    method: str
    unit: str
    values: ndarray
    base: ndarray


def explain_structure(estimator: Any, frame: pandas.DataFrame, outputs: ndarray) -> Attribution | None:
    """Return the SHAP values of a tree ensemble or a linear model, exactly; None when the model is neither.

    Forests of deep trees take long: fewer rows are explained then, or None is returned when it would be too few.

    Args:
        estimator: A scikit-learn estimator, alone or at the end of a pipeline; or None.
        frame: The rows, which are also what the values of a linear model start from.
        outputs: Which of the classes to explain in each row, as a position; shape (rows,). Zeros for regression.
    """
    import numpy

    transformer, final = _parts(estimator)
    if not _is_tree(final) and not _is_linear(final):
        return None
    origins = _origins(transformer, frame)
    affordable = _affordable_rows(final)
    if origins is None or affordable < AGNOSTIC_ROWS:
        return None
    frame, outputs = frame.iloc[:affordable], outputs[:affordable]
    matrix = numpy.asarray(frame if transformer is None else transformer.transform(frame), dtype=float)
    found = _explain_trees(final, matrix) if _is_tree(final) else _explain_linear(final, matrix)
    if found is None:
        return None
    method, unit, values, base = found
    values, base = _choose(values, base, outputs, hasattr(final, "classes_"))
    gathered = numpy.zeros(frame.shape)
    numpy.add.at(gathered.T, origins, values.T)
    return Attribution(method, unit, gathered, base)


def explain_predictions(
    function: Callable[[Any], ndarray], frame: pandas.DataFrame, outputs: ndarray, unit: str, seed: int
) -> Attribution:
    """Return SHAP values that rest on the model's predictions alone, by permutation of the features.

    Args:
        function: Data frame to output, shape (rows,) or (rows, classes).
        frame: The rows; the first of them are explained, `AGNOSTIC_ROWS` at the most.
        outputs: As in `explain_structure`.
        unit: What the output is measured in.
        seed: Seed of the background and the permutations.
    """
    import numpy

    generator = numpy.random.default_rng(seed)
    background = frame.iloc[generator.permutation(len(frame))[:BACKGROUND_ROWS]]
    wanted = frame.iloc[:AGNOSTIC_ROWS]
    orders = [generator.permutation(frame.shape[1]) for _ in range(PERMUTATIONS)]
    values, base = permute(function, wanted, background, [*orders, *(order[::-1] for order in orders)])
    method = f"predictions alone, {PERMUTATIONS} permutations of the features, {len(background)} rows for the mean"
    values, base = _choose(values, base, outputs[: len(wanted)], False)
    return Attribution(method, unit, values, base)


def permute(
    function: Callable[[Any], ndarray],
    wanted: pandas.DataFrame,
    background: pandas.DataFrame,
    orders: Sequence[ndarray],
) -> tuple[ndarray, ndarray]:
    """Return SHAP values by replacing, in each order, one feature after another of the background by the row's own.

    What a replacement changes in the mean output is the feature's contribution in that order. All rows go through a
    step at once, so that the model is asked seldom.

    Args:
        function: Data frame to output, shape (rows,) or (rows, classes).
        wanted: The rows to explain.
        background: The rows that absent features are taken from, with the same columns.
        orders: Orders of the features over which the contributions are averaged.

    Returns:
        Contributions, shape (rows, features) or (rows, features, classes), and the mean output over the background.
    """
    import numpy

    rows, features = wanted.shape
    base = function(background.copy(deep=False)).mean(axis=0)
    values = numpy.zeros((rows, features, *base.shape))
    absent = background.iloc[numpy.tile(numpy.arange(len(background)), rows)].reset_index(drop=True)
    own = numpy.repeat(numpy.arange(rows), len(background))
    for order in orders:
        mixed = absent.copy()
        before = numpy.broadcast_to(base, (rows, *base.shape))
        for feature in order:
            mixed.isetitem(feature, wanted.iloc[:, feature].take(own).array)
            after = function(mixed.copy(deep=False)).reshape(rows, len(background), *base.shape).mean(axis=1)
            values[:, feature] += (after - before) / len(orders)
            before = after
    return values, numpy.atleast_1d(base)


def _parts(estimator: Any) -> tuple[Any, Any]:
    """Return what transforms the features, if anything, and the estimator itself."""
    from sklearn.ensemble import VotingClassifier
    from sklearn.pipeline import Pipeline

    transformer = None
    if isinstance(estimator, Pipeline):
        transformer, estimator = (estimator[:-1] if len(estimator) > 1 else None), estimator[-1]
    if isinstance(estimator, VotingClassifier) and len(estimator.estimators_) == 1:
        estimator = estimator.estimators_[0]
    return transformer, estimator


def _is_tree(estimator: Any) -> bool:
    package = type(estimator).__module__.partition(".")[0]
    return package in ("sklearn", "xgboost", "lightgbm") and type(estimator).__name__.startswith(TREES)


def _is_linear(estimator: Any) -> bool:
    known = type(estimator).__module__.startswith(("sklearn.linear_model", "sklearn.svm"))
    return known and hasattr(estimator, "coef_") and getattr(estimator, "kernel", "linear") == "linear"


def _affordable_rows(estimator: Any) -> int:
    """Return how many rows of a forest can be explained exactly within the budget."""
    if not type(estimator).__name__.startswith(FORESTS):
        return sys.maxsize
    trees = [tree.tree_ for tree in getattr(estimator, "estimators_", [estimator])]
    return int(FOREST_BUDGET // sum(tree.n_leaves * (tree.max_depth + 1) ** 2 for tree in trees))


def _origins(transformer: Any, frame: pandas.DataFrame) -> ndarray | None:
    """Return from which feature each column comes that the estimator sees; None when that is unknown."""
    import numpy
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    if transformer is None:
        numbers = all(kind.kind in "biuf" for kind in frame.dtypes)
        return numpy.arange(frame.shape[1]) if numbers else None
    step = transformer[0] if isinstance(transformer, Pipeline) and len(transformer) == 1 else transformer
    if not isinstance(step, ColumnTransformer):
        return None
    place = {name: index for index, name in enumerate(frame.columns)}
    found = numpy.full(max(part.stop for part in step.output_indices_.values()), -1)
    for name, part, columns in step.transformers_:
        if part == "drop":
            continue
        widths = _widths(part, len(columns))
        span = step.output_indices_[name]
        if widths is None or not set(columns) <= set(place) or sum(widths) != span.stop - span.start:
            return None
        found[span] = numpy.repeat([place[column] for column in columns], widths)
    return found


def _widths(part: Any, columns: int) -> list[int] | None:
    """Return how many columns a fitted transformer makes of each of its columns; None when that is unknown."""
    from pandas import DataFrame
    from sklearn.pipeline import Pipeline

    name = type(part).__name__
    if part == "passthrough" or name in ("SimpleImputer", "StandardScaler", "MinMaxScaler", "RobustScaler"):
        return [1] * columns
    if name == "FunctionTransformer" and part.func in (None, DataFrame.astype):
        return [1] * columns
    if isinstance(part, Pipeline):
        *before, last = [_widths(step, columns) for _, step in part.steps]
        return last if all(each == [1] * columns for each in before) else None
    if name != "OneHotEncoder" or part.drop_idx_ is not None:
        return None
    rare = getattr(part, "infrequent_categories_", [None] * columns)
    return [
        len(known) - (0 if few is None else len(few) - 1) for known, few in zip(part.categories_, rare, strict=True)
    ]


def _explain_trees(estimator: Any, matrix: ndarray) -> tuple[str, str, ndarray, ndarray] | None:
    import numpy

    name = type(estimator).__name__
    if name == "GradientBoostingClassifier" and len(estimator.classes_) > 2:
        return None
    if getattr(estimator, "is_categorical_", None) is not None:
        # SHAP takes a test of a set of categories for one of a number.
        return None
    with _without_plots():
        import shap
    try:
        explainer = shap.TreeExplainer(estimator)
    except Exception:
        # SHAP does not know every kind of booster and start; its errors for these are of many classes.
        return None
    found = _from_tables(explainer, estimator, matrix)
    if found is None:
        found = numpy.asarray(explainer.shap_values(matrix)), numpy.atleast_1d(explainer.expected_value)
    values, base = found
    unit = _unit_of(estimator, matrix[:CHECKED_ROWS], base + values[:CHECKED_ROWS].sum(axis=1))
    return None if unit is None else ("the structure of the trees, exactly", unit, values, base)


def _from_tables(explainer: Any, estimator: Any, matrix: ndarray) -> tuple[ndarray, ndarray] | None:
    """Return values by `tree_values` and their base; None where it has none, or a booster's margins are not their sums.

    A booster may take missing values, or weigh its trees, in ways that SHAP's reading of it leaves out, and xgboost's
    base is read in single precision. So the base is what the values leave of the margins: the same in all rows.
    """
    import numpy

    package = type(estimator).__module__.partition(".")[0]
    # xgboost compares in single precision.
    values = tree_values(explainer.model, matrix.astype(numpy.float32) if package == "xgboost" else matrix)
    if values is None:
        return None
    values = values[:, :, 0] if values.shape[2] == 1 else values
    if package == "sklearn":
        return values, numpy.atleast_1d(explainer.expected_value)
    if package == "xgboost":
        margins = estimator.predict(matrix, output_margin=True)
    else:
        # What the estimator does beside takes longer than a small booster.
        margins = estimator.booster_.predict(matrix, raw_score=True)
    left = margins - values.sum(axis=1)
    base = left.mean(axis=0)
    same = numpy.allclose(left, base, rtol=0, atol=1e-5 * abs(margins).max())
    return (values, numpy.atleast_1d(base)) if same else None


def _unit_of(estimator: Any, matrix: ndarray, output: ndarray) -> str | None:
    """Return what the sums of the values and their base measure; None when the output does not follow from them."""
    import numpy
    from scipy.special import expit, softmax

    if not hasattr(estimator, "classes_"):
        known = {TARGET: output, LOG_TARGET: numpy.exp(output)}
        said = estimator.predict(matrix)
    elif type(estimator).__name__.startswith(FORESTS):
        known, said = {PROBABILITY: output}, estimator.predict_proba(matrix)
    else:
        said = estimator.predict_proba(matrix)
        known = {LOG_ODDS: expit(output) if output.ndim == 1 else softmax(output, axis=1)}
        said = said[:, 1] if output.ndim == 1 else said
    scale = abs(said).max()
    return next(
        (unit for unit, sums in known.items() if numpy.allclose(sums, said, rtol=1e-3, atol=1e-4 * scale)), None
    )


def _explain_linear(estimator: Any, matrix: ndarray) -> tuple[str, str, ndarray, ndarray] | None:
    import numpy

    weights = numpy.atleast_2d(estimator.coef_)
    mean = matrix.mean(axis=0)
    base = weights @ mean + numpy.atleast_1d(estimator.intercept_)
    values = (matrix - mean)[:, :, None] * weights.T[None]
    if hasattr(estimator, "decision_function"):
        said = estimator.decision_function(matrix[:CHECKED_ROWS])
        sums = base + values[:CHECKED_ROWS].sum(axis=1)
        if said.size != sums.size or not numpy.allclose(sums, said.reshape(sums.shape)):
            # A support vector machine of several classes has weights of each pair of them.
            return None
    unit = LOG_ODDS if type(estimator).__name__.startswith("LogisticRegression") else LINEAR
    return "the coefficients, exactly", unit, values[:, :, 0] if len(weights) == 1 else values, base


def _choose(values: ndarray, base: ndarray, outputs: ndarray, classifier: bool) -> tuple[ndarray, ndarray]:
    """Return values and base of the class to explain in each row; one margin for two classes is that of the second."""
    import numpy

    if values.ndim == 3:
        return values[numpy.arange(len(values)), :, outputs], base[outputs]
    sign = numpy.where(outputs == 1, 1.0, -1.0) if classifier else numpy.ones(len(values))
    return values * sign[:, None], base[0] * sign


@contextmanager
def _without_plots() -> Iterator[None]:
    """Import SHAP as if Matplotlib were absent, which it allows for: its plots cost a second, and none is used."""
    hidden = "matplotlib" not in sys.modules
    if hidden:
        sys.modules["matplotlib"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["matplotlib"]


def require_sizes(max_rows: int, local_explanations: int) -> None:
    """Raise `InputError` when the number of rows, or of single explanations, cannot be used."""
    if max_rows < 1:
        raise InputError(f"max_rows must be at least 1; got {max_rows}.")
    if local_explanations < 0:
        raise InputError(f"local_explanations must be at least 0; got {local_explanations}.")
