"""Give each group its own threshold on the scores of a binary classifier, by Fairlearn's ThresholdOptimizer.

The estimator is trained on one part of the rows; the thresholds are learnt on the other, on which its scores are those
of people it has not seen. What stays is of scikit-learn's own parts: it needs the sensitive features to predict, but no
Fairlearn, and holds no row.

ThresholdOptimizer draws, for every row, between two thresholds of the group by chance, and for equalized odds whether
to heed the score at all, so that one person asked twice may get two answers. Here a group gets the one threshold whose
rates on the held-out rows come nearest to those that the draw has on average, so the prediction is certain.

Source: M. Hardt, E. Price and N. Srebro, Equality of Opportunity in Supervised Learning, NeurIPS (2016).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.training.train_model.mitigation import Mitigation, require_groups, require_suitable
from kfp_hallmark.errors import InputError
from kfp_hallmark.training.features import as_texts

if TYPE_CHECKING:
    import numpy
    import pandas

MIN_HELD_OUT = 10
"""The least number of held-out rows of each class in each group: a threshold from fewer is chance."""
NOBODY, EVERYBODY = 2.0, -1.0
"""The thresholds that no score, and every score, reaches."""
SLOPE = 4.0
"""How steeply the new score rises where it is 0.5: as the old one."""


class Thresholded:
    """A pipeline whose decisions are made by a threshold for each group."""

    def __init__(
        self,
        pipeline: Any,
        mitigation: Mitigation,
        frame: pandas.DataFrame,
        label: numpy.ndarray,
        rows: numpy.ndarray,
        meaning: Mapping[str, Any],
        seed: int,
    ):
        """Take a pipeline that is not fitted, and choose the rows to hold out.

        Args:
            pipeline: The estimator behind its features.
            mitigation: What is to be alike.
            frame: What the model is to be given: the features, and the sensitive ones whether features or not.
            label: Labels, shape (rows,).
            rows: What is the same number for equal rows, which stay on one side, shape (rows,).
            meaning: What the label means.
            seed: Seed of what is held out.

        Raises:
            InputError: If the task is not binary, the estimator gives no probabilities, or a group has too few rows.
        """
        require_suitable(pipeline.named_steps["estimator"], meaning, weights=False)
        self.pipeline, self.mitigation = pipeline, mitigation
        self.positive = list(meaning["classes"]).index(meaning["positive_class"])
        self.encoder, self.indicators, self.groups = _encode(frame, mitigation.sensitive_features)
        truth = label == meaning["positive_class"]
        self.held_out = _hold_out(self.groups * 2 + truth, rows, mitigation.held_out, seed)
        _require_rows(self.groups[self.held_out], truth[self.held_out], len(self.indicators))

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import get_tags

        return get_tags(self.pipeline)

    def fit(self, frame: pandas.DataFrame, label: numpy.ndarray) -> Any:
        """Return a pipeline: the score of the estimator beside the groups, and the decision by their thresholds."""
        from sklearn.ensemble import VotingClassifier
        from sklearn.pipeline import FeatureUnion, Pipeline

        scorer = VotingClassifier([("model", self.pipeline)], voting="soft")
        scorer.fit(frame[~self.held_out], label[~self.held_out])
        score = scorer.predict_proba(frame[self.held_out])[:, self.positive]
        truth = (label[self.held_out] == scorer.classes_[self.positive]).astype(int)
        own = [thresholds(score, truth, groups, self.mitigation) for groups in self._partitions()]
        decide = _decide(self.indicators, own[0], own[1][0], scorer.classes_, self.positive)
        return Pipeline(
            [("features", FeatureUnion([("score", scorer), ("groups", self.encoder)])), ("estimator", decide)]
        )

    def _partitions(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Return the groups of the held-out rows, and all of these as one group."""
        groups = self.groups[self.held_out]
        return groups, groups * 0


