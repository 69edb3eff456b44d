"""Whether a classifier can tell the rows of two datasets apart, by their columns taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.artifacts import Artifact
from kfp_hallmark.contracts.dataset import read_batches, read_schema
from kfp_hallmark.contracts.verdict import Check, Status
from kfp_hallmark.measures.areas import grouped_areas
from kfp_hallmark.measures.partition import Partition
from kfp_hallmark.reports import number

if TYPE_CHECKING:
    import numpy
    import pyarrow
    from sklearn.ensemble import HistGradientBoostingClassifier

SAMPLE, CELLS = 20_000, 4_000_000
"""Of each side at most so many rows are taken, by chance, and of both together at most so many cells."""
FOLDS = 3
FREQUENT, CATEGORIES = 20, 250
"""A category is one of its own if so many rows of the sample hold it, of at most so many; all others are one."""
LEAF = 50
"""How many rows a leaf holds at least: rows that are told apart one by one are no drift."""
CONFIDENCE, NORMAL = 0.95, 1.959964
LEARNT = 1 + FOLDS / (FOLDS - 1)
"""How many times as great the variance is as that of known classifiers: each learns from what tests the others."""
NAMED, TRIED = 3, 100_000
"""How many features are named when the sides can be told apart, and on how many cells they are tried."""
AUC = "domain_classifier_roc_auc"
SIDES = {"baseline": "the baseline", "serving": "the serving sample"}
"""What a reader calls the sides whose rows are known."""


@dataclass(frozen=True)
class Separation:
    """How well two sides can be told apart.

    Attributes:
        role: The side that the dataset is compared with.
        area: ROC AUC on rows that the classifier did not learn from; 0.5 when the sides are alike, 1 at most.
        interval: Its confidence interval, by DeLong's variance times `LEARNT`.
        rows: How many rows of both sides it rests on.
        columns: On how many columns.
        features: Those by which the sides are told apart best, the best first; none if they are hard to tell apart.
    """

    role: str
    area: float
    interval: tuple[float, float]
    rows: int
    columns: int
    features: tuple[str, ...]


def separate(
    role: str, former: Artifact, current: Artifact, names: Sequence[str], max_area: float, seed: int
) -> Separation | None:
    """Return how well a classifier tells the rows of two datasets apart; None without a column to do so by.

    The classifier is scikit-learn's HistGradientBoostingClassifier. Each row is scored by one that did not learn from
    it. Times are left out, for those of a later dataset differ by nature.

    Args:
        role: The side that the dataset is compared with.
        former: The one side.
        current: The other.
        names: The columns that both have.
        max_area: From which ROC AUC on features are named.
        seed: Seed of the sample and of the folds.

    Sources: Lopez-Paz and Oquab 2017, Revisiting Classifier Two-Sample Tests; Nadeau and Bengio 2003, Inference for the
    Generalization Error, for the variance: 1 / folds + tested / learnt rows in place of 1 / folds.
    """
    import numpy

    sides = [former, current]
    schemas = [read_schema(side.path) for side in sides]
    names = [name for name in names if _comparable([schema.field(name).type for schema in schemas])]
    if not names:
        return None
    most = min(SAMPLE, max(CELLS // (2 * len(names)), LEAF * FOLDS))
    generator = numpy.random.default_rng(seed)
    samples = [_sample(side.path, names, most, generator) for side in sides]
    values, categorical = _encode(*samples)
    current_side = numpy.repeat([0, 1], [sample.num_rows for sample in samples])
    scores, model, held_out = _scores(values, categorical, current_side, seed)
    areas, variances, _ = grouped_areas(scores, current_side == 1, Partition(numpy.zeros(len(scores), "int64"), 1))
    area, reach = float(areas[0]), NORMAL * float(LEARNT * variances[0]) ** 0.5
    held_out = generator.permutation(held_out)[: max(TRIED // len(names), 300)]
    best = _best(model, values[held_out], current_side[held_out], generator) if area > max_area else []
    return Separation(
        role,
        area,
        (max(area - reach, 0.0), min(area + reach, 1.0)),
        len(scores),
        len(names),
        tuple(names[index] for index in best),
    )


def unlearnable(role: str) -> Check:
    """Return the check of sides of which one has fewer rows than a leaf must hold: nothing can be learnt from them."""
    message = f"Fewer than {LEAF} rows, of the dataset or of {SIDES[role]}, are too few to tell them apart."
    return Check(AUC, Status.INCONCLUSIVE, scope={"reference": role}, message=message)


def separation_check(found: Separation, max_area: float) -> Check:
    """Return a check that fails only if the whole interval exceeds the limit."""
    beyond, surely = found.area > max_area, found.interval[0] > max_area
    status = Status.FAIL if surely else Status.INCONCLUSIVE if beyond else Status.PASS
    words = {
        Status.FAIL: "can be told apart by their columns taken together",
        Status.INCONCLUSIVE: "can perhaps be told apart by their columns taken together",
        Status.PASS: "are hard to tell apart by their columns taken together",
    }
    side = SIDES[found.role]
    named = f", best by {', '.join(found.features)}" if beyond and found.features else ""
    return Check(
        AUC,
        status,
        observed=found.area,
        maximum=max_area,
        interval=found.interval,
        confidence=CONFIDENCE,
        samples=found.rows,
        scope={"reference": found.role},
        message=f"Rows of the dataset and of {side} {words[status]}: ROC AUC {number(found.area, 3)}{named}.",
    )


def _comparable(kinds: Sequence[pyarrow.DataType]) -> bool:
    from pyarrow import types

    return not any(map(types.is_temporal, kinds)) and len(set(map(types.is_string, kinds))) == 1


def _sample(path: str, names: Sequence[str], most: int, generator: numpy.random.Generator) -> pyarrow.Table:
    """Return at most so many rows, taken by chance, in their order."""
    import numpy
    import pyarrow

    rows = sum(batch.num_rows for batch in read_batches(path, names[:1]))
    chosen = numpy.sort(generator.choice(rows, min(most, rows), replace=False))
    pieces, start = [], 0
    for batch in read_batches(path, names):
        first, last = numpy.searchsorted(chosen, [start, start + batch.num_rows])
        pieces.append(batch.take(pyarrow.array(chosen[first:last] - start)))
        start += batch.num_rows
    return pyarrow.Table.from_batches(pieces)


def _encode(former: pyarrow.Table, current: pyarrow.Table) -> tuple[numpy.ndarray, list[bool]]:
    """Return the rows of both as numbers, shape (rows, columns), and which columns are codes of categories."""
    import numpy
    from pyarrow import types

    columns = [[*former[name].chunks, *current[name].chunks] for name in former.schema.names]
    categorical = [types.is_string(field.type) for field in former.schema]
    encoded = [
        _codes(chunks) if text else numpy.concatenate([_numbers(chunk) for chunk in chunks])
        for chunks, text in zip(columns, categorical, strict=True)
    ]
    return numpy.column_stack(encoded), categorical


def _numbers(column: pyarrow.Array) -> numpy.ndarray:
    import numpy
    from pyarrow import types

    column = column.cast("int8") if types.is_boolean(column.type) else column
    values = column.cast("float64", safe=False).to_numpy(zero_copy_only=False)
    return numpy.where(numpy.isfinite(values), values, numpy.nan)


def _codes(chunks: Sequence[pyarrow.Array]) -> numpy.ndarray:
    """Return codes of the most frequent categories from 0, one more for all others, and NaN for none."""
    import numpy
    import pyarrow

    encoded = pyarrow.chunked_array(chunks, type="string").combine_chunks().dictionary_encode()
    indices = encoded.indices.fill_null(-1).to_numpy()
    counts = numpy.bincount(indices[indices >= 0], minlength=len(encoded.dictionary))
    order = numpy.argsort(-counts, kind="stable")
    codes = numpy.empty(len(counts) + 1)
    codes[order] = numpy.where(
        counts[order] >= FREQUENT, numpy.minimum(numpy.arange(len(order)), CATEGORIES), CATEGORIES
    )
    codes[-1] = numpy.nan
    return codes[indices]


def _scores(
    values: numpy.ndarray, categorical: list[bool], current_side: numpy.ndarray, seed: int
) -> tuple[numpy.ndarray, HistGradientBoostingClassifier, numpy.ndarray]:
    """Return each row's score by a classifier that did not learn from it, one of these, and the rows it did not see."""
    import numpy
    from sklearn.ensemble import HistGradientBoostingClassifier

    scores, folds = numpy.empty(len(values)), _folds(values, current_side, seed)
    for fold in range(FOLDS):
        known, unknown = numpy.flatnonzero(folds != fold), numpy.flatnonzero(folds == fold)
        model = HistGradientBoostingClassifier(
            max_iter=60,
            max_leaf_nodes=15,
            min_samples_leaf=LEAF,
            categorical_features=categorical,
            early_stopping=False,
            random_state=seed,
        )
        learnt = values[known]
        # The classifier cannot take a column without any value.
        learnt[:, numpy.isnan(learnt).all(axis=0)] = 0
        scores[unknown] = model.fit(learnt, current_side[known]).decision_function(values[unknown])
    return scores, model, unknown


