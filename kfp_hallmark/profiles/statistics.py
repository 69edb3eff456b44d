"""The statistics of a dataset as TensorFlow Data Validation (TFDV) keeps them, counted by `scan`.

The protobuf is TFDV's own, `DatasetFeatureStatisticsList`, which TFDV's functions and viewers read; nothing here needs
TensorFlow. Every field is what TFDV computes, with these differences:

- Bars of equal width are counted; TFDV spreads thousandths of the rows evenly over their width.
- Quantiles of up to `tally.EXACT_ROWS` rows are exact; TFDV's ranks are off by up to 1 %.
- Texts are counted exactly up to twice `tally.MAX_COUNTED` different ones; TFDV estimates beyond about 1,000.
- NaN is missing, as in what TFDV makes of a data frame.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.dataset import read_schema
from kfp_hallmark.errors import InputError
from kfp_hallmark.profiles.profile import type_name
from kfp_hallmark.profiles.scan import Counted, find_slices, scan, scan_slices
from kfp_hallmark.profiles.tally import LONG, Numbers, Texts

if TYPE_CHECKING:
    import numpy
    import pyarrow

BUCKETS = 10
"""How many bars each histogram has."""
TOP_VALUES = 20
"""How many of the most frequent texts are listed."""
RANKS = 1000
"""How many of the most frequent texts the histogram of ranks holds."""
MAX_COLUMNS = 20_000
"""How many columns all slices together may have: each has statistics of its own."""
ALL_ROWS = "All Examples"
"""What TFDV calls the dataset beside its slices."""


def compute_statistics(path: str | Path, columns: Sequence[str] | None = None) -> Any:
    """Return the statistics of a dataset, a DatasetFeatureStatisticsList.

    Args:
        path: One Parquet file, or a folder of them.
        columns: The columns to describe. Default: all.

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If it cannot be read, or a column is absent.
    """
    return statistics_list([dataset_statistics(feature(*found) for found in scan(path, columns))])


def slice_statistics(path: str | Path, slice_columns: Sequence[str], columns: Sequence[str] | None = None) -> list[Any]:
    """Return the statistics of each slice of a dataset, DatasetFeatureStatistics named `<column>_<value>`.

    Args:
        path: One Parquet file, or a folder of them.
        slice_columns: Columns of text, whole numbers or booleans; each value of each makes a slice.
        columns: The columns to describe. Default: all.

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If it cannot be read, a column is absent, there are too many slices, or `find_slices` refuses them.
    """
    slices = find_slices(path, slice_columns)
    names = read_schema(path).names if columns is None else columns
    require_few_columns(slices, names)
    features: list[list[Any]] = [[] for _ in slices]
    if slices:
        for name, kind, counted in scan_slices(path, slices, names):
            for found, each in zip(features, counted, strict=True):
                found.append(feature(name, kind, each))
    return [dataset_statistics(found, slice_name(*each)) for each, found in zip(slices, features, strict=True)]


def slice_name(column: str, value: str | int) -> str:
    """Return what TFDV calls a slice."""
    return f"{column}_{value}"


def require_few_columns(slices: Sized, columns: Sized) -> None:
    """Raise `InputError` if all slices together have too many columns."""
    if len(slices) * len(columns) > MAX_COLUMNS:
        raise InputError(
            f"slice_columns must make slices of at most {MAX_COLUMNS:,} columns in all; got {len(slices)} slices of "
            f"{len(columns):,} columns."
        )


def statistics_list(datasets: Iterable[Any]) -> Any:
    """Return the DatasetFeatureStatisticsList of some DatasetFeatureStatistics."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    return statistics_pb2.DatasetFeatureStatisticsList(datasets=datasets)


def dataset_statistics(features: Iterable[Any], name: str = "") -> Any:
    """Return the DatasetFeatureStatistics of some features.

    Args:
        features: What `feature` returns.
        name: What the dataset or slice is called.
    """
    from tensorflow_metadata.proto.v0 import statistics_pb2

    result = statistics_pb2.DatasetFeatureStatistics(name=name, features=features)
    for each in result.features[:1]:
        common = getattr(each, each.WhichOneof("stats")).common_stats
        result.num_examples = common.num_missing + common.num_non_missing
    return result


def feature(name: str, kind: pyarrow.DataType, counted: Counted) -> Any:
    """Return the FeatureNameStatistics of a column from what was counted of it."""
    from tensorflow_metadata.proto.v0 import path_pb2, statistics_pb2

    result = statistics_pb2.FeatureNameStatistics(path=path_pb2.Path(step=[name]))
    if isinstance(counted, Texts):
        result.type = result.STRING
        _describe_texts(result.string_stats, counted)
    else:
        result.type = result.FLOAT if type_name(kind) == "number" else result.INT
        _describe_numbers(result.num_stats, counted)
    return result


