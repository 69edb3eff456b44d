"""How good a model is: metrics of its predictions, their confidence intervals, and the comparison of two models.

Metrics have the names and the values that scikit-learn gives them; where scikit-learn falls back to a number (precision
without a predicted positive, the percentage error of a true value of 0) the value here is None. It has no name for two:
specificity is the recall of the negative class; the expected calibration error is the mean distance of mean outcome and
mean score in 10 bins of equally many rows. NumPy alone is used: importing scikit-learn costs seconds.

Five kinds of metric, five kinds of interval:

- **Shares of rows** (accuracy, precision, recall, specificity): Wilson's.
- **Other functions of the confusion counts** (balanced accuracy, F1): the percentile bootstrap. Resampling rows changes
  only the counts, so the counts are drawn from the multinomial distribution, which is the same at a cost that does not
  grow with the rows. One pseudo-row a true class, spread evenly over the predictions, keeps the interval from shrinking
  to a point when no error was seen.
- **Means of losses** (log loss, Brier score, mean absolute error, and the root of the mean squared error): Hall's
  interval, which is as skewed as the losses are. A loss of 0 in all rows takes Wilson's interval of the share of rows
  that have any.
- **The median of losses**: from the order of the losses (binomial), whatever their distribution.
- **Everything else** (areas under curves, R²): the normal interval from each row's influence on the metric (the
  infinitesimal jackknife), on the logit scale for what lies between 0 and 1, and for R² and D² on the log scale of the
  unexplained share. For ROC AUC this is DeLong's variance, which comes out too
  small when a class has few rows; below `SMALL_CLASS` of them, Hanley and McNeil's stands in where it is greater.

Fewer than `LEAST_ROWS`, of each class for what ranks rows, give no interval: it would be too short.

Two models on the same rows are compared in pairs by the same means; see `kfp_hallmark.comparison`.

Sources: E. Wilson, Journal of the American Statistical Association 22 (1927), on shares; E. DeLong, D. DeLong, D.
Clarke-Pearson, Biometrics 44 (1988); J. Hanley, B. McNeil, Radiology 143 (1982); B. Efron, The Jackknife, the Bootstrap
and Other Resampling Plans, SIAM (1982), chapter 6; N. Obuchowski, M. Lieber, Academic Radiology 9 (2002), on an area of
1; P. Hall, Journal of the Royal Statistical Society B 54 (1992), on means.
"""

from kfp_hallmark.measures.areas import grouped_areas
from kfp_hallmark.measures.counting import JointCounts, joint_counts, resample, select
from kfp_hallmark.measures.curves import Lift, calibration_curve, confusion_matrix, lift_table, roc_curve
from kfp_hallmark.measures.estimates import bootstrap_intervals, standard_error
from kfp_hallmark.measures.intervals import (
    Interval,
    judge_interval,
    mean_interval,
    normal_quantile,
    percentile_interval,
    quantile_interval,
    require_resampling,
    skewed_interval,
    wilson_interval,
)
from kfp_hallmark.measures.partition import Partition, count_codes
from kfp_hallmark.measures.registry import (
    CALIBRATION_BINS,
    IDENTITY,
    LEAST_ROWS,
    LOGIT,
    MEAN,
    METRICS,
    REST,
    ROOT,
    SMALL_CLASS,
    Metric,
    enough_rows,
    fewest_rows,
    influences_of,
    measure,
    metrics_for,
    require_metric,
    threshold_counts,
    value_of,
)

__all__ = [
    "CALIBRATION_BINS",
    "IDENTITY",
    "LEAST_ROWS",
    "LOGIT",
    "MEAN",
    "METRICS",
    "REST",
    "ROOT",
    "SMALL_CLASS",
    "Interval",
    "JointCounts",
    "Lift",
    "Metric",
    "Partition",
    "bootstrap_intervals",
    "calibration_curve",
    "confusion_matrix",
    "count_codes",
    "enough_rows",
    "fewest_rows",
    "grouped_areas",
    "influences_of",
    "joint_counts",
    "judge_interval",
    "lift_table",
    "mean_interval",
    "measure",
    "metrics_for",
    "normal_quantile",
    "percentile_interval",
    "quantile_interval",
    "require_metric",
    "require_resampling",
    "resample",
    "roc_curve",
    "select",
    "skewed_interval",
    "standard_error",
    "threshold_counts",
    "value_of",
    "wilson_interval",
]
