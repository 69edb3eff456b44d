"""The disparities that can be limited: Fairlearn's, by its names, and a few that its MetricFrame gives."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION

DIFFERENCE, RATIO, GROUP_MIN, GROUP_MAX = "difference", "ratio", "group_min", "group_max"
SPREADS = (DIFFERENCE, RATIO)
"""The statistics that compare groups with each other, and so need at least two."""

SELECTION_RATE = "selection rate"
TRUE_POSITIVE_RATE = "true positive rate"
TRUE_NEGATIVE_RATE = "true negative rate"
FALSE_POSITIVE_RATE = "false positive rate"
FALSE_NEGATIVE_RATE = "false negative rate"
PRECISION = "precision"
F1 = "F1 score"
ACCURACY = "accuracy"
ERROR_RATE = "error rate"
BALANCED_ACCURACY = "balanced accuracy"
MEAN_SCORE = "mean score"
ROC_AUC = "ROC AUC"
LOG_LOSS = "log loss"
MEAN_PREDICTION = "mean prediction"
MEAN_ABSOLUTE_ERROR = "mean absolute error"
MEAN_SQUARED_ERROR = "mean squared error"
R2 = "R²"


@dataclass(frozen=True)
class Kind:
    """What is compared between groups, as the field names it.

    Attributes:
        tasks: The tasks it is defined for.
        rows: The rows of a group that it rests on.
        meaning: What it is, in a few words.
        of_class: Whether it is of one class against the rest: of the positive one, or of each of several.
        needs_score: Whether it needs probabilities.
        least: The least value that it can have.
        greatest: The greatest.
    """

    tasks: tuple[str, ...]
    rows: str
    meaning: str
    of_class: bool = False
    needs_score: bool = False
    least: float = 0.0
    greatest: float = 1.0


ANY = float("inf")
CLASSES = (BINARY, MULTICLASS)
KINDS = MappingProxyType(
    {
        SELECTION_RATE: Kind(CLASSES, "rows", "share of its rows that are predicted positive", True),
        TRUE_POSITIVE_RATE: Kind(CLASSES, "positive rows", "share predicted positive of its positive rows", True),
        TRUE_NEGATIVE_RATE: Kind(CLASSES, "negative rows", "share predicted negative of its negative rows", True),
        FALSE_POSITIVE_RATE: Kind(CLASSES, "negative rows", "share predicted positive of its negative rows", True),
        FALSE_NEGATIVE_RATE: Kind(CLASSES, "positive rows", "share predicted negative of its positive rows", True),
        PRECISION: Kind(CLASSES, "rows predicted positive", "share positive of its rows predicted positive", True),
        F1: Kind(
            CLASSES, "rows positive or predicted positive", "harmonic mean of precision and true positive rate", True
        ),
        ACCURACY: Kind(CLASSES, "rows", "share of its rows that are predicted rightly"),
        ERROR_RATE: Kind(CLASSES, "rows", "share of its rows that are predicted wrongly"),
        BALANCED_ACCURACY: Kind(CLASSES, "rows of its rarest class", "mean share predicted rightly of each class"),
        MEAN_SCORE: Kind((BINARY,), "rows", "mean probability of the positive class", needs_score=True),
        ROC_AUC: Kind(
            (BINARY,),
            "rows of its rarer class",
            "probability that of its rows a positive one has a greater score than a negative one",
            needs_score=True,
        ),
        LOG_LOSS: Kind(
            CLASSES, "rows", "mean of minus the logarithm of the true class's probability", False, True, greatest=ANY
        ),
        MEAN_PREDICTION: Kind((REGRESSION,), "rows", "mean of what is predicted", least=-ANY, greatest=ANY),
        MEAN_ABSOLUTE_ERROR: Kind((REGRESSION,), "rows", "mean distance of prediction and label", greatest=ANY),
        MEAN_SQUARED_ERROR: Kind((REGRESSION,), "rows", "mean squared distance of prediction and label", greatest=ANY),
        R2: Kind((REGRESSION,), "rows of unequal label", "share of its label's variance that is explained", least=-ANY),
    }
)
"""What is compared, by name, in the order in which reports show it."""


@dataclass(frozen=True)
class Disparity:
    """A measure of how differently groups are treated.

    Attributes:
        name: The name that Fairlearn gives it, or would.
        quantities: What is compared; the worst of them counts.
        statistic: `difference`, `ratio`, `group_min` or `group_max`.
    """

    name: str
    quantities: tuple[str, ...]
    statistic: str = DIFFERENCE

    @property
    def limit(self) -> str:
        """The name of its limit."""
        return f"{'min' if self.at_least else 'max'}_{self.name}"

    @property
    def at_least(self) -> bool:
        """Whether its limit is a least value."""
        return self.statistic in (RATIO, GROUP_MIN)

    @property
    def kinds(self) -> list[Kind]:
        """What its quantities are."""
        return [KINDS[name] for name in self.quantities]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks it is defined for."""
        return self.kinds[0].tasks

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest limit that make sense."""
        if self.statistic == RATIO:
            return 0.0, 1.0
        least, greatest = self.kinds[0].least, self.kinds[0].greatest
        return (0.0, greatest - least) if self.statistic == DIFFERENCE else (least, greatest)


def _disparities() -> tuple[Disparity, ...]:
    named = [
        ("demographic_parity", (SELECTION_RATE,)),
        ("equalized_odds", (TRUE_POSITIVE_RATE, FALSE_POSITIVE_RATE)),
        ("equal_opportunity", (TRUE_POSITIVE_RATE,)),
        ("selection_rate", (SELECTION_RATE,)),
        ("true_positive_rate", (TRUE_POSITIVE_RATE,)),
        ("true_negative_rate", (TRUE_NEGATIVE_RATE,)),
        ("false_positive_rate", (FALSE_POSITIVE_RATE,)),
        ("false_negative_rate", (FALSE_NEGATIVE_RATE,)),
        ("precision_score", (PRECISION,)),
        ("accuracy_score", (ACCURACY,)),
        ("zero_one_loss", (ERROR_RATE,)),
    ]
    alone = [
        ("accuracy_score", ACCURACY, GROUP_MIN),
        ("zero_one_loss", ERROR_RATE, GROUP_MAX),
        ("balanced_accuracy_score", BALANCED_ACCURACY, GROUP_MIN),
        ("precision_score", PRECISION, GROUP_MIN),
        ("recall_score", TRUE_POSITIVE_RATE, GROUP_MIN),
        ("f1_score", F1, GROUP_MIN),
        ("mean_score", MEAN_SCORE, DIFFERENCE),
        ("roc_auc_score", ROC_AUC, DIFFERENCE),
        ("roc_auc_score", ROC_AUC, GROUP_MIN),
        ("log_loss", LOG_LOSS, GROUP_MAX),
        ("mean_prediction", MEAN_PREDICTION, DIFFERENCE),
        ("mean_absolute_error", MEAN_ABSOLUTE_ERROR, DIFFERENCE),
        ("mean_absolute_error", MEAN_ABSOLUTE_ERROR, GROUP_MAX),
        ("mean_squared_error", MEAN_SQUARED_ERROR, GROUP_MAX),
        ("r2_score", R2, GROUP_MIN),
    ]
    return (
        *(Disparity(f"{name}_{kind}", compared, kind) for name, compared in named for kind in SPREADS),
        *(Disparity(f"{name}_{kind}", (compared,), kind) for name, compared, kind in alone),
    )


DISPARITIES = _disparities()
"""Every disparity, in the order in which verdicts and reports have them."""
