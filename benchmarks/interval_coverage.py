"""How often 95 % intervals hold the truth, and on which side they miss it, in simulated data.

Of every metric, of one model and of the difference of two on the same rows, where errors have light tails and heavy
ones. The truth is measured on 4,000,000 rows. The tests repeat this at a smaller size.

    .venv/bin/hallmark env run ml -- python benchmarks/interval_coverage.py [--runs 2000] [--rows 200 1000] [--only t3]
"""

import argparse

import numpy as np

from kfp_hallmark import measures
from kfp_hallmark.comparison import advantage
from kfp_hallmark.contracts.predictions import BINARY, MULTICLASS, REGRESSION, Predictions

DIGEST = "sha256:" + "0" * 64
TRUTH = 4_000_000


def logistic(value):
    return 1 / (1 + np.exp(-value))


def two_classes(random, rows):
    """Two models of a label with 30 % positives; the first sees more, the second is too sure of itself."""
    label = (random.random(rows) < 0.3).astype(int)
    shared = 1.5 * label - 1.3 + random.normal(size=rows)
    scores = [logistic(by * (shared + random.normal(0, noise, rows))) for by, noise in ((1.0, 0.3), (1.6, 0.7))]
    return [
        Predictions(BINARY, "y", label, (each >= 0.5).astype(int), each, (0, 1), 1, 0.5, DIGEST, DIGEST)
        for each in scores
    ]


def three_classes(random, rows):
    """Two models of three classes of unequal size."""
    label = random.choice(3, size=rows, p=[0.5, 0.3, 0.2])
    shared, told = random.gamma(1.0, size=(rows, 3)), np.eye(3)[label]
    scores = [shared + random.gamma(0.5, size=(rows, 3)) + by * told for by in (1.0, 0.8)]
    scores = [each / each.sum(axis=1, keepdims=True) for each in scores]
    return [
        Predictions(MULTICLASS, "y", label, each.argmax(axis=1), each, (0, 1, 2), None, None, DIGEST, DIGEST)
        for each in scores
    ]


def numbers(errors):
    """Two models of a number, whose R² are about 0.8 and 0.7, with errors of a distribution of variance 1."""

    def make(random, rows):
        signal = random.normal(100, 2, rows)
        error = errors(random, rows)
        label = signal + error
        said = [signal, signal + 0.6 * random.normal(size=rows)]
        return [Predictions(REGRESSION, "y", label, each, None, (), None, None, DIGEST, DIGEST) for each in said]

    return make


def student(freedom):
    return lambda random, rows: random.standard_t(freedom, rows) / np.sqrt(freedom / (freedom - 2))


DATA = {
    "binary": two_classes,
    "multiclass": three_classes,
    "normal": numbers(lambda random, rows: random.normal(size=rows)),
    "laplace": numbers(lambda random, rows: random.laplace(size=rows) / np.sqrt(2)),
    "t5": numbers(student(5)),
    "t3": numbers(student(3)),
}


def missed(ends, truth):
    """Return the shares of intervals, but for those that are None, that hold the truth, and lie above and below it."""
    low, high = np.array([each for each in ends if each is not None]).T
    above, below = (low > truth).mean(), (high < truth).mean()
    return 1 - above - below, above, below


def truths(make, names):
    """Return the true value of each metric, and the true advantage of the first model."""
    first, second = make(np.random.default_rng(99), TRUTH)
    measured = [measures.measure(each) for each in (first, second)]
    sign = {name: 1 if measures.METRICS[name].greater_is_better else -1 for name in names}
    return measured[0], {name: sign[name] * (measured[0][name] - measured[1][name]) for name in names}


def simulate(make, rows, runs):
    """Return for each metric what `missed` tells of one model and of two."""
    task = make(np.random.default_rng(0), 20)[0].task
    names = [metric.name for metric in measures.metrics_for(task) if metric.bias is None]
    alone, paired = truths(make, names)
    single, double = ({name: [] for name in names} for _ in range(2))
    random = np.random.default_rng(rows)
    for seed in range(runs):
        first, second = make(random, rows)
        for name, interval in measures.bootstrap_intervals(first, names, samples=1000, seed=seed).items():
            single[name].append(interval)
        for name in names:
            found = advantage(first, second, name, samples=1000, seed=seed)
            double[name].append(None if found is None else found.interval)
    return {name: (*missed(single[name], alone[name]), *missed(double[name], paired[name])) for name in names}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--only", choices=DATA, nargs="+", default=list(DATA))
    given = parser.parse_args()
    print(f"{given.runs:,} datasets each; of one model | of the difference of two: held (above, below the truth), %")
    for data in given.only:
        for rows in given.rows:
            for name, shares in simulate(DATA[data], rows, given.runs).items():
                held, above, below, *others = (f"{100 * share:.1f}" for share in shares)
                other, higher, lower = others
                print(
                    f"{data:10} {rows:6,} {name:30} {held} ({above}, {below}) | {other} ({higher}, {lower})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
