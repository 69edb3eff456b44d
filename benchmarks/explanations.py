"""SHAP values of trees, beside shap's TreeExplainer, in one run.

Both are timed on the same fitted model and rows; the greatest difference of a value is told.

    .venv/bin/hallmark env run ml -- python benchmarks/explanations.py [--rows 10000] [--times 3]
"""

import argparse
import statistics
import time

import numpy as np
import shap
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)

from kfp_hallmark.explanation.trees import tree_values

MODELS = {
    "forest, 100 trees of depth 8": (RandomForestClassifier(100, max_depth=8, random_state=0), "binary"),
    "forest, 30 trees of depth 8, 3 classes": (RandomForestClassifier(30, max_depth=8, random_state=0), "three"),
    "forest, 100 trees of depth 6, regression": (RandomForestRegressor(100, max_depth=6, random_state=0), "number"),
    "histogram boosting, 100 trees of 31 leaves": (HistGradientBoostingClassifier(random_state=0), "binary"),
    "gradient boosting, 100 trees of depth 3": (GradientBoostingRegressor(random_state=0), "number"),
}


def seconds(call, times):
    """Return the median time of a call, and what it returned."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        found = call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken), found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    random = np.random.default_rng(0)
    matrix = random.normal(size=(20_000, 20))
    number = matrix[:, 3] + matrix[:, 0] * matrix[:, 1] + random.normal(size=len(matrix))
    labels = {"number": number, "binary": (number > 0).astype(int), "three": np.digitize(number, [-0.5, 0.7])}
    rows = matrix[: given.rows]
    print("| model | hallmark | shap | ratio | greatest difference |\n|---|---|---|---|---|")
    for name, (estimator, kind) in MODELS.items():
        explainer = shap.TreeExplainer(estimator.fit(matrix, labels[kind]))
        ours, values = seconds(lambda model=explainer.model: tree_values(model, rows), given.times)
        if values is None:
            print(f"| {name} | left to shap | | | |", flush=True)
            continue
        theirs, reference = seconds(lambda ask=explainer.shap_values: np.asarray(ask(rows)), given.times)
        gap = abs(reference.reshape(values.shape) - values).max()
        print(f"| {name} | {ours:.2f} s | {theirs:.2f} s | {theirs / ours:.1f} | {gap:.0e} |", flush=True)


if __name__ == "__main__":
    main()
