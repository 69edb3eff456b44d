"""Describe a dataset that outgrows one machine: TensorFlow Data Validation's (TFDV) transform on Apache Beam.

Workers read the Parquet files themselves, row group by row group, so neither the data nor its digest passes through the
step that starts them. What comes back are TFDV's own statistics, from which the profile is made as well.

The module imports Beam and TFDV at once: whoever does not need them does not import it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import apache_beam
import numpy
import pyarrow
import pyarrow_hotfix  # noqa: F401  pyarrow 10 runs code from untrusted files without it
import tensorflow_data_validation as tfdv
from apache_beam.io.filesystems import FileSystems
from apache_beam.io.parquetio import ReadAllFromParquetBatched
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tensorflow_data_validation.statistics.generators.stats_generator import CombinerFeatureStatsGenerator
from tensorflow_data_validation.utils.slicing_util import get_feature_value_slicer
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx_bsl.arrow.table_util import CanonicalizeRecordBatch

from kfp_hallmark.contracts.dataset import file_schema, plain_columns
from kfp_hallmark.contracts.digest import PREFIX, Manifest
from kfp_hallmark.errors import HallmarkError, InputError, MissingInputError, ServiceError, nearest
from kfp_hallmark.profiles.profile import PERCENT, Binned, Column, Profile, column, type_name
from kfp_hallmark.profiles.scan import MAX_SLICES, Counted, add_slices, as_integers, require_sliceable
from kfp_hallmark.profiles.statistics import (
    ALL_ROWS,
    BUCKETS,
    TOP_VALUES,
    add_quantile_bars,
    dataset_statistics,
    require_few_columns,
    slice_name,
)
from kfp_hallmark.profiles.statistics import (
    feature as feature_statistics,
)
from kfp_hallmark.profiles.tally import LONG, LONG_TEXT, Numbers, NumberTally, Texts, TextTally
from kfp_hallmark.storage import advice, reading, shown

LOCAL = ("directrunner", "direct")
"""The runner whose workers are on this machine; Beam's default."""
RANK_ERROR = 0.001
"""By what share of the rows a quantile may be off."""
BATCH = 65_536
"""How many rows TFDV takes at once."""
HELD = "values"
"""What the few values of a column of numbers are called among its statistics."""


@dataclass(frozen=True)
class Source:
    """The files of a dataset where Beam's workers read them.

    Attributes:
        uri: The file or folder.
        files: All its files, whatever they hold: URI to the name that the digest knows it by.
        schema: The columns of its first Parquet file, as plain types.
    """

    uri: str
    files: Mapping[str, str]
    schema: pyarrow.Schema

    @property
    def parquet(self) -> list[str]:
        """The files that hold rows."""
        return parquet_among(self.files)


def parquet_among(files: Mapping[str, str]) -> list[str]:
    """Return the files that hold rows: those named `.parquet` of a folder, or a file whatever its name."""
    return [uri for uri, name in files.items() if name == "." or name.endswith(".parquet")]


def find(uri: str) -> Source:
    """List the files of a dataset, and read the columns of the first.

    Args:
        uri: A Parquet file, or a folder of them, on any storage that Beam knows.

    Raises:
        MissingInputError: If there is no dataset.
        InputError: If it cannot be read, is not Parquet, or has a name that Beam would take for a pattern.
    """
    root = uri.rstrip("/")
    if not root or re.search(r"[*?\[]", root):
        raise InputError(f"uri must be a Parquet file or a folder, not a pattern; got {shown(uri)!r}.")
    with reading("uri", uri):
        below, itself = FileSystems.match([f"{root}/**", root])
        paths = sorted(found.path for found in below.metadata_list if not found.path.endswith("/"))
        files = {path: path[len(root) + 1 :] for path in paths} or {found.path: "." for found in itself.metadata_list}
        patterns = [name for name in files.values() if re.search(r"[*?\[]", name)]
        if patterns:
            raise InputError(
                "The files of a dataset must have names without any of '*?[' for Beam to read them; "
                f"got {patterns[0]!r}."
            )
        parquet = parquet_among(files)
        if not parquet:
            raise MissingInputError(
                f"A dataset must be a Parquet file or a folder of them; got {shown(uri)!r}.", advice(uri)
            )
        with FileSystems.open(parquet[0], compression_type="uncompressed") as file:
            return Source(uri, files, file_schema(file, parquet[0]))