def _describe_common(common: Any, missing: int, present: int) -> None:
    common.num_missing, common.num_non_missing = missing, present
    common.SetInParent()
    if present:
        common.min_num_values = common.max_num_values = common.avg_num_values = 1
        common.tot_num_values = present
        common.num_values_histogram.type = common.num_values_histogram.QUANTILES
        for _ in range(BUCKETS):
            common.num_values_histogram.buckets.add(low_value=1, high_value=1, sample_count=present / BUCKETS)


def _describe_numbers(result: Any, numbers: Numbers) -> None:
    values = numbers.below + numbers.finite + numbers.above
    _describe_common(result.common_stats, numbers.missing, values)
    if not values:
        return
    least, median, greatest = numbers.at([0, values // 2, values - 1]).tolist()
    result.min, result.median, result.max = least, median, greatest
    finite = math.isfinite(numbers.mean) and not (numbers.below or numbers.above)
    result.mean = numbers.mean if finite else math.nan
    result.std_dev = numbers.standard_deviation if finite and math.isfinite(numbers.standard_deviation) else 0
    result.num_zeros = numbers.zeros
    _add_bars(result.histograms.add(), numbers)
    _add_quantiles(result.histograms.add(), numbers, values)


def _add_bars(histogram: Any, numbers: Numbers) -> None:
    """Fill a histogram with bars of equal width; a bar holds its upper edge, and the first also its lower one."""
    import numpy

    histogram.type = histogram.STANDARD
    if not numbers.finite:
        count = numbers.below + numbers.above
        histogram.buckets.add(low_value=math.inf, high_value=-math.inf, sample_count=count)
        return
    low, high = float(numbers.values[0]), float(numbers.values[-1])
    with numpy.errstate(over="ignore", invalid="ignore"):
        edges = numpy.linspace(low, high, BUCKETS + 1) if low < high else numpy.array([low, high])
    if not numpy.isfinite(edges).all():
        return
    ranks = numbers.at_most(edges[1:].tolist())
    ranks[-1] = numbers.below + numbers.finite
    if numbers.below:
        histogram.buckets.add(low_value=-math.inf, high_value=-math.inf, sample_count=numbers.below)
    _add_buckets(histogram, edges, numpy.diff(ranks, prepend=numbers.below))
    if numbers.above:
        histogram.buckets.add(low_value=math.inf, high_value=math.inf, sample_count=numbers.above)


def _add_quantiles(histogram: Any, numbers: Numbers, values: int) -> None:
    """Fill a histogram with bars between quantiles."""
    import numpy

    histogram.type = histogram.QUANTILES
    places = numpy.minimum(numpy.arange(BUCKETS + 1) * values // BUCKETS, values - 1)
    edges = numbers.at(places)
    add_quantile_bars(histogram, edges, numbers.at_most(edges.tolist()))


def add_quantile_bars(histogram: Any, edges: numpy.ndarray, ranks: numpy.ndarray) -> None:
    """Fill a histogram with the bars between quantiles; those with the same upper edge share what they hold evenly.

    Args:
        histogram: What to fill.
        edges: The quantiles, the least value before them, ascending, shape (bars + 1,).
        ranks: How many values do not exceed each of these, shape (bars + 1,).
    """
    import numpy

    _, alike, bars = numpy.unique(edges[1:], return_inverse=True, return_counts=True)
    counts = (numpy.bincount(alike, numpy.diff(ranks)) / bars)[alike]
    first = (edges[:-1] == edges[0]) & (edges[1:] == edges[1])
    counts[first] += ranks[0] / first.sum()
    _add_buckets(histogram, edges, counts)


def _add_buckets(histogram: Any, edges: numpy.ndarray, counts: numpy.ndarray) -> None:
    for low, high, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True):
        histogram.buckets.add(low_value=low, high_value=high, sample_count=count)


def _describe_texts(result: Any, texts: Texts) -> None:
    present = texts.counts.total() + texts.rare_count
    _describe_common(result.common_stats, texts.missing, present)
    if not present:
        return
    result.unique = texts.distinct
    result.avg_length = texts.bytes / present
    ranked = heapq.nlargest(RANKS, _named(texts.counts).items(), key=lambda entry: (entry[1], entry[0]))
    for value, count in ranked[:TOP_VALUES]:
        result.top_values.add(value=value, frequency=count)
    for rank, (value, count) in enumerate(ranked):
        result.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, sample_count=count, label=value)


def _named(counts: Counter[str]) -> Counter[str]:
    """Return the counts with all long texts as one."""
    long = [name for name in counts if name.startswith(f"{LONG}:")]
    if not long:
        return counts
    named = counts.copy()
    named[LONG] += sum(named.pop(name) for name in long)
    return named
