"""Champion against challenger on the same rows, beside the naive paired bootstrap with scikit-learn.

The peer resamples rows 200 times and measures both models each time. Both are timed in one process; the widths of the
intervals are compared, for a fast interval that is wider is no gain.

    .venv/bin/hallmark env run ml -- python benchmarks/comparison.py [--rows 100000]
"""

import argparse
import statistics
import time

import numpy as np
import sklearn.metrics

from kfp_hallmark.comparison import advantage
from kfp_hallmark.contracts.predictions import BINARY, Predictions

RESAMPLES = 200
REFERENCE = {
    "roc_auc": lambda label, score: sklearn.metrics.roc_auc_score(label, score),
    "log_loss": lambda label, score: sklearn.metrics.log_loss(label, score),
    "accuracy": lambda label, score: sklearn.metrics.accuracy_score(label, score >= 0.5),
    "f1": lambda label, score: sklearn.metrics.f1_score(label, score >= 0.5),
}


def naive(measured, label, first, second, random):
    """Return the percentile interval of the difference over resampled rows."""
    differences = []
    for _ in range(RESAMPLES):
        rows = random.integers(0, len(label), len(label))
        differences.append(measured(label[rows], first[rows]) - measured(label[rows], second[rows]))
    return np.quantile(differences, [0.025, 0.975])


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
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    random = np.random.default_rng(0)
    label = (random.random(rows) < 0.3).astype(int)
    shared = 1.2 * label - 1 + random.normal(size=rows)
    scores = [1 / (1 + np.exp(-(shared + random.normal(0, noise, rows)))) for noise in (0.2, 0.4)]
    digest = "sha256:" + "0" * 64
    pair = [
        Predictions(BINARY, "label", label, (each >= 0.5).astype(int), each, (0, 1), 1, 0.5, digest, digest)
        for each in scores
    ]
    print(f"{rows:,} rows; the peer: {RESAMPLES} resamples of rows, scikit-learn")
    for name, measured in REFERENCE.items():
        sign = -1 if name == "log_loss" else 1
        ours, found = seconds(lambda name=name: advantage(*pair, name, samples=10_000), 5)
        peer, (low, high) = seconds(lambda measured=measured: naive(measured, label, *scores, random), 1)
        width = (found.interval[1] - found.interval[0]) / (high - low)
        centre = found.difference - sign * (low + high) / 2
        print(
            f"{name:9} {ours * 1000:7.1f} ms, peer {peer:6.2f} s: {peer / ours:5.0f} times; width {width:.2f} of the "
            f"peer's, centres {abs(centre) / (high - low):.2f} widths apart"
        )


if __name__ == "__main__":
    main()