def _encode(frame: pandas.DataFrame, features: Sequence[str]) -> tuple[Any, numpy.ndarray, numpy.ndarray]:
    """Return what tells the groups apart, its output for each group, and each row's group.

    A value that it was not shown becomes zeros, so that it is none of the groups; a missing one is a value.
    """
    import numpy
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    names = list(features)
    texts = [name for name in names if frame[name].dtype == "str"]
    require_groups(len(frame[names].drop_duplicates()))
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype="float64")
    encoder = ColumnTransformer([("groups", Pipeline([("texts", as_texts(texts)), ("encode", encode)]), names)])
    indicators, groups = numpy.unique(encoder.fit_transform(frame), axis=0, return_inverse=True)
    return encoder, indicators, groups.ravel()


def _hold_out(cells: numpy.ndarray, rows: numpy.ndarray, share: float, seed: int) -> numpy.ndarray:
    """Return a mask of the rows to hold out: of each class of each group a share, equal rows together."""
    import numpy

    generator = numpy.random.default_rng(seed)
    held = numpy.zeros(len(cells), dtype=bool)
    for cell in numpy.unique(cells):
        of_cell = numpy.flatnonzero(cells == cell)
        different, place = numpy.unique(rows[of_cell], return_inverse=True)
        held[of_cell] = generator.permutation(len(different))[place] < round(share * len(different))
    return held


def _require_rows(groups: numpy.ndarray, truth: numpy.ndarray, count: int) -> None:
    import numpy

    least = numpy.minimum(
        numpy.bincount(groups[truth], minlength=count), numpy.bincount(groups[~truth], minlength=count)
    )
    few = int((least < MIN_HELD_OUT).sum())
    if few:
        raise InputError(
            f"mitigation's sensitive_features must make groups with at least {MIN_HELD_OUT} held-out rows of each "
            f"class; {few:,} of {count:,} have fewer.",
            "Join small groups in a column of its own, or raise held_out.",
        )


def thresholds(
    score: numpy.ndarray, truth: numpy.ndarray, groups: numpy.ndarray, mitigation: Mitigation
) -> list[float]:
    """Return the threshold of each group: who scores above it is chosen.

    Args:
        score: Probabilities of the positive class, shape (rows,).
        truth: 1 for the positive class, else 0, shape (rows,).
        groups: The group of each row, 0 to below their number, shape (rows,).
        mitigation: What is to be alike.
    """
    from fairlearn.postprocessing import ThresholdOptimizer

    score = score.astype(float)  # between two neighbours in single precision there is no threshold
    optimizer = ThresholdOptimizer(
        estimator=_scores(),
        constraints=mitigation.constraint,
        objective=mitigation.objective,
        prefit=True,
        predict_method="predict",
    )
    optimizer.fit(score[:, None], truth, sensitive_features=groups)
    drawn = optimizer.interpolated_thresholder_.interpolation_dict
    return [
        _nearest(Curve.of(score[groups == group], truth[groups == group]), drawn[group], mitigation)
        for group in range(len(drawn))
    ]


def _scores() -> Any:
    """Return a fitted regressor whose prediction is its one feature: Fairlearn asks an estimator for the scores."""
    import numpy
    from sklearn.linear_model import LinearRegression

    identity = LinearRegression()
    identity.coef_, identity.intercept_, identity.n_features_in_ = numpy.ones(1), 0.0, 1
    return identity


