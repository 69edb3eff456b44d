"""SHAP values of trees, beside shap's TreeExplainer, in one run.

Both take turns on the same fitted model and rows, as `explain_model` asks them; the greatest difference of a value is
told as a share of the greatest value.

    .venv/bin/hallmark env run ml -- python benchmarks/explanations.py [--rows 1000 2000] [--trees 50] [--times 7]
        [--models xgboost lightgbm] [--processor]

With `--processor` both have one thread, and its processor time is told: on a busy machine that is what can be repeated.
"""

import argparse
import os
import sys
import time

if "--processor" in sys.argv:
    os.environ["OMP_NUM_THREADS"] = "1"  # before anything makes its threads

import numpy as np
import shap
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn import ensemble
from xgboost import XGBClassifier, XGBRegressor

from kfp_hallmark.explanation.shapley import _from_tables

DEPTHS = (3, 6, 8)
TASKS = ("binary", "3 classes", "number")


def estimators(trees, threads):
    """Return by name what makes an estimator of a depth for a task."""

    def made(classifier, regressor, number="n_estimators", **options):
        return lambda depth, task: (regressor if task == "number" else classifier)(
            max_depth=depth, random_state=0, **{number: trees}, **options
        )

    return {
        "GradientBoosting": made(ensemble.GradientBoostingClassifier, ensemble.GradientBoostingRegressor),
        "HistGradientBoosting": made(
            ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor, "max_iter"
        ),
        "RandomForest": made(ensemble.RandomForestClassifier, ensemble.RandomForestRegressor),
        "ExtraTrees": made(ensemble.ExtraTreesClassifier, ensemble.ExtraTreesRegressor),
        "xgboost": made(XGBClassifier, XGBRegressor, n_jobs=threads),
        "lightgbm": made(LGBMClassifier, LGBMRegressor, n_jobs=threads, verbose=-1),
    }


def timed(call, clock):
    start = clock()
    found = call()
    return clock() - start, found


def compared(estimator, matrix, times, clock):
    """Return the least seconds of both, and the greatest difference as a share of the greatest value."""
    explainer = shap.TreeExplainer(estimator)
    ours, theirs = [], []
    for _ in range(times):
        seconds, found = timed(lambda: _from_tables(explainer, estimator, matrix), clock)
        if found is None:
            return None
        ours.append(seconds)
        seconds, reference = timed(lambda: np.asarray(explainer.shap_values(matrix)), clock)
        theirs.append(seconds)
    gap = abs(reference - found[0]).max() / abs(reference).max()
    return min(ours), min(theirs), gap


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 2_000, 10_000])
    parser.add_argument("--trees", type=int, default=50)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--models", nargs="+", choices=[*estimators(1, None)], default=[*estimators(1, None)])
    parser.add_argument("--processor", action="store_true")
    given = parser.parse_args()
    clock, threads = (time.process_time, 1) if given.processor else (time.perf_counter, None)
    random = np.random.default_rng(0)
    matrix = random.normal(size=(20_000, 20))
    number = matrix[:, 3] + matrix[:, 0] * matrix[:, 1] + random.normal(size=len(matrix))
    labels = {"number": number, "binary": (number > 0).astype(int), "3 classes": np.digitize(number, [-0.5, 0.7])}
    print("| model | depth | task | rows | hallmark, s | shap, s | ratio | difference |\n" + "|---" * 8 + "|")
    for name, make in estimators(given.trees, threads).items():
        if name not in given.models:
            continue
        for depth in DEPTHS:
            for task in TASKS:
                if name == "GradientBoosting" and task == "3 classes":
                    continue  # TreeExplainer does not take it.
                estimator = make(depth, task).fit(matrix, labels[task])
                for rows in given.rows:
                    found = compared(estimator, matrix[:rows], given.times, clock)
                    told = "left to shap | | |"
                    if found is not None:
                        ours, theirs, gap = found
                        told = f"{ours:.3f} | {theirs:.3f} | {theirs / ours:.1f} | {gap:.0e}"
                    print(f"| {name} | {depth} | {task} | {rows:,} | {told} |", flush=True)


if __name__ == "__main__":
    main()
