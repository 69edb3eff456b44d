"""Train under differential privacy: InterpretML's DP-EBM for two classes, turned into scikit-learn's own parts.

An explainable boosting machine adds up one table of scores a feature. DP-EBM learns the tables from noisy histograms
and noisy sums of residuals alone. Nothing else of the data goes into the model: what prepares the features is made from
the bounds and categories that are given and must be public, and never looks at a row. The noise comes from C++'s
`std::random_device`, which is the processor's or the operating system's, and is never seeded: who knows the seed can
take the noise away again.

The guarantee is for one row added or removed, with the number of rows taken as public.

A regression is trained by the same classifier: a target's place between its stated bounds is a share s, and its row
stands twice, in the upper class with the weight s and in the lower with 1 - s. So the row's residual is that of a
share, from -1 to 1, which the noise is made for. The library's own regressor makes its noise for the range of the
target, but a residual is the distance of the target to a score that begins at 0 and has no bounds: it is no use here.

Source: H. Nori, R. Caruana, Z. Bu, J. H. Shen and J. Kulkarni, Accuracy, Interpretability, and Differential Privacy via
Explainable Boosting, ICML (2021). The regression of shares: L. Papke and J. Wooldridge, Econometric Methods for
Fractional Response Variables, Journal of Applied Econometrics 11 (1996).
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.training.train_model.tables import as_bins, as_logistic, as_scaled
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS
from kfp_hallmark.contracts.privacy import Spend, commitment, is_number, ledger_path, read_ledger
from kfp_hallmark.contracts.privacy import spend as write_spend
from kfp_hallmark.errors import InputError, nearest
from kfp_hallmark.modeling.columns import Column
from kfp_hallmark.training.features import NUMBER
from kfp_hallmark.training.fitting import fit
from kfp_hallmark.training.target import describe_number, describe_target

if TYPE_CHECKING:
    from pathlib import Path

    import numpy
    import pandas

ESTIMATOR = "interpret.privacy.DPExplainableBoostingClassifier"
REGRESSOR = "interpret.privacy.DPExplainableBoostingRegressor"
PACKAGE = "interpret-core"
MECHANISM = "DP-EBM: Gaussian noise on histograms and sums of residuals, composed by Gaussian differential privacy"
OF_SHARES = f"{MECHANISM}; of the target's place between its bounds"
KEYS = ("epsilon", "delta", "bounds", "categories", "target_bounds", "ledger")
WHOLE, SHARES = ("max_bins", "max_leaves", "max_rounds"), ("bin_budget_frac", "learning_rate")
"""The parameters of the estimator that can be chosen; all others are part of what makes it private."""
MIN_EPSILON, MAX_EPSILON = 0.001, 100.0
"""Below, the noise cannot be computed; above, nothing is private."""
LEARNING_RATE = 0.1
"""Of a regression, unless chosen; by the library's 0.01 a mean far from the middle of the bounds is not reached."""
MOST_BOUND = sys.float_info.max / 4
"""The greatest bound, so that the width and the middle of bounds are doubles."""
LEAST_WIDTH = 1e-9
"""The least width of bounds, as a share of the greater one: within a smaller one doubles are too few."""
LEAST_SHARE = 2.0**-30
"""The least weight of a row, for the library takes none of 0, and the step between weights.

Both weights of a row are then multiples of it and come to 1 without rounding. So do their sums come to the number of
rows, up to 2^23 rows; the last digits of a sum that was rounded would tell of the targets.
"""


@dataclass(frozen=True)
class Privacy:
    """How private a training is to be, and what is public of the features.

    Attributes:
        epsilon: Privacy loss.
        delta: Probability of a greater loss.
        bounds: Least and greatest value of features that are numbers.
        categories: Values of features that are categories.
        target_bounds: Least and greatest value of a regression's target; None for two classes.
        ledger: Where the spend is written.
    """

    epsilon: float
    delta: float
    bounds: Mapping[str, tuple[float, float]]
    categories: Mapping[str, tuple[Any, ...]]
    target_bounds: tuple[float, float] | None
    ledger: Path

    @property
    def mechanism(self) -> str:
        """What makes the training private."""
        return MECHANISM if self.target_bounds is None else OF_SHARES