def describe(
    source: Source, columns: Sequence[str], slice_columns: Sequence[str], options: Sequence[str]
) -> tuple[list[Any], Profile]:
    """Return the statistics and the profile of a dataset.

    Args:
        source: The dataset.
        columns: The columns to describe.
        slice_columns: Columns of text, whole numbers or booleans by whose values the statistics are given again.
        options: Beam's options, `checked`.

    Returns:
        DatasetFeatureStatistics of all rows, then of each slice; and the profile of all rows.

    Raises:
        InputError: If a file is not whole Parquet or differs from the first, a column is not plain, or there would be
            too many slices.
        ServiceError: If the pipeline failed.
    """
    slices: dict[tuple[str, str | int], int] = {}
    if slice_columns:
        require_sliceable(source.schema, slice_columns)
        found, _ = _run(source, slice_columns, (), options)
        for name, feature in _features(found[""]).items():
            add_slices(slices, name, _counts(feature))
        require_few_columns(slices, columns)
    found, digests = _run(source, columns, slice_columns if slices else (), options)
    whole = found[ALL_ROWS if slices else ""]
    kinds = {name: source.schema.field(name).type for name in columns}
    digest = Manifest(digests).digest
    if not whole.features:
        nothing = {name: _nothing(kind) for name, kind in kinds.items()}
        described = {name: column(kinds[name], counted) for name, counted in nothing.items()}
        features = [feature_statistics(name, kinds[name], counted) for name, counted in nothing.items()]
        return [dataset_statistics(features)], Profile(digest, 0, described)
    by_name = _features(whole)
    described = {name: _column(kind, by_name[name]) for name, kind in kinds.items()}
    parts = [whole, *(found[slice_name(*each)] for each in slices)]
    return [_as_counted_here(each, columns) for each in parts], Profile(digest, int(whole.num_examples), described)


def _nothing(kind: pyarrow.DataType) -> Counted:
    """Return what is counted of a column without rows."""
    return (TextTally() if pyarrow.types.is_string(kind) else NumberTally()).finish()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise InputError(f"beam_pipeline_args must be options of Apache Beam; {message}.")


def checked(options: Sequence[str]) -> list[str]:
    """Return Beam's options as given.

    Raises:
        InputError: If one is not `--name=value` or `--name`, no runner would know it, its value cannot be, the result
            could not be waited for, or workers elsewhere would have nowhere to leave it.
    """
    for option in options:
        if not re.fullmatch(r"--\w+(=.*)?", option, re.DOTALL):
            raise InputError(f"beam_pipeline_args must each be --name=value or --name; got {option!r}.")
    parser = _Parser(add_help=False, allow_abbrev=False)
    for group in PipelineOptions.__subclasses__():
        group._add_argparse_args(parser)
    known, unknown = parser.parse_known_args(options)
    for name in ("streaming", "template_location", "no_wait_until_finish"):
        if any(re.match(rf"--{name}(=|$)", option) for option in options):
            raise InputError(f"beam_pipeline_args must let the step wait for its result; got --{name}.")
    if _is_local(known.runner):
        if unknown:
            name = unknown[0].partition("=")[0]
            raise InputError(
                f"beam_pipeline_args must be options of Apache Beam; got {name!r}.",
                nearest(name, sorted(parser._option_string_actions)),
            )
    elif not known.temp_location:
        raise InputError(
            f"beam_pipeline_args must have a --temp_location with --runner={known.runner}; got none.",
            "Name a folder that the workers can write to and this step can read; the result is handed over there.",
        )
    return list(options)


def is_local(options: Sequence[str]) -> bool:
    """Return whether the workers are on this machine."""
    runners = [option.partition("=")[2] for option in options if option.startswith("--runner=")]
    return _is_local(runners[-1] if runners else None)


def _is_local(runner: str | None) -> bool:
    return (runner or LOCAL[0]).lower() in LOCAL


