"""Train a binary classifier that treats groups more alike, by Fairlearn's reductions; `thresholds` has the other way.

A reduction trains the estimator many times on reweighted rows. What stays is an average of the estimators that it
chose, of scikit-learn's own parts: it needs neither Fairlearn nor the sensitive features to predict, and holds no row.

ExponentiatedGradient's own prediction draws one of its estimators by chance for every row, so that one person asked
twice may get two answers. Here their probabilities are averaged by the weights instead: the prediction is certain and
has a score. The bound that the theory gives holds for the drawn prediction, not for the average, so judge what it came
to with `fairness_gate`.

Source: A. Agarwal and others, A Reductions Approach to Fair Classification, ICML (2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.dataset import read_schema, read_table, require_column
from kfp_hallmark.contracts.options import is_number
from kfp_hallmark.contracts.predictions import BINARY
from kfp_hallmark.errors import InputError, nearest

if TYPE_CHECKING:
    import numpy
    import pandas

EXPONENTIATED_GRADIENT, GRID_SEARCH, THRESHOLD_OPTIMIZER = (
    "exponentiated_gradient",
    "grid_search",
    "threshold_optimizer",
)
OPTIONS = MappingProxyType(
    {
        EXPONENTIATED_GRADIENT: ("max_difference", "max_iter"),
        GRID_SEARCH: ("max_difference", "grid_size"),
        THRESHOLD_OPTIMIZER: ("objective", "held_out"),
    }
)
"""What each method has beside a constraint and sensitive features."""
SIZES = MappingProxyType({"max_iter": 50, "grid_size": 20})
"""The default of the number of trainings."""
OBJECTIVES = ("accuracy_score", "balanced_accuracy_score")
CONSTRAINTS = MappingProxyType(
    {
        "demographic_parity": "DemographicParity",
        "equalized_odds": "EqualizedOdds",
        "true_positive_rate_parity": "TruePositiveRateParity",
        "false_positive_rate_parity": "FalsePositiveRateParity",
        "error_rate_parity": "ErrorRateParity",
    }
)
"""Fairlearn's class of each constraint."""
MIRRORED = MappingProxyType(
    {
        "true_positive_rate_parity": "false_positive_rate_parity",
        "false_positive_rate_parity": "true_positive_rate_parity",
    }
)
"""What a constraint is once the classes are swapped."""
MAX_GROUPS = 50
"""A combination of sensitive features with more values than this leaves too few rows to each."""
KEYS = (
    "method",
    "constraint",
    "sensitive_features",
    *dict.fromkeys(name for names in OPTIONS.values() for name in names),
)


@dataclass(frozen=True)
class Mitigation:
    """What is to be alike between groups, and how it is brought about.

    Attributes:
        method: One of `OPTIONS`.
        constraint: One of `CONSTRAINTS`.
        sensitive_features: The columns whose values are the groups.
        max_difference: The slack of the constraint of a reduction.
        size: How often a reduction trains the estimator at most.
        objective: What thresholds make as great as the constraint allows.
        held_out: The share of the rows that thresholds are learnt on.
    """

    method: str
    constraint: str
    sensitive_features: tuple[str, ...]
    max_difference: float = 0.01
    size: int = 0
    objective: str = OBJECTIVES[0]
    held_out: float = 0.25


def read_mitigation(given: Mapping[str, Any]) -> Mitigation | None:
    """Return what a parameter asks for; None when it is empty.

    Raises:
        InputError: If a key or a value cannot be used.
    """
    if not given:
        return None
    for key in given:
        if key not in KEYS:
            raise InputError(f"mitigation must hold known settings; got {key!r}.", nearest(key, list(KEYS)))
    method = _choice("method", given, list(OPTIONS))
    others = {name for names in OPTIONS.values() for name in names} - set(OPTIONS[method])
    for name in sorted(others & set(given)):
        raise InputError(f"mitigation's {name} must be left out for {method}.", f"It has {', '.join(OPTIONS[method])}.")
    constraints = [name for name in CONSTRAINTS if method != THRESHOLD_OPTIMIZER or name != "error_rate_parity"]
    constraint = _choice("constraint", given, constraints)
    features = given.get("sensitive_features")
    if not isinstance(features, list) or not features or not all(isinstance(name, str) for name in features):
        raise InputError(f"mitigation's sensitive_features must be a list of columns; got {features!r}.")
    found = Mitigation(method, constraint, tuple(dict.fromkeys(features)))
    if method == THRESHOLD_OPTIMIZER:
        objective = _choice("objective", {"objective": found.objective} | dict(given), list(OBJECTIVES))
        return replace(found, objective=objective, held_out=_share("held_out", given, found.held_out))
    size = _size(OPTIONS[method][1], given)
    return replace(found, max_difference=_share("max_difference", given, found.max_difference), size=size)


def _share(key: str, given: Mapping[str, Any], default: float) -> float:
    value = given.get(key, default)
    if not is_number(value) or not 0 < value < 1:
        raise InputError(f"mitigation's {key} must be above 0 and below 1; got {value!r}.")
    return float(value)


def _size(key: str, given: Mapping[str, Any]) -> int:
    value = given.get(key, SIZES[key])
    # Kubeflow hands every number of a struct over as a float.
    if not is_number(value) or not 2 <= value <= 1000 or value != int(value):
        raise InputError(f"mitigation's {key} must be a whole number from 2 to 1000; got {value!r}.")
    return int(value)