def read_privacy(given: Mapping[str, Any]) -> Privacy | None:
    """Return what a parameter asks for; None when it is empty.

    Raises:
        InputError: If a key or a value cannot be used, or no ledger is named.
        MissingInputError: If there is no ledger.
        IntegrityError: If the ledger was changed.
    """
    if not given:
        return None
    for key in given:
        if key not in KEYS:
            raise InputError(f"privacy must hold known settings; got {key!r}.", nearest(key, list(KEYS)))
    epsilon, delta = given.get("epsilon"), given.get("delta")
    if not is_number(epsilon) or not MIN_EPSILON <= epsilon <= MAX_EPSILON:
        raise InputError(f"privacy's epsilon must be from {MIN_EPSILON} to {MAX_EPSILON:g}; got {epsilon!r}.")
    if not is_number(delta) or not 0 < delta < 1:
        raise InputError(f"privacy's delta must be above 0 and below 1; got {delta!r}.")
    bounds = {name: _bounds(f"bounds of {name!r}", value) for name, value in _mapping("bounds", given).items()}
    categories = {name: _categories(name, value) for name, value in _mapping("categories", given).items()}
    for name in bounds.keys() & categories.keys():
        raise InputError(f"privacy must give bounds or categories of a feature, not both; {name!r} has both.")
    target = given.get("target_bounds")
    target_bounds = None if target is None else _bounds("target_bounds", target)
    path = ledger_path(given.get("ledger"))
    read_ledger(path)
    return Privacy(float(epsilon), float(delta), bounds, categories, target_bounds, path)