class _FewValues(CombinerFeatureStatsGenerator):
    """Counts the values of a column of numbers as long as they are few, which TFDV does not; and infinities.

    An accumulator is how many are minus and plus infinity, and the rows by finite value, or None of too many.
    """

    def __init__(self) -> None:
        super().__init__("few_values")

    def create_accumulator(self) -> list[Any]:
        return [0, 0, {}]

    def add_input(self, accumulator: list[Any], feature_path: Any, feature_array: pyarrow.Array) -> list[Any]:
        if pyarrow.types.is_null(feature_array.type):
            return accumulator
        array = feature_array.flatten()
        if not (pyarrow.types.is_integer(array.type) or pyarrow.types.is_floating(array.type)):
            return accumulator
        values = array.to_numpy(zero_copy_only=False)
        infinite = [int((values == bound).sum()) for bound in (-math.inf, math.inf)]
        if accumulator[2] is None:
            return self.merge_accumulators([accumulator, [*infinite, None]])
        finite = values[numpy.isfinite(values)] if any(infinite) else values
        found, counts = numpy.unique(finite, return_counts=True)
        few = dict(zip(found.tolist(), counts.tolist(), strict=True)) if len(found) <= MAX_SLICES else None
        return self.merge_accumulators([accumulator, [*infinite, few]])

    def merge_accumulators(self, accumulators: Iterable[list[Any]]) -> list[Any]:
        below, above, few = zip(*accumulators, strict=True)
        counts: Counter[float] | None = None
        if None not in few:
            counts = Counter()
            for each in few:
                counts.update(each)
        return [sum(below), sum(above), dict(counts) if counts is not None and len(counts) <= MAX_SLICES else None]

    def extract_output(self, accumulator: list[Any]) -> Any:
        below, above, few = accumulator
        result = statistics_pb2.FeatureNameStatistics()
        counts = None if few is None else sorted(few.items())
        result.custom_stats.add(name=HELD, str=json.dumps([below, above, counts]))
        return result