def _choice(key: str, given: Mapping[str, Any], known: list[str]) -> str:
    value = given.get(key)
    if value not in known:
        raise InputError(f"mitigation's {key} must be one of {', '.join(known)}; got {value!r}.", nearest(value, known))
    return str(value)


def require_sensitive(dataset: str, features: Sequence[str], target: str) -> None:
    """Raise `InputError` unless the sensitive features are columns of a dataset beside the target."""
    names = read_schema(dataset).names
    for feature in features:
        require_column(feature, names, "sensitive_features")
    if target in features:
        raise InputError(f"mitigation's sensitive_features must not hold the target; got {target!r}.")


def read_groups(dataset: str, features: Sequence[str]) -> pandas.DataFrame:
    """Return the sensitive features as text, `(missing)` where there is no value.

    Raises:
        InputError: If the values are too many to be groups.
    """
    import pandas

    frame = read_table(dataset, list(features)).to_pandas()
    frame = pandas.DataFrame({name: frame[name].where(frame[name].notna(), "(missing)").astype(str) for name in frame})
    require_groups(len(frame.drop_duplicates()))
    return frame


def require_groups(count: int) -> None:
    """Raise `InputError` unless there is a number of groups that can be made alike."""
    if not 2 <= count <= MAX_GROUPS:
        raise InputError(
            f"mitigation's sensitive_features must make 2 to {MAX_GROUPS} groups; got {count:,}.",
            "Bin a feature of many values, such as age, in a column of its own.",
        )


def require_suitable(estimator: Any, meaning: Mapping[str, Any], weights: bool) -> None:
    """Raise `InputError` unless a task is binary and an estimator gives probabilities, and takes weights if asked."""
    from sklearn.utils.validation import has_fit_parameter

    if meaning["task"] != BINARY:
        raise InputError(f"mitigation must be of a binary task; got {meaning['task']}.")
    if not hasattr(estimator, "predict_proba") or (weights and not has_fit_parameter(estimator, "sample_weight")):
        wanted = "sample weights and probabilities" if weights else "probabilities"
        raise InputError(f"mitigation must have an estimator with {wanted}; got {type(estimator).__name__!r}.")


class Mitigated:
    """A pipeline whose estimator is trained by a reduction."""

    def __init__(self, pipeline: Any, mitigation: Mitigation, groups: pandas.DataFrame, meaning: Mapping[str, Any]):
        """Take a pipeline that is not fitted; `fit` takes its rows with the groups in their order.

        Raises:
            InputError: If the task is not binary, or the estimator takes no weights or gives no probabilities.
        """
        require_suitable(pipeline.named_steps["estimator"], meaning, weights=True)
        self.pipeline, self.mitigation, self.groups = pipeline, mitigation, groups
        self.classes, self.positive = list(meaning["classes"]), meaning["positive_class"]

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import get_tags

        return get_tags(self.pipeline)

    def fit(self, frame: pandas.DataFrame, label: numpy.ndarray) -> Any:
        """Return the pipeline, fitted: the features as they would be, and the estimators that the reduction chose."""
        features, estimator = (self.pipeline.named_steps[name] for name in ("features", "estimator"))
        rows = features.fit_transform(frame)
        truth = (label == self.classes[1]).astype(int)
        chosen = self._reduce(estimator, rows, truth)
        self.pipeline.set_params(estimator=_vote(chosen, self.classes))
        return self.pipeline

    def _reduce(self, estimator: Any, rows: numpy.ndarray, truth: numpy.ndarray) -> list[tuple[Any, float]]:
        """Return the estimators that were chosen, with their weights."""
        from fairlearn import reductions

        wanted = self.mitigation.constraint
        if self.positive != self.classes[1]:
            wanted = MIRRORED.get(wanted, wanted)
        difference = self.mitigation.max_difference
        constraint = getattr(reductions, CONSTRAINTS[wanted])(difference_bound=difference)
        if self.mitigation.method == GRID_SEARCH:
            search = reductions.GridSearch(estimator, constraint, grid_size=self.mitigation.size)
            search.fit(rows, truth, sensitive_features=self.groups)
            return [(_of_both(search.predictors_[search.best_idx_]), 1.0)]
        gradient = reductions.ExponentiatedGradient(
            estimator, constraint, eps=difference, max_iter=self.mitigation.size
        )
        gradient.fit(rows, truth, sensitive_features=self.groups)
        weights = gradient.weights_
        kept = weights[weights > 0]
        return [(_of_both(gradient.predictors_[place]), float(weight)) for place, weight in kept.items()]


def _of_both(estimator: Any) -> Any:
    """Return an estimator that knows both classes; a reduction's constant one knows the one that it predicts."""
    from sklearn.dummy import DummyClassifier

    if len(estimator.classes_) == 2:
        return estimator
    return DummyClassifier(strategy="constant", constant=estimator.classes_[0]).fit([[0], [0]], [0, 1])


def _vote(chosen: Sequence[tuple[Any, float]], classes: Sequence[Any]) -> Any:
    """Return the weighted average of fitted estimators of 0 and 1, which gives the classes."""
    import numpy
    from sklearn.ensemble import VotingClassifier
    from sklearn.preprocessing import LabelEncoder
    from sklearn.utils import Bunch

    named = [(f"estimator_{place}", estimator) for place, (estimator, _) in enumerate(chosen)]
    vote = VotingClassifier(named, voting="soft", weights=[weight for _, weight in chosen])
    vote.estimators_ = [estimator for _, estimator in named]
    vote.named_estimators_ = Bunch(**dict(named))
    vote.le_ = LabelEncoder().fit(numpy.array(classes))
    vote.classes_ = vote.le_.classes_
    return vote