def _mapping(key: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    value = given.get(key, {})
    if not isinstance(value, dict):
        raise InputError(f"privacy's {key} must be an object with features; got {value!r}.")
    return value


def _bounds(what: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2 or not all(map(is_number, value)) or not value[0] < value[1]:
        raise InputError(f"privacy's {what} must be two numbers, the lesser first; got {value!r}.")
    low, high = map(float, value)
    greatest = max(abs(low), abs(high))
    if greatest > MOST_BOUND or high - low < LEAST_WIDTH * greatest:
        raise InputError(
            f"privacy's {what} must be at most {MOST_BOUND:g} and differ by a billionth or more; got {value!r}."
        )
    return low, high


def _categories(name: str, value: Any) -> tuple[Any, ...]:
    alike = isinstance(value, list) and (all(map(is_number, value)) or all(isinstance(entry, str) for entry in value))
    if not alike or not value or len(set(value)) < len(value):
        raise InputError(
            f"privacy's categories of {name!r} must be a list of different texts, or of different numbers; "
            f"got {value!r}."
        )
    return tuple(value) if isinstance(value[0], str) else tuple(sorted(map(float, value)))


def make_private(estimator: str, parameters: Mapping[str, Any], privacy: Privacy) -> Any:
    """Return the estimator, not fitted.

    Raises:
        InputError: If it is another than the one there is, or a parameter is none of those that can be chosen.
    """
    if estimator != ESTIMATOR:
        raise InputError(
            f"estimator must be {ESTIMATOR!r} with privacy; got {estimator!r}.",
            "It trains a regression too, given target_bounds; the library's own regressor adds too little noise."
            if estimator == REGRESSOR
            else None,
        )
    known = sorted((*WHOLE, *SHARES))
    for name, value in parameters.items():
        if name not in known:
            raise InputError(
                f"estimator_parameters must be {', '.join(known)} with privacy; got {name!r}.", nearest(name, known)
            )
        least = 3 if name == "max_bins" else 1
        if name in WHOLE and not (is_number(value) and value == int(value) and least <= value <= 10_000):
            raise InputError(
                f"estimator_parameters' {name} must be a whole number from {least} to 10,000; got {value!r}."
            )
        if name in SHARES and not (is_number(value) and 0 < value < 1):
            raise InputError(f"estimator_parameters' {name} must be above 0 and below 1; got {value!r}.")
    from interpret.privacy import DPExplainableBoostingClassifier

    chosen = {name: int(value) if name in WHOLE else float(value) for name, value in parameters.items()}
    if privacy.target_bounds is not None:
        chosen = {"learning_rate": LEARNING_RATE} | chosen
    return DPExplainableBoostingClassifier(
        epsilon=privacy.epsilon, delta=privacy.delta, random_state=None, n_jobs=1, **chosen
    )


def describe(
    made: Any, privacy: Privacy, label: numpy.ndarray, target: str, positive_class: str | None
) -> dict[str, Any]:
    """Return what the label means: a regression where the target's bounds are stated, else two classes.

    Raises:
        InputError: If the label does not suit, or has more than two classes.
    """
    if privacy.target_bounds is not None:
        if positive_class is not None:
            raise InputError(f"positive_class must be left out with privacy's target_bounds; got {positive_class!r}.")
        return describe_number(label, target)
    if label.dtype.kind == "f" and (label % 1 != 0).any():
        raise InputError(
            f"privacy must have target_bounds for a target of fractions; the column {target!r} has them.",
            "State the least and the greatest value that the target can have; they must be public.",
        )
    meaning = describe_target(made, label, target, positive_class)
    if meaning["task"] == MULTICLASS:
        raise InputError(
            f"privacy must be of a binary task, or of a regression; got {MULTICLASS}.",
            "The library has no private training for more than two classes. For a target that is a number state its "
            "target_bounds; for one class against all others, make a target of the two: each such training spends.",
        )
    return meaning


class Private:
    """An estimator that is trained under differential privacy, and the public preparation of its features."""

    def __init__(
        self, estimator: Any, privacy: Privacy, columns: Sequence[Column], rows: int, meaning: Mapping[str, Any]
    ):
        """Take what `make_private` and `describe` returned, and make sure that it can be trained, without the data.

        Raises:
            InputError: If delta is no less than a row's share, or a feature has neither bounds nor categories, or of
                another type.
        """
        if privacy.delta * rows >= 1:
            raise InputError(
                f"privacy's delta must be below one in the number of rows, {rows:,}; got {privacy.delta:g}.",
                "A mechanism that publishes one row in so many keeps a greater one.",
            )
        _require_public(columns, privacy)
        self.estimator, self.target = estimator, list(privacy.target_bounds or meaning["classes"])
        self.binary = meaning["task"] == BINARY
        numbers = [column.name for column in columns if column.name in privacy.bounds]
        texts = [column.name for column in columns if column.name in privacy.categories]
        self.bounds = [privacy.bounds[name] for name in numbers]
        self.bounds += [(-1.5, len(privacy.categories[name]) - 0.5) for name in texts]
        made_up = _made_up(numbers, texts, privacy)
        self.features = _features(numbers, texts, privacy).fit(made_up)
        self.estimator.set_params(feature_types=["continuous"] * len(columns), privacy_bounds=self._limits())
        fit(self, made_up, self._labels(), ESTIMATOR)

    def __sklearn_tags__(self) -> Any:
        """Return the tags of no classifier, so that a failure does not tell how many rows a class has."""
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(estimator_type=None, target_tags=TargetTags(required=True), input_tags=InputTags())

    def _limits(self) -> numpy.ndarray:
        import numpy

        return numpy.array(self.bounds, dtype=float)

    def _labels(self) -> numpy.ndarray:
        import numpy

        return numpy.array(self.target)

    def fit(self, frame: pandas.DataFrame, label: numpy.ndarray) -> Any:
        """Return a pipeline of scikit-learn's own parts that says what the trained classifier says."""
        from sklearn.base import clone
        from sklearn.pipeline import Pipeline

        limits = self._limits()
        rows = self.features.transform(frame).clip(limits[:, 0], limits[:, 1])
        model = clone(self.estimator)
        if self.binary:
            model.fit(rows, (label == self.target[1]).astype(int))
        else:
            model.fit(*_as_shares(rows, label, self.target, limits))
        cuts = [each[0] for each in model.bins_]
        tables = [scores[1:-1] for scores in model.term_scores_]
        as_estimator = as_logistic if self.binary else as_scaled
        return Pipeline(
            [
                ("features", self.features),
                ("bins", as_bins(cuts, limits)),
                ("estimator", as_estimator(tables, cuts, model.intercept_, self.target)),
            ]
        )


def _as_shares(
    rows: numpy.ndarray, label: numpy.ndarray, bounds: Sequence[float], limits: numpy.ndarray
) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Return rows of two classes with weights, whose residuals are those of a target's share of its bounds.

    Each row stands twice, with weights that come to 1. The library scales its noise by the greatest weight there is,
    which is in the data; two made-up rows in the middle of all bounds, one of each class, have the weight 1.

    Returns:
        Rows, shape (2 rows + 2, features), classes and weights, shape (2 rows + 2,).
    """
    import numpy

    low, high = bounds
    share = ((label.astype(float) - low) / (high - low)).clip(LEAST_SHARE, 1 - LEAST_SHARE)
    share = numpy.rint(share / LEAST_SHARE) * LEAST_SHARE
    middle = limits.mean(axis=1)[None]
    classes = numpy.repeat([1, 0, 1, 0], [len(rows), len(rows), 1, 1])
    return numpy.concatenate([rows, rows, middle, middle]), classes, numpy.concatenate([share, 1 - share, [1.0, 1.0]])


def _require_public(columns: Sequence[Column], privacy: Privacy) -> None:
    """Raise `InputError` unless each feature has bounds or categories that suit its type, and nothing else has."""
    names = [column.name for column in columns]
    given = {**privacy.bounds, **privacy.categories}
    for name in given:
        if name not in names:
            raise InputError(f"privacy must tell of features; {name!r} is none.", nearest(name, names))
    lacking = [name for name in names if name not in given]
    if lacking:
        raise InputError(
            f"privacy must give bounds or categories of every feature; missing: {', '.join(map(repr, lacking))}.",
            "Take them from what is public, such as a code book, and not from the data; or exclude the column.",
        )
    for column in columns:
        values = given[column.name]
        if (column.type == NUMBER) != (not isinstance(values[0], str)):
            wanted = "bounds, or categories that are numbers" if column.type == NUMBER else "categories that are texts"
            raise InputError(f"privacy must give {wanted} of the feature {column.name!r}.")


def _made_up(numbers: Sequence[str], texts: Sequence[str], privacy: Privacy) -> pandas.DataFrame:
    """Return two rows of what is public: the bounds, and a category."""
    import pandas

    values = {name: list(privacy.bounds[name]) for name in numbers}
    return pandas.DataFrame(values | {name: [privacy.categories[name][0]] * 2 for name in texts})


def _features(numbers: Sequence[str], texts: Sequence[str], privacy: Privacy) -> Any:
    """Return what makes numbers of the features: a missing one is the middle of its bounds, and a category its place.

    A missing category and one that is not listed are -1. It is fitted on `_made_up`, so that no row is looked at.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OrdinalEncoder

    middle = SimpleImputer(strategy="median")
    places = OrdinalEncoder(
        categories=[list(privacy.categories[name]) for name in texts],
        handle_unknown="use_encoded_value",
        unknown_value=-1,
    )
    parts = [("numbers", middle, list(numbers)), ("categories", places, list(texts))]
    return ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0)


def spend(privacy: Privacy, lineage: Sequence[str], rows: int, target: str, experiment_hash: str) -> dict[str, Any]:
    """Write to the ledger that a training is about to use the data, and return what its model says of its privacy."""
    library, key = f"{PACKAGE} {metadata.version(PACKAGE)}", secrets.token_hex(32)
    entry = Spend(
        commitment=str(commitment(key, list(lineage), experiment_hash)),
        rows=rows,
        target=target,
        epsilon=privacy.epsilon,
        delta=privacy.delta,
        mechanism=privacy.mechanism,
        library=library,
    )
    return {
        "epsilon": privacy.epsilon,
        "delta": privacy.delta,
        "mechanism": privacy.mechanism,
        "library": library,
        "ledger_entry": write_spend(privacy.ledger, entry),
        "ledger_key": key,
    }