def _run(
    source: Source, columns: Sequence[str], slice_columns: Sequence[str], options: Sequence[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return TFDV's statistics by the slice's name, and the digest of each file by its name."""
    names = list(dict.fromkeys([*columns, *slice_columns]))
    wanted = pyarrow.schema([source.schema.field(name) for name in names])
    statistics_options = tfdv.StatsOptions(
        generators=[_FewValues()],
        num_quantiles_histogram_buckets=PERCENT,
        epsilon=RANK_ERROR,
        experimental_slice_functions=[get_feature_value_slicer({name: None}) for name in slice_columns] or None,
    )
    flags = PipelineOptions(list(options))
    with _handing_over(flags) as place, _failing(source.uri):
        with apache_beam.Pipeline(runner=FnApiRunner() if is_local(options) else None, options=flags) as pipeline:
            batches = (
                pipeline
                | "Parquet files" >> apache_beam.Create(source.parquet)
                | "Read" >> ReadAllFromParquetBatched(columns=names, with_filename=True)
                | "Plain" >> apache_beam.FlatMap(_batches, wanted)
            )
            _ = (
                batches
                | tfdv.GenerateStatistics(statistics_options)
                | "Serialize" >> apache_beam.Map(lambda found: found.SerializeToString())
                | "Write statistics" >> apache_beam.Map(_write, f"{place}/statistics.pb")
            )
            _ = (
                pipeline
                | "All files" >> apache_beam.Create(list(source.files.items()))
                | apache_beam.Reshuffle()
                | "Digest" >> apache_beam.MapTuple(_digest)
                | apache_beam.combiners.ToList()
                | "As JSON" >> apache_beam.Map(lambda found: json.dumps(dict(found)).encode())
                | "Write digests" >> apache_beam.Map(_write, f"{place}/digests.json")
            )
        found = statistics_pb2.DatasetFeatureStatisticsList.FromString(_read(f"{place}/statistics.pb"))
        return {each.name: each for each in found.datasets}, json.loads(_read(f"{place}/digests.json"))


@contextmanager
def _handing_over(flags: PipelineOptions) -> Iterator[str]:
    """Give a folder where workers leave what they found; it is gone afterwards."""
    base = flags.get_all_options()["temp_location"]
    if base is None:
        with tempfile.TemporaryDirectory(prefix="hallmark-") as folder:
            yield folder
        return
    place = f"{base.rstrip('/')}/hallmark-{uuid.uuid4().hex}"
    FileSystems.mkdirs(place)
    try:
        yield place
    finally:
        FileSystems.delete([place])


@contextmanager
def _failing(uri: str) -> Iterator[None]:
    """Raise what a worker raised, whatever the runner made of it.

    Raises:
        InputError: If a worker said what is wrong with the dataset.
        ServiceError: If anything else failed.
    """
    try:
        yield
    except Exception as error:  # every runner has errors of its own, and what a worker raised is text in them
        said = re.findall(r"kfp_hallmark\.errors\.InputError: (.+?)(?: \[while running|\\n|\n|$)", str(error))
        if isinstance(error, HallmarkError):
            said = [error.message.partition(" [while running")[0]]
        if said:
            raise InputError(said[-1]) from error
        raise ServiceError(
            f"The pipeline on Apache Beam that reads {shown(uri)!r} must end well; it ended with "
            f"{type(error).__name__}.",
            "What its workers logged says why.",
        ) from error


def _batches(element: tuple[str, pyarrow.Table], wanted: pyarrow.Schema) -> Iterator[pyarrow.RecordBatch]:
    file, table = element
    for batch in table.to_batches(max_chunksize=BATCH):
        yield _for_tfdv(plain_columns(batch, list(wanted), file))


def _for_tfdv(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """Return a batch as TFDV takes it: NaN as missing, booleans and times as whole numbers."""
    arrays = [_array(array, field.name) for array, field in zip(batch.columns, batch.schema, strict=True)]
    return CanonicalizeRecordBatch(pyarrow.RecordBatch.from_arrays(arrays, names=batch.schema.names))


def _array(array: pyarrow.Array, name: str) -> pyarrow.Array:
    if pyarrow.types.is_floating(array.type):
        return pyarrow.array(array.to_numpy(zero_copy_only=False), array.type, from_pandas=True)
    if pyarrow.types.is_boolean(array.type):
        return array.cast("int8")
    if pyarrow.types.is_string(array.type):
        try:
            array.validate(full=True)
        except pyarrow.ArrowInvalid:
            raise InputError(f"The column {name!r} must hold text in UTF-8; got bytes that are not.") from None
    return as_integers(array, name)


def _digest(uri: str, name: str) -> tuple[str, str]:
    digest = hashlib.sha256()
    with FileSystems.open(uri, compression_type="uncompressed") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return name, PREFIX + digest.hexdigest()


def _write(content: bytes, path: str) -> None:
    with FileSystems.create(path, compression_type="uncompressed") as file:
        file.write(content)


def _read(path: str) -> bytes:
    with FileSystems.open(path, compression_type="uncompressed") as file:
        content: bytes = file.read()
        return content


def _features(statistics: Any) -> dict[str, Any]:
    return {feature.path.step[0]: feature for feature in statistics.features}


def _is_text(feature: Any) -> bool:
    return feature.WhichOneof("stats") == "string_stats"


def _held(feature: Any) -> tuple[int, int, dict[float, int] | None]:
    """Return how many values of a column of numbers are minus and plus infinity, and the others if they are few."""
    below, above, counts = json.loads(feature.custom_stats[0].str)
    return below, above, None if counts is None else dict(counts)


def _counts(feature: Any) -> Mapping[Any, int] | None:
    """Return how many rows hold each value; None if these are too many for slices."""
    if not _is_text(feature):
        return _held(feature)[2]
    return _texts(feature).counts if feature.string_stats.unique <= MAX_SLICES else None


def _texts(feature: Any) -> Texts:
    found = feature.string_stats
    counts = Counter({_name(bucket.label): int(bucket.sample_count) for bucket in found.rank_histogram.buckets})
    present = int(found.common_stats.num_non_missing)
    return Texts(
        missing=int(found.common_stats.num_missing),
        counts=counts,
        distinct=int(found.unique),
        rare_count=present - counts.total(),
        bytes=round(found.avg_length * present),
    )


def _name(text: str) -> str:
    content = text.encode()
    return f"{LONG}:{hashlib.sha256(content).hexdigest()}" if len(content) > LONG_TEXT else text


def _column(kind: pyarrow.DataType, feature: Any) -> Column:
    """Return what a column holds, from TFDV's statistics of it."""
    if _is_text(feature):
        return column(kind, _texts(feature))
    found = feature.num_stats
    missing, present = int(found.common_stats.num_missing), int(found.common_stats.num_non_missing)
    below, above, few = _held(feature)
    finite = present - below - above
    mean, deviation = (found.mean, found.std_dev) if finite and not (below or above) else (math.nan, math.nan)
    if few is not None:
        values, counts = numpy.array(list(few)), numpy.array(list(few.values()), dtype="int64")
        zeros = int(found.num_zeros)
        numbers = Numbers(missing, below, above, finite, mean, deviation, zeros, values, counts.cumsum())
        return column(kind, numbers)
    edges, ranks = _ranks(found)
    inside = numpy.isfinite(edges)
    inside[-1] = False
    cuts, keep = numpy.unique(edges[inside], return_index=True)
    counts = numpy.diff(ranks[inside][keep], prepend=0, append=present)
    return Column(
        type_name(kind),
        missing,
        Binned(
            edges=tuple(cuts.tolist() if type_name(kind) == "number" else (int(cut) for cut in cuts.tolist())),
            counts=tuple(counts.tolist()),
            mean=mean if math.isfinite(mean) else None,
            standard_deviation=deviation if math.isfinite(deviation) else None,
            below=below,
            above=above,
        ),
        (int(found.min), int(found.max)) if finite and type_name(kind) == "time" else None,
    )


def _ranks(found: Any) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the 1st to 100th percentiles, and how many values do not exceed each."""
    buckets = found.histograms[1].buckets
    edges = numpy.array([bucket.high_value for bucket in buckets])
    ranks = numpy.cumsum([bucket.sample_count for bucket in buckets]).round().astype("int64")
    return edges, ranks[numpy.searchsorted(edges, edges, side="right") - 1]


def _as_counted_here(statistics: Any, columns: Sequence[str]) -> Any:
    """Return statistics as the scan on one machine gives them: its order of columns, ten quantiles, no long texts."""
    features = _features(statistics)
    for feature in features.values():
        del feature.custom_stats[:]
        if _is_text(feature):
            _shorten(feature.string_stats)
        elif feature.num_stats.common_stats.num_non_missing:
            _take_tenths(feature.num_stats)
    result = statistics_pb2.DatasetFeatureStatistics(name=statistics.name, num_examples=statistics.num_examples)
    result.features.extend(features[name] for name in columns)
    return result


def _take_tenths(found: Any) -> None:
    edges, ranks = _ranks(found)
    least = found.histograms[1].buckets[0].low_value
    del found.histograms[1].buckets[:]
    step = PERCENT // BUCKETS
    tenths = numpy.append(least, edges[step - 1 :: step])
    first = ranks[0] if edges[0] == least else 0
    add_quantile_bars(found.histograms[1], tenths, numpy.append(first, ranks[step - 1 :: step]))


def _shorten(found: Any) -> None:
    """Name all long texts as one."""
    buckets = found.rank_histogram.buckets
    if all(len(bucket.label.encode()) <= LONG_TEXT for bucket in buckets):
        return
    counts: Counter[str] = Counter()
    for bucket in buckets:
        counts[LONG if len(bucket.label.encode()) > LONG_TEXT else bucket.label] += int(bucket.sample_count)
    ranked = sorted(counts.items(), key=lambda entry: (entry[1], entry[0]), reverse=True)
    del found.top_values[:]
    del buckets[:]
    for value, count in ranked[:TOP_VALUES]:
        found.top_values.add(value=value, frequency=count)
    for rank, (value, count) in enumerate(ranked):
        buckets.add(low_rank=rank, high_rank=rank, sample_count=count, label=value)
