"""What other rows say of a row's label: class probabilities by gradient boosting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kfp_hallmark.hashing import text_hash

if TYPE_CHECKING:
    from numpy import ndarray
    from numpy.random import Generator

FOLDS = 3
"""Each row's label is told by one of so many models, the one that did not learn from it."""
LEARNT = 100_000
"""From so many rows a model learns at the most."""
CELLS = 20_000_000
"""From so many values a model learns at the most, which of many features takes fewer rows."""
TREES = 50
"""How many trees tell two classes; of more classes each has its own, a third of so many at least, that learn faster."""
AT_ONCE = 100_000
"""For so many rows probabilities are told at a time."""


def chance(seed: int, use: str) -> Generator:
    """Return a source of chance that has nothing to do with others of the same seed, such as one that made the data."""
    import numpy as np

    return np.random.default_rng([seed, text_hash(use)])


def out_of_fold(
    codes: ndarray, texts: Sequence[bool], labels: ndarray, classes: int, seed: int, trees: int = TREES
) -> ndarray:
    """Return the probability of each class for each row, by a model that did not learn from it.

    Args:
        codes: The features, shape (rows, features).
        texts: Whether each feature is of text.
        labels: The class of each row, 0 and up, shape (rows,).
        classes: How many classes there are.
        seed: Seed of the folds.
        trees: How many trees tell two classes.

    Returns:
        Float32 of shape (rows, classes).
    """
    import numpy as np

    folds = chance(seed, "folds").integers(0, FOLDS, len(labels))
    found = np.empty((len(labels), classes), dtype=np.float32)
    for fold in range(FOLDS):
        held = folds == fold
        model = learn(codes, texts, labels, np.flatnonzero(~held), seed, trees)
        found[held] = tell(model, codes[held], classes)
    return found


def learn(codes: ndarray, texts: Sequence[bool], labels: ndarray, rows: ndarray, seed: int, trees: int = TREES) -> Any:
    """Return a model that learnt from some rows, at most `LEARNT` of them by chance."""
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier

    most = min(LEARNT, CELLS // codes.shape[1])
    if len(rows) > most:
        rows = chance(seed, "learning").choice(rows, most, replace=False)
    present = len(np.unique(labels[rows]))
    model = HistGradientBoostingClassifier(
        max_iter=trees if present < 3 else max(trees // 3, 2 * trees // present),
        learning_rate=0.1 if present < 3 else 0.2,
        categorical_features=np.array(texts, dtype=bool) if any(texts) else None,
        early_stopping=False,
        random_state=seed,
    )
    return model.fit(codes[rows].astype(np.float64), labels[rows])


def tell(model: Any, codes: ndarray, classes: int) -> ndarray:
    """Return the probability of each class, 0 for those that the model did not see, shape (rows, classes)."""
    import numpy as np

    found = np.zeros((len(codes), classes), dtype=np.float32)
    for start in range(0, len(codes), AT_ONCE):
        part = codes[start : start + AT_ONCE].astype(np.float64)
        found[start : start + AT_ONCE, model.classes_] = model.predict_proba(part)
    return found