@dataclass(frozen=True)
class Curve:
    """What every threshold of a group comes to on its rows.

    Attributes:
        threshold: Thresholds between the scores that occur, falling, shape (thresholds,).
        rates: Shares chosen of all, of the positive and of the negative rows, shape (thresholds, 3).
        positive: The share of the positive rows.
    """

    threshold: numpy.ndarray
    rates: numpy.ndarray
    positive: float

    @classmethod
    def of(cls, score: numpy.ndarray, truth: numpy.ndarray) -> Curve:
        """Return the curve of a group with rows of both classes."""
        import numpy

        values, place = numpy.unique(-score, return_inverse=True)
        chosen = [numpy.bincount(place, weights=weight) for weight in (truth == truth, truth == 1, truth == 0)]
        rates = [numpy.concatenate([[0.0], numpy.cumsum(each)]) / each.sum() for each in chosen]
        threshold = numpy.concatenate([[NOBODY], -(values[1:] + values[:-1]) / 2, [EVERYBODY]])
        return cls(threshold, numpy.column_stack(rates), float(truth.mean()))

    def at(self, threshold: float) -> numpy.ndarray:
        """Return the rates of choosing who scores above a threshold, shape (3,)."""
        import numpy

        return self.rates[numpy.flatnonzero(self.threshold >= min(threshold, NOBODY))[-1]]

    def objective(self, name: str) -> numpy.ndarray:
        """Return the accuracy, or the balanced accuracy, of each threshold, shape (thresholds,)."""
        share = self.positive if name == "accuracy_score" else 0.5
        return share * self.rates[:, 1] + (1 - share) * (1 - self.rates[:, 2])


RATES = {
    "demographic_parity": [0],
    "true_positive_rate_parity": [1],
    "false_positive_rate_parity": [2],
    "equalized_odds": [1, 2],
}
"""Which of a curve's rates each constraint wants alike."""


def _nearest(curve: Curve, drawn: Mapping[str, Any], mitigation: Mitigation) -> float:
    """Return the threshold whose rates come nearest to what a draw has on average; of several, the best one."""
    import numpy

    mean = sum(drawn[f"p{place}"] * curve.at(drawn[f"operation{place}"].threshold) for place in (0, 1))
    ignored = drawn.get("p_ignore", 0.0)
    mean = ignored * drawn.get("prediction_constant", 0.0) + (1 - ignored) * mean
    which = RATES[mitigation.constraint]
    distance = numpy.linalg.norm(curve.rates[:, which] - mean[which], axis=1).round(12)
    best = numpy.lexsort((-curve.objective(mitigation.objective).round(12), distance))[0]
    return float(curve.threshold[best])


def _decide(
    indicators: numpy.ndarray, own: Sequence[float], pooled: float, classes: numpy.ndarray, positive: int
) -> Any:
    """Return a classifier of the estimator's probabilities and the groups' indicators, by thresholds.

    Its score is the logistic function of `SLOPE` times what the probability is above the threshold: at least 0.5 from
    the threshold on. A group is known by all of its features' indicators being 1; who is of no group gets the pooled
    threshold. This is a network of one hidden layer, whose weights are set and not learnt.
    It has a seed, so that whoever trains the model again as it stands finds that it becomes another.

    Args:
        indicators: What the encoder makes of each group, zeros and ones, shape (groups, indicators).
        own: The groups' thresholds.
        pooled: The threshold for all others.
        classes: The two classes.
        positive: Which of them is the positive one.
    """
    import numpy
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import LabelBinarizer

    groups, width = indicators.shape
    hidden = numpy.zeros((2 + width, 1 + groups))
    hidden[positive, 0] = 1.0
    hidden[2:, 1:] = indicators.T
    features = indicators[0].sum()
    slope = SLOPE if positive == 1 else -SLOPE
    output = numpy.concatenate([[slope], -slope * (numpy.array(own) - pooled)])[:, None]
    network = MLPClassifier((1 + groups,), activation="relu", random_state=0)
    network.coefs_ = [hidden, output]
    network.intercepts_ = [numpy.concatenate([[0.0], numpy.full(groups, 1 - features)]), numpy.array([-slope * pooled])]
    network.n_layers_, network.n_outputs_, network.out_activation_ = 3, 1, "logistic"
    network.n_features_in_ = 2 + width
    network._label_binarizer = LabelBinarizer().fit(classes)
    network.classes_ = network._label_binarizer.classes_
    return network