def _folds(values: numpy.ndarray, current_side: numpy.ndarray, seed: int) -> numpy.ndarray:
    """Return the fold of each row, shape (rows,): rows that are alike are in one, but for many on both sides.

    A split by what rows hold puts all that are alike on one side. Were they in two folds, the classifier would know
    them again, and tell apart what differs in nothing else; and few that are on both sides it would take for those of
    the other side. Many on both sides are in all folds: where there are few kinds of rows, how often they come is all
    that can differ.
    """
    import numpy
    import pandas

    alike = numpy.unique(pandas.util.hash_pandas_object(pandas.DataFrame(values), index=False), return_inverse=True)[1]
    sizes = numpy.bincount(alike)
    divided = ((numpy.bincount(alike, current_side) % sizes > 0) & (sizes >= LEAF))[alike]
    units = numpy.where(divided, len(sizes) + numpy.arange(len(values)), alike)
    if min(len(numpy.unique(units[current_side == side])) for side in (0, 1)) < LEAF * FOLDS:
        units = numpy.arange(len(values))
    found, unit = numpy.unique(units, return_inverse=True)
    return numpy.random.default_rng(seed).permutation(len(found))[unit] % FOLDS


def _best(
    model: HistGradientBoostingClassifier,
    values: numpy.ndarray,
    current_side: numpy.ndarray,
    generator: numpy.random.Generator,
) -> list[int]:
    """Return the columns whose values, exchanged between rows, the classifier misses most, the most missed first."""
    from sklearn.metrics import roc_auc_score

    whole = roc_auc_score(current_side, model.decision_function(values))
    losses = []
    for index in range(values.shape[1]):
        kept = values[:, index].copy()
        values[:, index] = generator.permutation(kept)
        losses.append(whole - roc_auc_score(current_side, model.decision_function(values)))
        values[:, index] = kept
    ranked = sorted(range(len(losses)), key=lambda index: -losses[index])
    return [index for index in ranked[:NAMED] if losses[index] > 0]
