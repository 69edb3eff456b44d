"""Disparities between the groups of two features, with intervals, beside Fairlearn's without.

Each measure is timed alone, from label, prediction and columns to the value: here with the interval of 10,000
resamples, in Fairlearn's MetricFrame without any, by turns; the medians of `--rounds` are told. Both are of one thread,
so the ratio of the processor's time is told too: on a busy machine it is steadier. Both values are held equal to 1e-12.

    .venv/bin/hallmark env run ml -- python benchmarks/fairness.py [--rows 1000000] [--rounds 3]
"""

import argparse
import os
import statistics
import time
import warnings
from functools import partial

import fairlearn.metrics
import numpy as np
import pandas
import pyarrow
import sklearn.metrics

from kfp_hallmark.contracts.predictions import BINARY, REGRESSION, Predictions
from kfp_hallmark.fairness.disparity import disparity, disparity_interval
from kfp_hallmark.fairness.groups import group_by, intersect
from kfp_hallmark.fairness.registry import DISPARITIES
from kfp_hallmark.fairness.tally import tallies

DIGEST = "sha256:" + "1" * 64
PEERS = {
    "demographic_parity_difference": fairlearn.metrics.selection_rate,
    "equalized_odds_difference": {
        "true": fairlearn.metrics.true_positive_rate,
        "false": fairlearn.metrics.false_positive_rate,
    },
    "equal_opportunity_difference": fairlearn.metrics.true_positive_rate,
    "false_positive_rate_ratio": fairlearn.metrics.false_positive_rate,
    "accuracy_score_difference": sklearn.metrics.accuracy_score,
    "precision_score_group_min": sklearn.metrics.precision_score,
    "f1_score_group_min": sklearn.metrics.f1_score,
    "balanced_accuracy_score_group_min": sklearn.metrics.balanced_accuracy_score,
    "roc_auc_score_difference": sklearn.metrics.roc_auc_score,
    "log_loss_group_max": sklearn.metrics.log_loss,
    "mean_prediction_difference": fairlearn.metrics.mean_prediction,
    "mean_absolute_error_group_max": sklearn.metrics.mean_absolute_error,
    "r2_score_group_min": sklearn.metrics.r2_score,
}
MEASURES = {measure.name: measure for measure in DISPARITIES}
SAMPLES = 10_000


def make(rows: int) -> tuple[Predictions, Predictions, pyarrow.Table]:
    random = np.random.default_rng(0)
    sex, race = (
        random.integers(1, 3, rows),
        random.choice(9, rows, p=[0.5, 0.2, 0.1, 0.06, 0.05, 0.04, 0.02, 0.02, 0.01]),
    )
    label = (random.random(rows) < 0.4 + 0.02 * race).astype(int)
    score = (0.35 + 0.25 * label + 0.02 * sex + random.normal(0, 0.2, rows)).clip(0.01, 0.99)
    binary = Predictions(BINARY, "y", label, (score >= 0.5).astype(int), score, (0, 1), 1, 0.5, DIGEST, DIGEST)
    pay = random.normal(50, 10 + race)
    regression = Predictions(
        REGRESSION, "y", pay, pay + random.normal(1, 5, rows), None, (), None, None, DIGEST, DIGEST
    )
    return binary, regression, pyarrow.table({"sex": sex, "race": [f"race {value}" for value in race]})


def ours(name: str, predictions: Predictions, table: pyarrow.Table) -> float:
    measure = MEASURES[name]
    groups = intersect([group_by(table[feature], feature) for feature in table.column_names])
    (tally,) = tallies(predictions, groups, set(measure.quantities))
    compared = [tally.quantities[quantity] for quantity in measure.quantities]
    disparity_interval(compared, measure.statistic, SAMPLES, 0.95, np.random.default_rng(0))
    return disparity(compared, measure.statistic)


def theirs(name: str, predictions: Predictions, features: pandas.DataFrame) -> float:
    scored = name.startswith(("roc_auc", "log_loss"))
    said = predictions.score if scored else predictions.prediction
    frame = fairlearn.metrics.MetricFrame(
        metrics=PEERS[name], y_true=predictions.label, y_pred=said, sensitive_features=features
    )
    found = getattr(frame, MEASURES[name].statistic)()
    return float(max(found) if isinstance(found, pandas.Series) else found)


def timed(call) -> tuple[float, float, float]:
    start, used = time.perf_counter(), time.process_time()
    return call(), time.perf_counter() - start, time.process_time() - used


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    binary, regression, table = make(given.rows)
    features = table.to_pandas()
    print(f"{given.rows:,} rows, load before {os.getloadavg()[0]:.1f}", flush=True)
    for name in PEERS:
        predictions = binary if BINARY in MEASURES[name].tasks else regression
        calls = partial(ours, name, predictions, table), partial(theirs, name, predictions, features)
        found = [[timed(call) for call in calls] for _ in range(given.rounds)]
        (here, *_), (there, *_) = found[0]
        assert abs(here - there) <= 1e-12 * max(1, abs(there)), (name, here, there)
        (quick, quickly), (slow, slowly) = (
            [statistics.median(times) for times in list(zip(*each, strict=True))[1:]]
            for each in zip(*found, strict=True)
        )
        ratios = f"{slow / quick:.0f} | {slowly / quickly:.0f}"
        print(f"| {name} | {1000 * quick:.0f} ms | {slow:.2f} s | {ratios} |", flush=True)
    print(f"load after {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
